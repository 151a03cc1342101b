//! How much room the database takes: what the server keeps of its own files, and its estimates of rows. Nothing is counted.

mod growth;

use std::collections::HashMap;

use deadpool_postgres::Object;

use super::rows::{Failed, time, to_i64};
use crate::model::{AboutRows, StoreSize, TableSize};

/// How many tables are told by their names, the largest ones; the pages of the log are tables of their own.
const TOLD_TABLES: usize = 8;

/// The largest tables of this schema. One that is dropped at this moment has no size any more.
const LARGEST: &str = "SELECT relname::text, bytes FROM (
        SELECT c.relname, pg_total_relation_size(c.oid) AS bytes FROM pg_class c
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
    ) sized WHERE bytes IS NOT NULL ORDER BY bytes DESC, relname LIMIT $1";
/// The server's estimates for the pages of the log. Before a page was analysed for the first time it has none.
const ABOUT: &str = "SELECT parent.relname::text,
        (sum(page.reltuples) FILTER (WHERE page.reltuples >= 0))::double precision
    FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class page ON page.oid = inhrelid
    WHERE parent.relkind = 'p' AND parent.relnamespace = current_schema()::regnamespace
    GROUP BY parent.relname";

pub(super) async fn read(client: &mut Object) -> Result<StoreSize, Failed> {
    let whole = client.query_one("SELECT pg_database_size(current_database())", &[]).await?;
    let tables = client.query(LARGEST, &[&to_i64(TOLD_TABLES)]).await?;
    let oldest = client.query_opt("SELECT created_at FROM events ORDER BY seq LIMIT 1", &[]).await?;
    let oldest_audit = client.query_opt("SELECT at FROM audit ORDER BY no LIMIT 1", &[]).await?;
    let oldest_idempotency =
        client.query_opt("SELECT kept_at FROM kept_answers ORDER BY kept_at LIMIT 1", &[]).await?;
    let about: HashMap<String, Option<f64>> =
        client.query(ABOUT, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let rows = |name: &str| about.get(name).copied().flatten().map(whole_number);
    Ok(StoreSize {
        database_bytes: whole.get::<_, i64>(0).unsigned_abs(),
        write_ahead_bytes: None,
        free_bytes: None,
        tables: tables
            .iter()
            .map(|row| TableSize { name: row.get(0), bytes: row.get::<_, i64>(1).unsigned_abs() })
            .collect(),
        oldest_event_at: oldest.map(|row| time(&row, 0)),
        about: AboutRows {
            events: rows("events"),
            deliveries: rows("deliveries"),
            attempts: rows("attempts"),
        },
        oldest_audit_at: oldest_audit.map(|row| time(&row, 0)),
        oldest_idempotency_at: oldest_idempotency.map(|row| time(&row, 0)),
        checkpoint_age: None,
        server: Some(growth::read(client).await?),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of rows, at least 0"
)]
fn whole_number(estimate: f64) -> u64 {
    estimate as u64
}
