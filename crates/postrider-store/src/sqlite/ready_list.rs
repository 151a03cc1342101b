//! Writes the list of what is ready, by endpoint, behind the log: it refills lanes and is all that does, so only what
//! stays has to stand in it. A delivery that came to its end before its number was listed is never written.
//!
//! Like the lists of the log (`late_lists.rs`) it rides along with the writer's transactions, in small slices. A part of
//! the log is looked through once, what is ready of it put into the list's order, and each slice then touches a page or
//! two of the list however many endpoints there are.
//!
//! Up to `listed.ready` a delivery is ready exactly if it stands in the list; what is behind that is short, and readers
//! look at the log itself for it (`pending.rs`).

use postrider_core::delivery::Next;
use rusqlite::{CachedStatement, Connection, Statement, params};

use super::hot::Numbers;
use super::late_lists::{FAR_BEHIND, LONG_COMMIT};

/// Everything up to this number that is ready stands in the list.
pub(super) fn listed(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT ready FROM listed")?.query_row([], |row| row.get(0))
}

/// A part of the log on its way into the list.
struct Part {
    /// Endpoint and number, in the list's order; those that have ended meanwhile are passed over.
    rows: Vec<(i64, i64)>,
    done: usize,
    /// The part's last number, whether that was ready or not.
    through: i64,
}

/// The writer's side.
pub(super) struct ReadyList<'c> {
    connection: &'c Connection,
    /// As of the last commit.
    listed: i64,
    /// What is above this stands nowhere in the list. A transaction that fails takes nothing of it back.
    upto: i64,
    /// What was the newest in the transaction before.
    newest: i64,
    after: i64,
    part: Option<Part>,
    put: Statement<'c>,
    take: Statement<'c>,
}

impl<'c> ReadyList<'c> {
    /// Lists once `after` deliveries lie behind what is listed.
    pub(super) fn new(connection: &'c Connection, after: u32, numbers: &Numbers) -> rusqlite::Result<Self> {
        let newest = numbers.delivery - 1;
        Ok(Self {
            connection,
            listed: listed(connection)?,
            upto: newest,
            newest,
            after: i64::from(after),
            part: None,
            put: connection.prepare(PUT)?,
            take: connection.prepare(TAKE)?,
        })
    }

    /// Keeps the list true to a delivery whose row an outcome has just changed.
    pub(super) fn follow(&mut self, seq: i64, next: Next) -> rusqlite::Result<()> {
        if seq > self.upto {
            return Ok(());
        }
        let change = if next == Next::Waits { &mut self.put } else { &mut self.take };
        change.execute([seq]).map(drop)
    }

    /// Lists a slice of what lies behind, if it is enough to be worth it, within the transaction that is open. Then comes
    /// [`Self::committed`] or [`Self::undone`].
    pub(super) fn catch_up(&mut self, numbers: &Numbers) -> rusqlite::Result<()> {
        let newest = numbers.delivery - 1;
        let came = newest - self.newest;
        self.newest = newest;
        let behind = newest - self.listed;
        let is_far_behind = behind > FAR_BEHIND * self.after;
        if behind < self.after || (came >= LONG_COMMIT && !is_far_behind) {
            return Ok(());
        }
        let part = match &mut self.part {
            Some(part) => part,
            None => {
                let through = if is_far_behind { newest } else { self.listed + self.after };
                // Before anything of it is written: an outcome must find what a failed commit may have left to try again.
                self.upto = self.upto.max(through);
                self.part.insert(Part {
                    rows: collect(self.connection, self.listed, through)?,
                    done: 0,
                    through,
                })
            }
        };
        let slice = match is_far_behind {
            true => part.rows.len(),
            false => usize::try_from(came.saturating_mul(KEEPS_UP)).unwrap_or(0).clamp(SMALLEST, LARGEST),
        };
        let end = part.rows.len().min(part.done.saturating_add(slice));
        for (_, seq) in &part.rows[part.done..end] {
            self.put.execute([seq])?;
        }
        part.done = end;
        if part.is_done() {
            remember(self.connection, part.through)?;
        }
        Ok(())
    }

