//! The whole cloud, as its users meet it: a real process, real sockets, real files.

mod support;
