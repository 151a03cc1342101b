//! Group commit: while one group is on its way, the next one gathers. There is no timer and no wait.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};

use super::accept::{self, Accepted, Request};
use super::rows::Failed;
use super::shared::Shared;
use super::{PostgresStore, kept};
use crate::accept_queue::{self, AcceptQueue};
use crate::error::AcceptError;
use crate::kept_answers::Row;
use crate::model::NewEvent;
use crate::model::once::Keep;

/// How many rows go into one statement; a larger single request goes alone.
const BATCH_ROWS: usize = 2_048;
/// How many bytes of payload go into one statement; a larger single request goes alone.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How many requests are gathered into one group.
const BATCH_JOBS: usize = 512;

/// Events to be accepted and who waits for the answer.
pub(super) struct AcceptJob {
    pub(super) events: Vec<NewEvent>,
    /// What is kept of the call, where it has an idempotency key.
    pub(super) keep: Option<Row>,
    pub(super) reply: oneshot::Sender<Accepted>,
    /// Its space in the queue, free again when the job is done.
    pub(super) _space: [OwnedSemaphorePermit; 2],
}

impl accept_queue::Request for AcceptJob {
    fn events(&self) -> &[NewEvent] {
        &self.events
    }
}

impl AcceptJob {
    fn size(&self) -> (usize, usize) {
        size(&self.events)
    }

    fn scope(&self) -> Option<[u8; 32]> {
        self.keep.as_ref().map(|row| row.claim.scope)
    }

    fn request(&self) -> Request<'_> {
        Request { events: &self.events, keep: self.keep.as_ref() }
    }
}

/// How many rows and how many bytes of payload events come to.
pub(super) fn size(events: &[NewEvent]) -> (usize, usize) {
    let add = |(rows, bytes): (usize, usize), new: &NewEvent| {
        (rows + 1 + new.deliveries.len(), bytes + new.event.payload.len())
    };
    events.iter().fold((0, 0), add)
}

/// The store was closed.
#[derive(Debug, thiserror::Error)]
#[error("the store is closed")]
struct Closed;

impl PostgresStore {
    /// Space in the queue for events, or a refusal at once. A request that is larger than the whole queue takes all of it.
    fn take_space(&self, events: &[NewEvent]) -> Result<[OwnedSemaphorePermit; 2], AcceptError> {
        let (rows, bytes) = size(events);
        let take = |space: &Arc<Semaphore>, wanted: usize, limit: u32| {
            let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(1, limit);
            match Arc::clone(space).try_acquire_many_owned(wanted) {
                Ok(permit) => Ok(permit),
                Err(TryAcquireError::Closed) => Err(AcceptError::Unavailable(Box::new(Closed))),
                Err(TryAcquireError::NoPermits) => Err(AcceptError::Overloaded),
            }
        };
        let (row_limit, kib_limit) = self.limits;
        Ok([take(&self.accept_rows, rows, row_limit)?, take(&self.accept_kib, bytes / 1024, kib_limit)?])
    }

    /// Hands events to the group that gathers, with what is kept of a call that has an idempotency key, and waits for the
    /// group's commit.
    pub(super) async fn hand_in(&self, events: Vec<NewEvent>, keep: Option<Keep>) -> Accepted {
        let _space = self.take_space(&events)?;
        let keep = keep.map(|keep| Row::of(&self.shared.sealer, &keep));
        let closed = || AcceptError::Unavailable(Box::new(Closed));
        let (reply, answer) = oneshot::channel();
        let job = AcceptJob { events, keep, reply, _space };
        if !self.accept_queue.lock().unwrap_or_else(PoisonError::into_inner).push(job) {
            return Err(AcceptError::Overloaded);
        }
        // One for each job: whoever takes it takes the job whose turn it is.
        self.accepts.send(()).map_err(|_closed| closed())?;
        answer.await.map_err(|_gone| closed())?
    }
}

