//! How much room a store takes, and how far back its log goes.

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
