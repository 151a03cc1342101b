//! Deliveries: one by its id, and lists by any mix of filters.

use std::collections::HashSet;

use postrider_core::delivery::{Delivery, DeliverySeq, Status};
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::events::account_no;
use super::span::{Span, Table};
use super::{MAX_SCANNED, Merge, Source, page};
use crate::columns;
use crate::model::{DeliveryFilter, Page, PageRequest};
use crate::sqlite::late_lists::Listed;
use crate::sqlite::pending::to_limit;
use crate::sqlite::ready_list;
use crate::sqlite::rows::{optional_time, time};

const COLUMNS: &str =
    "SELECT d.seq, d.id, ev.id, ev.type, a.id, ep.id, ep.livemode, d.status, d.cancel_reason,
        d.attempts, d.created_at, d.next_attempt_at, d.updated_at, d.resend_of
    FROM deliveries d
    JOIN events ev ON ev.seq = d.event_seq
    JOIN endpoints ep ON ep.no = d.endpoint_no
    JOIN accounts a ON a.no = ep.account_no";

pub(in crate::sqlite) fn delivery(
    connection: &Connection,
    id: DeliveryId,
) -> rusqlite::Result<Option<Delivery>> {
    let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE d.id = ?1"))?;
    select.query_row([id.to_bytes()], read).optional()
}

pub(in crate::sqlite) fn deliveries(
    connection: &Connection,
    filter: &DeliveryFilter,
    request: PageRequest,
) -> rusqlite::Result<Page<Delivery>> {
    let span = Span::find(connection, Table::Deliveries, filter.since, filter.until, request.before)?;
    let merge = Merge::new(connection, sources(connection, filter, span.above)?, span.below)?;
    let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE d.seq = ?1"))?;
    page(merge, request.limit, |seq| {
        if !is_worth_reading(connection, seq, filter)? {
            return Ok(None);
        }
        let found = select.query_row([seq], read).optional()?;
        // Every filter, also those that the sources have narrowed by already.
        Ok(found.filter(|found| filter.wants(found)).map(|found| (found, 0)))
    })
}

pub(in crate::sqlite) const STATUS_OF: &str = "SELECT status FROM deliveries WHERE seq = ?1";
pub(in crate::sqlite) const TYPE_OF: &str =
    "SELECT ev.type FROM deliveries d JOIN events ev ON ev.seq = d.event_seq WHERE d.seq = ?1";

/// A first look at a row, by what no index covers: a page may look at thousands of rows of which it shows none, and a
/// whole row with its event, endpoint and account costs several times as much.
fn is_worth_reading(connection: &Connection, seq: i64, filter: &DeliveryFilter) -> rusqlite::Result<bool> {
    if let Some(status) = filter.status {
        let mut select = connection.prepare_cached(STATUS_OF)?;
        let found: Option<i16> = select.query_row([seq], |row| row.get(0)).optional()?;
        if found != Some(crate::columns::status_number(status)) {
            return Ok(false);
        }
    }
    if let Some(event_type) = &filter.event_type {
        let mut select = connection.prepare_cached(TYPE_OF)?;
        let is_wanted =
            select.query_row([seq], |row| Ok(row.get_ref(0)?.as_str()? == event_type)).optional()?;
        return Ok(is_wanted == Some(true));
    }
    Ok(true)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    read_from(row, 0)
}

/// Reads a delivery whose columns begin with the one at `first`.
pub(super) fn read_from(row: &Row<'_>, first: usize) -> rusqlite::Result<Delivery> {
    let status = columns::status(row.get(first + 7)?)?;
    let resend_of: Option<[u8; 16]> = row.get(first + 13)?;
    Ok(Delivery {
        seq: DeliverySeq(row.get(first)?),
        id: DeliveryId::from_bytes(row.get(first + 1)?),
        event: EventId::from_bytes(row.get(first + 2)?),
        event_type: row.get(first + 3)?,
        account: AccountId::from_bytes(row.get(first + 4)?),
        endpoint: EndpointId::from_bytes(row.get(first + 5)?),
        livemode: row.get(first + 6)?,
        status,
        cancel_reason: columns::cancel_reason(row.get(first + 8)?)?,
        attempt_count: row.get(first + 9)?,
        created_at: time(row, first + 10)?,
        next_attempt_at: optional_time(row, first + 11)?,
        finished_at: if status == Status::Pending { None } else { Some(time(row, first + 12)?) },
        resend_of: resend_of.map(DeliveryId::from_bytes),
    })
}