/// A failure that everyone in a group shares.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the group commit failed")]
struct NotCommitted(#[source] Arc<Failed>);

/// Accepts until the queue is closed and empty.
pub(super) async fn accepting(
    shared: Arc<Shared>,
    queue: Arc<Mutex<AcceptQueue<AcceptJob>>>,
    mut jobs: mpsc::UnboundedReceiver<()>,
) {
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut next = None;
    let mut is_failing = false;
    loop {
        let first = match next.take() {
            Some(job) => job,
            None => match jobs.recv().await.map(|()| take()) {
                Some(Some(job)) => job,
                Some(None) => continue,
                None => return,
            },
        };
        let (mut rows, mut bytes) = first.size();
        let mut scopes: HashSet<[u8; 32]> = first.scope().into_iter().collect();
        let mut group = vec![first];
        while group.len() < BATCH_JOBS
            && jobs.try_recv().is_ok()
            && let Some(job) = take()
        {
            let (more_rows, more_bytes) = job.size();
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
            // The same call a second time waits for what becomes of the first.
            let is_again = job.scope().is_some_and(|scope| !scopes.insert(scope));
            if rows > BATCH_ROWS || bytes > BATCH_BYTES || is_again {
                next = Some(job);
                break;
            }
            group.push(job);
        }
        accept_group(&shared, group, &mut is_failing).await;
    }
}

async fn accept_group(shared: &Shared, group: Vec<AcceptJob>, is_failing: &mut bool) {
    let began = Instant::now();
    let accepted = accept_together(shared, &group).await;
    if !matches!(&accepted, Err(failed) if failed.concerns_one_job()) {
        shared.figures.committed(began.elapsed(), group.len(), accepted.is_ok());
    }
    match accepted {
        Ok(answers) => {
            update(is_failing, None);
            for (job, answer) in group.into_iter().zip(answers) {
                // Whoever asked may have gone away; what was committed stands all the same.
                drop(job.reply.send(answer));
            }
        }
        Err(failed) if failed.concerns_one_job() => {
            for AcceptJob { events, keep, reply, _space } in group {
                let began = Instant::now();
                let accepted = accept_alone(shared, events, keep).await;
                let works = !matches!(accepted, Err(AcceptError::Unavailable(_) | AcceptError::LeaseLost));
                shared.figures.committed(began.elapsed(), 1, works);
                drop(reply.send(accepted));
            }
        }
        Err(Failed::Refused(_)) => {
            // The keeper begins anew at its next heartbeat.
            for job in group {
                drop(job.reply.send(Err(AcceptError::LeaseLost)));
            }
        }
        Err(failed) => {
            update(is_failing, Some(&failed));
            let why = NotCommitted(Arc::new(failed));
            for job in group {
                drop(job.reply.send(Err(AcceptError::Unavailable(Box::new(why.clone())))));
            }
        }
    }
}

/// Where a key was kept by another node meanwhile the statement finds it at its second try; what stands in the way
/// because it was kept long ago is forgotten before.
async fn accept_together(shared: &Shared, group: &[AcceptJob]) -> Result<Vec<Accepted>, Failed> {
    let requests: Vec<Request<'_>> = group.iter().map(AcceptJob::request).collect();
    let kept: Vec<&Row> = group.iter().filter_map(|job| job.keep.as_ref()).collect();
    match accept::accept(shared, &requests).await {
        Err(failed) if failed.is_there_already() && !kept.is_empty() => {
            kept::forget_outdated(shared, &kept).await?;
            accept::accept(shared, &requests).await
        }
        done => done,
    }
}

async fn accept_alone(shared: &Shared, events: Vec<NewEvent>, keep: Option<Row>) -> Accepted {
    if let Some(row) = keep {
        return kept::accept_once(shared, events, row).await;
    }
    match accept::accept(shared, &[Request { events: &events, keep: None }]).await {
        Ok(mut answers) => answers.pop().unwrap_or(Err(AcceptError::ConfigChanged)),
        Err(failed) => Err(failed.into()),
    }
}

/// An outage is told once and not per group.
fn update(is_failing: &mut bool, failed: Option<&Failed>) {
    let was_failing = std::mem::replace(is_failing, failed.is_some());
    match failed {
        Some(error) if !was_failing => {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "group commit failed; events are refused until one succeeds"
            );
        }
        None if was_failing => tracing::info!("group commit succeeds again"),
        _ => {}
    }
}
