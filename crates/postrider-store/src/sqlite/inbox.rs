//! What waits for the writer: three bounded queues and one wake-up.
//!
//! Accepts are refused at once where their queue is full, everything else waits for space before it comes here.
//! Nothing here touches the database.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::answers::{Accepted, Recorded, Reply};
use super::changes::Change;
use crate::accept_queue::{AcceptQueue, Request, Size};
use crate::error::{AcceptError, StoreError};
use crate::kept_answers::Row;
use crate::model::{NewEvent, RecordBatch};

/// How many rows of each kind go into one transaction; a larger single request goes alone.
const BATCH_ROWS: usize = 2_048;
/// How many outcomes go into one transaction, unless it accepts more rows than that: an event that comes just then waits
/// for this one, and for an outcome only a duplicate is at stake.
const BATCH_RECORDS: usize = 256;
/// How long outcomes wait for an event to share its commit, so that an event that comes just then need not wait for
/// theirs.
const RECORD_PATIENCE: Duration = Duration::from_millis(3);
/// From so many rows on, one request makes whoever comes behind it wait noticeably.
const LONG_REQUEST: usize = 256;
/// How many configuration changes go into one transaction.
const BATCH_CHANGES: usize = 64;

/// Events to be accepted and who waits for the answer.
pub(super) struct AcceptJob {
    pub(super) events: Vec<NewEvent>,
    /// What makes the call happen once, where it has an idempotency key.
    pub(super) keep: Option<Box<Row>>,
    pub(super) reply: Reply<Accepted>,
}

/// Outcomes to be recorded and who waits for the answer.
pub(super) struct RecordJob {
    pub(super) batch: Arc<RecordBatch>,
    pub(super) reply: Reply<Recorded>,
    /// Its space in the queue, free again when the job is done.
    pub(super) _space: OwnedSemaphorePermit,
}

impl Request for AcceptJob {
    fn events(&self) -> &[NewEvent] {
        &self.events
    }
}

impl RecordJob {
    fn rows(&self) -> usize {
        self.batch.records.len() + self.batch.health.len()
    }
}

/// Another change and its space in the queue.
pub(super) struct ChangeJob {
    pub(super) change: Box<dyn Change>,
    pub(super) _space: OwnedSemaphorePermit,
}

/// What the writer takes for one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) accepts: Vec<AcceptJob>,
    pub(super) records: Vec<RecordJob>,
    pub(super) changes: Vec<ChangeJob>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.accepts.is_empty() && self.records.is_empty() && self.changes.is_empty()
    }

    /// Whether there is a request in it whose rows alone take a while, as those of an event for hundreds of endpoints.
    pub(super) fn is_long(&self) -> bool {
        self.accepts.iter().any(|job| Size::of(&job.events).rows >= LONG_REQUEST)
    }
}

struct Waiting {
    accepts: AcceptQueue<AcceptJob>,
    records: VecDeque<RecordJob>,
    /// How many rows they are.
    record_rows: usize,
    /// When the first of them came.
    records_since: Option<Instant>,
    changes: VecDeque<ChangeJob>,
    writer_sleeps: bool,
    /// Whether the writer has something else to do.
    is_woken: bool,
    closed: bool,
}

/// What the writer does next.
pub(super) enum Work {
    /// A transaction.
    Batch(Batch),
    /// Nothing that anybody waits for: its own time has come, or it was woken.
    Idle,
    /// Nothing any more.
    Closed,
}

/// The queues. Shared by every caller and the writer.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

/// The store was closed.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
pub(super) struct Closed;

