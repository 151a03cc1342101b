//! The `postrider-bench` command: measures the service on this machine and prints each figure beside the
//! machine's own limit. A tool for people: nothing in the product uses it, and no test asserts its times.

mod bare;
mod children;
mod cli;
mod clock;
mod conditions;
mod disk;
mod latency;
mod load;
mod post;
mod process;
mod progress;
mod receiver;
mod records;
mod report;
mod round;
mod service;
mod statistics;
mod table;
mod trials;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
