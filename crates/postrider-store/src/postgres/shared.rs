//! What all parts of the store share: the pool, who this node is, and how long the database may take.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use futures_util::future::BoxFuture;
use tokio::sync::{MutexGuard, Notify};

use super::outcome_resolver::{Checkout, Effect, OutcomeResolver};
use super::rows::Failed;
use super::session::Sessions;
use crate::figures::StoreFigures;
use crate::model::News;
use crate::seal::Sealer;

/// The other nodes, as the last heartbeat found them.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    /// The place of this node among those alive, by number.
    pub(super) rank: i64,
    /// How many are alive.
    pub(super) alive: i64,
    /// Nodes that are not alive and may have left something behind. Whoever is gone never comes back.
    pub(super) gone: Arc<[i64]>,
}

/// What all parts share.
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) sessions: Arc<Sessions>,
    /// Finds out what became of statements whose answer did not come.
    pub(super) resolver: Arc<OutcomeResolver>,
    pub(super) sealer: Arc<Sealer>,
    /// How long one call to the database may take before its connection is given up.
    pub(super) patience: Duration,
    pub(super) figures: Arc<StoreFigures>,
    /// The number of this node; a new one whenever it was taken for dead.
    me: AtomicI64,
    /// Held while deliveries become this node's, whether new or taken over: so a read of its rows that sees one number
    /// has missed no lower one.
    numbering: tokio::sync::Mutex<()>,
    membership: Mutex<Membership>,
    /// Set once this node takes nothing over any more.
    is_leaving: AtomicBool,
    /// Until when nobody can have declared this node dead: milliseconds since `begun`.
    alive_until_ms: AtomicU64,
    begun: Instant,
    /// Lets the keeper look at once for what there is.
    pub(super) look: Arc<Notify>,
    /// Lets other nodes be notified.
    pub(super) wake: Notify,
    /// What the keeper has found and the engine has not asked for yet.
    news: Mutex<News>,
    /// Wakes who waits for news.
    pub(super) told: Notify,
}

impl Shared {
    pub(super) fn new(pools: Pools, sealer: Sealer, patience: Duration, me: i64) -> Self {
        let membership = Membership { rank: 0, alive: 1, gone: Arc::from([]) };
        let (look, figures) = (Arc::new(Notify::new()), Arc::new(StoreFigures::default()));
        let resolver = OutcomeResolver::new(pools.control, patience, Arc::clone(&look), Arc::clone(&figures));
        Self {
            pool: pools.work,
            sessions: pools.sessions,
            resolver,
            sealer: Arc::new(sealer),
            patience,
            figures,
            me: AtomicI64::new(me),
            numbering: tokio::sync::Mutex::new(()),
            membership: Mutex::new(membership),
            is_leaving: AtomicBool::new(false),
            alive_until_ms: AtomicU64::new(0),
            begun: Instant::now(),
            look,
            wake: Notify::new(),
            news: Mutex::new(News::default()),
            told: Notify::new(),
        }
    }

    pub(super) fn me(&self) -> i64 {
        self.me.load(Ordering::Acquire)
    }

    pub(super) fn become_node(&self, no: i64) {
        self.me.store(no, Ordering::Release);
    }

    /// From here on this node takes nothing over any more.
    pub(super) fn begin_to_leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// Notes that this node can't be declared dead before `until`.
    pub(super) fn lives_until(&self, until: Instant) {
        let ms = until.saturating_duration_since(self.begun).as_millis();
        self.alive_until_ms.store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Whether nobody can have declared this node dead.
    pub(super) fn is_surely_alive(&self) -> bool {
        self.begun.elapsed().as_millis() < u128::from(self.alive_until_ms.load(Ordering::Acquire))
    }

    /// Adds to the news and wakes who waits for them.
    pub(super) fn tell(&self, add: impl FnOnce(&mut News)) {
        add(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.told.notify_one();
    }

    /// Takes the news, once there are any.
    pub(super) async fn news(&self) -> News {
        loop {
            let news = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                return news;
            }
            self.told.notified().await;
        }
    }

    /// Holds the order of numbers, within the time that the database has for one call.
    pub(super) async fn numbering(&self) -> Result<MutexGuard<'_, ()>, Failed> {
        tokio::time::timeout(self.patience, self.numbering.lock()).await.or(Err(Failed::TooSlow))
    }

    pub(super) fn membership(&self) -> Membership {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_membership(&self, membership: Membership) {
        *self.membership.lock().unwrap_or_else(PoisonError::into_inner) = membership;
    }

    /// A node is gone, whatever the next heartbeat finds.
    pub(super) fn knows_gone(&self, no: i64) {
        let mut membership = self.membership.lock().unwrap_or_else(PoisonError::into_inner);
        membership.gone = membership.gone.iter().copied().chain([no]).collect();
    }

    /// A connection for work that changes something, once no statement of this node may still commit something of which it
    /// does not know.
    pub(super) async fn checkout(&self) -> Result<Checkout, Failed> {
        self.resolver.wait_until_resolved(self.patience).await?;
        self.checkout_for(Effect::Write).await
    }

    async fn checkout_for(&self, effect: Effect) -> Result<Checkout, Failed> {
        let client =
            tokio::time::timeout(self.patience, self.pool.get()).await.or(Err(Failed::TooSlow))??;
        Ok(Checkout::new(effect, client, &self.resolver, &self.sessions))
    }

    /// Does something with a connection, within the time that the database has for it, and finds out what became of it:
    /// only after [`Failed::Unknown`] it may be done all the same.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Failed>
    where
        F: for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, Failed>> + Send,
    {
        self.run_on(self.checkout().await?, self.patience, work).await
    }

    /// The same for work that only reads, and must see everything that this node has written.
    pub(super) async fn read_settled<T, F>(&self, work: F) -> Result<T, Failed>
    where
        F: for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, Failed>> + Send,
    {
        self.resolver.wait_until_resolved(self.patience).await?;
        self.harmless(self.patience, work).await
    }

    /// The same for work that only reads, or does no harm whenever it comes, and waits for nothing unknown.
    pub(super) async fn harmless<T, F>(&self, patience: Duration, work: F) -> Result<T, Failed>
    where
        F: for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, Failed>> + Send,
    {
        self.run_on(self.checkout_for(Effect::Harmless).await?, patience, work).await
    }

    async fn run_on<T, F>(&self, mut checkout: Checkout, patience: Duration, work: F) -> Result<T, Failed>
    where
        F: for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, Failed>> + Send,
    {
        let done = self.resolver.run(checkout.backend(), patience, work(checkout.client())).await;
        checkout.release(&done);
        done
    }

    /// Closes all connections.
    pub(super) fn close(&self) {
        self.pool.close();
        self.resolver.close();
    }
}

/// The connections of a node.
pub(super) struct Pools {
    /// For everything.
    pub(super) work: Pool,
    /// For questions about the others, so that they are never in each other's way.
    pub(super) control: Pool,
    /// What is known of all of them.
    pub(super) sessions: Arc<Sessions>,
}
