//! The clock's record: a row of `meta`, read and written in one transaction.

use std::time::Duration;

use postrider_core::service_clock::ClockRecord;
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::changes::{Context, NotMade};
use crate::columns::{self, CLOCK};

const FIND: &str = "SELECT value FROM meta WHERE name = ?1";
const PUT: &str =
    "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
const NEWEST: &str = "SELECT max(
    coalesce((SELECT created_at FROM events ORDER BY seq DESC LIMIT 1), 0),
    coalesce((SELECT at FROM audit ORDER BY no DESC LIMIT 1), 0))";

/// Brings the record up to date and gives what it is now.
pub(super) fn observe(context: &Context<'_>, now: Timestamp, ran: Duration) -> Result<ClockRecord, NotMade> {
    let observed = match find(context.connection)? {
        Some(record) => record,
        None => columns::first_clock(
            context
                .connection
                .query_row(NEWEST, [], |row| row.get(0))
                .map(|at: i64| Some(at).filter(|at| *at > 0))?,
        ),
    }
    .observe(now, ran);
    context.connection.prepare_cached(PUT)?.execute(params![CLOCK, columns::clock_bytes(&observed)])?;
    Ok(observed)
}

/// The record; none before the first observation.
pub(super) fn find(connection: &Connection) -> rusqlite::Result<Option<ClockRecord>> {
    let found = connection.query_row(FIND, [CLOCK], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(found.map(|bytes| columns::clock(&bytes)).transpose()?)
}
