//! From times to sequence numbers: `since` and `until` narrow a list before its rows are read.

use std::time::Duration;

use deadpool_postgres::Object;
use postrider_core::time::Timestamp;

use super::rows::Failed;

/// How far the order of times may differ from the order of numbers: requests overtake each other, clocks are
/// set back. A row that lies further off its place may be missing from a list limited by time.
const SLACK: Duration = Duration::from_secs(600);

/// Which table is searched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Table {
    Events,
    Deliveries,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
        }
    }
}

/// Sequence numbers strictly between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) above: i64,
    pub(super) below: i64,
}

impl Span {
    /// Where rows of `since..until` and before the position `before` lie. Rows outside the times are still
    /// within it, for the slack; the reader looks at each.
    pub(super) async fn find(
        client: &Object,
        table: Table,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        before: Option<i64>,
    ) -> Result<Self, Failed> {
        let mut span = Self { above: i64::MIN, below: before.unwrap_or(i64::MAX) };
        if let Some(until) = until {
            span.below = span.below.min(first_from(client, table, until.plus(SLACK)).await?);
        }
        if let Some(since) = since {
            span.above = first_from(client, table, since.minus(SLACK)).await?.saturating_sub(1);
        }
        Ok(span)
    }
}

/// The first number whose row was made at or after `at`, by halving; behind the last one where none was.
async fn first_from(client: &Object, table: Table, at: Timestamp) -> Result<i64, Failed> {
    let name = table.name();
    let ends = format!(
        "SELECT coalesce((SELECT seq FROM {name} ORDER BY seq LIMIT 1), 1),
            coalesce((SELECT seq FROM {name} ORDER BY seq DESC LIMIT 1), 0)"
    );
    let ends = client.query_one(&client.prepare_cached(&ends).await?, &[]).await?;
    let probe = format!("SELECT seq, created_at FROM {name} WHERE seq >= $1 ORDER BY seq LIMIT 1");
    let probe = client.prepare_cached(&probe).await?;
    let mut low: i64 = ends.get(0);
    let mut high: i64 = ends.get::<_, i64>(1).saturating_add(1);
    // Everything below `low` was made before `at`, everything from `high` on at or after it.
    while low < high {
        let middle = low + (high - low) / 2;
        let row = client.query_opt(&probe, &[&middle]).await?;
        match row.map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))) {
            Some((seq, created_at)) if created_at < at.as_ms() => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
