//! `cargo xtask test`: all that must hold before a change goes in, cheapest first.

use anyhow::Result;

use crate::cargo::{cargo, run as run_command};
use crate::steps::{Step, run as run_steps};
use crate::{e2e, openapi, tidy, tools};

/// Runs the whole suite.
pub(crate) fn run() -> Result<()> {
    run_steps(&[
        Step { name: "tools", about: "what the later steps need", work: tools::prepare },
        Step {
            name: "fmt",
            about: "one layout",
            work: || run_command(&mut cargo(["fmt", "--all", "--check"])),
        },
        Step { name: "clippy", about: "no warning in any target", work: clippy },
        Step { name: "docs", about: "every public item explained, every link sound", work: docs },
        Step { name: "tidy", about: "the house rules", work: tidy::run },
        Step { name: "deny", about: "licences, bans and sources of the dependencies", work: tools::deny },
        Step { name: "tests", about: "all tests", work: || run_command(&mut cargo(["test", "--workspace"])) },
        Step { name: "e2e", about: "the built binary against receivers we did not write", work: e2e::run },
        Step {
            name: "openapi",
            about: "the committed description is the service's",
            work: openapi::check_in_suite,
        },
        Step {
            name: "schemathesis",
            about: "the built binary against its own description",
            work: e2e::schemathesis,
        },
    ])
}

fn clippy() -> Result<()> {
    run_command(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn docs() -> Result<()> {
    run_command(cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}
