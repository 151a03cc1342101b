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
    options: SqliteOptions,
}

impl File {
    fn new() -> Self {
        Self::with(SqliteOptions::default())
    }

    fn with(options: SqliteOptions) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: MasterKey::generate(), options }
    }
}

#[async_trait]
impl Backend for File {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.folder.path().join("postrider.db");
        Arc::new(SqliteStore::open(&path, self.key.clone(), self.options.clone()).unwrap())
    }
}

postrider_store::store_conformance!(File::new());

/// The same where the lists of accounts and endpoints are never far behind the log: with the defaults none of the
/// suite's logs is long enough to be listed at all.
mod with_short_ends {
    use super::*;

    postrider_store::store_conformance!(File::with(SqliteOptions {
        list_after: 5,
        list_ready_after: 5,
        ..SqliteOptions::default()
    }));
}
