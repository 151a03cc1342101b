//! `postrider migrate`: brings the store's schema up to date, and says from where to where.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use postrider_store::postgres::PostgresStore;
use postrider_store::sqlite::{PathState, SqliteStore};

use crate::cli::MigrateArgs;
use crate::store_url::{self, StoreUrl};
use crate::terminal::{GOOD, paint, say};

/// Migrates.
pub(crate) fn run(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let read = args.store.parse();
    let store: StoreUrl = read.map_err(|_no_store| {
        anyhow!("--store is {:?}; it must be {}", store_url::masked(&args.store), store_url::RIGHT)
    })?;
    let (from, to) = match &store {
        StoreUrl::Sqlite(path) => {
            if SqliteStore::check_path(path)? == PathState::New && !path.exists() {
                bail!("there is no store at {}; postrider serve makes one", path.display());
            }
            let migrated = SqliteStore::migrate(path)?;
            (migrated.from, migrated.to)
        }
        StoreUrl::Postgres(url) => {
            let runtime = tokio::runtime::Runtime::new().context("the runtime can't start")?;
            let migrated =
                runtime.block_on(PostgresStore::migrate(url)).with_context(|| store.to_string())?;
            (migrated.from, migrated.to)
        }
    };
    if from == to {
        say(format!("{} {store} is up to date (schema version {to})", paint(GOOD, "✓")));
    } else {
        say(format!("{} {store}: schema version {from} → {to}", paint(GOOD, "✓")));
    }
    Ok(ExitCode::SUCCESS)
}
