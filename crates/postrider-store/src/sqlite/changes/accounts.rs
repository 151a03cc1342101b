//! Accounts, their keys and the operator's key. Every change of an account bumps its configuration version.

use postrider_core::account::{Account, AccountKey, AccountNo};
use postrider_core::audit::Deed;
use postrider_core::id::{AccountId, KeyId};
use postrider_core::limits::MAX_KEYS_PER_ACCOUNT;
use postrider_core::replay::CancelReason;
use postrider_core::time::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use super::replays::cancel_of_account;
use super::{Context, NotMade};
use crate::columns::KEYS_ARE_FULL;
use crate::error::StoreError;
use crate::model::once::Keep;
use crate::model::{NewAccount, NewKey};
use crate::seal::meta_values;
use crate::sqlite::{audit, kept, pending};

/// The columns that [`account`] reads.
pub(in crate::sqlite) const ACCOUNT_COLUMNS: &str = "no, id, name, created_at, config_version";

/// An account from a row of [`ACCOUNT_COLUMNS`].
pub(in crate::sqlite) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        no: AccountNo(row.get(0)?),
        id: AccountId::from_bytes(row.get(1)?),
        name: row.get(2)?,
        created_at: Timestamp::from_ms(row.get(3)?),
        config_version: row.get(4)?,
    })
}

pub(in crate::sqlite) fn create(context: &mut Context<'_>, new: &NewAccount) -> Result<Account, NotMade> {
    kept::keep(context, new.keep.as_deref())?;
    let sql = format!(
        "INSERT INTO accounts (id, name, created_at, config_version) VALUES (?1, ?2, ?3, 1)
         RETURNING {ACCOUNT_COLUMNS}"
    );
    let mut insert = context.connection.prepare_cached(&sql)?;
    let made = insert.query_row(params![new.id.to_bytes(), new.name, new.created_at.as_ms()], account)?;
    let mut insert_key = context.connection.prepare_cached(
        "INSERT INTO account_keys (id, account_no, livemode, sha256, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for key in &new.keys {
        let created_at = new.created_at.as_ms();
        insert_key.execute(params![key.id.to_bytes(), made.no.0, key.livemode, key.sha256, created_at])?;
    }
    audit::write(context, &new.deed)?;
    context.versions.push((made.no, Some(made.config_version)));
    Ok(made)
}

pub(in crate::sqlite) fn rename(
    context: &mut Context<'_>,
    no: AccountNo,
    name: &str,
    deed: &Deed,
) -> Result<Account, NotMade> {
    let sql = format!(
        "UPDATE accounts SET name = ?2, config_version = config_version + 1
         WHERE no = ?1 AND deleted_at IS NULL RETURNING {ACCOUNT_COLUMNS}"
    );
    let mut update = context.connection.prepare_cached(&sql)?;
    let renamed = update.query_row(params![no.0, name], account).optional()?.ok_or(StoreError::NotFound)?;
    audit::write(context, deed)?;
    context.versions.push((no, Some(renamed.config_version)));
    Ok(renamed)
}

pub(in crate::sqlite) fn delete(
    context: &mut Context<'_>,
    no: AccountNo,
    deed: &Deed,
) -> Result<(), NotMade> {
    let deleted_at = deed.at.as_ms();
    bump_version(context, no)?;
    audit::write(context, deed)?;
    let connection = context.connection;
    connection.execute("UPDATE accounts SET deleted_at = ?2 WHERE no = ?1", params![no.0, deleted_at])?;
    connection.execute(
        "UPDATE account_keys SET revoked_at = ?2 WHERE account_no = ?1 AND revoked_at IS NULL",
        params![no.0, deleted_at],
    )?;
    connection.execute(
        "UPDATE endpoints SET deleted_at = ?2 WHERE account_no = ?1 AND deleted_at IS NULL",
        params![no.0, deleted_at],
    )?;
    cancel_of_account(context, no, CancelReason::AccountDeleted, deed.at)?;
    context.versions.push((no, None));
    Ok(())
}

