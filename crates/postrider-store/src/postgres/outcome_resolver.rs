//! Resolves the outcome of statements that returned no result.
//!
//! A statement that timed out, or whose connection broke, may have committed, may have failed, or may still be running: the
//! lock that it waits for can be released minutes later, and then it commits. So a timeout proves nothing. The resolver
//! cancels the statement and waits for the cancellation to be confirmed. If that fails, it terminates the backend, and
//! until the backend is gone this node starts no other write. From then on everything that it committed is visible.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use tokio::sync::{Notify, watch};

use super::connect::chain;
use super::rows::Failed;
use super::session::{BackendId, Sessions};
use crate::figures::StoreFigures;

/// How long a statement that was cancelled has to say so, and how long one question about it may take.
const CONFIRM_WITHIN: Duration = Duration::from_secs(1);
/// The pauses between questions about a process that has not ended yet, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// What is said of a process that was told to end.
const NOT_ENDED: &str = "its server process has not ended yet";
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
/// Commits something that waits for no lock, so that everything that was committed before has reached the disk and the
/// standbys when it returns.
const BARRIER: &str = "SELECT pg_logical_emit_message(true, 'postrider', '')";

/// Resolves the outcome of statements.
pub(super) struct OutcomeResolver {
    /// A connection of its own, so that it is free when all others wait.
    control: Pool,
    patience: Duration,
    /// How many server processes may still commit something of which nobody here knows.
    unresolved: watch::Sender<usize>,
    /// What came of the last question about one of them: why it was not answered, or nothing.
    answered: watch::Sender<Option<String>>,
    /// Lets the next question be asked at once.
    ask_now: Notify,
    /// Set when one of them has ended: deliveries may be this node's without its knowledge.
    has_resolved: AtomicBool,
    /// Lets the keeper look.
    look: Arc<Notify>,
    figures: Arc<StoreFigures>,
}

impl OutcomeResolver {
    pub(super) fn new(
        control: Pool,
        patience: Duration,
        look: Arc<Notify>,
        figures: Arc<StoreFigures>,
    ) -> Arc<Self> {
        let (unresolved, _) = watch::channel(0);
        let (answered, _) = watch::channel(None);
        let (ask_now, has_resolved) = (Notify::new(), AtomicBool::new(false));
        Arc::new(Self { control, patience, unresolved, answered, ask_now, has_resolved, look, figures })
    }

    /// Closes the connection of its own.
    pub(super) fn close(&self) {
        self.control.close();
    }

    /// Whether a process with an unknown outcome has ended since this was asked before.
    pub(super) fn take_resolved(&self) -> bool {
        self.has_resolved.swap(false, Ordering::AcqRel)
    }

    /// Waits until no server process may still commit something unknown, `limit` at most; otherwise says why one still may.
    /// Where the server can't be asked at all, that is said as soon as it is known.
    pub(super) async fn wait_until_resolved(&self, limit: Duration) -> Result<(), Failed> {
        let mut unresolved = self.unresolved.subscribe();
        if *unresolved.borrow() == 0 {
            return Ok(());
        }
        let mut answered = self.answered.subscribe();
        self.ask_now.notify_waiters();
        let not_answered = async {
            loop {
                // The sender lives as long as this does.
                if answered.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                if let Some(why) = answered.borrow_and_update().clone() {
                    return why;
                }
            }
        };
        tokio::select! {
            _ended = unresolved.wait_for(|count| *count == 0) => Ok(()),
            why = not_answered => Err(Failed::Unresolved(why)),
            () = tokio::time::sleep(limit) => Err(Failed::Unresolved(NOT_ENDED.to_owned())),
        }
    }

    /// As if a statement's outcome were unknown for good.
    #[cfg(test)]
    pub(super) fn leave_one_unresolved(&self) {
        self.unresolved.send_modify(|count| *count += 1);
    }

    /// Connects, or makes sure that the connection still works, so that it is there when it is needed: then the server may
    /// have none to give.
    pub(super) fn keep_control_connected(self: &Arc<Self>) {
        let resolver = Arc::clone(self);
        tokio::spawn(async move { drop(resolver.control.get().await) });
    }

    /// Runs `work` on the connection to this backend and knows its outcome: only after `Failed::Unknown` may it still commit.
    /// Cancels it after `patience` and waits for the confirmation.
    pub(super) async fn run<T>(
        &self,
        backend: Option<BackendId>,
        patience: Duration,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = tokio::time::timeout(patience, &mut work).await {
            return done.map_err(Failed::or_unknown);
        }
        let blocker = match self.ask(CANCEL, backend, CONFIRM_WITHIN).await {
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
            Ok(Err(failed)) => Err(failed.or_unknown()),
            Err(_elapsed) => Err(Failed::unanswered()),
        }
    }

    /// Makes sure that everything that was committed so far is durable, on the standbys that commits wait for as well.
    pub(super) async fn barrier(&self) -> Result<(), Failed> {
        let client = self.control(CONFIRM_WITHIN).await?;
        let done = tokio::time::timeout(CONFIRM_WITHIN, client.execute(BARRIER, &[])).await;
        if done.is_err() {
            // It waits for a standby; the next question must not wait behind it.
            drop(Object::take(client));
        }
        done.or(Err(Failed::TooSlow))??;
        Ok(())
    }

