//! What the engine reads: configuration, backlogs, and pending deliveries to fill lanes and timers with.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use postrider_core::account::{AccountKey, AccountNo};
use postrider_core::delivery::{CancelReason, DeliverySeq, Progress};
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::{DeliveryId, EventId, KeyId};
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::changes::accounts::{ACCOUNT_COLUMNS, account};
use super::changes::event_types;
use super::endpoint_row::{ENDPOINTS, endpoint};
use super::ready_list;
use super::rows::{optional_time, time};
use crate::model::{Configuration, LaneBacklog, PendingDelivery};
use crate::seal::Sealer;
use crate::seal::meta_values::StoredOperatorKey;

/// How many payload bytes one query gives inline; later rows leave them to `payloads`.
const MAX_INLINE_BYTES: usize = 8 * 1024 * 1024;

/// Accounts, keys and endpoints that are not deleted, and event types.
pub(super) fn load(connection: &Connection, sealer: &Sealer) -> rusqlite::Result<Configuration> {
    let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE deleted_at IS NULL ORDER BY no");
    let accounts = connection.prepare_cached(&sql)?.query_map([], account)?.collect::<Result<_, _>>()?;
    let keys = connection
        .prepare_cached(
            "SELECT id, account_no, livemode, sha256, created_at, last_used_at FROM account_keys
             WHERE revoked_at IS NULL ORDER BY id",
        )?
        .query_map([], account_key)?
        .collect::<Result<_, _>>()?;
    let endpoints = connection
        .prepare_cached(&format!("{ENDPOINTS} ORDER BY ep.no"))?
        .query_map([], |row| endpoint(sealer, row))?
        .collect::<Result<_, _>>()?;
    let event_types = event_types::all(connection)?;
    Ok(Configuration { accounts, keys, endpoints, event_types })
}

fn account_key(row: &Row<'_>) -> rusqlite::Result<AccountKey> {
    Ok(AccountKey {
        id: KeyId::from_bytes(row.get(0)?),
        account: AccountNo(row.get(1)?),
        livemode: row.get(2)?,
        sha256: row.get(3)?,
        created_at: time(row, 4)?,
        last_used_at: optional_time(row, 5)?,
    })
}

/// The operator key's hash and its seal.
pub(super) fn operator_key(connection: &Connection) -> rusqlite::Result<Option<StoredOperatorKey>> {
    let sql = "SELECT value, (SELECT value FROM meta WHERE name = 'operator_key_seal')
        FROM meta WHERE name = 'operator_key_sha256'";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Counts of pending deliveries. These two walk a small list or index in its order and touch no row …
pub(super) const COUNT_READY: &str =
    "SELECT endpoint_no, count(*) FROM ready_listed WHERE seq <= ?1 GROUP BY endpoint_no";
pub(super) const COUNT_WAITING: &str =
    "SELECT endpoint_no, count(*) FROM deliveries INDEXED BY deliveries_waiting
    WHERE status = 0 AND next_attempt_at IS NOT NULL GROUP BY endpoint_no";
/// … and this one the short end of the log that is not listed yet.
pub(super) const UNLISTED_READY: &str =
    "SELECT endpoint_no FROM deliveries WHERE seq > ?1 AND status = 0 AND next_attempt_at IS NULL";

pub(super) fn backlogs(connection: &Connection) -> rusqlite::Result<Vec<LaneBacklog>> {
    let mut lanes = std::collections::BTreeMap::<i64, (u64, u64)>::new();
    let count = |row: &Row<'_>| -> rusqlite::Result<(i64, i64)> { Ok((row.get(0)?, row.get(1)?)) };
    let listed = ready_list::listed(connection)?;
    for lane in connection.prepare_cached(COUNT_READY)?.query_map([listed], count)? {
        let (endpoint_no, ready) = lane?;
        lanes.entry(endpoint_no).or_default().0 = ready.unsigned_abs();
    }
    for endpoint_no in connection.prepare_cached(UNLISTED_READY)?.query_map([listed], |row| row.get(0))? {
        lanes.entry(endpoint_no?).or_default().0 += 1;
    }
    for lane in connection.prepare_cached(COUNT_WAITING)?.query_map([], count)? {
        let (endpoint_no, waiting) = lane?;
        lanes.entry(endpoint_no).or_default().1 = waiting.unsigned_abs();
    }
    let backlog = |(endpoint_no, (ready, waiting))| LaneBacklog {
        endpoint_no: EndpointNo(endpoint_no),
        ready,
        waiting,
    };
    Ok(lanes.into_iter().map(backlog).collect())
}

pub(super) const DELETED_WITH_BACKLOG: &str = "SELECT ep.no, a.deleted_at IS NOT NULL
    FROM endpoints ep JOIN accounts a ON a.no = ep.account_no
    WHERE ep.deleted_at IS NOT NULL AND (
        EXISTS (SELECT 1 FROM ready_listed r
            WHERE r.endpoint_no = ep.no AND r.seq <= (SELECT ready FROM listed))
        OR ep.no IN (SELECT endpoint_no FROM deliveries
            WHERE seq > (SELECT ready FROM listed) AND status = 0 AND next_attempt_at IS NULL)
        OR EXISTS (SELECT 1 FROM deliveries d INDEXED BY deliveries_waiting
            WHERE d.status = 0 AND d.next_attempt_at IS NOT NULL AND d.endpoint_no = ep.no))
    ORDER BY ep.no";

pub(super) fn deleted_with_backlog(
    connection: &Connection,
) -> rusqlite::Result<Vec<(EndpointNo, CancelReason)>> {
    let read = |row: &Row<'_>| {
        let account_is_deleted: bool = row.get(1)?;
        let reason =
            if account_is_deleted { CancelReason::AccountDeleted } else { CancelReason::EndpointDeleted };
        Ok((EndpointNo(row.get(0)?), reason))
    };
    connection.prepare_cached(DELETED_WITH_BACKLOG)?.query_map([], read)?.collect()
}

