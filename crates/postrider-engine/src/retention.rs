//! Retention: lets go of what is older than the log is kept, and tells what that took away and how much room is used.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use postrider_store::model::{Pruned, StoreSize};

use crate::config::{PRUNE_EVERY, PRUNE_PAUSE, PRUNE_SLICE};
use crate::{Engine, EngineError, Inner, growth};

/// How much room the store takes, and how its log is kept short.
#[derive(Debug, Clone)]
pub struct Storage {
    /// How much room the store takes and how far back its log goes.
    pub size: StoreSize,
    /// How long what has ended is kept.
    pub retention: Duration,
    /// How this node's pruning stands.
    pub prunings: Prunings,
}

/// How pruning stands, as this node does it. Others that serve from the same store do it as well, in turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prunings {
    /// Since when it is at it; none while it rests.
    pub running_since: Option<Timestamp>,
    /// What the last one came to, since the start.
    pub last: Option<Pruning>,
    /// When the next one begins; none while it is at it.
    pub next_at: Option<Timestamp>,
}

/// What one pruning came to.
#[derive(Debug, Clone, Copy)]
pub struct Pruning {
    /// When it ended.
    pub ended_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What it took away.
    pub gone: Gone,
    /// Whether it came to its end; where it did not, the store failed or the clock is in doubt, and the next one goes on.
    pub is_whole: bool,
}

/// What pruning took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gone {
    /// Events with their deliveries and attempts, one by one.
    pub events: u64,
    /// Whole parts of the log, where the store has such.
    pub pages: u64,
    /// Replays that had ended.
    pub replays: u64,
    /// Deliveries that were held for so long that they were cancelled.
    pub cancelled: u64,
}

impl Gone {
    fn add(&mut self, pruned: &Pruned) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.events += count(pruned.deleted_events);
        self.pages += count(pruned.dropped_pages);
        self.replays += count(pruned.deleted_replays);
        self.cancelled += pruned.cancelled.iter().map(|(_, count)| count).sum::<u64>();
    }
}

impl Engine {
    /// How much room the store takes, and how its log is kept short. Costs the store a few looks, however long the log is.
    pub async fn storage(&self) -> Result<Storage, EngineError> {
        let size = self.0.store.size().await?;
        Ok(Storage { size, retention: self.0.config.retention, prunings: *self.0.prunings() })
    }
}

impl Inner {
    fn prunings(&self) -> MutexGuard<'_, Prunings> {
        self.prunings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of what is older than the retention, in slices with pauses.
pub(crate) async fn prune(inner: Arc<Inner>) {
    loop {
        let began_at = inner.now();
        let last = inner.prunings().last;
        *inner.prunings() = Prunings { running_since: Some(began_at), next_at: None, last };
        let mut gone = Gone::default();
        let done = let_go(&inner, &mut gone).await;
        if let Err(error) = &done {
            tracing::error!(error = error as &dyn std::error::Error, "the log could not be pruned");
        }
        let ended_at = inner.now();
        let last = Pruning {
            ended_at,
            took: ended_at.since(began_at),
            gone,
            is_whole: done.is_ok_and(|whole| whole),
        };
        if let Err(error) = growth::report(&inner).await {
            tracing::error!(error = &error as &dyn std::error::Error, "failed to read the store's size");
        }
        let next_at = Some(inner.now().plus(PRUNE_EVERY));
        *inner.prunings() = Prunings { running_since: None, last: Some(last), next_at };
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// Lets go of everything that is old enough. Nothing where the clock can't be trusted, or it is not known whether it can.
async fn let_go(inner: &Arc<Inner>, gone: &mut Gone) -> Result<bool, StoreError> {
    if !inner.observe_clock().await? {
        return Ok(false);
    }
    let done = prune_all(inner, gone).await;
    if let Err(error) = inner.forget_answers().await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "failed to delete expired idempotency records"
        );
    }
    if let Err(error) = inner.forget_audit().await {
        tracing::error!(error = &error as &dyn std::error::Error, "failed to prune the audit log");
    }
    done.map(|()| true)
}

async fn prune_all(inner: &Arc<Inner>, gone: &mut Gone) -> Result<(), StoreError> {
    let now = inner.now();
    let before = now.minus(inner.config.retention);
    let mut after = Some(0);
    while let Some(from) = after {
        let pruned = inner.store.prune(before, from, now, PRUNE_SLICE).await?;
        gone.add(&pruned);
        // A full slice of held deliveries or of replays may not have been the last.
        let may_be_more = !pruned.cancelled.is_empty() || pruned.deleted_replays >= PRUNE_SLICE;
        for (no, count) in pruned.cancelled {
            inner.lanes().dropped(no, count);
        }
        after = pruned.next.or_else(|| may_be_more.then_some(from));
        tokio::time::sleep(PRUNE_PAUSE).await;
    }
    Ok(())
}
