//! `cargo xtask release-check`: what a release must pass and what is too heavy for every run of CI.
//!
//! Advisories are checked here and not in CI: their database changes from day to day without a change of ours, and is a
//! download. The reproducible build takes two release builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cargo::{output, root, run, target_directory};
use crate::steps::{self, Step};
use crate::tools;

/// What stands in the binary for the folder of the sources, wherever they are built.
const SOURCES: &str = "/postrider";
/// What stands in the binary for cargo's own folder.
const CARGO_HOME: &str = "/cargo";

/// Runs all of it.
pub(crate) fn check() -> Result<()> {
    steps::run(&[
        Step {
            name: "reproducible",
            about: "two builds in two folders give the same bytes, and name neither folder",
            work: reproducible,
        },
        Step {
            name: "advisories",
            about: "no dependency has a known vulnerability, and none is unmaintained or yanked",
            work: tools::advisories,
        },
    ])
}

/// Builds the committed sources twice, in folders of different length, and compares.
fn reproducible() -> Result<()> {
    let folder = target_directory()?.join("release-check");
    let first = build(&folder.join("a"))?;
    let second = build(&folder.join("another-folder"))?;
    let (first_bytes, second_bytes) = (std::fs::read(&first)?, std::fs::read(&second)?);
    if let Some(at) = first_difference(&first_bytes, &second_bytes) {
        bail!("{} and {} differ from byte {at} on", first.display(), second.display());
    }
    for path in [root(), folder.clone(), cargo_home()?] {
        let text = path.to_str().context("a folder's name is not UTF-8")?;
        if contains(&first_bytes, text.as_bytes()) {
            bail!("{} names the builder's folder {text}", first.display());
        }
    }
    println!("{} bytes, the same in both", first_bytes.len());
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// Builds the release binary of the last commit in a clone of its own.
fn build(clone: &Path) -> Result<PathBuf> {
    if clone.exists() {
        std::fs::remove_dir_all(clone)?;
    }
    run(Command::new("git").args(["clone", "--quiet", "--no-hardlinks"]).arg(root()).arg(clone))?;
    let mut build = crate::cargo::cargo([
        "build",
        "--release",
        "--locked",
        "--package",
        "postrider",
        "--bin",
        "postrider",
    ]);
    let (sources, home) = (clone.display(), cargo_home()?);
    let home = home.display();
    build.current_dir(clone).env("CARGO_TARGET_DIR", clone.join("target"));
    build.env(
        "RUSTFLAGS",
        format!("--remap-path-prefix={sources}={SOURCES} --remap-path-prefix={home}={CARGO_HOME}"),
    );
    build.env(
        "CFLAGS",
        format!("-ffile-prefix-map={sources}={SOURCES} -ffile-prefix-map={home}={CARGO_HOME}"),
    );
    let of_commit = output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(clone))?;
    build.env("SOURCE_DATE_EPOCH", of_commit.trim());
    run(&mut build)?;
    Ok(clone.join("target/release/postrider"))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(Path::new(&std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"))
}

/// Where two files begin to differ.
fn first_difference(first: &[u8], second: &[u8]) -> Option<usize> {
    let at = first.iter().zip(second).position(|(one, other)| one != other);
    at.or_else(|| (first.len() != second.len()).then(|| first.len().min(second.len())))
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        assert_eq!(first_difference(b"same", b"same"), None);
        assert_eq!(first_difference(b"same", b"sane"), Some(2));
        assert_eq!(first_difference(b"same", b"same and more"), Some(4));
        assert_eq!(first_difference(b"", b""), None);
        assert!(contains(b"in /home/me/x it is", b"/home/me") && !contains(b"short", b"longer than it"));
    }
}
