//! Retention: what is older than the log is kept goes, in slices. Nothing that is pending is deleted; what was held
//! for a paused or disabled endpoint for so long is cancelled first. Replays that ended so long ago go as well.

use std::collections::HashSet;

use postrider_core::delivery::CancelReason;
use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::deliveries::{PENDING_LISTED_OF, PENDING_OF, cancel_oldest};
use super::{Context, NotMade};
use crate::model::Pruned;
use crate::sqlite::pending::UNLISTED_READY;
use crate::sqlite::ready_list;

/// Prunes one slice: looks at `limit` events behind the number `after` and at `limit` held deliveries per endpoint.
pub(in crate::sqlite) fn prune(
    context: &mut Context<'_>,
    before: Timestamp,
    after: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Pruned, NotMade> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let cancelled = cancel_held(context.connection, before, now, limit)?;
    let (deleted_events, next) = delete_old(context.connection, before, after, limit)?;
    let deleted_replays = delete_replays(context.connection, before, limit)?;
    Ok(Pruned { cancelled, deleted_events, dropped_pages: 0, deleted_replays, next })
}

/// Cancels what endpoints that do not send hold since before the retention, `limit` over all, and counts it for each.
fn cancel_held(
    connection: &Connection,
    before: Timestamp,
    now: Timestamp,
    limit: i64,
) -> rusqlite::Result<Vec<(EndpointNo, u64)>> {
    let mut holding = connection
        .prepare_cached("SELECT no FROM endpoints WHERE state != 'enabled' AND deleted_at IS NULL")?;
    let holding = holding.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    // Who has something ready behind the list is found in one walk, not in one for each.
    let mut unlisted = connection.prepare_cached(UNLISTED_READY)?;
    let unlisted = unlisted.query_map([ready_list::listed(connection)?], |row| row.get(0))?;
    let unlisted = unlisted.collect::<rusqlite::Result<HashSet<i64>>>()?;
    let mut cancelled = Vec::new();
    let mut left = limit;
    for endpoint_no in holding {
        if left <= 0 {
            break;
        }
        let pending = if unlisted.contains(&endpoint_no) { PENDING_OF } else { PENDING_LISTED_OF };
        let reason = CancelReason::HeldTooLong;
        let count = cancel_oldest(connection, pending, endpoint_no, Some(before), reason, now, left)?;
        left -= i64::try_from(count).unwrap_or(i64::MAX);
        if count > 0 {
            cancelled.push((EndpointNo(endpoint_no), u64::try_from(count).unwrap_or(u64::MAX)));
        }
    }
    Ok(cancelled)
}

/// Replays that ended before the retention, the oldest ends first.
pub(in crate::sqlite) const DELETE_REPLAYS: &str = "DELETE FROM replays WHERE no IN
    (SELECT no FROM replays INDEXED BY replays_finished
        WHERE finished_at IS NOT NULL AND finished_at < ?1 ORDER BY finished_at LIMIT ?2)";

fn delete_replays(connection: &Connection, before: Timestamp, limit: i64) -> rusqlite::Result<usize> {
    connection.prepare_cached(DELETE_REPLAYS)?.execute(params![before.as_ms(), limit])
}

/// An event as pruning sees it.
struct Old {
    seq: i64,
    created_at: i64,
    first: i64,
    end: i64,
}

/// Deletes events, their deliveries and attempts; gives how many events, and where to go on.
fn delete_old(
    connection: &Connection,
    before: Timestamp,
    after: i64,
    limit: i64,
) -> rusqlite::Result<(usize, Option<i64>)> {
    // The newest event stays, because numbering goes on from it after a restart.
    let mut find = connection.prepare_cached(
        "SELECT seq, created_at, first_delivery_seq, first_delivery_seq + delivery_count FROM events
         WHERE seq > ?1 AND seq < (SELECT max(seq) FROM events) ORDER BY seq LIMIT ?2",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Old { seq: row.get(0)?, created_at: row.get(1)?, first: row.get(2)?, end: row.get(3)? })
    };
    let found = find.query_map(params![after, limit], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let looked_at_all = i64::try_from(found.len()).unwrap_or(i64::MAX) < limit;
    let mut deleted = 0;
    let mut last = None;
    for old in found {
        if old.created_at >= before.as_ms() {
            return Ok((deleted, None));
        }
        last = Some(old.seq);
        if is_over(connection, &old, before)? {
            delete(connection, &old)?;
            deleted += 1;
        }
    }
    Ok((deleted, last.filter(|_| !looked_at_all)))
}

/// Whether none of an event's deliveries, resent ones included, is pending or ended within the retention.
fn is_over(connection: &Connection, old: &Old, before: Timestamp) -> rusqlite::Result<bool> {
    let mut young = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE seq >= ?1 AND seq < ?2 AND (status = 0 OR updated_at >= ?4))
             OR EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_resent
                 WHERE event_seq = ?3 AND resend_of IS NOT NULL AND (status = 0 OR updated_at >= ?4))",
    )?;
    let is_young: bool =
        young.query_row(params![old.first, old.end, old.seq, before.as_ms()], |row| row.get(0))?;
    Ok(!is_young)
}

fn delete(connection: &Connection, old: &Old) -> rusqlite::Result<()> {
    let mut resent = connection.prepare_cached(
        "SELECT seq FROM deliveries INDEXED BY deliveries_resent WHERE event_seq = ?1 AND resend_of IS NOT NULL",
    )?;
    let resent = resent.query_map([old.seq], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    delete_deliveries(connection, old.first, old.end)?;
    for seq in resent {
        delete_deliveries(connection, seq, seq + 1)?;
    }
    connection.prepare_cached(UNLIST_EVENT)?.execute([old.seq])?;
    connection.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([old.seq]).map(drop)
}

/// Takes what is about to be deleted out of the lists; what is not listed yet will not be.
pub(in crate::sqlite) const UNLIST_EVENT: &str = "DELETE FROM events_listed
    WHERE (account_no, livemode, seq) IN (SELECT account_no, livemode, seq FROM events WHERE seq = ?1)";
pub(in crate::sqlite) const UNLIST_DELIVERIES: &str = "DELETE FROM deliveries_listed
    WHERE (endpoint_no, seq) IN (SELECT endpoint_no, seq FROM deliveries WHERE seq >= ?1 AND seq < ?2)";

/// Deletes the deliveries from `first` up to before `end`, with their attempts.
fn delete_deliveries(connection: &Connection, first: i64, end: i64) -> rusqlite::Result<()> {
    let mut attempts =
        connection.prepare_cached("DELETE FROM attempts WHERE id >= ?1 << 16 AND id < ?2 << 16")?;
    attempts.execute([first, end])?;
    connection.prepare_cached(UNLIST_DELIVERIES)?.execute([first, end])?;
    connection
        .prepare_cached("DELETE FROM deliveries WHERE seq >= ?1 AND seq < ?2")?
        .execute([first, end])
        .map(drop)
}