/// Where a list gets its numbers from.
enum DeliverySource {
    /// One index, one list, or the table itself.
    Indexed(Indexed),
    /// What is not listed yet: a walk over a short end of the log, for these endpoints.
    Unlisted { select: &'static str, endpoints: HashSet<i64>, above: i64 },
}

#[derive(Debug, Clone, Copy)]
struct Indexed {
    select: &'static str,
    /// The endpoint or event that the index begins with; the table has none.
    key: Option<i64>,
    above: i64,
    /// Where the source ends before the list does.
    below: i64,
}

macro_rules! newest_first {
    ($table:literal, $filter:literal) => {
        concat!(
            "SELECT seq FROM ",
            $table,
            " WHERE ",
            $filter,
            " AND seq > ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
        )
    };
}

pub(in crate::sqlite) const OF_ALL: &str = newest_first!("deliveries", "?1 IS NULL");
pub(in crate::sqlite) const OF_ENDPOINT: &str = newest_first!("deliveries_listed", "endpoint_no = ?1");
pub(in crate::sqlite) const UNLISTED: &str =
    "SELECT seq, endpoint_no FROM deliveries WHERE seq > ?1 AND seq < ?2 ORDER BY seq DESC";
pub(in crate::sqlite) const UNLISTED_READY: &str = "SELECT seq, endpoint_no FROM deliveries
    WHERE seq > ?1 AND seq < ?2 AND status = 0 AND next_attempt_at IS NULL ORDER BY seq DESC";
pub(in crate::sqlite) const READY_OF: &str = newest_first!("ready_listed", "endpoint_no = ?1");
pub(in crate::sqlite) const WAITING_OF: &str = newest_first!(
    "deliveries INDEXED BY deliveries_waiting",
    "status = 0 AND next_attempt_at IS NOT NULL AND endpoint_no = ?1"
);
pub(in crate::sqlite) const EXHAUSTED_OF: &str =
    newest_first!("deliveries INDEXED BY deliveries_exhausted", "status = 2 AND endpoint_no = ?1");
pub(in crate::sqlite) const RESENT_OF: &str =
    newest_first!("deliveries INDEXED BY deliveries_resent", "resend_of IS NOT NULL AND event_seq = ?1");

impl DeliverySource {
    fn all(above: i64) -> Self {
        Self::Indexed(Indexed { select: OF_ALL, key: None, above, below: i64::MAX })
    }

