//! Accounts, their keys, the operator's key, and what is kept in memory of all of it.
//!
//! Every change takes the next version of the whole configuration as its last step and tells all nodes.

use std::sync::Arc;

use deadpool_postgres::GenericClient;
use deadpool_postgres::Object;
use postrider_core::account::{Account, AccountKey, AccountNo};
use postrider_core::audit::Deed;
use postrider_core::id::{AccountId, KeyId};
use postrider_core::replay::CancelReason;

use tokio_postgres::Row;

use super::rows::{Failed, id_bytes, optional_time, time, uuid};
use super::shared::Shared;
use super::{audit, binding, cancelling, endpoints, event_types, kept, replays, wake};
use crate::columns::Unreadable;
use crate::error::StoreError;
use crate::model::{Configuration, Named, NewAccount};
use crate::seal::Sealer;
use crate::seal::meta_values::{self, StoredOperatorKey};

/// The columns that [`account`] reads.
const ACCOUNT_COLUMNS: &str = "no, id, name, created_at, config_version";

/// An account from a row of [`ACCOUNT_COLUMNS`].
fn account(row: &Row) -> Account {
    Account {
        no: AccountNo(row.get(0)),
        id: AccountId::from_bytes(id_bytes(row, 1)),
        name: row.get(2),
        created_at: time(row, 3),
        config_version: row.get(4),
    }
}

fn account_key(row: &Row) -> Result<AccountKey, Unreadable> {
    let sha256: &[u8] = row.get(3);
    Ok(AccountKey {
        id: KeyId::from_bytes(id_bytes(row, 0)),
        account: AccountNo(row.get(1)),
        livemode: row.get(2),
        sha256: sha256.try_into().or(Err(Unreadable("account_keys.sha256")))?,
        created_at: time(row, 4),
        last_used_at: optional_time(row, 5),
    })
}

/// Accounts, keys and endpoints that are not deleted, as of one moment: all, and event types; or those of these accounts.
pub(super) async fn load(shared: &Shared, accounts: Option<&[AccountNo]>) -> Result<Configuration, Failed> {
    let accounts: Option<Vec<i64>> = accounts.map(|only| only.iter().map(|account| account.0).collect());
    let (sealer, now) = (Arc::clone(&shared.sealer), shared.sealer.as_of_now());
    shared
        .harmless(shared.patience.saturating_mul(LOAD_TAKES), move |client| {
            Box::pin(async move {
                let transaction =
                    client.build_transaction().isolation_level(REPEATABLE).read_only(true).start().await?;
                if binding::is_complete(&transaction, &sealer).await? {
                    now.refuse_unbound();
                    sealer.refuse_unbound();
                }
                let read = load_in(&transaction, &now, accounts.as_deref()).await?;
                transaction.commit().await?;
                Ok(read)
            })
        })
        .await
}

const REPEATABLE: tokio_postgres::IsolationLevel = tokio_postgres::IsolationLevel::RepeatableRead;
/// A whole configuration takes longer than other reads.
const LOAD_TAKES: u32 = 6;

async fn load_in(
    client: &impl GenericClient,
    sealer: &Sealer,
    only: Option<&[i64]>,
) -> Result<Configuration, Failed> {
    let all = only.is_none();
    let only = only.unwrap_or_default();
    let sql = format!(
        "SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE deleted_at IS NULL AND ($1 OR no = ANY($2)) ORDER BY no"
    );
    let accounts = client.query(&sql, &[&all, &only]).await?.iter().map(account).collect();
    let sql = "SELECT id, account_no, livemode, sha256, created_at, last_used_at FROM account_keys
        WHERE revoked_at IS NULL AND ($1 OR account_no = ANY($2)) ORDER BY id";
    let keys = client.query(sql, &[&all, &only]).await?;
    let keys = keys.iter().map(account_key).collect::<Result<_, _>>()?;
    let sql = format!("{} AND ($1 OR ep.account_no = ANY($2)) ORDER BY ep.no", endpoints::ENDPOINTS);
    let endpoints = client.query(&sql, &[&all, &only]).await?;
    let endpoints = endpoints.iter().map(|row| endpoints::endpoint(sealer, row)).collect::<Result<_, _>>()?;
    let event_types = if all { event_types::all(client).await? } else { Vec::new() };
    Ok(Configuration { accounts, keys, endpoints, event_types })
}

