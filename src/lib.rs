//! MEMCloud, composed: the configuration, the actor tree, REST and the command line. A program that
//! embeds only the actors uses their crates; one that embeds the whole cloud starts a [`cloud::Cloud`].

pub mod api;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod demo;
pub mod demo_view;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod simulate;
