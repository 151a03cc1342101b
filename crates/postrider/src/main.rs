//! The `postrider` command. Everything it does is in the modules; this file only starts them.

mod cli;
mod client;
mod collector;
mod config;
mod demo;
mod doctor;
mod guide;
mod key_files;
mod listen;
mod logging;
mod master_key;
mod migrate;
mod nodes;
mod operator_key;
mod payload_file;
mod process_limits;
mod receive;
mod receiver;
mod resources;
mod running;
mod serve;
mod signing;
mod store_url;
mod terminal;
mod trigger;
mod trust;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    process_limits::forbid_core_dumps();
    let code = cli::run(cli::Cli::parse()).unwrap_or_else(|error| {
        terminal::print_error(&error);
        ExitCode::FAILURE
    });
    match terminal::output_error() {
        None => code,
        Some(error) => {
            terminal::print_error(&anyhow::anyhow!("standard output can't be written: {error}"));
            ExitCode::FAILURE
        }
    }
}
