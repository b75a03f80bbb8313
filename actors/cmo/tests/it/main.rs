//! The operator, its supervisors and their jobs, each test in a world of its own with paused time.

mod jobs;
mod operator;
mod support;
