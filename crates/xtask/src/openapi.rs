//! The committed description of the REST surface, `docs/openapi.json`: written by `cargo xtask openapi`, and compared with
//! what the built binary says by `cargo xtask openapi --check`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cargo::{self, output, root};

/// Writes the description anew.
pub(crate) fn write() -> Result<()> {
    let path = place();
    std::fs::write(&path, described(&cargo::binary()?)?)
        .with_context(|| format!("{} can't be written", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Compares it with what a fresh build says.
pub(crate) fn check() -> Result<()> {
    compare(&cargo::binary()?)
}

/// The same as a step of the suite, with the binary that the tests built.
pub(crate) fn check_in_suite() -> Result<()> {
    compare(&cargo::binary_of_the_tests()?)
}

fn place() -> PathBuf {
    root().join("docs/openapi.json")
}

fn described(binary: &Path) -> Result<String> {
    output(Command::new(binary).arg("openapi"))
}

fn compare(binary: &Path) -> Result<()> {
    let committed = std::fs::read_to_string(place()).unwrap_or_default();
    match first_difference(&committed, &described(binary)?) {
        None => {
            println!("openapi: docs/openapi.json says what the service says");
            Ok(())
        }
        Some((line, was, is)) => bail!(
            "docs/openapi.json is not what the service says, first in line {line}:\n  there: {was}\n  now:   {is}\n\
             write it anew with `cargo xtask openapi`"
        ),
    }
}

/// The first line that differs, counted from one, as it was and as it is.
fn first_difference<'a>(was: &'a str, is: &'a str) -> Option<(usize, &'a str, &'a str)> {
    if was == is {
        return None;
    }
    let (mut before, mut now) = (was.lines(), is.lines());
    let mut line = 1;
    loop {
        match (before.next(), now.next()) {
            (Some(was), Some(is)) if was == is => line += 1,
            (was, is) => return Some((line, was.unwrap_or("(the end)"), is.unwrap_or("(the end)"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn a_drift_is_found_in_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, "(the end)", "b")));
        assert_eq!(first_difference("", "a\n"), Some((1, "(the end)", "a")));
    }
}