    /// What was listed last stands.
    pub(super) fn committed(&mut self) {
        if let Some(part) = self.part.take_if(|part| part.is_done()) {
            self.listed = part.through;
        }
    }

    /// Some of a part may not stand in the list although it was put there: it is begun again.
    pub(super) fn undone(&mut self) {
        self.part = None;
    }
}

impl Part {
    fn is_done(&self) -> bool {
        self.done == self.rows.len()
    }
}

/// Takes a delivery that was ended by hand out of the list, where it stands in it.
pub(super) fn take(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(TAKE)
}

/// What is ready of a part of the log, in the list's order.
fn collect(connection: &Connection, above: i64, through: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut select = connection.prepare_cached(COLLECT)?;
    let rows = select.query_map(params![above, through], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    rows.sort_unstable();
    Ok(rows)
}

fn remember(connection: &Connection, through: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE listed SET ready = ?1")?.execute([through]).map(drop)
}

/// A transaction lists so many rows at least, and …
const SMALLEST: usize = 32;
/// … at most so many, unless the list is far behind …
const LARGEST: usize = 512;
/// … and so many times as many as have come with it, so that the list keeps up.
const KEEPS_UP: i64 = 4;

pub(super) const COLLECT: &str = "SELECT endpoint_no, seq FROM deliveries
    WHERE seq > ?1 AND seq <= ?2 AND status = 0 AND next_attempt_at IS NULL";
pub(super) const PUT: &str = "INSERT OR IGNORE INTO ready_listed
    SELECT endpoint_no, seq FROM deliveries WHERE seq = ?1 AND status = 0 AND next_attempt_at IS NULL";
pub(super) const TAKE: &str = "DELETE FROM ready_listed
    WHERE endpoint_no = (SELECT endpoint_no FROM deliveries WHERE seq = ?1) AND seq = ?1";

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        crate::sqlite::migrations::run(&connection, 0, 1).unwrap();
        connection
    }

    fn ready(connection: &Connection, seqs: std::ops::RangeInclusive<i64>) {
        for seq in seqs {
            let insert = "INSERT INTO deliveries (seq, id, event_seq, endpoint_no, status, attempts, used, created_at, updated_at)
                VALUES (?1, randomblob(16), 1, ?1 % 3, 0, 0, 0, 0, 0)";
            connection.execute(insert, [seq]).unwrap();
        }
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM ready_listed", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_an_undone_transaction_had_listed_is_listed_again() {
        let connection = database();
        let mut numbers = Numbers { event: 1, delivery: 1 };
        let mut list = ReadyList::new(&connection, 50, &numbers).unwrap();
        ready(&connection, 1..=60);
        numbers.delivery = 61;

        connection.execute_batch("BEGIN").unwrap();
        list.catch_up(&numbers).unwrap();
        connection.execute_batch("ROLLBACK").unwrap();
        list.undone();
        assert_eq!((rows(&connection), listed(&connection).unwrap()), (0, 0));

        list.catch_up(&numbers).unwrap();
        list.committed();
        assert_eq!((rows(&connection), listed(&connection).unwrap()), (32, 0), "a part that is not done yet");
        connection.execute_batch("BEGIN").unwrap();
        list.catch_up(&numbers).unwrap();
        connection.execute_batch("ROLLBACK").unwrap();
        list.undone();

        // Of what is listed already, and of what an undone transaction had listed, the ends are noticed.
        for seq in [1, 50] {
            connection.execute("UPDATE deliveries SET status = 1 WHERE seq = ?1", [seq]).unwrap();
            list.follow(seq, Next::Delivered).unwrap();
        }
        for _ in 0..2 {
            list.catch_up(&numbers).unwrap();
            list.committed();
        }
        assert_eq!((rows(&connection), listed(&connection).unwrap()), (48, 50));
        let wrong = "SELECT count(*) FROM ready_listed r JOIN deliveries d USING (seq) WHERE d.status != 0";
        assert_eq!(connection.query_row(wrong, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }
}
