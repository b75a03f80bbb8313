//! Worker jobs and the energy apps they run.
