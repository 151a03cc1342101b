//! Measures the service on this machine and sets each figure beside the machine's own limit: the receiver, the load,
//! the bare limit and the report. A tool for people; no test asserts its times.
//!
//! It is the `postrider-bench` command, and in its short form `postrider bench`.

mod bare;
mod children;
mod cli;
mod clock;
mod conditions;
mod disk;
mod hostile;
mod latency;
mod load;
mod place;
mod post;
mod process;
mod progress;
mod receiver;
mod records;
mod report;
mod round;
mod service;
mod short;
mod statistics;
mod table;
mod trials;

pub use cli::{Cli, run};
pub use short::{ShortArgs, run_short};
