//! Versioned migrations: each is one file and runs in one transaction together with its version number.
//!
//! A released file is never edited; a change of the schema is a new file at the end of the list.

use rusqlite::Connection;

/// Every migration, in order: the first makes version 1.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_late_lists.sql"),
    include_str!("migrations/0003_replays.sql"),
    include_str!("migrations/0004_attempts_ended.sql"),
    include_str!("migrations/0005_filters.sql"),
    include_str!("migrations/0006_secret_rotation.sql"),
    include_str!("migrations/0007_key_uses.sql"),
    include_str!("migrations/0008_portal_links.sql"),
    include_str!("migrations/0009_kept_answers.sql"),
    include_str!("migrations/0010_audit.sql"),
    include_str!("migrations/0011_slim_ready.sql"),
    include_str!("migrations/0012_ready_behind.sql"),
    include_str!("migrations/0013_event_types.sql"),
    include_str!("migrations/0014_header_names.sql"),
];

/// The version that the newest migration makes.
pub(super) const NEWEST: i64 = 14;

const _: () = assert!(MIGRATIONS.len() == NEWEST.unsigned_abs() as usize, "the list and its number agree");

/// What opening a file did to its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version found; 0 for a new file.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

/// Brings the schema from `version` to the newest. What fails leaves the version before it.
pub(super) fn run(connection: &Connection, version: i64, application_id: i64) -> rusqlite::Result<Migrated> {
    let done = usize::try_from(version).unwrap_or(0);
    for (sql, to) in MIGRATIONS.iter().zip(1_i64..).skip(done) {
        let transaction =
            rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", application_id)?;
        transaction.pragma_update(None, "user_version", to)?;
        transaction.commit()?;
        tracing::info!(version = to, "migrated the store");
    }
    if done == MIGRATIONS.len() {
        // Nothing was written, so a lock held by another program would go unnoticed until the first event.
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
    }
    Ok(Migrated { from: version, to: NEWEST })
}