/// The version of the whole configuration.
pub(super) async fn version(client: &impl GenericClient) -> Result<i64, Failed> {
    Ok(client.query_one("SELECT version FROM configuration", &[]).await?.get(0))
}

/// The same, and whether others have cancelled deliveries of this node.
pub(super) async fn version_for(client: &Object, me: i64) -> Result<(i64, bool), Failed> {
    let sql = format!("SELECT version, {} FROM configuration", cancelling::IS_ANY_TOLD);
    let row = client.query_one(&client.prepare_cached(&sql).await?, &[&me]).await?;
    Ok((row.get(0), row.get(1)))
}

/// The accounts in which something has changed since a version, deleted ones included.
pub(super) async fn changed_since(client: &impl GenericClient, version: i64) -> Result<Vec<i64>, Failed> {
    let rows = client.query("SELECT no FROM accounts WHERE changed > $1", &[&version]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Marks accounts as changed. The last step of a transaction: it holds the version until the commit.
pub(super) async fn tell(client: &impl GenericClient, accounts: &[i64]) -> Result<(), Failed> {
    let sql = "WITH next AS (UPDATE configuration SET version = version + 1 RETURNING version)
        UPDATE accounts SET changed = next.version FROM next WHERE no = ANY($1)";
    client.execute(sql, &[&accounts]).await?;
    Ok(())
}

/// The account to which something belongs that is not deleted.
pub(super) async fn account_of(client: &mut Object, named: Named) -> Result<Option<AccountNo>, Failed> {
    let row = match named {
        Named::Account(id) => {
            let sql = "SELECT no FROM accounts WHERE id = $1 AND deleted_at IS NULL";
            client.query_opt(&client.prepare_cached(sql).await?, &[&uuid(id.to_bytes())]).await?
        }
        Named::Endpoint(id) => {
            let sql = "SELECT account_no FROM endpoints WHERE id = $1 AND deleted_at IS NULL";
            client.query_opt(&client.prepare_cached(sql).await?, &[&uuid(id.to_bytes())]).await?
        }
        Named::Key(sha256) => {
            let sql = "SELECT account_no FROM account_keys WHERE sha256 = $1 AND revoked_at IS NULL";
            client.query_opt(&client.prepare_cached(sql).await?, &[&&sha256[..]]).await?
        }
    };
    Ok(row.map(|row| AccountNo(row.get(0))))
}

pub(super) async fn create_account(
    client: &mut Object,
    sealer: &Sealer,
    new: NewAccount,
) -> Result<Account, Failed> {
    let transaction = client.transaction().await?;
    kept::keep(&transaction, sealer, new.keep.as_deref()).await?;
    let sql = format!(
        "INSERT INTO accounts (id, name, created_at, config_version) VALUES ($1, $2, $3, 1)
         RETURNING {ACCOUNT_COLUMNS}"
    );
    let (id, created_at) = (uuid(new.id.to_bytes()), new.created_at.as_ms());
    let made = account(&transaction.query_one(&sql, &[&id, &new.name, &created_at]).await?);
    for key in &new.keys {
        let sql = "INSERT INTO account_keys (id, account_no, livemode, sha256, created_at)
            VALUES ($1, $2, $3, $4, $5)";
        let (id, sha256) = (uuid(key.id.to_bytes()), &key.sha256[..]);
        transaction.execute(sql, &[&id, &made.no.0, &key.livemode, &sha256, &created_at]).await?;
    }
    audit::write(&transaction, &new.deed).await?;
    finish(transaction, made.no).await?;
    Ok(made)
}

pub(super) async fn rename_account(
    client: &mut Object,
    no: AccountNo,
    name: String,
    deed: Deed,
) -> Result<Account, Failed> {
    let transaction = client.transaction().await?;
    let sql = format!(
        "UPDATE accounts SET name = $2, config_version = config_version + 1
         WHERE no = $1 AND deleted_at IS NULL RETURNING {ACCOUNT_COLUMNS}"
    );
    let renamed = transaction.query_opt(&sql, &[&no.0, &name]).await?.ok_or(StoreError::NotFound)?;
    let renamed = account(&renamed);
    audit::write(&transaction, &deed).await?;
    finish(transaction, no).await?;
    Ok(renamed)
}

pub(super) async fn delete_account(client: &mut Object, no: AccountNo, deed: Deed) -> Result<(), Failed> {
    let transaction = client.transaction().await?;
    bump_version(&transaction, no).await?;
    let at = deed.at.as_ms();
    for sql in [
        "UPDATE accounts SET deleted_at = $2 WHERE no = $1",
        "UPDATE account_keys SET revoked_at = $2 WHERE account_no = $1 AND revoked_at IS NULL",
        "UPDATE endpoints SET deleted_at = $2 WHERE account_no = $1 AND deleted_at IS NULL",
    ] {
        transaction.execute(sql, &[&no.0, &at]).await?;
    }
    replays::cancel_of_account(&transaction, no, CancelReason::AccountDeleted, deed.at).await?;
    audit::write(&transaction, &deed).await?;
    finish(transaction, no).await
}

/// Raises the account's version and gives the new one; `NotFound` where it is deleted.
pub(super) async fn bump_version(client: &impl GenericClient, no: AccountNo) -> Result<i64, Failed> {
    let sql = "UPDATE accounts SET config_version = config_version + 1 WHERE no = $1 AND deleted_at IS NULL
        RETURNING config_version";
    Ok(client.query_opt(sql, &[&no.0]).await?.ok_or(StoreError::NotFound)?.get(0))
}

/// Commits a change of an account and tells all nodes.
pub(super) async fn finish(
    transaction: deadpool_postgres::Transaction<'_>,
    account: AccountNo,
) -> Result<(), Failed> {
    tell(&transaction, &[account.0]).await?;
    wake::others(&transaction).await?;
    Ok(transaction.commit().await?)
}

const OPERATOR_KEY: &str = "operator_key_sha256";

pub(super) async fn operator_key(client: &Object, sealer: &Sealer) -> Result<Option<[u8; 32]>, Failed> {
    let Some((sha256, seal)) = stored_operator_key(client).await? else { return Ok(None) };
    Ok(Some(meta_values::check_operator_key(sealer, sha256, seal.as_deref())?))
}

/// The operator key's hash and its seal.
async fn stored_operator_key(client: &impl GenericClient) -> Result<Option<StoredOperatorKey>, Failed> {
    let sql =
        "SELECT value, (SELECT value FROM meta WHERE name = 'operator_key_seal') FROM meta WHERE name = $1";
    let Some(row) = client.query_opt(sql, &[&OPERATOR_KEY]).await? else { return Ok(None) };
    let sha256 = row.get::<_, &[u8]>(0).try_into().or(Err(Failed::Unreadable(Unreadable("meta.value"))))?;
    Ok(Some((sha256, row.get(1))))
}

pub(super) async fn init_operator_key(
    client: &Object,
    sealer: &Sealer,
    sha256: [u8; 32],
) -> Result<[u8; 32], Failed> {
    let sql = "WITH new AS (INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING name)
        INSERT INTO meta (name, value) SELECT 'operator_key_seal', $3::bytea FROM new
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let seal = meta_values::seal_operator_key(sealer, &sha256);
    client.execute(sql, &[&OPERATOR_KEY, &sha256.as_slice(), &seal]).await?;
    // A statement of its own: it sees what another node committed while the insert waited for it.
    operator_key(client, sealer).await?.ok_or(Failed::Unreadable(Unreadable("meta.value")))
}

/// Seals the operator key's hash where the previous release wrote it.
pub(super) async fn seal_operator_key(client: &impl GenericClient, sealer: &Sealer) -> Result<(), Failed> {
    if let Some((sha256, None)) = stored_operator_key(client).await? {
        put_meta(client, "operator_key_seal", &meta_values::seal_operator_key(sealer, &sha256)).await?;
    }
    Ok(())
}

/// Writes one row, so that a full disk or a read-only server shows.
pub(super) async fn write_something(client: &impl GenericClient) -> Result<(), Failed> {
    put_meta(client, "writable", b"yes").await
}

pub(super) async fn put_meta(client: &impl GenericClient, name: &str, value: &[u8]) -> Result<(), Failed> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
    client.execute(sql, &[&name, &value]).await?;
    Ok(())
}
