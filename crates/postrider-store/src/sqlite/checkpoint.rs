//! When the write-ahead log is copied back into the file: between batches, so that no commit's answer waits.
//!
//! The log file is never made smaller. Once everything in it is copied and no reader looks at it, SQLite starts
//! over at its beginning.

use rusqlite::{Connection, Statement};

/// After how many commits the log's length is looked at; asking costs a few microseconds.
const LOOK_EVERY: u32 = 8;

/// Decides and makes checkpoints on the writer's thread.
pub(super) struct Checkpoints<'c> {
    look: Statement<'c>,
    copy: Statement<'c>,
    pages: i64,
    commits: u32,
}

impl<'c> Checkpoints<'c> {
    /// Checkpoints once the log holds `pages` pages.
    pub(super) fn new(connection: &'c Connection, pages: u32) -> rusqlite::Result<Self> {
        Ok(Self {
            look: connection.prepare("PRAGMA wal_checkpoint(NOOP)")?,
            copy: connection.prepare("PRAGMA wal_checkpoint(PASSIVE)")?,
            pages: i64::from(pages),
            commits: 0,
        })
    }

    /// Called after every transaction.
    pub(super) fn after_commit(&mut self) {
        self.commits += 1;
        if self.commits < LOOK_EVERY {
            return;
        }
        self.commits = 0;
        // A failure loses nothing: the log stays, and the next one tries again.
        if let Err(error) = self.checkpoint_if_long() {
            tracing::warn!(%error, "a checkpoint failed");
        }
    }

    fn checkpoint_if_long(&mut self) -> rusqlite::Result<()> {
        let pages: i64 = self.look.query_row([], |row| row.get(1))?;
        if pages >= self.pages { self.copy.query_row([], |_| Ok(())) } else { Ok(()) }
    }
}
