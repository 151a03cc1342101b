//! The store for several nodes: a PostgreSQL database.
//!
//! Events are accepted and outcomes recorded in groups, each group in one statement that the server runs to its end by
//! itself: a node that freezes in the middle holds no lock. Everything else is a short transaction of its own.

mod accept;
mod account_keys;
mod attempts;
mod audit;
mod batches;
mod binding;
mod calls;
mod cancelling;
mod clock;
mod configuration;
mod connect;
mod connector;
mod endpoints;
mod event_types;
mod examine;
mod keeper;
mod kept;
mod listener;
mod listing;
mod lists;
mod lost_accept;
mod migrations;
mod nodes;
mod outcome_resolver;
mod pages;
mod pending;
mod portal_links;
mod readiness;
mod record;
mod replaying;
mod replays;
mod retention;
mod rows;
mod session;
mod shared;
mod size;
mod span;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod wake;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use self::batches::AcceptJob;
pub use self::connect::ConnectError;
pub use self::examine::Examined;
use self::keeper::Keeper;
pub use self::migrations::Migrated;
use self::shared::Shared;
use crate::accept_queue::{AcceptQueue, Size};
use crate::seal::MasterKey;

/// How a store is run. The defaults fit a service on a machine of its own.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Connections to the database, at most.
    pub connections: usize,
    /// How many rows (events and deliveries) may wait to be accepted; more are refused.
    pub accept_queue_rows: usize,
    /// How many bytes of payload may wait to be accepted.
    pub accept_queue_bytes: usize,
    /// How long a caller waits for a connection, a connection for the server, and a call for its answer.
    pub patience: Duration,
    /// What people call this node, beside its number.
    pub node_name: String,
    /// How long a node may not be heard of before others take over what is its own. It says six times as often that it
    /// lives.
    pub lapse: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            accept_queue_rows: 8_192,
            accept_queue_bytes: 32 * 1024 * 1024,
            patience: Duration::from_secs(5),
            node_name: format!("postrider-{}", std::process::id()),
            lapse: Duration::from_secs(6),
        }
    }
}

/// A store in a PostgreSQL database. Each one is a node of its own.
pub struct PostgresStore {
    shared: Arc<Shared>,
    accepts: mpsc::UnboundedSender<()>,
    /// Events that wait for their group, by account.
    accept_queue: Arc<Mutex<AcceptQueue<AcceptJob>>>,
    /// Rows that may still wait to be accepted …
    accept_rows: Arc<Semaphore>,
    /// … and KiB of their payloads.
    accept_kib: Arc<Semaphore>,
    limits: (u32, u32),
    /// The keeper and the listener; they end with this.
    tasks: [AbortHandle; 2],
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

impl PostgresStore {
    /// Connects to the database that `url` names (`postgres://user:password@host:port/database`), makes its tables
    /// where there are none, brings their schema up to date, and joins as a new node.
    pub async fn connect(url: &str, key: &MasterKey, options: PostgresOptions) -> Result<Self, ConnectError> {
        let connector = connect::connector(url, &options)?;
        connect::check_pooling(&connector).await?;
        let pools = connect::pools(&connector, &options)?;
        connect::migrate(&pools.work).await?;
        let sealer = connect::check_key(&pools.work, key).await?;
        // Before the configuration is loaded for the first time: nothing that changes after that is missed.
        let version = configuration::version(&pools.work.get().await?).await?;
        let me = nodes::join(&pools.work, &options.node_name).await?;
        let shared = Arc::new(Shared::new(pools, sealer, options.patience, me));
        nodes::beat(&shared, options.lapse).await?;
        let (accepts, accept_jobs) = mpsc::unbounded_channel();
        let limits = Size { rows: options.accept_queue_rows, bytes: options.accept_queue_bytes };
        let accept_queue = Arc::new(Mutex::new(AcceptQueue::new(limits)));
        tokio::spawn(batches::accepting(Arc::clone(&shared), Arc::clone(&accept_queue), accept_jobs));
        let keeper = Keeper::new(Arc::clone(&shared), options.node_name, options.lapse, version);
        let tasks = [
            tokio::spawn(keeper.run()).abort_handle(),
            tokio::spawn(listener::run(Arc::clone(&shared), connector)).abort_handle(),
        ];
        let limit = |limit: usize| u32::try_from(limit.max(1)).unwrap_or(u32::MAX);
        let limits = (limit(options.accept_queue_rows), limit(options.accept_queue_bytes / 1024));
        Ok(Self {
            shared,
            accepts,
            accept_queue,
            accept_rows: Arc::new(Semaphore::new(options.accept_queue_rows.max(1))),
            accept_kib: Arc::new(Semaphore::new((options.accept_queue_bytes / 1024).max(1))),
            limits,
            tasks,
        })
    }

    /// Closes the store, and says that this node leaves.
    async fn leave(&self) {
        if self.shared.pool.is_closed() {
            return;
        }
        // Nothing new comes in, and what was handed in is still committed.
        self.accept_rows.close();
        if let Ok(drained) = Arc::clone(&self.accept_kib).acquire_many_owned(self.limits.1).await {
            drop(drained);
        }
        self.accept_kib.close();
        self.end_tasks();
        if let Err(error) = nodes::leave(&self.shared).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "this node could not say that it leaves; others will notice");
        }
        self.shared.close();
    }

    fn end_tasks(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }

    /// Brings the schema of the database that `url` names up to date. Needs no key, since what is sealed stays as it is.
    pub async fn migrate(url: &str) -> Result<Migrated, ConnectError> {
        let options = PostgresOptions::default();
        let connector = connect::connector(url, &options)?;
        connect::check_pooling(&connector).await?;
        connect::migrate(&connect::pools(&connector, &options)?.work).await
    }
}
