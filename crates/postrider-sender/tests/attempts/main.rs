//! Attempts over real loopback sockets against scripted receivers.
//!
//! A receiver here says exactly the bytes it is told to, and hangs, drips, resets or leaves on cue. Where an
//! attempt must run out of time it gets a short deadline of its own; no test waits for anything else.

mod addresses;
mod answers;
mod any_bytes;
mod bodies;
mod connections;
mod guard;
mod headers;
mod log;
mod name_server;
mod names;
mod proxies;
mod receiver;
mod reuse;
mod setup;
mod tls;
mod wire;
