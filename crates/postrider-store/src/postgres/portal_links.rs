//! Links into the portal: made, revoked, and found by what is kept of their tokens.

use deadpool_postgres::{GenericClient, Object};
use postrider_core::account::AccountNo;
use postrider_core::audit::Deed;
use postrider_core::id::{AccountId, LinkId};
use postrider_core::limits::MAX_PORTAL_LINKS_PER_ACCOUNT;
use postrider_core::portal::PortalLink;
use postrider_core::time::Timestamp;

use super::rows::{Failed, id_bytes, time, to_i64, uuid};
use super::{audit, configuration, kept};
use crate::error::StoreError;
use crate::model::portal::{FORGOTTEN_LINKS, NewPortalLink};
use crate::seal::Sealer;

pub(super) async fn create(client: &mut Object, sealer: &Sealer, new: NewPortalLink) -> Result<(), Failed> {
    let transaction = client.transaction().await?;
    kept::keep(&transaction, sealer, new.keep.as_deref()).await?;
    let (no, now) = (new.account_no.0, new.created_at.as_ms());
    let sql = "DELETE FROM portal_links WHERE id IN
        (SELECT id FROM portal_links WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)";
    transaction.execute(sql, &[&now, &FORGOTTEN_LINKS]).await?;
    // The account's row is held, so that two at once count each other.
    let sql = "SELECT no FROM accounts WHERE no = $1 AND deleted_at IS NULL FOR NO KEY UPDATE";
    transaction.query_opt(sql, &[&no]).await?.ok_or(StoreError::NotFound)?;
    let sql = "SELECT count(*) FROM portal_links WHERE account_no = $1 AND expires_at > $2";
    let living: i64 = transaction.query_one(sql, &[&no, &now]).await?.get(0);
    if living >= to_i64(MAX_PORTAL_LINKS_PER_ACCOUNT) {
        return Err(StoreError::Conflict("the account has as many portal links as it may have").into());
    }
    let sql = "INSERT INTO portal_links (id, account_no, livemode, sha256, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let (id, expires_at) = (uuid(new.id.to_bytes()), new.expires_at.as_ms());
    transaction.execute(sql, &[&id, &no, &new.livemode, &&new.sha256[..], &now, &expires_at]).await?;
    audit::write(&transaction, &new.deed).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn revoke(
    client: &mut Object,
    account: AccountNo,
    id: LinkId,
    deed: Deed,
) -> Result<(), Failed> {
    let sql = "DELETE FROM portal_links WHERE id = $1 AND account_no = $2";
    let transaction = client.transaction().await?;
    if transaction.execute(sql, &[&uuid(id.to_bytes()), &account.0]).await? == 0 {
        return Err(StoreError::NotFound.into());
    }
    audit::write(&transaction, &deed).await?;
    // Other nodes have pages open by this link, perhaps.
    configuration::finish(transaction, account).await
}

pub(super) async fn find(
    client: &mut Object,
    sha256: [u8; 32],
    now: Timestamp,
) -> Result<PortalLink, Failed> {
    let sql = "SELECT l.id, l.account_no, a.id, l.livemode, l.created_at, l.expires_at
        FROM portal_links l JOIN accounts a ON a.no = l.account_no
        WHERE l.sha256 = $1 AND l.expires_at > $2 AND a.deleted_at IS NULL";
    let row = client.query_opt(sql, &[&&sha256[..], &now.as_ms()]).await?.ok_or(StoreError::NotFound)?;
    Ok(PortalLink {
        id: LinkId::from_bytes(id_bytes(&row, 0)),
        account_no: AccountNo(row.get(1)),
        account: AccountId::from_bytes(id_bytes(&row, 2)),
        livemode: row.get(3),
        created_at: time(&row, 4),
        expires_at: time(&row, 5),
    })
}
