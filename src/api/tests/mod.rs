//! The API against a real registry, with stand-ins for the historian and the status monitor, in
//! simulated time and without a socket.

mod access;
mod commands;
mod data;
mod external_jobs;
mod live;
mod resources;
mod stand_ins;
mod world;
