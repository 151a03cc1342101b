//! What holds between nodes, told with several stores on one database.

mod configuration;
mod failover;
mod fencing;
mod once;
mod outages;
mod outcomes;
mod pages;
mod plans;
mod poolers;
mod sealing;
mod sharing;
mod sockets;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postrider_pgtemp::Cluster;

use super::{PostgresOptions, PostgresStore};
use crate::Store;
use crate::conformance::Backend;
use crate::conformance::world::{Lane, World};
use crate::model::News;
use crate::seal::MasterKey;

/// A lapse that no test waits for.
const NEVER: Duration = Duration::from_secs(600);
/// One that tests wait for, and that a busy machine does not miss.
const SOON: Duration = Duration::from_millis(1_500);

/// An empty database and the key that its nodes share.
struct Database {
    url: String,
    key: MasterKey,
}

impl Database {
    fn new() -> Self {
        Self { url: Cluster::shared().database().unwrap(), key: MasterKey::generate() }
    }

    /// A node of its own.
    async fn node(&self, lapse: Duration) -> Arc<PostgresStore> {
        self.node_at(&self.url, lapse).await
    }

    /// A node that reaches the database another way.
    async fn node_at(&self, url: &str, lapse: Duration) -> Arc<PostgresStore> {
        // Where no test is about it, nothing is given up on a busy machine.
        let patience = if lapse == NEVER { Duration::from_secs(60) } else { lapse };
        self.node_of_patience(url, lapse, patience).await
    }

    /// A node that waits so long for its database.
    async fn node_of_patience(&self, url: &str, lapse: Duration, patience: Duration) -> Arc<PostgresStore> {
        let options = PostgresOptions { connections: 4, lapse, patience, ..PostgresOptions::default() };
        Arc::new(PostgresStore::connect(url, &self.key, options).await.unwrap())
    }

    /// Statements run by the superuser.
    fn sql(&self, statements: &str) -> String {
        let name = self.url.rsplit('/').next().unwrap();
        Cluster::shared().sql(name, statements).unwrap().trim().to_owned()
    }

    /// Makes a node look as if it had not been heard of for an hour.
    fn age(&self, store: &PostgresStore) {
        let no = store.shared.me();
        self.sql(&format!("UPDATE nodes SET beat_at = beat_at - interval '1 hour' WHERE no = {no}"));
    }

    /// Declares a node dead.
    fn bury(&self, store: &PostgresStore) {
        let no = store.shared.me();
        self.sql(&format!("UPDATE nodes SET state = 'dead' WHERE no = {no}"));
    }
}

#[async_trait]
impl Backend for Database {
    async fn open(&self) -> Arc<dyn Store> {
        self.node(NEVER).await
    }
}

/// What is made and handed in through a node.
fn world<'b>(database: &'b Database, node: &Arc<PostgresStore>) -> World<'b> {
    World::on(database, Arc::clone(node) as Arc<dyn Store>)
}

/// Waits for news of a kind.
async fn hear(store: &PostgresStore, is_it: impl Fn(&News) -> bool) -> News {
    let hearing = async {
        loop {
            let news = store.news().await;
            if is_it(&news) {
                return news;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), hearing).await.expect("news of this kind come")
}

/// Waits until something holds of the database.
async fn until(what: impl AsyncFn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    // A look blocks the runtime while `psql` runs: whatever it waits for must get its turn after each.
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let holds = async {
        while !what().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), holds).await.expect("it comes to hold");
}
