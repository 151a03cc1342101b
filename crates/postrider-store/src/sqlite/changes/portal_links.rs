//! Links into the portal: made, revoked, and found by what is kept of their tokens.

use postrider_core::account::AccountNo;
use postrider_core::audit::Deed;
use postrider_core::id::{AccountId, LinkId};
use postrider_core::limits::MAX_PORTAL_LINKS_PER_ACCOUNT;
use postrider_core::portal::PortalLink;
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Context, NotMade};
use crate::error::StoreError;
use crate::model::portal::{FORGOTTEN_LINKS, NewPortalLink};
use crate::sqlite::pending::to_limit;
use crate::sqlite::{audit, kept};

pub(in crate::sqlite) fn create(context: &mut Context<'_>, new: &NewPortalLink) -> Result<(), NotMade> {
    kept::keep(context, new.keep.as_deref())?;
    let connection = context.connection;
    let mut forget = connection.prepare_cached(
        "DELETE FROM portal_links WHERE id IN (SELECT id FROM portal_links WHERE expires_at <= ?1 LIMIT ?2)",
    )?;
    forget.execute(params![new.created_at.as_ms(), FORGOTTEN_LINKS])?;
    let mut look = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM portal_links WHERE account_no = ?1 AND expires_at > ?2)
         FROM accounts WHERE no = ?1 AND deleted_at IS NULL",
    )?;
    let living: Option<i64> =
        look.query_row(params![new.account_no.0, new.created_at.as_ms()], |row| row.get(0)).optional()?;
    if living.ok_or(StoreError::NotFound)? >= to_limit(MAX_PORTAL_LINKS_PER_ACCOUNT) {
        return Err(StoreError::Conflict("the account has as many portal links as it may have").into());
    }
    audit::write(context, &new.deed)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO portal_links (id, account_no, livemode, sha256, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (created_at, expires_at) = (new.created_at.as_ms(), new.expires_at.as_ms());
    insert.execute(params![
        new.id.to_bytes(),
        new.account_no.0,
        new.livemode,
        new.sha256,
        created_at,
        expires_at
    ])?;
    Ok(())
}

pub(in crate::sqlite) fn revoke(
    context: &mut Context<'_>,
    account: AccountNo,
    id: LinkId,
    deed: &Deed,
) -> Result<(), NotMade> {
    let mut delete =
        context.connection.prepare_cached("DELETE FROM portal_links WHERE id = ?1 AND account_no = ?2")?;
    match delete.execute(params![id.to_bytes(), account.0])? {
        0 => Err(StoreError::NotFound.into()),
        _ => Ok(audit::write(context, deed)?),
    }
}

pub(in crate::sqlite) fn find(
    connection: &Connection,
    sha256: [u8; 32],
    now: Timestamp,
) -> rusqlite::Result<Option<PortalLink>> {
    let mut select = connection.prepare_cached(
        "SELECT l.id, l.account_no, a.id, l.livemode, l.created_at, l.expires_at
         FROM portal_links l JOIN accounts a ON a.no = l.account_no
         WHERE l.sha256 = ?1 AND l.expires_at > ?2 AND a.deleted_at IS NULL",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(PortalLink {
            id: LinkId::from_bytes(row.get(0)?),
            account_no: AccountNo(row.get(1)?),
            account: AccountId::from_bytes(row.get(2)?),
            livemode: row.get(3)?,
            created_at: Timestamp::from_ms(row.get(4)?),
            expires_at: Timestamp::from_ms(row.get(5)?),
        })
    };
    select.query_row(params![sha256, now.as_ms()], read).optional()
}
