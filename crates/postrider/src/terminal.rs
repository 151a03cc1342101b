//! How things look on a terminal. Colours go away by themselves where the output is none, or NO_COLOR is set.

use std::fmt::Display;

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

/// One line to standard output. A reader that went away (a closed pipe) is no reason to fail.
pub(crate) fn say(line: impl Display) {
    use std::io::Write as _;
    drop(writeln!(anstream::stdout(), "{line}"));
}

/// An error as one line to standard error, its causes behind it.
pub(crate) fn print_error(error: &anyhow::Error) {
    use std::io::Write as _;
    drop(writeln!(anstream::stderr(), "{} {error:#}", paint(BAD.bold(), "error:")));
}
