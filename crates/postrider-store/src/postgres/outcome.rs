//! Outcomes: finds out what became of a statement whose answer did not come.
//!
//! A statement that took too long, or whose connection broke, may be done, may be undone, and may be running still: a
//! lock that it waits for can go minutes later, and then it commits. So nothing is concluded from silence. It is cancelled
//! and the cancellation is awaited; where that says nothing either, its server process is ended, and until it is known to
//! have ended this node begins no other work in the database. What the process has committed is visible from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use tokio::sync::{Notify, watch};

use super::rows::Failed;
use super::session::{BackendId, Sessions};
use crate::figures::StoreFigures;

/// How long a statement that was cancelled has to say so, and how long one question about it may take.
const CONFIRM_WITHIN: Duration = Duration::from_secs(1);
/// The pauses between questions about a process that has not ended yet, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How often the log tells of a process that does not end.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Cancels what a process is doing, unless it has committed and waits for a standby to have it too: to interrupt that
/// wait would pass off as replicated what is not.
/// Tells who holds the lock that it waits for, where it waits for one.
const CANCEL: &str = "WITH waiting AS MATERIALIZED (
        SELECT pid, wait_event = 'SyncRep' AS awaits_standby, (pg_blocking_pids(pid))[1] AS blocker
        FROM pg_stat_activity WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2
    )
    SELECT awaits_standby, 'process ' || blocker || coalesce((
            SELECT ' (' || coalesce(nullif(b.application_name, ''), b.usename, b.backend_type) || ')'
            FROM pg_stat_activity b WHERE b.pid = blocker), ''),
        CASE WHEN awaits_standby IS NOT TRUE THEN pg_cancel_backend(pid) END
    FROM waiting";
/// Ends a process on the same condition; no row once it has ended.
const TERMINATE: &str =
    "SELECT wait_event = 'SyncRep', NULL::text, CASE WHEN wait_event IS DISTINCT FROM 'SyncRep'
        THEN pg_terminate_backend(pid) END
    FROM pg_stat_activity WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2";
/// Commits something, so that everything that was committed before has reached the disk and the standbys when it returns.
const BARRIER: &str =
    "INSERT INTO meta (name, value) VALUES ('barrier', '') ON CONFLICT (name) DO UPDATE SET value = ''";

/// Finds out what became of statements.
pub(super) struct Outcomes {
    /// A connection of its own, so that it is free when all others wait.
    control: Pool,
    patience: Duration,
    /// How many server processes may still commit something of which nobody here knows.
    unresolved: watch::Sender<usize>,
    /// Set when one of them has ended: deliveries may be this node's without its knowledge.
    has_resolved: AtomicBool,
    /// Lets the keeper look.
    look: Arc<Notify>,
    figures: Arc<StoreFigures>,
}

impl Outcomes {
    pub(super) fn new(
        control: Pool,
        patience: Duration,
        look: Arc<Notify>,
        figures: Arc<StoreFigures>,
    ) -> Arc<Self> {
        let (unresolved, _) = watch::channel(0);
        Arc::new(Self { control, patience, unresolved, has_resolved: AtomicBool::new(false), look, figures })
    }

    /// Closes the connection of its own.
    pub(super) fn close(&self) {
        self.control.close();
    }

    /// Whether a process with an unknown outcome has ended since this was asked before.
    pub(super) fn take_resolved(&self) -> bool {
        self.has_resolved.swap(false, Ordering::AcqRel)
    }

    /// Waits until no server process may still commit something unknown, `limit` at most; false where one still may.
    pub(super) async fn all_known(&self, limit: Duration) -> bool {
        let mut unresolved = self.unresolved.subscribe();
        if *unresolved.borrow() == 0 {
            return true;
        }
        tokio::time::timeout(limit, unresolved.wait_for(|count| *count == 0)).await.is_ok()
    }

    /// Does something on the connection to this server process, and knows what became of it: `Failed::Unknown` is the
    /// only result after which it may still be done. After `patience` it is cancelled, and that is awaited.
    pub(super) async fn of<T>(
        &self,
        backend: Option<BackendId>,
        patience: Duration,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = tokio::time::timeout(patience, &mut work).await {
            return done.map_err(Failed::with_doubt);
        }
        let blocker = match self.ask(CANCEL, backend).await {
            Ok(Process::Told { blocker }) => blocker,
            Ok(Process::Ended) => None,
            Ok(Process::AwaitsStandby) | Err(_) => return Err(Failed::unanswered()),
        };
        match tokio::time::timeout(CONFIRM_WITHIN, work).await {
            // The cancellation came too late. The commit may have been on its way to a standby when it came.
            Ok(Ok(done)) => match self.barrier().await {
                Ok(()) => Ok(done),
                Err(_) => Err(Failed::unanswered()),
            },
            Ok(Err(failed)) if failed.was_cancelled() => {
                Err(blocker.map_or(Failed::TooSlow, Failed::Blocked))
            }
            Ok(Err(failed)) => Err(failed.with_doubt()),
            Err(_elapsed) => Err(Failed::unanswered()),
        }
    }

