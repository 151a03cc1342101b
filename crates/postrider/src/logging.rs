//! Log lines to standard error, as text or JSON. Writing them never holds up a delivery: when the reader can't
//! keep up, lines are dropped instead.

use std::io::{BufWriter, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::LogFormat;

/// Lines that may wait to be written.
const WAITING_LINES: usize = 16_384;

/// Lines are written together while more of them wait, up to this many bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Begins to log. What waits to be written is written when the guard is dropped.
pub(crate) fn start(format: LogFormat, level: LevelFilter) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .finish(BufWriter::with_capacity(BUFFER_BYTES, std::io::stderr()));
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_span_events(FmtSpan::NONE)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // A second start in one process (a test) keeps the first one's lines.
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    drop(started);
    guard
}