impl Inbox {
    /// Queues in which so much may wait to be accepted.
    pub(super) fn new(accepts: Size) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::new(Waiting::new(accepts)), wake: Condvar::new() })
    }

    /// Queues events, or refuses them at once.
    pub(super) fn accept(&self, job: AcceptJob) -> Result<(), AcceptError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(AcceptError::Unavailable(Box::new(Closed)));
        }
        if !waiting.accepts.push(job) {
            return Err(AcceptError::Overloaded);
        }
        self.wake(waiting);
        Ok(())
    }

    /// Queues outcomes; their space was taken before.
    pub(super) fn record(&self, job: RecordJob) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Unavailable(Box::new(Closed)));
        }
        waiting.record_rows += job.rows();
        waiting.records_since.get_or_insert_with(Instant::now);
        waiting.records.push_back(job);
        self.wake(waiting);
        Ok(())
    }

    /// Queues another change; its space was taken before.
    pub(super) fn change(&self, job: ChangeJob) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Unavailable(Box::new(Closed)));
        }
        waiting.changes.push_back(job);
        self.wake(waiting);
        Ok(())
    }

    /// Takes nothing new any more; what waits is still done.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.wake(waiting);
    }

    /// Drops everything that waits, so that nobody waits for a writer that is gone.
    pub(super) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.accepts.clear();
        waiting.records.clear();
        waiting.changes.clear();
        (waiting.record_rows, waiting.records_since, waiting.closed) = (0, None, true);
    }

    /// Lets an idle writer look after its own affairs.
    pub(super) fn wake_writer(&self) {
        let mut waiting = self.lock();
        waiting.is_woken = true;
        self.wake(waiting);
    }

    /// Waits for work, until `wake_at` if there is such a time, and takes as much as fits into one transaction.
    pub(super) fn next_work(&self, wake_at: Option<Instant>) -> Work {
        let mut waiting = self.lock();
        while waiting.is_empty() {
            if waiting.closed {
                return Work::Closed;
            }
            let left = wake_at.map(|at| at.saturating_duration_since(Instant::now()));
            if std::mem::take(&mut waiting.is_woken) || left.is_some_and(|left| left.is_zero()) {
                return Work::Idle;
            }
            waiting.writer_sleeps = true;
            waiting = match left {
                None => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
            };
            waiting.writer_sleeps = false;
        }
        while let Some(patience) = waiting.patience() {
            waiting.writer_sleeps = true;
            waiting = self.wake.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner).0;
            waiting.writer_sleeps = false;
        }
        waiting.is_woken = false;
        Work::Batch(waiting.take_batch())
    }

    /// Whether there is an event that waits to be accepted.
    pub(super) fn has_accepts(&self) -> bool {
        !self.lock().accepts.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing between lock and unlock can panic half-way through a change, so a poisoned lock is sound.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, waiting: MutexGuard<'_, Waiting>) {
        let writer_sleeps = waiting.writer_sleeps;
        drop(waiting);
        if writer_sleeps {
            self.wake.notify_one();
        }
    }
}

impl Waiting {
    fn new(accepts: Size) -> Self {
        Self {
            accepts: AcceptQueue::new(accepts),
            records: VecDeque::new(),
            record_rows: 0,
            records_since: None,
            changes: VecDeque::new(),
            writer_sleeps: false,
            is_woken: false,
            closed: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.accepts.is_empty() && self.records.is_empty() && self.changes.is_empty()
    }

    /// How long to wait yet although there are outcomes to record; none where there is no reason to.
    fn patience(&self) -> Option<Duration> {
        let only_a_few_outcomes = self.accepts.is_empty()
            && self.changes.is_empty()
            && self.record_rows < BATCH_RECORDS
            && !self.closed;
        let waited = self.records_since.filter(|_| only_a_few_outcomes)?.elapsed();
        RECORD_PATIENCE.checked_sub(waited).filter(|left| !left.is_zero())
    }

    fn take_batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut rows = 0;
        while let Some(size) = self.accepts.next_size() {
            rows += size.rows;
            if rows > BATCH_ROWS && !batch.accepts.is_empty() {
                break;
            }
            batch.accepts.extend(self.accepts.pop());
        }
        let most = rows.clamp(BATCH_RECORDS, BATCH_ROWS);
        let mut rows = 0;
        while let Some(job) = self.records.front() {
            rows += job.rows();
            if rows > most && !batch.records.is_empty() {
                break;
            }
            if let Some(job) = self.records.pop_front() {
                self.record_rows -= job.rows();
                batch.records.push(job);
            }
        }
        self.records_since = self.records_since.filter(|_| !self.records.is_empty());
        let changes = self.changes.len().min(BATCH_CHANGES);
        batch.changes.extend(self.changes.drain(..changes));
        batch
    }
}

#[cfg(test)]
mod tests;
