//! What replays read of the log: their range by numbers, and what of it is chosen. Only a bounded number of rows per
//! call.

use std::collections::HashMap;

use deadpool_postgres::Object;
use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_core::replay::{Candidate, Choice, Selection};
use postrider_core::time::Timestamp;

use super::rows::{Failed, time};
use super::span::{Span, Table};
use crate::columns;
use crate::model::{ReplayPart, ReplayRange};

/// How many of the endpoint's deliveries one look takes at most.
const MAX_LOOKED_AT: i64 = 1_000;

/// The numbers between which all of the selection lie, up to the newest one there is.
pub(super) async fn range(
    client: &mut Object,
    endpoint: EndpointNo,
    selection: Selection,
) -> Result<ReplayRange, Failed> {
    let newest = "SELECT coalesce((SELECT seq FROM deliveries ORDER BY seq DESC LIMIT 1), 0)";
    let newest: i64 = client.query_one(newest, &[]).await?.get(0);
    let before = Some(newest.saturating_add(1));
    let span = Span::find(client, Table::Deliveries, selection.since, selection.until, before).await?;
    Ok(ReplayRange {
        endpoint_no: endpoint,
        above: DeliverySeq(span.above.max(0)),
        through: DeliverySeq(span.below.saturating_sub(1)),
    })
}

const CANDIDATES: &str = "SELECT s.seq, d.status, d.created_at, d.event_seq, ev.type FROM (
        SELECT seq FROM deliveries WHERE endpoint_no = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4
    ) s JOIN deliveries d ON d.seq = s.seq LEFT JOIN events ev ON ev.seq = d.event_seq ORDER BY s.seq";

/// Newer deliveries of the same events. Only resends and replays make any, so that most events have none here.
const NEWER: &str = "SELECT e.event_seq, d.seq, d.created_at
    FROM (SELECT DISTINCT event_seq FROM unnest($1::bigint[]) u(event_seq)) e
    JOIN deliveries d ON d.event_seq = e.event_seq AND d.resend_of IS NOT NULL
    WHERE d.endpoint_no = $2 AND d.seq <= $3";

/// Looks at a part of the range and chooses.
pub(super) async fn look_through(
    client: &mut Object,
    range: ReplayRange,
    selection: Selection,
    limit: usize,
) -> Result<ReplayPart, Failed> {
    let (no, through) = (range.endpoint_no.0, range.through.0);
    let select = client.prepare_cached(CANDIDATES).await?;
    let rows = client.query(&select, &[&no, &range.above.0, &through, &MAX_LOOKED_AT]).await?;
    let events: Vec<i64> = rows.iter().map(|row| row.get(3)).collect();
    let select = client.prepare_cached(NEWER).await?;
    let resent = client.query(&select, &[&events, &no, &through]).await?;
    // Of each event the newest number in the range and its times: older ones are superseded by it.
    let mut newest = HashMap::<i64, i64>::new();
    for row in resent.iter().filter(|row| selection.covers(Timestamp::from_ms(row.get(2)))) {
        let seq: i64 = row.get(1);
        let known = newest.entry(row.get(0)).or_insert(seq);
        *known = seq.max(*known);
    }
    let mut part = ReplayPart::default();
    for (index, row) in rows.iter().enumerate() {
        let (seq, event_seq): (i64, i64) = (row.get(0), row.get(3));
        let choice = selection.choose(Candidate {
            status: columns::status(row.get(1))?,
            event_type: row.get(4),
            created_at: time(row, 2),
            superseded: newest.get(&event_seq).is_some_and(|newest| *newest > seq),
        });
        match choice {
            Choice::Resend => part.chosen.push(DeliverySeq(seq)),
            Choice::Skip => part.skipped += 1,
            Choice::Pass => {}
        }
        if part.chosen.len() >= limit && index + 1 < rows.len() {
            part.reached = Some(DeliverySeq(seq));
            return Ok(part);
        }
    }
    // A full look may not have been the last one.
    let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) == MAX_LOOKED_AT;
    part.reached = rows.last().filter(|_| is_full).map(|row| DeliverySeq(row.get(0)));
    Ok(part)
}
