//! MEMCloud, composed: the configuration, the actor tree, REST and the command line. A program that
//! embeds only the actors uses their crates; one that embeds the whole cloud starts a [`cloud::Cloud`].

pub mod api;
pub mod config;
pub mod demo_view;
