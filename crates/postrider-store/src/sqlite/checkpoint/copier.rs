//! The thread that copies the write-ahead log into the database, so that no commit waits for it.
//!
//! It copies while the writer goes on, and so never reaches the end. It goes over the log several times, each pass shorter
//! than the one before, until little enough is left for the writer. It never restarts the log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::log_state;
use crate::error::OpenError;
use crate::sqlite::inbox::Inbox;
use crate::sqlite::open;

/// Number of passes over the log at least: the second copies what came during the first, long one …
const LEAST_PASSES: u32 = 2;
/// … and at most; then the writer outpaces the thread.
const MOST_PASSES: u32 = 8;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Copied {
    /// Next to nothing is left for the writer.
    Nearly = 1,
    /// A reader keeps more pages from being copied than the writer is left.
    Blocked = 2,
    /// The writer outpaces the thread, and must copy the rest itself.
    Behind = 3,
    /// The database or the log can't be read or written.
    Failed = 4,
}

/// No run has ended since it was last asked …
const NOTHING: u8 = 0;
/// … or one is going on.
const RUNNING: u8 = 255;

/// The thread; it ends when this is dropped.
pub(in crate::sqlite) struct Copier {
    wake: Option<SyncSender<()>>,
    state: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// Starts the thread with a connection of its own. A run leaves up to `small` pages to the writer, and wakes it.
    pub(in crate::sqlite) fn start(
        path: &Path,
        patience: std::time::Duration,
        small: u32,
        inbox: Arc<Inbox>,
    ) -> Result<Self, OpenError> {
        let connection = open::connect_copier(path, patience)?;
        let (wake, woken) = sync_channel(1);
        let state = Arc::new(AtomicU8::new(NOTHING));
        let worker = Worker { connection, woken, state: Arc::clone(&state), small: i64::from(small), inbox };
        let thread = std::thread::Builder::new()
            .name("store-copier".to_owned())
            .spawn(move || worker.run())
            .map_err(|e| OpenError::Other { path: path.to_owned(), reason: e.to_string() })?;
        Ok(Self { wake: Some(wake), state, thread: Some(thread) })
    }

    /// Starts a run, unless one is going on. False if the thread has ended: then the writer copies by itself.
    pub(super) fn begin(&self) -> bool {
        if self.is_running() {
            return true;
        }
        self.state.store(RUNNING, Ordering::Release);
        let is_alive = self.wake.as_ref().is_some_and(|wake| wake.send(()).is_ok());
        if !is_alive {
            self.state.store(NOTHING, Ordering::Release);
        }
        is_alive
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    /// What the last run came to, once for each.
    pub(super) fn take_result(&self) -> Option<Copied> {
        let result = match self.state.load(Ordering::Acquire) {
            1 => Copied::Nearly,
            2 => Copied::Blocked,
            3 => Copied::Behind,
            4 => Copied::Failed,
            _ => return None,
        };
        self.state.store(NOTHING, Ordering::Release);
        Some(result)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.wake = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that copies the write-ahead log panicked");
        }
    }
}

struct Worker {
    connection: Connection,
    woken: Receiver<()>,
    state: Arc<AtomicU8>,
    small: i64,
    inbox: Arc<Inbox>,
}

impl Drop for Worker {
    /// A panic must not look like a run that never ends.
    fn drop(&mut self) {
        self.state.store(Copied::Failed as u8, Ordering::Release);
        self.inbox.wake_writer();
    }
}

impl Worker {
    fn run(&self) {
        let mut is_failing = false;
        while self.woken.recv().is_ok() {
            // A failure loses nothing: the log stays, and the next run tries again. Only the first one is logged.
            let copied = self.copy();
            if let Err(error) = &copied
                && !is_failing
            {
                tracing::warn!(%error, "checkpoint failed");
            }
            is_failing = copied.is_err();
            self.state.store(copied.unwrap_or(Copied::Failed) as u8, Ordering::Release);
            self.inbox.wake_writer();
        }
    }

    fn copy(&self) -> rusqlite::Result<Copied> {
        for pass in 1..=MOST_PASSES {
            let log = log_state::checkpoint(&self.connection, log_state::PASSIVE)?;
            // A short read keeps the pages of the commits since it began from being copied. The writer tries those again.
            if log.is_busy || log.uncopied() > self.small {
                return Ok(Copied::Blocked);
            }
            let left = log_state::checkpoint(&self.connection, log_state::NOOP)?.uncopied();
            if pass >= LEAST_PASSES && left <= self.small {
                return Ok(Copied::Nearly);
            }
        }
        Ok(Copied::Behind)
    }
}
