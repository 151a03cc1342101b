//! The clock's record: a row of `meta` that all nodes read and write in turn.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Object};
use postrider_core::service_clock::ClockRecord;
use postrider_core::time::Timestamp;

use super::configuration::put_meta;
use super::rows::Failed;
use crate::columns::{self, CLOCK};

/// Makes the row, so that there is one to lock. An empty value says that nobody has observed the clock yet.
const PREPARE: &str = "INSERT INTO meta (name, value) VALUES ($1, '') ON CONFLICT (name) DO NOTHING";
const FIND: &str = "SELECT value FROM meta WHERE name = $1 FOR UPDATE";
const NEWEST: &str = "SELECT nullif(greatest(
    coalesce((SELECT created_at FROM events ORDER BY seq DESC LIMIT 1), 0),
    coalesce((SELECT at FROM audit ORDER BY no DESC LIMIT 1), 0)), 0)";

/// Brings the record up to date and gives what it is now.
pub(super) async fn observe(
    client: &mut Object,
    now: Timestamp,
    ran: Duration,
) -> Result<ClockRecord, Failed> {
    let transaction = client.transaction().await?;
    transaction.execute(PREPARE, &[&CLOCK]).await?;
    let row = transaction.query_one(FIND, &[&CLOCK]).await?;
    let record = match row.get::<_, &[u8]>(0) {
        [] => columns::first_clock(transaction.query_one(NEWEST, &[]).await?.get(0)),
        bytes => columns::clock(bytes)?,
    };
    let observed = record.observe(now, ran);
    put_meta(&transaction, CLOCK, &columns::clock_bytes(&observed)).await?;
    transaction.commit().await?;
    Ok(observed)
}
