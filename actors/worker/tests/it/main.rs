//! What jobs are made of, each part by itself: what is read next, where steps run, and the two apps.

mod accounting;
mod intake;
mod limit_watch;
mod step_threads;
mod support;