    fn indexed(select: &'static str, key: i64, (above, below): (i64, i64)) -> Self {
        Self::Indexed(Indexed { select, key: Some(key), above, below })
    }
}

impl Source for DeliverySource {
    fn below(&self, connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        match self {
            Self::Indexed(indexed) => {
                let before = before.min(indexed.below);
                connection
                    .prepare_cached(indexed.select)?
                    .query_map(params![indexed.key, indexed.above, before, to_limit(limit)], |row| {
                        row.get(0)
                    })?
                    .collect()
            }
            Self::Unlisted { select, endpoints, above } => {
                let mut select = connection.prepare_cached(select)?;
                let mut rows = select.query(params![above, before])?;
                let mut found = Vec::new();
                while found.len() < limit
                    && let Some(row) = rows.next()?
                {
                    if endpoints.contains(&row.get(1)?) {
                        found.push(row.get(0)?);
                    }
                }
                Ok(found)
            }
        }
    }
}

/// The sources that hold everything the filter wants, and as little else as can be told beforehand.
fn sources(
    connection: &Connection,
    filter: &DeliveryFilter,
    above: i64,
) -> rusqlite::Result<Vec<DeliverySource>> {
    if let Some(event) = filter.event {
        return of_event(connection, event, above);
    }
    let selects: &[&str] = match filter.status {
        Some(Status::Pending) => &[READY_OF, WAITING_OF],
        Some(Status::Exhausted) => &[EXHAUSTED_OF],
        Some(Status::Delivered | Status::Cancelled) | None => &[OF_ENDPOINT],
    };
    let is_narrowed =
        filter.endpoint.is_some() || filter.account.is_some() || !selects.contains(&OF_ENDPOINT);
    if !is_narrowed {
        return Ok(vec![DeliverySource::all(above)]);
    }
    match endpoints(connection, filter, MAX_SCANNED / selects.len())? {
        Some(endpoints) => {
            // The list that is written behind the log, how far it goes, and what finds the rest in the log itself.
            let behind = match filter.status {
                Some(Status::Pending) => Some((READY_OF, ready_list::listed(connection)?, UNLISTED_READY)),
                Some(Status::Exhausted) => None,
                _ => Some((OF_ENDPOINT, Listed::load(connection)?.deliveries, UNLISTED)),
            };
            let below = |select: &str| match behind {
                Some((list, listed, _)) if list == select => listed.saturating_add(1),
                _ => i64::MAX,
            };
            let of_endpoint = |no: &i64| {
                let of = |select: &&'static str| DeliverySource::indexed(select, *no, (above, below(select)));
                selects.iter().map(of).collect::<Vec<_>>()
            };
            let mut sources: Vec<_> = endpoints.iter().flat_map(of_endpoint).collect();
            if let Some((_, listed, select)) = behind {
                let endpoints = endpoints.into_iter().collect();
                sources.push(DeliverySource::Unlisted { select, endpoints, above: above.max(listed) });
            }
            Ok(sources)
        }
        // So many endpoints that asking each costs more than looking at the rows themselves.
        None => Ok(vec![DeliverySource::all(above)]),
    }
}

/// An event's own deliveries, whose numbers are consecutive, and those resent by hand.
fn of_event(connection: &Connection, event: EventId, above: i64) -> rusqlite::Result<Vec<DeliverySource>> {
    let mut select = connection
        .prepare_cached("SELECT seq, first_delivery_seq, delivery_count FROM events WHERE id = ?1")?;
    let read =
        |row: &Row<'_>| -> rusqlite::Result<(i64, i64, i64)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
    let Some((event_seq, first, count)) = select.query_row([event.to_bytes()], read).optional()? else {
        return Ok(Vec::new());
    };
    let (above_first, below) = (above.max(first - 1), first.saturating_add(count));
    let own = DeliverySource::Indexed(Indexed { select: OF_ALL, key: None, above: above_first, below });
    Ok(vec![own, DeliverySource::indexed(RESENT_OF, event_seq, (above, i64::MAX))])
}

/// The numbers of the endpoints that the filter names or implies, deleted ones included; none where they are
/// more than `limit`.
fn endpoints(
    connection: &Connection,
    filter: &DeliveryFilter,
    limit: usize,
) -> rusqlite::Result<Option<Vec<i64>>> {
    let no = |row: &Row<'_>| row.get(0);
    let at_most = to_limit(limit.saturating_add(1));
    let found: Vec<i64> = match (filter.endpoint, filter.account) {
        (Some(endpoint), _) => endpoint_no(connection, endpoint)?.into_iter().collect(),
        (None, Some(account)) => match account_no(connection, account)? {
            None => Vec::new(),
            Some(account) => connection
                .prepare_cached(
                    "SELECT no FROM endpoints WHERE account_no = ?1 AND livemode IN (?2, ?3) LIMIT ?4",
                )?
                .query_map(params![account, modes(filter).0, modes(filter).1, at_most], no)?
                .collect::<Result<_, _>>()?,
        },
        (None, None) => connection
            .prepare_cached("SELECT no FROM endpoints WHERE livemode IN (?1, ?2) LIMIT ?3")?
            .query_map(params![modes(filter).0, modes(filter).1, at_most], no)?
            .collect::<Result<_, _>>()?,
    };
    Ok((found.len() <= limit).then_some(found))
}

/// The one mode that is wanted, or both.
fn modes(filter: &DeliveryFilter) -> (bool, bool) {
    (filter.livemode.unwrap_or(false), filter.livemode.unwrap_or(true))
}

/// The number of an endpoint, deleted ones included.
pub(super) fn endpoint_no(connection: &Connection, id: EndpointId) -> rusqlite::Result<Option<i64>> {
    let mut select = connection.prepare_cached("SELECT no FROM endpoints WHERE id = ?1")?;
    select.query_row([id.to_bytes()], |row| row.get(0)).optional()
}