/// Makes a key of an account.
pub(in crate::sqlite) fn create_key(
    context: &mut Context<'_>,
    no: AccountNo,
    new: &NewKey,
    deed: &Deed,
    keep: Option<&Keep>,
) -> Result<AccountKey, NotMade> {
    let now = deed.at;
    kept::keep(context, keep)?;
    audit::write(context, deed)?;
    // One row for an account that is there.
    const COUNT: &str =
        "SELECT (SELECT count(*) FROM account_keys WHERE account_no = ?1 AND revoked_at IS NULL)
        FROM accounts WHERE no = ?1 AND deleted_at IS NULL";
    let count = context.connection.prepare_cached(COUNT)?.query_row([no.0], |row| row.get::<_, i64>(0));
    let count = count.optional()?.ok_or(StoreError::NotFound)?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_KEYS_PER_ACCOUNT {
        return Err(StoreError::Conflict(KEYS_ARE_FULL).into());
    }
    let NewKey { id, livemode, sha256 } = *new;
    context
        .connection
        .prepare_cached(
            "INSERT INTO account_keys (id, account_no, livemode, sha256, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![id.to_bytes(), no.0, livemode, sha256, now.as_ms()])?;
    Ok(AccountKey { id, account: no, livemode, sha256, created_at: now, last_used_at: None })
}

pub(in crate::sqlite) fn revoke_key(
    context: &mut Context<'_>,
    id: KeyId,
    deed: &Deed,
) -> Result<(), NotMade> {
    let sql = "UPDATE account_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    match context.connection.execute(sql, params![id.to_bytes(), deed.at.as_ms()])? {
        0 => Err(StoreError::NotFound.into()),
        _ => Ok(audit::write(context, deed)?),
    }
}

pub(in crate::sqlite) fn note_key_uses(
    context: &mut Context<'_>,
    uses: &[(KeyId, Timestamp)],
) -> Result<(), NotMade> {
    let mut note = context.connection.prepare_cached(
        "UPDATE account_keys SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at < ?2, true)",
    )?;
    for (id, at) in uses {
        note.execute(params![id.to_bytes(), at.as_ms()])?;
    }
    Ok(())
}

/// Raises the account's version and gives the new one; `NotFound` where it is deleted.
pub(super) fn bump_version(context: &mut Context<'_>, no: AccountNo) -> Result<i64, NotMade> {
    let mut update = context.connection.prepare_cached(
        "UPDATE accounts SET config_version = config_version + 1 WHERE no = ?1 AND deleted_at IS NULL
         RETURNING config_version",
    )?;
    let version = update.query_row([no.0], |row| row.get(0)).optional()?.ok_or(StoreError::NotFound)?;
    context.versions.push((no, Some(version)));
    Ok(version)
}

pub(in crate::sqlite) fn init_operator_key(
    context: &mut Context<'_>,
    sha256: [u8; 32],
) -> Result<[u8; 32], NotMade> {
    if let Some((stored, seal)) = pending::operator_key(context.connection)? {
        return Ok(meta_values::check_operator_key(context.sealer, stored, seal.as_deref())?);
    }
    put_meta(context, "operator_key_sha256", &sha256)?;
    put_meta(context, "operator_key_seal", &meta_values::seal_operator_key(context.sealer, &sha256))?;
    Ok(sha256)
}

/// An event that is taken back, larger than what fits beside others on a page: a full file has no room for it.
const PROBE_EVENT: &str = "INSERT INTO events (seq, id, account_no, livemode, created_at, first_delivery_seq,
        delivery_count, type, payload)
    VALUES (?1, randomblob(16), 0, 0, 0, ?2, 1, 'readiness.probe', zeroblob(8192))";
const PROBE_DELIVERY: &str =
    "INSERT INTO deliveries (seq, id, event_seq, endpoint_no, status, attempts, used, created_at,
        updated_at)
    VALUES (?2, randomblob(16), ?1, 0, 0, 0, 0, 0, 0)";

/// Does what accepting does, and takes it back; then writes one page for good, so that a full disk or a lock shows.
pub(in crate::sqlite) fn probe_accept(context: &mut Context<'_>) -> Result<(), NotMade> {
    let connection = context.connection;
    // Behind every number that is taken, whether it is the last one or the next.
    let numbers = params![context.numbers.event + 1, context.numbers.delivery + 1];
    connection.execute_batch("SAVEPOINT probe")?;
    connection.prepare_cached(PROBE_EVENT)?.execute(numbers)?;
    connection.prepare_cached(PROBE_DELIVERY)?.execute(numbers)?;
    connection.execute_batch("ROLLBACK TO probe; RELEASE probe")?;
    put_meta(context, "writable", &context.numbers.delivery.to_be_bytes())
}

pub(in crate::sqlite) fn put_meta(context: &Context<'_>, name: &str, value: &[u8]) -> Result<(), NotMade> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    context.connection.prepare_cached(sql)?.execute(params![name, value])?;
    Ok(())
}
