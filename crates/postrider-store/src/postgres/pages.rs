//! The pages of the log: partitions of events, deliveries and attempts by ranges of their numbers. Time turns the page,
//! and what is older than the retention goes with its whole page.
//!
//! No page has to be opened in time: until the numbers jump to the next one everything goes to the one before.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use deadpool_postgres::Object;
use postrider_core::time::Timestamp;

use super::rows::Failed;

/// A page is open for so long at least …
const SHORTEST: Duration = Duration::from_secs(24 * 3600);
/// … and for so much of the retention, so that there are never many pages.
const OF_RETENTION: u32 = 30;
/// The lower bits of a number count within its page.
const BITS: u32 = 32;
/// The name, among the advisory locks of the database, of the one that whoever turns pages holds.
const LOCK: i64 = 0x706f_7374_7061_6765;
/// How many of a page's first deliveries may belong to events of the page before.
const OVERLAP: i64 = 20_000;

/// A page of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    number: i64,
    opened_at: i64,
    ended_at: Option<i64>,
}

impl Page {
    /// Its first number.
    pub(super) const fn first(self) -> i64 {
        self.number << BITS
    }

    /// Its last number.
    pub(super) const fn last(self) -> i64 {
        ((self.number + 1) << BITS) - 1
    }
}

/// How long a page stays the newest.
fn length_ms(before: Timestamp, now: Timestamp) -> i64 {
    let length = SHORTEST.max(now.since(before) / OF_RETENTION);
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

async fn all(client: &impl GenericClient) -> Result<Vec<Page>, Failed> {
    let rows = client.query("SELECT page, opened_at, ended_at FROM pages ORDER BY page", &[]).await?;
    let page =
        |row: &tokio_postgres::Row| Page { number: row.get(0), opened_at: row.get(1), ended_at: row.get(2) };
    Ok(rows.iter().map(page).collect())
}

/// The pages whose rows are pruned one by one: the newest, and those that should have gone whole long ago but for
/// something in them that is pending or ended late.
pub(super) async fn to_walk(
    client: &impl GenericClient,
    before: Timestamp,
    now: Timestamp,
) -> Result<Vec<Page>, Failed> {
    let pages = all(client).await?;
    let overdue = before.as_ms().saturating_sub(length_ms(before, now));
    let closed_at = |index: usize| pages.get(index + 1).map(|next| next.opened_at);
    let is_walked = |index: &usize| closed_at(*index).is_none_or(|closed_at| closed_at < overdue);
    Ok((0..pages.len()).filter(is_walked).map(|index| pages[index]).collect())
}

/// Opens a new page where the newest is old enough, drops those that are over, and says how many these were. Locks of this kind are waited for a
/// moment only; then it is tried again the next time.
pub(super) async fn turn_and_drop(
    client: &mut Object,
    before: Timestamp,
    now: Timestamp,
) -> Result<usize, Failed> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL lock_timeout = '2s'; SET LOCAL enable_seqscan = on").await?;
    let lock = transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?;
    if !lock.get::<_, bool>(0) {
        return Ok(0);
    }
    let pages = all(&transaction).await?;
    let Some((newest, closed)) = pages.split_last() else { return Ok(0) };
    let mut dropped = 0;
    for page in closed {
        if let Some(gone) = drop_if_over(&transaction, *page, before).await? {
            tracing::info!(page = gone, "dropped a page of the log");
            dropped += 1;
        }
    }
    if newest.opened_at.saturating_add(length_ms(before, now)) <= now.as_ms() {
        turn(&transaction, newest.number + 1, now).await?;
        tracing::info!(page = newest.number + 1, "opened a page of the log");
    }
    transaction.commit().await?;
    Ok(dropped)
}

async fn turn(client: &impl GenericClient, next: i64, now: Timestamp) -> Result<(), Failed> {
    client.execute("SELECT open_page($1, $2)", &[&next, &now.as_ms()]).await?;
    // Numbers taken meanwhile are lower than this, so it only ever moves them forward.
    client.execute("SELECT setval('numbers', $1, false)", &[&(next << BITS)]).await?;
    Ok(())
}

/// Drops a page in which everything ended before the retention and to which nothing in a later one refers.
async fn drop_if_over(
    client: &impl GenericClient,
    page: Page,
    before: Timestamp,
) -> Result<Option<i64>, Failed> {
    let (first, last) = (page.first(), page.last());
    let ended_at = match page.ended_at {
        Some(ended_at) => ended_at,
        None => {
            let pending = "SELECT EXISTS (SELECT FROM queue WHERE seq >= $1 AND seq <= $2)";
            if client.query_one(pending, &[&first, &last]).await?.get(0) {
                return Ok(None);
            }
            // Once in a page's life: from here on nothing in it changes.
            let ended = "UPDATE pages SET ended_at = greatest(
                    coalesce((SELECT max(updated_at) FROM deliveries WHERE seq >= $2 AND seq <= $3), 0),
                    coalesce((SELECT max(created_at) FROM events WHERE seq >= $2 AND seq <= $3), 0))
                WHERE page = $1 RETURNING ended_at";
            client.query_one(ended, &[&page.number, &first, &last]).await?.get(0)
        }
    };
    if ended_at >= before.as_ms() {
        return Ok(None);
    }
    let referred = "SELECT EXISTS (SELECT FROM deliveries WHERE resend_of IS NOT NULL AND event_seq >= $1
                AND event_seq <= $2 AND seq > $2)
            OR EXISTS (SELECT FROM (SELECT event_seq FROM deliveries WHERE seq > $2 ORDER BY seq LIMIT $3) d
                WHERE d.event_seq >= $1 AND d.event_seq <= $2)";
    if client.query_one(referred, &[&first, &last, &OVERLAP]).await?.get(0) {
        return Ok(None);
    }
    let number = page.number;
    client
        .batch_execute(&format!(
            "DROP TABLE attempts_{number}; DROP TABLE deliveries_{number}; DROP TABLE events_{number};
             DELETE FROM exhausted WHERE seq >= {first} AND seq <= {last};
             DELETE FROM pages WHERE page = {number}"
        ))
        .await?;
    Ok(Some(number))
}
