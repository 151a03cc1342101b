//! The suite of every store, run against SQLite in a temporary folder.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

use std::sync::Arc;

use async_trait::async_trait;
use postrider_store::Store;
use postrider_store::conformance::Backend;
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

/// A file in a folder of its own, gone with the test.
struct File {
    folder: TempDir,
    key: MasterKey,
}

impl File {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: MasterKey::generate() }
    }
}

#[async_trait]
impl Backend for File {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.folder.path().join("postrider.db");
        Arc::new(SqliteStore::open(&path, self.key.clone(), SqliteOptions::default()).unwrap())
    }
}

postrider_store::store_conformance!(File::new());
