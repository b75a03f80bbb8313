//! The whole cloud, as its users meet it: a real process, real sockets, real files.

mod commands_of_the_shell;
mod embedding;
mod faults;
mod homes;
mod live;
mod python_clients;
mod readings;
mod rest;
mod shutdown;
mod support;
