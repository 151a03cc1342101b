//! How things look on a terminal. Colours go away by themselves where the output is none, or NO_COLOR is set.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Color, Style};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = colour(AnsiColor::Green);
pub(crate) const BAD: Style = colour(AnsiColor::Red);
pub(crate) const WAIT: Style = colour(AnsiColor::Yellow);
pub(crate) const NAME: Style = colour(AnsiColor::Cyan);

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// `text` in a style.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The first error of writing to standard output, for [`output_error`].
static OUTPUT_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Writes one line to standard output. [`output_error`] has the error if it can't be written.
pub(crate) fn say(line: impl Display) {
    note_error(writeln!(anstream::stdout(), "{line}"));
}

/// Writes bytes as they are to standard output. [`output_error`] has the error if they can't be written.
pub(crate) fn write_bytes(bytes: &[u8]) {
    note_error(io::stdout().write_all(bytes));
}

/// Returns why something could not be written to standard output. A reader that went away (a closed pipe) has seen what it
/// wanted, and is no error.
pub(crate) fn output_error() -> Option<&'static io::Error> {
    note_error(io::stdout().flush());
    OUTPUT_ERROR.get()
}

fn note_error(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // Only the first one counts.
        drop(OUTPUT_ERROR.set(error));
    }
}

/// An error as one line to standard error, its causes behind it.
pub(crate) fn print_error(error: &anyhow::Error) {
    drop(writeln!(anstream::stderr(), "{} {error:#}", paint(BAD.bold(), "error:")));
}
