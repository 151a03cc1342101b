//! The end-to-end run: the built `postrider serve` against receivers that we did not write.
//!
//! Each case below is a story with an account, endpoints and receivers of its own. Asserts only what a customer
//! or the platform could see: REST answers, and what the receivers wrote down. Traffic stays on the loopback.

mod cases;
mod certificates;
mod events;
mod php;
mod process;
mod records;
mod rest;
mod rotation;
mod schemathesis;
mod service;
mod webhook;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, tools};
use service::Service;

/// A case by its name.
type Case = (&'static str, fn(&Service) -> Result<()>);

/// Every case, in the order of running.
const CASES: [Case; 8] = [
    ("the_php_sample_takes_the_four_examples_byte_for_byte", cases::php_takes_the_examples),
    ("the_php_sample_takes_awkward_json_byte_for_byte", cases::php_takes_awkward_json),
    ("debians_webhook_takes_every_event_byte_for_byte", cases::webhook_takes_every_event),
    (
        "debians_webhook_takes_events_over_https_with_a_private_authority",
        cases::webhook_takes_events_over_https,
    ),
    ("debians_webhook_refuses_a_wrong_secret", cases::webhook_refuses_a_wrong_secret),
    ("live_and_test_events_keep_to_their_own_endpoints", cases::modes_are_kept_apart),
    ("an_endpoint_gets_only_the_types_it_asked_for", cases::types_are_filtered),
    (
        "the_php_sample_moves_to_a_rotated_secret_under_load_and_refuses_nothing",
        rotation::a_rotation_under_load_refuses_nothing,
    ),
];

/// The run as a step of the suite, with the binary that the tests built.
pub(crate) fn run() -> Result<()> {
    run_with(&cargo::binary_of_the_tests()?)
}

/// The run by itself: what it needs is installed and built first.
pub(crate) fn run_alone() -> Result<()> {
    tools::receivers()?;
    run_with(&cargo::binary()?)
}

/// The running service against its own description, as a step of the suite.
pub(crate) fn schemathesis() -> Result<()> {
    schemathesis::run(&cargo::binary_of_the_tests()?)
}

/// The same by itself.
pub(crate) fn schemathesis_alone() -> Result<()> {
    schemathesis::run(&cargo::binary()?)
}

fn run_with(binary: &Path) -> Result<()> {
    println!("the binary: {}", binary.display());
    let started = Instant::now();
    let folder = tempfile::tempdir().context("no folder for the run")?;
    let service = Service::start(binary, folder.path())?;
    println!("\nrunning {} tests", CASES.len() + 1);
    let mut failed = 0_usize;
    for (name, case) in CASES {
        failed += usize::from(!shown(name, case(&service)));
    }
    failed += usize::from(!shown("the_service_leaves_when_told_to", service.leave()));
    let passed = CASES.len() + 1 - failed;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let took = started.elapsed().as_secs_f64();
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; finished in {took:.2}s");
    if failed > 0 {
        show_logs(folder.path())?;
        bail!("{failed} end-to-end tests failed");
    }
    Ok(())
}

/// Prints a case's line, as the test harness would, and says whether it passed.
fn shown(name: &str, result: Result<()>) -> bool {
    match result {
        Ok(()) => println!("test e2e::{name} ... ok"),
        Err(error) => {
            println!("test e2e::{name} ... FAILED\n    {error:#}");
            return false;
        }
    }
    true
}

/// Prints what every process of the run wrote.
fn show_logs(folder: &Path) -> Result<()> {
    let mut logs: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "log") {
            logs.push(path);
        }
    }
    logs.sort();
    for log in logs {
        println!("\n---- the end of {} ----\n{}", log.display(), process::end_of_log(&log));
    }
    Ok(())
}
