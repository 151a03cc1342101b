//! A few connections that read beside the writer, each used by one blocking task at a time.
//!
//! Every read is one transaction, short enough that the write-ahead log can start over behind it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::inbox::Closed;
use crate::error::StoreError;

/// How many reads may wait for a connection; more are refused.
const MAX_WAITING: usize = 1_024;

/// The pool.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    count: u32,
    waiting: AtomicUsize,
}

/// Too many reads wait already.
#[derive(Debug, thiserror::Error)]
#[error("too many reads wait for the database")]
struct TooManyWait;

/// A connection on loan: it goes back also where the work panics.
struct Loan<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

/// Counts a caller as waiting, also where it gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Arc<Self> {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(connections.len())),
            idle: Mutex::new(connections),
            count,
            waiting: AtomicUsize::new(0),
        })
    }

    /// Runs `work` in a read transaction on a blocking thread.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            drop(Waiting(&self.waiting));
            return Err(unavailable(TooManyWait));
        }
        let waiting = Waiting(&self.waiting);
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_closed| unavailable(Closed))?;
        drop(waiting);
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let result = readers.run(work);
            drop(permit);
            result
        });
        task.await.map_err(unavailable)?
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let loan = Loan { readers: self, connection };
        let connection = loan.connection.as_ref().ok_or_else(|| unavailable(Closed))?;
        let read = || -> rusqlite::Result<T> {
            let transaction = connection.unchecked_transaction()?;
            let result = work(connection)?;
            // Nothing was written, so this only lets go of what was seen.
            transaction.finish()?;
            Ok(result)
        };
        read().map_err(unavailable)
    }

    /// Waits for the reads that run and closes the connections.
    pub(super) async fn close(&self) {
        if let Ok(permits) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            drop(permits);
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

/// What the caller sees of a database's or task's failure.
pub(super) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}
