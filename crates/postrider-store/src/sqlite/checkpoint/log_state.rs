//! The write-ahead log as SQLite's checkpoint command reports it.

use rusqlite::Connection;

/// Reports only.
pub(super) const NOOP: &str = "PRAGMA wal_checkpoint(NOOP)";
/// Copies what can be copied without waiting for anyone.
pub(super) const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Copies everything and lets the next commit begin the log again.
pub(super) const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";
/// The same, and cuts the file to nothing.
pub(super) const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// What a checkpoint left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogState {
    /// Whether it could not do what was asked, because of a reader or of another checkpoint.
    pub(super) is_busy: bool,
    /// Pages in the log.
    pub(super) frames: i64,
    /// Those of them that are in the database.
    pub(super) copied: i64,
}

impl LogState {
    pub(super) fn uncopied(self) -> i64 {
        self.frames.saturating_sub(self.copied)
    }
}

/// Runs one of the statements above.
pub(super) fn checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<LogState> {
    connection.prepare_cached(sql)?.query_row([], |row| {
        Ok(LogState { is_busy: row.get::<_, i64>(0)? != 0, frames: row.get(1)?, copied: row.get(2)? })
    })
}
