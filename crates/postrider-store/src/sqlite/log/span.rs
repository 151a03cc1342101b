//! From times to sequence numbers: `since` and `until` narrow a list before its rows are read.

use std::time::Duration;

use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

/// How far the order of times may differ from the order of numbers: requests overtake each other, clocks are
/// set back. A row that lies further off its place may be missing from a list limited by time.
const SLACK: Duration = Duration::from_secs(600);

/// Which table is searched.
#[derive(Debug, Clone, Copy)]
pub(in crate::sqlite) enum Table {
    Events,
    Deliveries,
}

/// Sequence numbers strictly between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) struct Span {
    pub(in crate::sqlite) above: i64,
    pub(in crate::sqlite) below: i64,
}

impl Span {
    /// Where rows of `since..until` and before the position `before` lie. Rows outside the times are still
    /// within it, for the slack; the reader looks at each.
    pub(in crate::sqlite) fn find(
        connection: &Connection,
        table: Table,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        before: Option<i64>,
    ) -> rusqlite::Result<Self> {
        let mut span = Self { above: i64::MIN, below: before.unwrap_or(i64::MAX) };
        if let Some(until) = until {
            span.below = span.below.min(first_from(connection, table, until.plus(SLACK))?);
        }
        if let Some(since) = since {
            let slack_ms = i64::try_from(SLACK.as_millis()).unwrap_or(i64::MAX);
            let from = Timestamp::from_ms(since.as_ms().saturating_sub(slack_ms));
            span.above = first_from(connection, table, from)?.saturating_sub(1);
        }
        Ok(span)
    }
}

/// The first number whose row was made at or after `at`, by halving; behind the last one where none was.
fn first_from(connection: &Connection, table: Table, at: Timestamp) -> rusqlite::Result<i64> {
    let (ends, probe) = match table {
        Table::Events => (
            "SELECT coalesce((SELECT min(seq) FROM events), 1), coalesce((SELECT max(seq) FROM events), 0)",
            "SELECT seq, created_at FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1",
        ),
        Table::Deliveries => (
            "SELECT coalesce((SELECT min(seq) FROM deliveries), 1), coalesce((SELECT max(seq) FROM deliveries), 0)",
            "SELECT seq, created_at FROM deliveries WHERE seq >= ?1 ORDER BY seq LIMIT 1",
        ),
    };
    let (mut low, last): (i64, i64) = connection.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut high = last.saturating_add(1);
    let mut probe = connection.prepare_cached(probe)?;
    // Everything below `low` was made before `at`, everything from `high` on at or after it.
    while low < high {
        let middle = low + (high - low) / 2;
        let row: Option<(i64, i64)> =
            probe.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match row {
            Some((seq, created_at)) if created_at < at.as_ms() => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
