//! What people see: the result on standard output, and while they wait, one line that is replaced on a terminal.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;

/// Says on standard error what is being measured, if someone is looking.
pub(crate) fn say(step: &str) {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        drop(write!(stderr, "\r\x1b[K{step}").and_then(|()| stderr.flush()));
    }
}

/// Takes the line away.
pub(crate) fn clear() {
    say("");
}

/// One line, or several, to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("could not write to standard output")
}
