//! What jobs are made of, each part by itself: what is read next, where steps run, and the two apps.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod accounting;
mod homes;
mod intake;
mod limit_watch;
mod load_priority;
mod pages;
mod peak_shaving;
mod schedule;
mod self_consumption;
mod step_threads;
mod support;
mod worker_job;
