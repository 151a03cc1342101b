//! What replays read of the log: their range by numbers, and what of it is chosen. Only a bounded number of rows per
//! call, through the endpoint's list and, behind it, the short end of the log that is not listed yet (`late_lists.rs`).

use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_core::replay::{Candidate, Choice, Selection};
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::late_lists::Listed;
use super::log::span::{Span, Table};
use super::pending::to_limit;
use super::rows;
use crate::columns;
use crate::model::{ReplayPart, ReplayRange};

/// How many of the endpoint's deliveries one look takes at most. Some milliseconds of one reader.
const MAX_LOOKED_AT: usize = 1_000;

/// The numbers between which all of the selection lie, up to the newest one there is.
pub(super) fn range(
    connection: &Connection,
    endpoint: EndpointNo,
    selection: &Selection,
) -> rusqlite::Result<ReplayRange> {
    let newest: i64 =
        connection.query_row("SELECT coalesce(max(seq), 0) FROM deliveries", [], |row| row.get(0))?;
    let before = Some(newest.saturating_add(1));
    let span = Span::find(connection, Table::Deliveries, selection.since, selection.until, before)?;
    Ok(ReplayRange {
        endpoint_no: endpoint,
        above: DeliverySeq(span.above.max(0)),
        through: DeliverySeq(span.below.saturating_sub(1)),
    })
}

/// The endpoint's deliveries of a range, the oldest first.
pub(super) const LISTED_FROM: &str = "SELECT seq FROM deliveries_listed
    WHERE endpoint_no = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4";
/// The same of what is not listed yet: a walk over a short end of the log.
pub(super) const UNLISTED_FROM: &str = "SELECT seq FROM deliveries
    WHERE seq > ?2 AND seq <= ?3 AND endpoint_no = ?1 ORDER BY seq LIMIT ?4";

pub(super) const CANDIDATE: &str = "SELECT d.status, d.created_at, d.event_seq, ev.type
    FROM deliveries d LEFT JOIN events ev ON ev.seq = d.event_seq WHERE d.seq = ?1";
/// Newer deliveries of the same event. Only resends and replays make any, so that most events have none here.
pub(super) const NEWER: &str = "SELECT endpoint_no, created_at FROM deliveries INDEXED BY deliveries_resent
    WHERE resend_of IS NOT NULL AND event_seq = ?1 AND seq > ?2 AND seq <= ?3";

/// Looks at a part of the range and chooses.
pub(super) fn look_through(
    connection: &Connection,
    range: ReplayRange,
    selection: &Selection,
    limit: usize,
) -> rusqlite::Result<ReplayPart> {
    let mut part = ReplayPart::default();
    let seqs = oldest(connection, range)?;
    let mut look = Look {
        range,
        selection,
        find: connection.prepare_cached(CANDIDATE)?,
        newer: connection.prepare_cached(NEWER)?,
    };
    for (index, seq) in seqs.iter().enumerate() {
        match look.choose(*seq)? {
            Choice::Resend => part.chosen.push(DeliverySeq(*seq)),
            Choice::Skip => part.skipped += 1,
            Choice::Pass => {}
        }
        let is_last = index + 1 == seqs.len();
        if part.chosen.len() >= limit && !is_last {
            part.reached = Some(DeliverySeq(*seq));
            return Ok(part);
        }
    }
    // A full look may not have been the last one.
    part.reached = seqs.last().filter(|_| seqs.len() == MAX_LOOKED_AT).copied().map(DeliverySeq);
    Ok(part)
}

/// The lowest numbers of the range, [`MAX_LOOKED_AT`] at most.
fn oldest(connection: &Connection, range: ReplayRange) -> rusqlite::Result<Vec<i64>> {
    let ReplayRange { endpoint_no, above: DeliverySeq(above), through: DeliverySeq(through) } = range;
    let listed = Listed::load(connection)?.deliveries;
    let mut seqs = Vec::new();
    for (select, above, through) in
        [(LISTED_FROM, above, through.min(listed)), (UNLISTED_FROM, above.max(listed), through)]
    {
        let left = to_limit(MAX_LOOKED_AT - seqs.len());
        let mut select = connection.prepare_cached(select)?;
        for seq in select.query_map(params![endpoint_no.0, above, through, left], |row| row.get(0))? {
            seqs.push(seq?);
        }
    }
    Ok(seqs)
}

/// What is needed to choose.
struct Look<'a, 'c> {
    range: ReplayRange,
    selection: &'a Selection,
    find: rusqlite::CachedStatement<'c>,
    newer: rusqlite::CachedStatement<'c>,
}

impl Look<'_, '_> {
    fn choose(&mut self, seq: i64) -> rusqlite::Result<Choice> {
        let read = |row: &Row<'_>| -> rusqlite::Result<_> {
            let (created_at, event_seq) = (rows::time(row, 1)?, row.get::<_, i64>(2)?);
            Ok((columns::status(row.get(0)?)?, created_at, event_seq, row.get::<_, Option<String>>(3)?))
        };
        let Some((status, created_at, event_seq, event_type)) =
            self.find.query_row([seq], read).optional()?
        else {
            return Ok(Choice::Pass);
        };
        let candidate =
            Candidate { status, event_type: event_type.as_deref(), created_at, superseded: false };
        // Only what would be taken otherwise is worth the second query.
        match self.selection.choose(candidate) {
            Choice::Pass => Ok(Choice::Pass),
            Choice::Resend | Choice::Skip => {
                let superseded = is_superseded(&mut self.newer, self.range, self.selection, event_seq, seq)?;
                Ok(self.selection.choose(Candidate { superseded, ..candidate }))
            }
        }
    }
}

/// Whether the range has a newer delivery of the event to the same endpoint.
fn is_superseded(
    newer: &mut Statement<'_>,
    range: ReplayRange,
    selection: &Selection,
    event_seq: i64,
    seq: i64,
) -> rusqlite::Result<bool> {
    let mut rows = newer.query(params![event_seq, seq, range.through.0])?;
    while let Some(row) = rows.next()? {
        let created_at = Timestamp::from_ms(row.get(1)?);
        if row.get::<_, i64>(0)? == range.endpoint_no.0 && selection.covers(created_at) {
            return Ok(true);
        }
    }
    Ok(false)
}
