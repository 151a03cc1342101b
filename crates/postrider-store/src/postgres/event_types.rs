//! Event types: made and changed by the operator, and made known to all nodes.

use deadpool_postgres::{GenericClient, Object};
use postrider_core::catalogue::Definition;
use postrider_core::limits::MAX_CUSTOM_EVENT_TYPES;
use tokio_postgres::{Client, Row};

use super::rows::{Failed, time, to_i64};
use super::{audit, kept, wake};
use crate::error::StoreError;
use crate::model::event_types::{ARE_FULL, CHANGED_MEANWHILE, EventTypeChange, IS_THERE, NewEventType};
use crate::seal::Sealer;

const COLUMNS: &str = "name, description, schema, example, validation, archived, created_at, updated_at";

fn definition(row: &Row) -> Definition {
    Definition {
        name: row.get(0),
        description: row.get(1),
        schema: row.get(2),
        example: row.get(3),
        validation: row.get(4),
        archived: row.get(5),
        created_at: time(row, 6),
        updated_at: time(row, 7),
    }
}

/// All that there are, in the order of their names.
pub(super) async fn all(client: &impl GenericClient) -> Result<Vec<Definition>, Failed> {
    let rows = client.query(&format!("SELECT {COLUMNS} FROM event_types ORDER BY name"), &[]).await?;
    Ok(rows.iter().map(definition).collect())
}

/// The same over a connection that belongs to no store.
pub(super) async fn examined(client: &Client) -> Result<Vec<Definition>, tokio_postgres::Error> {
    let rows = client.query(&format!("SELECT {COLUMNS} FROM event_types ORDER BY name"), &[]).await?;
    Ok(rows.iter().map(definition).collect())
}

/// Whether something has changed since a version of the configuration.
pub(super) async fn have_changed_since(client: &impl GenericClient, version: i64) -> Result<bool, Failed> {
    let sql = "SELECT EXISTS (SELECT FROM event_types WHERE changed > $1)";
    Ok(client.query_one(sql, &[&version]).await?.get(0))
}

/// The row of a name, held until the transaction ends.
async fn find(client: &impl GenericClient, name: &str) -> Result<Option<Definition>, Failed> {
    let sql = format!("SELECT {COLUMNS} FROM event_types WHERE name = $1 FOR UPDATE");
    Ok(client.query_opt(&sql, &[&name]).await?.as_ref().map(definition))
}

pub(super) async fn create(client: &mut Object, sealer: &Sealer, new: NewEventType) -> Result<(), Failed> {
    let transaction = client.transaction().await?;
    kept::keep(&transaction, sealer, new.keep.as_deref()).await?;
    // Two at once must count each other. Whoever reads does not wait for this.
    transaction.batch_execute("LOCK TABLE event_types IN SHARE ROW EXCLUSIVE MODE").await?;
    if find(&transaction, &new.definition.name).await?.is_some() {
        return Err(StoreError::Conflict(IS_THERE).into());
    }
    let count = "SELECT count(*) FROM event_types WHERE custom";
    let count: i64 = transaction.query_one(count, &[]).await?.get(0);
    if count >= to_i64(MAX_CUSTOM_EVENT_TYPES) {
        return Err(StoreError::Conflict(ARE_FULL).into());
    }
    put(&transaction, &new.definition, true).await?;
    audit::write(&transaction, &new.deed).await?;
    finish(transaction, &new.definition.name).await
}

pub(super) async fn change(client: &mut Object, change: EventTypeChange) -> Result<(), Failed> {
    let transaction = client.transaction().await?;
    if find(&transaction, &change.after.name).await? != change.before {
        return Err(StoreError::Conflict(CHANGED_MEANWHILE).into());
    }
    put(&transaction, &change.after, false).await?;
    audit::write(&transaction, &change.deed).await?;
    finish(transaction, &change.after.name).await
}

/// Writes a row; whether it is custom is said at its making and stays.
async fn put(client: &impl GenericClient, definition: &Definition, custom: bool) -> Result<(), Failed> {
    let Definition { name, description, schema, example, validation, archived, created_at, updated_at } =
        definition;
    let sql = "INSERT INTO event_types (name, custom, description, schema, example, validation, archived, created_at,
            updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (name) DO UPDATE SET description = $3, schema = $4, example = $5, validation = $6,
            archived = $7, updated_at = $9";
    let (created_at, updated_at) = (created_at.as_ms(), updated_at.as_ms());
    client
        .execute(
            sql,
            &[name, &custom, description, schema, example, validation, archived, &created_at, &updated_at],
        )
        .await?;
    Ok(())
}

/// Marks the type as changed, commits and tells all nodes. The version is held until the commit.
async fn finish(transaction: deadpool_postgres::Transaction<'_>, name: &str) -> Result<(), Failed> {
    let sql = "WITH next AS (UPDATE configuration SET version = version + 1 RETURNING version)
        UPDATE event_types SET changed = next.version FROM next WHERE name = $1";
    transaction.execute(sql, &[&name]).await?;
    wake::others(&transaction).await?;
    Ok(transaction.commit().await?)
}
