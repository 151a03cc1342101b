//! Events: one by its guid, and lists.

use postrider_core::account::AccountNo;
use postrider_core::event::Event;
use postrider_core::id::{AccountId, EventId};
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::span::{Span, Table};
use super::{Merge, Source, page};
use crate::model::{EventFilter, Page, PageRequest};
use crate::sqlite::late_lists::Listed;
use crate::sqlite::pending::{payload, to_limit};

/// Everything but the payload, which is read only for rows that are shown.
const COLUMNS: &str = "SELECT ev.seq, ev.id, ev.account_no, a.id, ev.type, ev.livemode, ev.created_at
    FROM events ev JOIN accounts a ON a.no = ev.account_no";

pub(in crate::sqlite) const OF_ACCOUNT: &str = "SELECT seq FROM events_listed
    WHERE account_no = ?1 AND livemode = ?2 AND seq > ?3 AND seq < ?4 ORDER BY seq DESC LIMIT ?5";
/// The same of what is not listed yet: a walk over a short end of the log.
pub(in crate::sqlite) const OF_ACCOUNT_UNLISTED: &str = "SELECT seq FROM events
    WHERE account_no = ?1 AND livemode = ?2 AND seq > ?3 AND seq < ?4 ORDER BY seq DESC LIMIT ?5";
pub(in crate::sqlite) const OF_ALL: &str =
    "SELECT seq FROM events WHERE seq > ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";

pub(in crate::sqlite) fn event(connection: &Connection, id: EventId) -> rusqlite::Result<Option<Event>> {
    let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE ev.id = ?1"))?;
    let found = select.query_row([id.to_bytes()], read).optional()?;
    found.map(|found| found.with_payload(connection)).transpose()
}

pub(in crate::sqlite) fn events(
    connection: &Connection,
    filter: &EventFilter,
    request: PageRequest,
) -> rusqlite::Result<Page<Event>> {
    let span = Span::find(connection, Table::Events, filter.since, filter.until, request.before)?;
    let merge = Merge::new(connection, sources(connection, filter, span.above)?, span.below)?;
    let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE ev.seq = ?1"))?;
    page(merge, request.limit, |seq| {
        let found = select.query_row([seq], read).optional()?;
        let Some(found) = found.filter(|found| filter.wants(&found.event)) else { return Ok(None) };
        let event = found.with_payload(connection)?;
        let size = event.payload.len();
        Ok(Some((event, size)))
    })
}

/// An event without its payload.
struct Found {
    seq: i64,
    event: Event,
}

impl Found {
    fn with_payload(self, connection: &Connection) -> rusqlite::Result<Event> {
        let payload = payload(connection, self.seq)?.unwrap_or_default();
        Ok(Event { payload, ..self.event })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Found> {
    let event = Event {
        id: EventId::from_bytes(row.get(1)?),
        account_no: AccountNo(row.get(2)?),
        account: AccountId::from_bytes(row.get(3)?),
        event_type: row.get(4)?,
        livemode: row.get(5)?,
        payload: bytes::Bytes::new(),
        created_at: Timestamp::from_ms(row.get(6)?),
    };
    Ok(Found { seq: row.get(0)?, event })
}

/// Where an event list gets its numbers from.
enum EventSource {
    All { above: i64 },
    Account { select: &'static str, no: i64, livemode: bool, above: i64 },
}

fn sources(connection: &Connection, filter: &EventFilter, above: i64) -> rusqlite::Result<Vec<EventSource>> {
    let Some(account) = filter.account else { return Ok(vec![EventSource::All { above }]) };
    let Some(no) = account_no(connection, account)? else { return Ok(Vec::new()) };
    let modes = [false, true].into_iter().filter(|mode| filter.livemode.is_none_or(|wanted| wanted == *mode));
    let listed = Listed::load(connection)?.events;
    let of_mode = |livemode| {
        [(OF_ACCOUNT, above), (OF_ACCOUNT_UNLISTED, above.max(listed))]
            .map(|(select, above)| EventSource::Account { select, no, livemode, above })
    };
    Ok(modes.flat_map(of_mode).collect())
}

/// The number of an account, deleted ones included.
pub(super) fn account_no(connection: &Connection, id: AccountId) -> rusqlite::Result<Option<i64>> {
    let mut select = connection.prepare_cached("SELECT no FROM accounts WHERE id = ?1")?;
    select.query_row([id.to_bytes()], |row| row.get(0)).optional()
}

impl Source for EventSource {
    fn below(&self, connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let seq = |row: &Row<'_>| row.get(0);
        let limit = to_limit(limit);
        match *self {
            Self::All { above } => {
                connection.prepare_cached(OF_ALL)?.query_map(params![above, before, limit], seq)?.collect()
            }
            Self::Account { select, no, livemode, above } => connection
                .prepare_cached(select)?
                .query_map(params![no, livemode, above, before, limit], seq)?
                .collect(),
        }
    }
}
