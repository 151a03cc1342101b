//! When the write-ahead log is copied back into the file: by a thread of its own, so that no commit waits for it.
//!
//! The thread copies while the writer goes on, and so never reaches the end; it goes over it twice, since the second time
//! is short. When it is through, the writer copies the little that has come meanwhile, between two batches; then SQLite starts over at the log's beginning, unless a reader
//! still looks at it. The log file is never made smaller.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, Statement};

use super::open;
use crate::error::OpenError;

/// After how many commits the log's length is looked at; asking costs a few microseconds.
const LOOK_EVERY: u32 = 8;
/// A log that is so many times longer than it should be is copied whole by the writer: the thread does not keep up.
const TOO_LONG: i64 = 4;

/// The thread that copies; it ends when this is dropped.
pub(super) struct Copier {
    wake: Option<SyncSender<()>>,
    is_through: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// Starts the thread with a connection of its own.
    pub(super) fn start(path: &Path, patience: std::time::Duration) -> Result<Self, OpenError> {
        let connection = open::connect_copier(path, patience)?;
        let (wake, woken) = sync_channel(1);
        let is_through = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&is_through);
        let thread = std::thread::Builder::new()
            .name("store-copier".to_owned())
            .spawn(move || copy_when_woken(&connection, &woken, &tell))
            .map_err(|e| OpenError::Other { path: path.to_owned(), reason: e.to_string() })?;
        Ok(Self { wake: Some(wake), is_through, thread: Some(thread) })
    }

    /// Has the thread begin, unless it is at it already.
    fn begin(&self) {
        if let Some(Err(TrySendError::Disconnected(()))) = self.wake.as_ref().map(|wake| wake.try_send(())) {
            // Then the writer itself copies once the log is too long.
            tracing::error!("the thread that copies the write-ahead log has ended");
        }
    }

    /// Whether the thread has copied all that it found since this was last asked.
    fn take_through(&self) -> bool {
        self.is_through.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.wake = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that copies the write-ahead log had panicked");
        }
    }
}

fn copy_when_woken(connection: &Connection, woken: &Receiver<()>, is_through: &AtomicBool) {
    let mut is_failing = false;
    while woken.recv().is_ok() {
        // A failure loses nothing: the log stays, and the next one tries again. It is told once.
        let copied = (0..PASSES).try_for_each(|_| copy(connection));
        match &copied {
            Ok(()) => is_through.store(true, Ordering::Release),
            Err(error) if !is_failing => tracing::warn!(%error, "a checkpoint failed"),
            Err(_) => {}
        }
        is_failing = copied.is_err();
    }
}

/// How often the thread goes over the log: what comes during the first, long time is copied in the second, so that the
/// writer is left with what came during that.
const PASSES: u32 = 2;

/// Copies what can be copied without waiting for anyone.
fn copy(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))
}

/// The writer's side: decides when.
pub(super) struct Checkpoints<'c> {
    connection: &'c Connection,
    copier: Copier,
    look: Statement<'c>,
    pages: i64,
    commits: u32,
    is_failing: bool,
}

impl<'c> Checkpoints<'c> {
    /// Checkpoints once the log holds `pages` pages.
    pub(super) fn new(connection: &'c Connection, copier: Copier, pages: u32) -> rusqlite::Result<Self> {
        let look = connection.prepare("PRAGMA wal_checkpoint(NOOP)")?;
        Ok(Self { connection, copier, look, pages: i64::from(pages), commits: 0, is_failing: false })
    }

    /// Called after every transaction.
    pub(super) fn after_commit(&mut self) {
        self.commits += 1;
        let is_through = self.copier.take_through();
        if self.commits < LOOK_EVERY && !is_through {
            return;
        }
        self.commits = 0;
        // With next to nothing left to copy the log can start over.
        let done = if is_through { copy(self.connection) } else { self.checkpoint_if_long() };
        if let Err(error) = &done
            && !self.is_failing
        {
            tracing::warn!(%error, "a checkpoint failed");
        }
        self.is_failing = done.is_err();
    }

    fn checkpoint_if_long(&mut self) -> rusqlite::Result<()> {
        let pages: i64 = self.look.query_row([], |row| row.get(1))?;
        if pages < self.pages {
            return Ok(());
        }
        if pages >= self.pages.saturating_mul(TOO_LONG) {
            return copy(self.connection);
        }
        self.copier.begin();
        Ok(())
    }
}
