//! The audit log: written with each change, listed, and forgotten after its time.

use postrider_core::audit::{Deed, Entry};
use postrider_core::time::Timestamp;
use rusqlite::{Connection, Statement, params};

use super::changes::{Context, NotMade};
use super::pending::to_limit;
use crate::audit_rows::{MAX_LOOKED_AT, Row};
use crate::model::{AuditFilter, Page, PageRequest};

pub(super) const WRITE: &str =
    "INSERT INTO audit (at, actor, actor_id, address, action, account, target, fields)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(super) const FORGET: &str = "DELETE FROM audit WHERE no IN
    (SELECT no FROM (SELECT no, at FROM audit ORDER BY no LIMIT ?2) WHERE at < ?1)";

/// Writes what somebody did, within the change that it is.
pub(super) fn write(context: &Context<'_>, deed: &Deed) -> rusqlite::Result<()> {
    put(&mut *context.connection.prepare_cached(WRITE)?, deed)
}

/// The same with the statement [`WRITE`].
pub(super) fn put(write: &mut Statement<'_>, deed: &Deed) -> rusqlite::Result<()> {
    let row = Row::of(deed);
    write.execute(params![
        row.at,
        row.actor,
        row.actor_id,
        row.address,
        row.action,
        row.account,
        row.target,
        row.fields,
    ])?;
    Ok(())
}

/// The newest entries before a number, of one account or of all: as many as a page reads.
pub(super) fn looked_at(of_account: bool) -> String {
    let which =
        if of_account { "INDEXED BY audit_account WHERE account = ?1 AND" } else { "WHERE ?1 IS NULL AND" };
    format!("SELECT * FROM audit {which} no < ?2 ORDER BY no DESC LIMIT {MAX_LOOKED_AT}")
}

pub(super) fn entries(
    connection: &Connection,
    filter: AuditFilter,
    request: PageRequest,
) -> rusqlite::Result<Page<Entry>> {
    let account = filter.account.map(|account| account.to_bytes());
    let before = request.before.unwrap_or(i64::MAX);
    let looked_at = looked_at(account.is_some());
    let mut select = connection.prepare_cached(&format!(
        "SELECT no, at, actor, actor_id, address, action, account, target, fields FROM ({looked_at})
         WHERE (?3 IS NULL OR action = ?3) AND at >= ?4 AND at < ?5 ORDER BY no DESC LIMIT ?6"
    ))?;
    let read = |row: &rusqlite::Row<'_>| {
        let columns = Row {
            at: row.get(1)?,
            actor: row.get(2)?,
            actor_id: row.get(3)?,
            address: row.get(4)?,
            action: row.get(5)?,
            account: row.get(6)?,
            target: row.get(7)?,
            fields: row.get(8)?,
        };
        Ok(columns.entry(row.get(0)?)?)
    };
    let (since, until) =
        (filter.since.map_or(i64::MIN, Timestamp::as_ms), filter.until.map_or(i64::MAX, Timestamp::as_ms));
    let action = filter.action.map(|action| action.as_str());
    let rows = select
        .query_map(params![account, before, action, since, until, to_limit(request.limit + 1)], read)?
        .collect::<rusqlite::Result<Vec<Entry>>>()?;
    let mut page = Page { rows, next: None };
    if page.rows.len() > request.limit {
        page.rows.truncate(request.limit);
        page.next = page.rows.last().map(|last| last.no);
        return Ok(page);
    }
    let mut end = connection.prepare_cached(&format!("SELECT min(no), count(*) FROM ({looked_at})"))?;
    let (last, count): (Option<i64>, i64) =
        end.query_row(params![account, before], |row| Ok((row.get(0)?, row.get(1)?)))?;
    page.next = last.filter(|_| count == MAX_LOOKED_AT);
    Ok(page)
}

pub(super) fn forget(context: &Context<'_>, before: Timestamp, limit: usize) -> Result<usize, NotMade> {
    let mut forget = context.connection.prepare_cached(FORGET)?;
    Ok(forget.execute(params![before.as_ms(), to_limit(limit)])?)
}
