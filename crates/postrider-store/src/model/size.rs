//! How much room a store takes, and how far back its log goes.

use std::time::Duration;

use postrider_core::time::Timestamp;

/// How much room a store takes and how far back its log goes, as far as the database knows it without walking a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreSize {
    /// The database on the disk, in bytes: its file, or all its tables with their indexes.
    pub database_bytes: u64,
    /// The write-ahead log, in bytes, where it is a file beside the database.
    pub write_ahead_bytes: Option<u64>,
    /// How much of the database is free, in bytes, and is used again before it grows; none where that is not known.
    pub free_bytes: Option<u64>,
    /// The largest tables with their indexes, the largest first; empty where the database keeps no figures of them.
    pub tables: Vec<TableSize>,
    /// When the oldest event of the log was accepted; none where there is no event.
    pub oldest_event_at: Option<Timestamp>,
    /// About how many rows the log has.
    pub about: AboutRows,
    /// When the oldest entry of the audit log was written; `None` if there is none.
    pub oldest_audit_at: Option<Timestamp>,
    /// When the oldest response to a request with an idempotency key was stored; `None` if there is none.
    pub oldest_idempotency_at: Option<Timestamp>,
    /// How long the oldest commit that only the write-ahead log holds has waited for a complete checkpoint, zero if every
    /// commit is in the database; `None` if the store has no checkpoints of its own.
    pub checkpoint_age: Option<Duration>,
    /// What only a database server has; `None` if the store is no server.
    pub server: Option<ServerState>,
}

/// What makes the tables of a database server grow although rows are deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerState {
    /// The transaction of any session in this database that has been open for longest, prepared ones included; `None` if
    /// there is none that this user may see.
    pub oldest_transaction: Option<OldTransaction>,
    /// About how many deleted or superseded rows the tables hold.
    pub dead_rows: u64,
}

/// An open transaction. Vacuum keeps every row that was deleted since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldTransaction {
    /// How long it has been open.
    pub age: Duration,
    /// Who holds it: the process at the server with its application and user, or the name of a prepared transaction.
    pub holder: String,
}

/// About how many rows the log has, each none where the database keeps no estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AboutRows {
    /// Events.
    pub events: Option<u64>,
    /// Deliveries.
    pub deliveries: Option<u64>,
    /// Attempts.
    pub attempts: Option<u64>,
}

/// A table, or a partition of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// Its name in the database.
    pub name: String,
    /// What it takes with its indexes, in bytes.
    pub bytes: u64,
}
