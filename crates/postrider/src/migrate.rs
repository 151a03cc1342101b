//! `postrider migrate`: brings the store's schema up to date, and says from where to where.

use std::process::ExitCode;

use anyhow::bail;
use postrider_store::sqlite::SqliteStore;

use crate::cli::MigrateArgs;
use crate::config::layers::{Layered, Source};
use crate::config::sqlite_path;
use crate::terminal::{GOOD, paint, say};

/// Migrates.
pub(crate) fn run(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let path = sqlite_path(&Layered { text: args.store.clone(), source: Source::Flag })?;
    if !path.exists() {
        bail!("there is no store at {}; postrider serve makes one", path.display());
    }
    let migrated = SqliteStore::migrate(&path)?;
    let shown = path.display();
    if migrated.from == migrated.to {
        say(format!("{} {shown} is up to date (schema version {})", paint(GOOD, "✓"), migrated.to));
    } else {
        say(format!("{} {shown}: schema version {} → {}", paint(GOOD, "✓"), migrated.from, migrated.to));
    }
    Ok(ExitCode::SUCCESS)
}
