//! The audit log: written with each change, listed, and forgotten after its time.

use deadpool_postgres::{GenericClient, Object};
use postrider_core::audit::{Deed, Entry};
use postrider_core::time::Timestamp;
use uuid::Uuid;

use super::rows::{Failed, id_bytes, to_i64};
use crate::audit_rows::{MAX_LOOKED_AT, Row};
use crate::model::{AuditFilter, Page, PageRequest};

const WRITE: &str = "INSERT INTO audit (at, actor, actor_id, address, action, account, target, fields)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
/// Several nodes may be at it.
const FORGET: &str = "DELETE FROM audit WHERE no IN
    (SELECT no FROM (SELECT no, at FROM audit ORDER BY no LIMIT $2 FOR UPDATE SKIP LOCKED) old WHERE at < $1)";

/// Writes what somebody did, within the transaction that it is.
pub(super) async fn write(client: &impl GenericClient, deed: &Deed) -> Result<(), Failed> {
    let row = Row::of(deed);
    let account = Uuid::from_bytes(row.account);
    let write = client.prepare_cached(WRITE).await?;
    client
        .execute(
            &write,
            &[
                &row.at,
                &row.actor,
                &row.actor_id,
                &row.address,
                &row.action,
                &account,
                &row.target,
                &row.fields,
            ],
        )
        .await?;
    Ok(())
}

/// The same where nothing changes.
pub(super) async fn note(client: &mut Object, deed: Deed) -> Result<(), Failed> {
    write(&*client, &deed).await
}

pub(super) async fn entries(
    client: &mut Object,
    filter: AuditFilter,
    request: PageRequest,
) -> Result<Page<Entry>, Failed> {
    let account = filter.account.map(|account| Uuid::from_bytes(account.to_bytes()));
    let before = request.before.unwrap_or(i64::MAX);
    let which = if account.is_some() { "account = $1" } else { "$1::uuid IS NULL" };
    let looked_at =
        format!("SELECT * FROM audit WHERE {which} AND no < $2 ORDER BY no DESC LIMIT {MAX_LOOKED_AT}");
    let select = client
        .prepare_cached(&format!(
            "SELECT no, at, actor, actor_id, address, action, account, target, fields FROM ({looked_at}) looked_at
             WHERE ($3::text IS NULL OR action = $3) AND at >= $4 AND at < $5 ORDER BY no DESC LIMIT $6"
        ))
        .await?;
    let since = filter.since.map_or(i64::MIN, Timestamp::as_ms);
    let until = filter.until.map_or(i64::MAX, Timestamp::as_ms);
    let action = filter.action.map(|action| action.as_str());
    let rows = client
        .query(&select, &[&account, &before, &action, &since, &until, &to_i64(request.limit + 1)])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let columns = Row {
            at: row.get(1),
            actor: row.get(2),
            actor_id: row.get(3),
            address: row.get(4),
            action: row.get(5),
            account: id_bytes(row, 6),
            target: row.get(7),
            fields: row.get(8),
        };
        columns.entry(row.get(0))
    };
    let mut page = Page { rows: rows.iter().map(read).collect::<Result<Vec<Entry>, _>>()?, next: None };
    if page.rows.len() > request.limit {
        page.rows.truncate(request.limit);
        page.next = page.rows.last().map(|last| last.no);
        return Ok(page);
    }
    let end =
        client.prepare_cached(&format!("SELECT min(no), count(*) FROM ({looked_at}) looked_at")).await?;
    let end = client.query_one(&end, &[&account, &before]).await?;
    page.next = end.get::<_, Option<i64>>(0).filter(|_| end.get::<_, i64>(1) == MAX_LOOKED_AT);
    Ok(page)
}

pub(super) async fn forget(client: &mut Object, before: Timestamp, limit: usize) -> Result<usize, Failed> {
    let forgotten = client.execute(FORGET, &[&before.as_ms(), &to_i64(limit)]).await?;
    Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
}
