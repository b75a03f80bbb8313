//! The whole cloud, as its users meet it: a real process, real sockets, real files.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a test may fail loudly, and says what it counted"
)]

mod cluster;
mod command_faults;
mod commands;
mod commands_of_the_shell;
mod embedding;
mod energy_app;
mod faults;
mod homes;
mod live;
mod python_clients;
mod rabbitmq;
mod readings;
mod rest;
mod shutdown;
mod simulate;
mod support;
#[cfg(feature = "mysql")]
mod web_store_on_mysql;
