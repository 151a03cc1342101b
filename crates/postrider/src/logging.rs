//! Log lines to standard error, as text or JSON. Writing them never holds up a delivery: when the reader can't
//! keep up, lines are dropped instead.

mod lines;

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use self::lines::LinesGuard;
use crate::config::LogFormat;

/// Begins to log. What waits to be written is written when the guard is dropped.
pub(crate) fn start(format: LogFormat, filter: Targets) -> anyhow::Result<LinesGuard> {
    let tell_dropped = |lines| {
        tracing::warn!(lines, "log lines were dropped: whoever reads standard error can't keep up");
    };
    let (writer, guard) =
        lines::start(std::io::stderr(), tell_dropped).context("the log's thread could not be started")?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // A second start in one process (a test) keeps the first one's lines.
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init()
        }
    };
    drop(started);
    Ok(guard)
}