    /// Makes sure that everything that was committed so far is durable, on the standbys that commits wait for as well.
    pub(super) async fn barrier(&self) -> Result<(), Failed> {
        let within = async {
            let client = self.control.get().await?;
            client.execute(BARRIER, &[]).await?;
            Ok(())
        };
        self.in_control(within).await
    }

    /// Ends a server process in the background. Until it has ended, [`Self::all_known`] waits.
    pub(super) fn resolve(self: &Arc<Self>, backend: Option<BackendId>) {
        self.figures.unknown_outcomes.fetch_add(1, Ordering::Relaxed);
        self.unresolved.send_modify(|count| *count += 1);
        let outcomes = Arc::clone(self);
        tokio::spawn(async move {
            outcomes.until_ended(backend).await;
            outcomes.has_resolved.store(true, Ordering::Release);
            outcomes.unresolved.send_modify(|count| *count = count.saturating_sub(1));
            outcomes.look.notify_one();
        });
    }

    async fn until_ended(&self, backend: Option<BackendId>) {
        let (mut pause, longest) = PAUSES;
        let began = Instant::now();
        let mut logged_at = began;
        while !self.control.is_closed() {
            match self.ask(TERMINATE, backend).await {
                Ok(Process::Ended) => return,
                Ok(Process::Told { .. } | Process::AwaitsStandby) => {}
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "asking about a backend failed")
                }
            }
            if logged_at.elapsed() >= LOG_EVERY {
                logged_at = Instant::now();
                let (pid, seconds) = (backend.map(|backend| backend.pid), began.elapsed().as_secs());
                tracing::warn!(
                    pid,
                    seconds,
                    "the outcome of a statement is still unknown; writes wait for it"
                );
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Says something to a server process, through the connection of its own.
    async fn ask(&self, query: &str, backend: Option<BackendId>) -> Result<Process, Failed> {
        // A connection that was never set up has not been given anything to do.
        let Some(BackendId { pid, started_us }) = backend else { return Ok(Process::Ended) };
        self.in_control(async {
            let client = self.control.get().await?;
            let statement = client.prepare_cached(query).await?;
            let row = client.query_opt(&statement, &[&pid, &started_us]).await?;
            Ok(match row {
                None => Process::Ended,
                Some(row) if row.get::<_, Option<bool>>(0) == Some(true) => Process::AwaitsStandby,
                Some(row) => Process::Told { blocker: row.get(1) },
            })
        })
        .await
    }

    async fn in_control<T>(&self, work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
        // A connection that is dropped in the middle goes back to the pool with its answer on the way; the next one who
        // takes it only waits for that.
        let limit = CONFIRM_WITHIN.min(self.patience);
        tokio::time::timeout(limit, work).await.unwrap_or(Err(Failed::TooSlow))
    }
}

/// What a question about a server process found.
enum Process {
    /// It is not there any more.
    Ended,
    /// It was told to cancel or to end. It waited for a lock that this one holds, if it waited for one.
    Told { blocker: Option<String> },
    /// It has committed, and waits for a standby.
    AwaitsStandby,
}

/// A connection that is in use. It goes back to the pool only once its last statement is known to have ended.
pub(super) struct Lent {
    client: Option<Object>,
    backend: Option<BackendId>,
    outcomes: Arc<Outcomes>,
    sessions: Arc<Sessions>,
}

impl Lent {
    pub(super) fn new(client: Object, outcomes: &Arc<Outcomes>, sessions: &Arc<Sessions>) -> Self {
        let backend = sessions.backend(&client);
        Self { client: Some(client), backend, outcomes: Arc::clone(outcomes), sessions: Arc::clone(sessions) }
    }

    /// The server's process behind it.
    pub(super) fn backend(&self) -> Option<BackendId> {
        self.backend
    }

    /// The connection itself.
    pub(super) fn client(&mut self) -> &mut Object {
        self.client.as_mut().expect("it is taken out by what ends this value")
    }

    /// Gives the connection back, by what became of the work on it. One whose work may still be going on is given up.
    pub(super) fn give_back<T>(mut self, done: &Result<T, Failed>) {
        let Some(client) = self.client.take() else { return };
        let Err(failed) = done else { return };
        if failed.is_read_only() {
            self.sessions.distrust();
        }
        if failed.is_unknown() {
            self.outcomes.resolve(self.backend);
        }
        if failed.is_unknown() || failed.makes_unfit() {
            drop(Object::take(client));
        }
    }
}

impl Drop for Lent {
    /// Whoever used it has left in the middle: its statement is ended before anyone else gets the connection.
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let (outcomes, backend) = (Arc::clone(&self.outcomes), self.backend);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let ended = async {
                client.simple_query("").await?;
                Ok::<(), Failed>(())
            };
            let patience = outcomes.patience;
            if outcomes.of(backend, patience, ended).await.is_err() {
                outcomes.resolve(backend);
                drop(Object::take(client));
            }
        });
    }
}
