//! Event types: made and changed by the operator.

use postrider_core::catalogue::Definition;
use postrider_core::limits::MAX_CUSTOM_EVENT_TYPES;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Context, NotMade};
use crate::error::StoreError;
use crate::model::event_types::{ARE_FULL, CHANGED_MEANWHILE, EventTypeChange, IS_THERE, NewEventType};
use crate::sqlite::pending::to_limit;
use crate::sqlite::rows::time;
use crate::sqlite::{audit, kept};

const COLUMNS: &str = "name, description, schema, example, validation, archived, created_at, updated_at";

fn definition(row: &Row<'_>) -> rusqlite::Result<Definition> {
    Ok(Definition {
        name: row.get(0)?,
        description: row.get(1)?,
        schema: row.get(2)?,
        example: row.get(3)?,
        validation: row.get(4)?,
        archived: row.get(5)?,
        created_at: time(row, 6)?,
        updated_at: time(row, 7)?,
    })
}

/// All that there are, in the order of their names.
pub(in crate::sqlite) fn all(connection: &Connection) -> rusqlite::Result<Vec<Definition>> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM event_types ORDER BY name"))?;
    select.query_map([], definition)?.collect()
}

fn find(context: &Context<'_>, name: &str) -> rusqlite::Result<Option<Definition>> {
    let mut select =
        context.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM event_types WHERE name = ?1"))?;
    select.query_row([name], definition).optional()
}

pub(in crate::sqlite) fn create(context: &mut Context<'_>, new: &NewEventType) -> Result<(), NotMade> {
    kept::keep(context, new.keep.as_deref())?;
    if find(context, &new.definition.name)?.is_some() {
        return Err(StoreError::Conflict(IS_THERE).into());
    }
    let count = "SELECT count(*) FROM event_types WHERE custom";
    let count: i64 = context.connection.query_row(count, [], |row| row.get(0))?;
    if count >= to_limit(MAX_CUSTOM_EVENT_TYPES) {
        return Err(StoreError::Conflict(ARE_FULL).into());
    }
    put(context, &new.definition, true)?;
    Ok(audit::write(context, &new.deed)?)
}

pub(in crate::sqlite) fn change(context: &mut Context<'_>, change: &EventTypeChange) -> Result<(), NotMade> {
    if find(context, &change.after.name)? != change.before {
        return Err(StoreError::Conflict(CHANGED_MEANWHILE).into());
    }
    put(context, &change.after, false)?;
    Ok(audit::write(context, &change.deed)?)
}

/// Writes a row; whether it is custom is said at its making and stays.
fn put(context: &Context<'_>, definition: &Definition, custom: bool) -> rusqlite::Result<()> {
    let Definition { name, description, schema, example, validation, archived, created_at, updated_at } =
        definition;
    let mut put = context.connection.prepare_cached(
        "INSERT INTO event_types (name, custom, description, schema, example, validation, archived, created_at,
             updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (name) DO UPDATE SET description = ?3, schema = ?4, example = ?5, validation = ?6,
             archived = ?7, updated_at = ?9",
    )?;
    put.execute(params![
        name,
        custom,
        description,
        schema,
        example,
        validation,
        archived,
        created_at.as_ms(),
        updated_at.as_ms()
    ])?;
    Ok(())
}
