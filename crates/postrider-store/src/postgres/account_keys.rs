//! Accounts' keys: made, revoked, and when each was last used.

use deadpool_postgres::Object;
use postrider_core::account::{AccountKey, AccountNo};
use postrider_core::audit::Deed;
use postrider_core::id::KeyId;
use postrider_core::limits::MAX_KEYS_PER_ACCOUNT;
use postrider_core::time::Timestamp;
use uuid::Uuid;

use super::configuration::finish;
use super::rows::{Failed, to_i64, uuid};
use super::{audit, kept};
use crate::columns::KEYS_ARE_FULL;
use crate::error::StoreError;
use crate::model::NewKey;
use crate::model::once::Keep;
use crate::seal::Sealer;

pub(super) async fn create(
    client: &mut Object,
    account: AccountNo,
    new: NewKey,
    deed: Deed,
    (sealer, keep): (&Sealer, Option<Box<Keep>>),
) -> Result<AccountKey, Failed> {
    let transaction = client.transaction().await?;
    kept::keep(&transaction, sealer, keep.as_deref()).await?;
    // This holds the account's row, so that nobody else adds one between the count and the commit.
    let lock = "SELECT FROM accounts WHERE no = $1 AND deleted_at IS NULL FOR NO KEY UPDATE";
    transaction.query_opt(lock, &[&account.0]).await?.ok_or(StoreError::NotFound)?;
    let count = "SELECT count(*) FROM account_keys WHERE account_no = $1 AND revoked_at IS NULL";
    if transaction.query_one(count, &[&account.0]).await?.get::<_, i64>(0) >= to_i64(MAX_KEYS_PER_ACCOUNT) {
        return Err(StoreError::Conflict(KEYS_ARE_FULL).into());
    }
    let (NewKey { id, livemode, sha256 }, now) = (new, deed.at);
    let sql = "INSERT INTO account_keys (id, account_no, livemode, sha256, created_at)
        VALUES ($1, $2, $3, $4, $5)";
    let bytes = &sha256[..];
    transaction.execute(sql, &[&uuid(id.to_bytes()), &account.0, &livemode, &bytes, &now.as_ms()]).await?;
    audit::write(&transaction, &deed).await?;
    finish(transaction, account).await?;
    Ok(AccountKey { id, account, livemode, sha256, created_at: now, last_used_at: None })
}

pub(super) async fn revoke(client: &mut Object, id: KeyId, deed: Deed) -> Result<(), Failed> {
    let transaction = client.transaction().await?;
    let sql =
        "UPDATE account_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING account_no";
    let row = transaction.query_opt(sql, &[&uuid(id.to_bytes()), &deed.at.as_ms()]).await?;
    let account = AccountNo(row.ok_or(StoreError::NotFound)?.get(0));
    audit::write(&transaction, &deed).await?;
    finish(transaction, account).await
}

/// No node is told: each knows its own part, and the whole matters to nobody but people.
pub(super) async fn note_uses(client: &mut Object, uses: Vec<(KeyId, Timestamp)>) -> Result<(), Failed> {
    let (ids, times): (Vec<Uuid>, Vec<i64>) =
        uses.into_iter().map(|(id, at)| (uuid(id.to_bytes()), at.as_ms())).unzip();
    let sql =
        "UPDATE account_keys k SET last_used_at = used.at FROM UNNEST($1::uuid[], $2::bigint[]) used (id, at)
        WHERE k.id = used.id AND coalesce(k.last_used_at < used.at, true)";
    client.execute(sql, &[&ids, &times]).await?;
    Ok(())
}