pub(super) const HAS_READY: &str =
    "SELECT EXISTS (SELECT 1 FROM ready_listed WHERE endpoint_no = ?1 AND seq <= ?2)";

pub(super) fn with_ready(
    connection: &Connection,
    endpoints: Vec<EndpointNo>,
) -> rusqlite::Result<Vec<EndpointNo>> {
    let listed = ready_list::listed(connection)?;
    let mut unlisted = connection.prepare_cached(UNLISTED_READY)?;
    let unlisted = unlisted.query_map([listed], |row| row.get(0))?;
    let unlisted = unlisted.collect::<rusqlite::Result<HashSet<i64>>>()?;
    let mut select = connection.prepare_cached(HAS_READY)?;
    let mut found = Vec::new();
    for no in endpoints {
        if unlisted.contains(&no.0) || select.query_row([no.0, listed], |row| row.get(0))? {
            found.push(no);
        }
    }
    Ok(found)
}

/// The lowest numbers of an endpoint's ready deliveries that are listed …
pub(super) const READY_NUMBERS: &str =
    "SELECT d.seq FROM ready_listed r CROSS JOIN deliveries d ON d.seq = r.seq
    WHERE r.endpoint_no = ?1 AND r.seq <= ?2 AND d.status = 0 AND d.next_attempt_at IS NULL
    ORDER BY r.seq LIMIT ?3";
/// … and those of all endpoints that are not listed yet.
pub(super) const UNLISTED_NUMBERS: &str = "SELECT endpoint_no, seq FROM deliveries
    WHERE seq > ?1 AND status = 0 AND next_attempt_at IS NULL ORDER BY seq";

