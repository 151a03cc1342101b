//! Metrics of the store's size and of everything in it that could grow unwatched. They name no table of a customer, and their
//! number is always the same.

use std::time::Duration;

use postrider_core::limits::{AUDIT_KEPT, IDEMPOTENCY_KEPT};
use postrider_core::time::Timestamp;
use postrider_store::model::{ServerState, StoreSize};

use super::{Metric, MetricKind};

const GAUGE: MetricKind = MetricKind::Gauge;

/// The metrics of a store of this size whose log is kept for `retention`.
pub(super) fn metrics(size: &StoreSize, now: Timestamp, retention: Duration) -> Vec<Metric> {
    let mut parts = vec![("database", size.database_bytes)];
    parts.extend(size.write_ahead_bytes.map(|bytes| ("write_ahead_log", bytes)));
    let mut metrics = vec![
        Metric::each("postrider_store_bytes", GAUGE, "How much room the store takes.", "part", &parts),
        Metric::age(
            "postrider_oldest_event_age_seconds",
            "How long ago the oldest event of the log was accepted; 0 where there is none.",
            size.oldest_event_at,
            now,
        ),
        Metric::ages(
            "postrider_store_oldest_row_age_seconds",
            "Age of the oldest row of each table that is pruned; 0 if it is empty.",
            "table",
            &[
                ("events", size.oldest_event_at),
                ("audit", size.oldest_audit_at),
                ("idempotency", size.oldest_idempotency_at),
            ],
            now,
        ),
        Metric::each(
            "postrider_store_retention_seconds",
            GAUGE,
            "Age at which rows of each table are pruned.",
            "table",
            &[
                ("events", retention.as_secs()),
                ("audit", AUDIT_KEPT.as_secs()),
                ("idempotency", IDEMPOTENCY_KEPT.as_secs()),
            ],
        ),
    ];
    metrics.extend(size.free_bytes.map(|free| {
        let help = "How much of the database is free, and used again before it grows.";
        Metric::one("postrider_store_free_bytes", GAUGE, help, free)
    }));
    metrics.extend(size.checkpoint_age.map(|age| {
        Metric::seconds(
            "postrider_store_checkpoint_age_seconds",
            "How long commits have waited in the write-ahead log for a complete checkpoint; 0 if none waits.",
            age,
        )
    }));
    metrics.extend(size.server.iter().flat_map(of_the_server));
    metrics
}

fn of_the_server(server: &ServerState) -> [Metric; 2] {
    [
        Metric::seconds(
            "postrider_store_oldest_transaction_age_seconds",
            "How long the oldest open transaction of any session in the database has been open; 0 if there is none.",
            server.oldest_transaction.as_ref().map_or(Duration::ZERO, |oldest| oldest.age),
        ),
        Metric::one(
            "postrider_store_dead_rows",
            GAUGE,
            "About how many deleted or superseded rows the tables hold until they are vacuumed.",
            server.dead_rows,
        ),
    ]
}
