//! The `postrider` command. Everything it does is in the modules; this file only starts them.

mod cli;
mod client;
mod collector;
mod config;
mod demo;
mod doctor;
mod files;
mod guide;
mod listen;
mod logging;
mod master_key;
mod migrate;
mod nodes;
mod payload_file;
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
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            terminal::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
