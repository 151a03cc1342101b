//! The suite of every store, run against PostgreSQL: a database of its own for each case.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

use std::sync::Arc;

use async_trait::async_trait;
use postrider_pgtemp::Cluster;
use postrider_store::Store;
use postrider_store::conformance::Backend;
use postrider_store::postgres::{PostgresOptions, PostgresStore};
use postrider_store::seal::MasterKey;

/// An empty database of the server that all cases share.
struct Database {
    url: String,
    key: MasterKey,
}

impl Database {
    fn new() -> Self {
        Self { url: Cluster::shared().database().unwrap(), key: MasterKey::generate() }
    }
}

#[async_trait]
impl Backend for Database {
    async fn open(&self) -> Arc<dyn Store> {
        let patience = std::time::Duration::from_secs(60);
        let options = PostgresOptions { connections: 4, patience, ..PostgresOptions::default() };
        Arc::new(PostgresStore::connect(&self.url, &self.key, options).await.unwrap())
    }
}

postrider_store::store_conformance!(Database::new());