pub(super) fn ready_numbers(
    connection: &Connection,
    endpoints: Vec<(EndpointNo, usize)>,
) -> rusqlite::Result<Vec<(EndpointNo, DeliverySeq)>> {
    let listed = ready_list::listed(connection)?;
    let mut unlisted = HashMap::<i64, Vec<i64>>::new();
    let mut select = connection.prepare_cached(UNLISTED_NUMBERS)?;
    let mut rows = select.query([listed])?;
    while let Some(row) = rows.next()? {
        unlisted.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let mut select = connection.prepare_cached(READY_NUMBERS)?;
    let mut found = Vec::new();
    for (no, wanted) in endpoints {
        let numbers = select.query_map(params![no.0, listed, to_limit(wanted)], |row| row.get(0))?;
        let mut numbers = numbers.collect::<rusqlite::Result<Vec<i64>>>()?;
        numbers.extend(unlisted.remove(&no.0).unwrap_or_default());
        found.extend(numbers.into_iter().take(wanted).map(|seq| (no, DeliverySeq(seq))));
    }
    Ok(found)
}

/// What a refill reads of a delivery that is ready.
macro_rules! ready_of {
    ($from:literal, $filter:literal, $seq:literal) => {
        concat!(
            "SELECT d.seq, d.id, d.endpoint_no, ev.id, ev.type, d.attempts, d.used, d.next_attempt_at,
                length(ev.payload), d.event_seq
            FROM ",
            $from,
            " CROSS JOIN events ev ON ev.seq = d.event_seq
            WHERE ",
            $filter,
            " AND d.status = 0 AND d.next_attempt_at IS NULL ORDER BY ",
            $seq,
            " LIMIT ?3"
        )
    };
}

pub(super) const READY: &str = ready_of!(
    "ready_listed r CROSS JOIN deliveries d ON d.seq = r.seq",
    "r.endpoint_no = ?1 AND r.seq <= ?2",
    "r.seq"
);
/// The same of what is not listed yet: a walk over the short end of the log.
pub(super) const READY_UNLISTED: &str =
    ready_of!("deliveries d", "d.endpoint_no = ?1 AND d.seq > ?2", "d.seq");

pub(super) fn ready(
    connection: &Connection,
    endpoint: EndpointNo,
    limit: usize,
) -> rusqlite::Result<Vec<PendingDelivery>> {
    let listed = ready_list::listed(connection)?;
    let mut found = Vec::new();
    let mut inline_bytes = 0;
    for select in [READY, READY_UNLISTED] {
        if found.len() == limit {
            break;
        }
        let mut select = connection.prepare_cached(select)?;
        let mut rows = select.query(params![endpoint.0, listed, to_limit(limit - found.len())])?;
        while let Some(row) = rows.next()? {
            let mut delivery = pending(row)?;
            if inline_bytes < MAX_INLINE_BYTES {
                delivery.payload = payload(connection, row.get(9)?)?;
                inline_bytes += delivery.payload.as_ref().map_or(0, Bytes::len);
            }
            found.push(delivery);
        }
    }
    Ok(found)
}

pub(super) const WAITING: &str = "SELECT d.seq, d.id, d.endpoint_no, ev.id, ev.type, d.attempts, d.used,
        d.next_attempt_at, length(ev.payload)
    FROM deliveries d INDEXED BY deliveries_waiting CROSS JOIN events ev ON ev.seq = d.event_seq
    WHERE d.status = 0 AND d.next_attempt_at IS NOT NULL AND d.endpoint_no = ?1
    ORDER BY d.seq LIMIT ?2";

pub(super) fn waiting(
    connection: &Connection,
    endpoint: EndpointNo,
    limit: usize,
) -> rusqlite::Result<Vec<PendingDelivery>> {
    let mut select = connection.prepare_cached(WAITING)?;
    select.query_map(params![endpoint.0, to_limit(limit)], pending)?.collect()
}

pub(super) const DUE: &str = "SELECT d.seq, d.id, d.endpoint_no, ev.id, ev.type, d.attempts, d.used,
        d.next_attempt_at, length(ev.payload)
    FROM deliveries d INDEXED BY deliveries_due CROSS JOIN events ev ON ev.seq = d.event_seq
    WHERE d.status = 0 AND d.next_attempt_at IS NOT NULL AND d.next_attempt_at <= ?1
        AND (d.next_attempt_at, d.seq) > (?2, ?3)
    ORDER BY d.next_attempt_at, d.seq LIMIT ?4";

pub(super) fn due(
    connection: &Connection,
    until: Timestamp,
    after: Option<(Timestamp, DeliverySeq)>,
    limit: usize,
) -> rusqlite::Result<Vec<PendingDelivery>> {
    let (at, seq) = after.map_or((i64::MIN, i64::MIN), |(at, seq)| (at.as_ms(), seq.0));
    let mut select = connection.prepare_cached(DUE)?;
    select.query_map(params![until.as_ms(), at, seq, to_limit(limit)], pending)?.collect()
}

fn pending(row: &Row<'_>) -> rusqlite::Result<PendingDelivery> {
    Ok(PendingDelivery {
        seq: DeliverySeq(row.get(0)?),
        id: DeliveryId::from_bytes(row.get(1)?),
        endpoint_no: EndpointNo(row.get(2)?),
        event: EventId::from_bytes(row.get(3)?),
        event_type: row.get(4)?,
        payload: None,
        payload_bytes: row.get(8)?,
        progress: Progress { attempts: row.get(5)?, used: row.get(6)? },
        next_attempt_at: optional_time(row, 7)?,
    })
}

/// Payloads of those that are still pending.
pub(super) fn payloads(
    connection: &Connection,
    deliveries: &[DeliverySeq],
) -> rusqlite::Result<Vec<Option<Bytes>>> {
    let mut find =
        connection.prepare_cached("SELECT event_seq FROM deliveries WHERE seq = ?1 AND status = 0")?;
    let mut of = |seq: &DeliverySeq| -> rusqlite::Result<Option<Bytes>> {
        match find.query_row([seq.0], |row| row.get(0)).optional()? {
            Some(event_seq) => payload(connection, event_seq),
            None => Ok(None),
        }
    };
    deliveries.iter().map(&mut of).collect()
}

/// An event's payload.
pub(super) fn payload(connection: &Connection, event_seq: i64) -> rusqlite::Result<Option<Bytes>> {
    let mut select = connection.prepare_cached("SELECT payload FROM events WHERE seq = ?1")?;
    select.query_row([event_seq], |row| row.get::<_, Vec<u8>>(0).map(Bytes::from)).optional()
}

/// A limit as SQLite takes it.
pub(super) fn to_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The lowest number that is pending, by a look for each endpoint that has any: the walk goes from one endpoint to the
/// next within the list of what is ready, and within the index of what waits.
macro_rules! oldest {
    ($table:literal, $filter:literal) => {
        concat!(
            "WITH RECURSIVE lane(no) AS (
                SELECT min(endpoint_no) FROM ",
            $table,
            " WHERE ",
            $filter,
            " UNION ALL
                SELECT (SELECT min(endpoint_no) FROM ",
            $table,
            " WHERE ",
            $filter,
            " AND endpoint_no > lane.no)
                FROM lane WHERE lane.no IS NOT NULL
            )
            SELECT min((SELECT min(seq) FROM ",
            $table,
            " WHERE ",
            $filter,
            " AND endpoint_no = lane.no)) FROM lane WHERE lane.no IS NOT NULL"
        )
    };
}

/// What stands in the list is ready, also where its part is not listed to the end.
pub(super) const OLDEST_READY: &str = oldest!("ready_listed", "true");
pub(super) const OLDEST_WAITING: &str =
    oldest!("deliveries INDEXED BY deliveries_waiting", "status = 0 AND next_attempt_at IS NOT NULL");
/// The same of what is not listed yet, which is younger than all that is.
pub(super) const OLDEST_UNLISTED: &str = "SELECT min(seq) FROM deliveries
    WHERE seq > (SELECT ready FROM listed) AND status = 0 AND next_attempt_at IS NULL";

/// When the oldest pending delivery was accepted.
pub(super) fn oldest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let mut oldest: Option<i64> = None;
    for select in [OLDEST_READY, OLDEST_UNLISTED, OLDEST_WAITING] {
        let found: Option<i64> = connection.prepare_cached(select)?.query_row([], |row| row.get(0))?;
        oldest = [oldest, found].into_iter().flatten().min();
    }
    let Some(seq) = oldest else { return Ok(None) };
    let mut select = connection.prepare_cached("SELECT created_at FROM deliveries WHERE seq = ?1")?;
    select.query_row([seq], |row| super::rows::time(row, 0)).optional()
}
