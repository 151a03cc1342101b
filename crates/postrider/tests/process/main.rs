//! The built binary as a process: start, stop, kill, and everything a person meets on the command line.

mod commands;
mod crash;
mod receiver;
mod service;
mod start;
