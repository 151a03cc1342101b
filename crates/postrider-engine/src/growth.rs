//! Warns of what makes the store grow although it is pruned: rows that outlive their retention, and a transaction of whatever
//! program that keeps a database server from reusing their room. Changes nothing.

use std::time::Duration;

use postrider_core::limits::{AUDIT_KEPT, IDEMPOTENCY_KEPT};
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use postrider_store::model::{OldTransaction, StoreSize};

use crate::Inner;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Events outlive the retention by the time for which their last delivery is tried or held.
const EVENTS_TOLERANCE: Duration = Duration::from_secs(7 * 24 * 3600);
/// A transaction that is open for longer than this is worth a line; ours take seconds.
const OLD_TRANSACTION: Duration = Duration::from_secs(900);

/// Asks the store once, and logs what grows. Called after each pruning, so a lasting cause is logged every ten minutes.
pub(crate) async fn report(inner: &Inner) -> Result<(), StoreError> {
    let size = inner.store.size().await?;
    for (table, age, retention) in lagging(&size, inner.now(), inner.config.retention) {
        tracing::warn!(table, ?age, ?retention, "pruning lags; rows outlive their retention");
    }
    if let Some(OldTransaction { age, holder }) = old_transaction(&size) {
        tracing::warn!(
            ?age,
            holder,
            "a transaction has been open for long; deleted rows take room until it ends"
        );
    }
    Ok(())
}

/// The tables whose oldest row is older than it should be, with its age and the retention.
fn lagging(size: &StoreSize, now: Timestamp, retention: Duration) -> Vec<(&'static str, Duration, Duration)> {
    let tables = [
        ("events", size.oldest_event_at, retention, EVENTS_TOLERANCE),
        ("audit", size.oldest_audit_at, AUDIT_KEPT, DAY),
        ("idempotency", size.oldest_idempotency_at, IDEMPOTENCY_KEPT, DAY),
    ];
    let lags = |(table, oldest, retention, tolerance): (_, Option<Timestamp>, Duration, Duration)| {
        let age = now.since(oldest?);
        (age > retention + tolerance).then_some((table, age, retention))
    };
    tables.into_iter().filter_map(lags).collect()
}

fn old_transaction(size: &StoreSize) -> Option<&OldTransaction> {
    size.server.as_ref()?.oldest_transaction.as_ref().filter(|oldest| oldest.age > OLD_TRANSACTION)
}

#[cfg(test)]
mod tests {
    use postrider_store::model::ServerState;

    use super::*;

    #[test]
    fn only_rows_that_outlive_their_retention_by_more_than_the_tolerance_lag() {
        let now = Timestamp::from_ms(100_000_000_000);
        let ago = |days: u32| Some(now.minus(DAY * days));
        let size = |events, audit, idempotency| StoreSize {
            oldest_event_at: ago(events),
            oldest_audit_at: ago(audit),
            oldest_idempotency_at: ago(idempotency),
            ..StoreSize::default()
        };
        let names = |size: &StoreSize| -> Vec<&str> {
            lagging(size, now, DAY * 30).into_iter().map(|(table, ..)| table).collect()
        };
        assert_eq!(names(&StoreSize::default()), [""; 0]);
        assert_eq!(names(&size(36, 400, 1)), [""; 0]);
        assert_eq!(names(&size(38, 402, 3)), ["events", "audit", "idempotency"]);
    }

    #[test]
    fn a_transaction_is_old_after_a_quarter_of_an_hour() {
        let size = |seconds| {
            let oldest = OldTransaction { age: Duration::from_secs(seconds), holder: "pid 7".to_owned() };
            let server = ServerState { oldest_transaction: Some(oldest), dead_rows: 0 };
            StoreSize { server: Some(server), ..StoreSize::default() }
        };
        assert_eq!(old_transaction(&size(900)), None);
        assert!(old_transaction(&size(901)).is_some_and(|oldest| oldest.holder == "pid 7"));
        assert_eq!(old_transaction(&StoreSize::default()), None);
    }
}
