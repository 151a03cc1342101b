//! Writes the lists of accounts and endpoints behind the log: many rows at once, in the lists' order, so that a page
//! of a list is written once for many rows instead of once for each.
//!
//! Rides along with the writer's transactions and never opens one. How far the lists go is committed with them; what
//! lies behind that is short, and readers look at the log itself for it (`log/`).

use rusqlite::{Connection, Statement, params};

use super::hot::Numbers;

/// How far the lists go: everything up to these numbers stands in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) events: i64,
    pub(super) deliveries: i64,
}

impl Listed {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut select = connection.prepare_cached("SELECT events, deliveries FROM listed")?;
        select.query_row([], |row| Ok(Self { events: row.get(0)?, deliveries: row.get(1)? }))
    }
}

/// The writer's side.
pub(super) struct LateLists<'c> {
    /// As of the last commit.
    listed: Listed,
    /// What was the newest in the transaction before.
    newest: Listed,
    after: i64,
    list_events: Statement<'c>,
    list_deliveries: Statement<'c>,
    remember: Statement<'c>,
}

impl<'c> LateLists<'c> {
    /// Lists once `after` events or deliveries lie behind what is listed.
    pub(super) fn new(connection: &'c Connection, after: u32) -> rusqlite::Result<Self> {
        let listed = Listed::load(connection)?;
        Ok(Self {
            listed,
            newest: listed,
            after: i64::from(after),
            list_events: connection.prepare(LIST_EVENTS)?,
            list_deliveries: connection.prepare(LIST_DELIVERIES)?,
            remember: connection.prepare("UPDATE listed SET events = ?1, deliveries = ?2")?,
        })
    }

    /// Lists a slice of what lies behind, if it is enough to be worth it, within the transaction that is open. What it
    /// gives is to be handed to [`Self::committed`] once that transaction is committed.
    pub(super) fn catch_up(&mut self, numbers: &Numbers) -> rusqlite::Result<Option<Listed>> {
        let newest = Listed { events: numbers.event - 1, deliveries: numbers.delivery - 1 };
        let came = (newest.events - self.newest.events).max(newest.deliveries - self.newest.deliveries);
        self.newest = newest;
        let behind = (newest.events - self.listed.events).max(newest.deliveries - self.listed.deliveries);
        if behind < self.after {
            return Ok(None);
        }
        // Whoever waits for this commit waits for the slice too, so it is short beside what the commit is about anyway,
        // unless the lists can't keep up.
        let largest = (self.after / SLICES).max(1);
        let smallest = (self.after / SMALL_SLICES).max(1);
        let slice = match behind > FAR_BEHIND * self.after {
            true => behind,
            // An event for a thousand endpoints, say; smaller commits come in between.
            false if came >= LONG_COMMIT => return Ok(None),
            false => came.saturating_mul(KEEPS_UP).clamp(smallest, largest),
        };
        let upto = Listed {
            events: newest.events.min(self.listed.events + slice),
            deliveries: newest.deliveries.min(self.listed.deliveries + slice),
        };
        self.list_events.execute(params![self.listed.events, upto.events])?;
        self.list_deliveries.execute(params![self.listed.deliveries, upto.deliveries])?;
        self.remember.execute(params![upto.events, upto.deliveries])?;
        Ok(Some(upto))
    }

    pub(super) fn committed(&mut self, listed: Option<Listed>) {
        self.listed = listed.unwrap_or(self.listed);
    }
}

/// What lies behind is listed in at least so many parts, one per transaction …
const SLICES: i64 = 4;
/// … and in at most so many, where the transactions are small …
const SMALL_SLICES: i64 = 64;
/// … but each part has so many times as many rows as have come with its transaction, so that the lists keep up.
const KEEPS_UP: i64 = 16;
/// A commit of so many rows takes long enough without any others'.
pub(super) const LONG_COMMIT: i64 = 512;
/// From so many times the usual on, it is listed all at once.
pub(super) const FAR_BEHIND: i64 = 4;

const LIST_EVENTS: &str = "INSERT INTO events_listed
    SELECT account_no, livemode, seq FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY account_no, livemode, seq";
const LIST_DELIVERIES: &str = "INSERT INTO deliveries_listed
    SELECT endpoint_no, seq FROM deliveries WHERE seq > ?1 AND seq <= ?2 ORDER BY endpoint_no, seq";
