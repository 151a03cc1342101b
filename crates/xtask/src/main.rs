//! The project's own commands: `cargo xtask test`, `tidy`, `e2e`, `openapi`, `schemathesis` and `release-check`.
//!
//! A tool for developers and CI: nothing of the product lives here, and no other crate depends on it. It may
//! use an HTTP client of its own (the walls of `tidy` allow it here), because it plays the platform that hands
//! events in.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its terminal")]

mod cargo;
mod e2e;
mod openapi;
mod release;
mod steps;
mod suite;
mod tidy;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
The project's own commands

Usage: cargo xtask <COMMAND>

Commands:
  test   everything CI runs: fmt, clippy, docs, tidy, deny, all tests, then the end-to-end run
  tidy   the house rules alone: lengths, headers, names, crate walls, links of the documents
  e2e    the end-to-end run alone: the built binary against PHP's server and Debian's webhook
  openapi [--check]   write docs/openapi.json anew, or say whether it is what the service says
  schemathesis        the running service against its own description, by schemathesis
  release-check       what a release must pass beside `test`: advisories, and that the build is reproducible

`test` and `e2e` need php-cli and webhook, `test` also postgresql and pgbouncer; on Debian they are installed when missing (as root
or by sudo).
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match command.as_slice() {
        ["test"] => suite::run(),
        ["tidy"] => tidy::run(),
        ["e2e"] => e2e::run_alone(),
        ["openapi"] => openapi::write(),
        ["openapi", "--check"] => openapi::check(),
        ["release-check"] => release::check(),
        ["schemathesis"] => e2e::schemathesis_alone(),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
