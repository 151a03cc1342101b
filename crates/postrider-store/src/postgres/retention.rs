//! Retention: what is older than the log is kept goes, whole pages at once (`pages.rs`) and the rest in slices. Nothing
//! that is pending is deleted; what was held for a paused or disabled endpoint for so long is cancelled first. Replays
//! that ended so long ago go as well.

use deadpool_postgres::GenericClient;
use deadpool_postgres::Object;
use postrider_core::delivery::CancelReason;
use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;

use super::cancelling::cancel_oldest;
use super::pages::{self, Page};
use super::rows::{Failed, to_i64};
use crate::model::Pruned;

/// The name, among the advisory locks of the database, of the one that whoever prunes holds.
const LOCK: i64 = 0x706f_7374_7072_756e;

/// Prunes one slice: looks at `limit` events behind the number `after` and at `limit` held deliveries. Where another
/// node prunes at this moment it does nothing.
pub(super) async fn prune(
    client: &mut Object,
    before: Timestamp,
    after: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Pruned, Failed> {
    let limit = to_i64(limit);
    let transaction = client.transaction().await?;
    let lock = transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?;
    if !lock.get::<_, bool>(0) {
        return Ok(Pruned::default());
    }
    let cancelled = cancel_held(&transaction, before, now, limit).await?;
    let pages = pages::to_walk(&transaction, before, now).await?;
    let (deleted_events, next) = delete_old(&transaction, before, after, limit, &pages).await?;
    let deleted_replays = delete_replays(&transaction, before, limit).await?;
    transaction.commit().await?;
    let dropped_pages = if after == 0 { pages::turn_and_drop(client, before, now).await? } else { 0 };
    Ok(Pruned { cancelled, deleted_events, dropped_pages, deleted_replays, next })
}

/// Cancels what endpoints that do not send hold since before the retention, `limit` over all, and counts it for each.
async fn cancel_held(
    client: &impl GenericClient,
    before: Timestamp,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(EndpointNo, u64)>, Failed> {
    let sql = "SELECT no FROM endpoints WHERE state <> 'enabled' AND deleted_at IS NULL ORDER BY no";
    let (mut cancelled, mut left) = (Vec::new(), limit);
    for row in client.query(sql, &[]).await? {
        if left <= 0 {
            break;
        }
        let no: i64 = row.get(0);
        let count = cancel_oldest(client, no, Some(before), CancelReason::HeldTooLong, now, left).await?;
        left -= to_i64(count);
        if count > 0 {
            cancelled.push((EndpointNo(no), u64::try_from(count).unwrap_or(u64::MAX)));
        }
    }
    Ok(cancelled)
}

/// Replays that ended before the retention, the oldest ends first.
async fn delete_replays(client: &impl GenericClient, before: Timestamp, limit: i64) -> Result<usize, Failed> {
    let sql = "DELETE FROM replays WHERE no IN (SELECT no FROM replays
        WHERE finished_at IS NOT NULL AND finished_at < $1 ORDER BY finished_at LIMIT $2)";
    let deleted = client.execute(sql, &[&before.as_ms(), &limit]).await?;
    Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
}

/// A slice of events, each with whether none of its deliveries, resent ones included, is pending or ended within the
/// retention. The newest event of all stays: lists begin with it. `OFFSET 0` keeps the question about each a look into the
/// index.
pub(super) const SLICE: &str = "SELECT e.seq, e.created_at, NOT EXISTS (SELECT FROM deliveries d
            WHERE d.seq >= e.first_delivery_seq AND d.seq <= e.last_delivery_seq AND d.event_seq = e.seq
                AND (d.status = 0 OR d.updated_at >= $4))
        AND NOT EXISTS (SELECT FROM deliveries d
            WHERE d.event_seq = e.seq AND d.resend_of IS NOT NULL AND (d.status = 0 OR d.updated_at >= $4) OFFSET 0)
    FROM (
        SELECT seq, created_at, first_delivery_seq, last_delivery_seq FROM events
        WHERE seq > $1 AND seq < $2 AND seq < (SELECT seq FROM events ORDER BY seq DESC LIMIT 1)
        ORDER BY seq LIMIT $3
    ) e ORDER BY e.seq";

/// Deletes events with their deliveries and attempts.
const DELETE: &str = "WITH old AS MATERIALIZED (
        SELECT seq, first_delivery_seq, last_delivery_seq FROM events WHERE seq = ANY($1)
    ), of_them AS MATERIALIZED (
        SELECT d.seq FROM old JOIN deliveries d ON d.seq >= old.first_delivery_seq
            AND d.seq <= old.last_delivery_seq AND d.event_seq = old.seq
        UNION
        SELECT d.seq FROM old JOIN deliveries d ON d.event_seq = old.seq AND d.resend_of IS NOT NULL
    ), attempts_gone AS (
        DELETE FROM attempts USING of_them WHERE attempts.delivery_seq = of_them.seq
    ), deliveries_gone AS (
        DELETE FROM deliveries USING of_them WHERE deliveries.seq = of_them.seq
    )
    DELETE FROM events USING old WHERE events.seq = old.seq";

/// Deletes events, their deliveries and attempts; gives how many events, and where to go on.
async fn delete_old(
    client: &impl GenericClient,
    before: Timestamp,
    after: i64,
    limit: i64,
    pages: &[Page],
) -> Result<(usize, Option<i64>), Failed> {
    let Some((page, later)) =
        pages.iter().position(|page| page.last() > after).map(|at| (&pages[at], &pages[at + 1..]))
    else {
        return Ok((0, None));
    };
    let from = after.max(page.first() - 1);
    let until = page.last().saturating_add(1);
    let found = client.query(SLICE, &[&from, &until, &limit, &before.as_ms()]).await?;
    let (mut over, mut last, mut is_young) = (Vec::new(), None, false);
    for row in &found {
        if row.get::<_, i64>(1) >= before.as_ms() {
            is_young = true;
            break;
        }
        last = Some(row.get::<_, i64>(0));
        if row.get(2) {
            over.push(row.get::<_, i64>(0));
        }
    }
    if !over.is_empty() {
        client.execute(DELETE, &[&over]).await?;
    }
    let is_full = to_i64(found.len()) >= limit;
    let next = match (is_young, is_full) {
        (true, _) => None,
        (false, true) => last,
        // What is behind this page begins with the next one that is walked.
        (false, false) => later.first().map(|page| page.first() - 1),
    };
    Ok((over.len(), next))
}
