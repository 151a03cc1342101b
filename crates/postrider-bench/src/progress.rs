//! What people see: the result on standard output, and while they wait, one line that is replaced on a terminal, or
//! a line for each step where a file or a pipe is listening.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;

/// Says on standard error what is being measured.
pub(crate) fn say(step: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(match stderr.is_terminal() {
        true => write!(stderr, "\r\x1b[K{step}").and_then(|()| stderr.flush()),
        false => writeln!(stderr, "{step}"),
    });
}

/// Takes the line away.
pub(crate) fn clear() {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        drop(write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush()));
    }
}

/// One line, or several, to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("could not write to standard output")
}