    /// Ends a server process in the background. Until it has ended, [`Self::wait_until_resolved`] waits.
    pub(super) fn resolve(self: &Arc<Self>, backend: Option<BackendId>) {
        self.figures.unknown_outcomes.fetch_add(1, Ordering::Relaxed);
        self.unresolved.send_modify(|count| *count += 1);
        let resolver = Arc::clone(self);
        tokio::spawn(async move {
            resolver.until_ended(backend).await;
            resolver.has_resolved.store(true, Ordering::Release);
            resolver.unresolved.send_modify(|count| *count = count.saturating_sub(1));
            resolver.look.notify_one();
        });
    }

    /// Ends a server process in the background whose work can have changed nothing that matters.
    pub(super) fn terminate(self: &Arc<Self>, backend: Option<BackendId>) {
        let resolver = Arc::clone(self);
        tokio::spawn(async move { resolver.until_ended(backend).await });
    }

    async fn until_ended(&self, backend: Option<BackendId>) {
        let (mut pause, longest) = PAUSES;
        let began = Instant::now();
        let mut logged_at = began;
        while !self.control.is_closed() {
            let asked = self.ask(TERMINATE, backend, self.patience).await;
            let why = match &asked {
                Ok(Process::Ended | Process::Told { .. }) => None,
                Ok(Process::AwaitsStandby) => Some("it has committed, and waits for a standby".to_owned()),
                Err(error) => Some(chain(error)),
            };
            if matches!(asked, Ok(Process::Ended)) {
                return;
            }
            self.answered.send_replace(why.clone());
            if logged_at.elapsed() >= LOG_EVERY {
                logged_at = Instant::now();
                let (pid, seconds) = (backend.map(|backend| backend.pid), began.elapsed().as_secs());
                let why = why.as_deref().unwrap_or(NOT_ENDED);
                tracing::warn!(
                    pid,
                    seconds,
                    why,
                    "outcome of a statement is still unknown; writes wait for it"
                );
            }
            // Whichever comes first.
            drop(tokio::time::timeout(pause, self.ask_now.notified()).await);
            pause = (pause * 2).min(longest);
        }
    }

    /// Says something to a server process, through the connection of its own, which may take so long to make.
    async fn ask(
        &self,
        query: &str,
        backend: Option<BackendId>,
        connect_within: Duration,
    ) -> Result<Process, Failed> {
        // A connection that was never set up has not been given anything to do.
        let Some(BackendId { pid, started_us }) = backend else { return Ok(Process::Ended) };
        let client = self.control(connect_within).await?;
        let asking = async {
            let statement = client.prepare_cached(query).await?;
            let row = client.query_opt(&statement, &[&pid, &started_us]).await?;
            Ok(match row {
                None => Process::Ended,
                Some(row) if row.get::<_, Option<bool>>(0) == Some(true) => Process::AwaitsStandby,
                Some(row) => Process::Told { blocker: row.get(1) },
            })
        };
        let asked = tokio::time::timeout(CONFIRM_WITHIN, asking).await;
        if asked.is_err() {
            drop(Object::take(client));
        }
        asked.unwrap_or(Err(Failed::TooSlow))
    }

    /// The connection of its own. To make it may take longer than the caller waits; it goes on and is there for the next.
    async fn control(&self, within: Duration) -> Result<Object, Failed> {
        let control = self.control.clone();
        let getting = tokio::spawn(async move { control.get().await });
        match tokio::time::timeout(within, getting).await {
            Ok(Ok(got)) => Ok(got?),
            Ok(Err(_)) | Err(_) => Err(Failed::TooSlow),
        }
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

/// What work does to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It changes something that this node must know of.
    Write,
    /// It changes nothing, or what does no harm whenever it comes: a heartbeat.
    Harmless,
}

/// A pooled connection in use. It returns to the pool only after its last statement has ended.
pub(super) struct Checkout {
    effect: Effect,
    client: Option<Object>,
    backend: Option<BackendId>,
    resolver: Arc<OutcomeResolver>,
    sessions: Arc<Sessions>,
}

impl Checkout {
    pub(super) fn new(
        effect: Effect,
        client: Object,
        resolver: &Arc<OutcomeResolver>,
        sessions: &Arc<Sessions>,
    ) -> Self {
        let backend = sessions.backend(&client);
        let (resolver, sessions) = (Arc::clone(resolver), Arc::clone(sessions));
        Self { effect, client: Some(client), backend, resolver, sessions }
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
    pub(super) fn release<T>(mut self, done: &Result<T, Failed>) {
        let Some(client) = self.client.take() else { return };
        let Err(failed) = done else { return };
        if failed.is_read_only() {
            self.sessions.recheck_all();
        }
        match self.effect {
            Effect::Write if failed.is_unknown() => self.resolver.resolve(self.backend),
            Effect::Harmless if failed.is_unknown() => self.resolver.terminate(self.backend),
            _ => {}
        }
        if failed.is_unknown() || failed.makes_unfit() {
            drop(Object::take(client));
        }
    }
}

impl Drop for Checkout {
    /// Whoever used it has left in the middle: its statement is ended before anyone else gets the connection.
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let (resolver, backend, effect) = (Arc::clone(&self.resolver), self.backend, self.effect);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let ended = async {
                client.simple_query("").await?;
                Ok::<(), Failed>(())
            };
            let patience = resolver.patience;
            if resolver.run(backend, patience, ended).await.is_err() {
                match effect {
                    Effect::Write => resolver.resolve(backend),
                    Effect::Harmless => resolver.terminate(backend),
                }
                drop(Object::take(client));
            }
        });
    }
}
