//! Steps in order: each announced, timed, and the first failure ends the run with a summary.
//!
//! Knows nothing of what the steps do.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// One step: its name, what it is for, and what it does.
pub(crate) struct Step {
    /// One word, as the summary shows it.
    pub(crate) name: &'static str,
    /// What it proves, in a few words.
    pub(crate) about: &'static str,
    /// The work.
    pub(crate) work: fn() -> Result<()>,
}

/// Runs the steps until one fails; the error is a summary that names it.
pub(crate) fn run(steps: &[Step]) -> Result<()> {
    let started = Instant::now();
    let mut passed: Vec<String> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n==> {}/{} {}: {}", index + 1, steps.len(), step.name, step.about);
        let begun = Instant::now();
        let done = (step.work)();
        let took = seconds(begun.elapsed());
        if let Err(error) = done {
            println!("<== {} FAILED after {took}", step.name);
            return Err(summary(&passed, step.name, &error));
        }
        println!("<== {} ok in {took}", step.name);
        passed.push(format!("{} ({took})", step.name));
    }
    println!("\nAll {} steps passed in {}: {}", steps.len(), seconds(started.elapsed()), passed.join(", "));
    Ok(())
}

fn summary(passed: &[String], failed: &str, error: &anyhow::Error) -> anyhow::Error {
    let before = if passed.is_empty() { "nothing before it".to_owned() } else { passed.join(", ") };
    anyhow!("step `{failed}` failed: {error:#}\npassed: {before}")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run_and_is_named_with_what_passed() {
        let step = |name, work| Step { name, about: "", work };
        let error = run(&[
            step("first", || Ok(())),
            step("second", || Err(anyhow!("it broke"))),
            step("third", || panic!("it runs although the second failed")),
        ])
        .unwrap_err()
        .to_string();
        assert!(error.starts_with("step `second` failed: it broke\npassed: first ("), "{error}");
        assert!(!error.contains("third"), "{error}");
    }
}
