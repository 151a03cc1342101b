//! Seals the values of endpoints that the previous release wrote again, so that each is bound to its endpoint's URL.
//!
//! A node of the previous release can't open such values. So they are written only once none lives and none can join any
//! more: the table `seal_schemes` names the schemes that nodes of every kind may count on, and each node's row refers to the
//! newest that it knows. Row 1 goes, which that reference prevents while an old node's row is there, and which keeps old
//! nodes from joining afterwards. Then the node that has lived longest seals everything again, part by part, and with the
//! last part the store remembers that values of the old scheme are refused.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Object};
use postrider_core::id::EndpointId;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::rows::{Failed, id_bytes};
use super::shared::Shared;
use super::{configuration, migrations};
use crate::endpoint_columns::SealedRow;
use crate::seal::meta_values;
use crate::seal::{Scheme, Sealer};

/// How many endpoints are sealed again in one part.
const PART_ROWS: i64 = if cfg!(test) { 2 } else { 200 };

/// Returns the scheme in which a transaction has to seal endpoints' values, and keeps it so until the transaction ends.
pub(super) async fn scheme(client: &impl GenericClient) -> Result<Scheme, Failed> {
    let old = client.query_opt("SELECT FROM seal_schemes WHERE scheme = 1 FOR KEY SHARE", &[]).await?;
    Ok(if old.is_some() { Scheme::Unbound } else { Scheme::Bound })
}

/// Returns whether the store refuses values of the old scheme, as of the client's snapshot.
pub(super) async fn is_complete(client: &impl GenericClient, sealer: &Sealer) -> Result<bool, Failed> {
    let row = client.query_opt("SELECT value FROM meta WHERE name = 'key_check'", &[]).await?;
    let scheme = row.and_then(|row| meta_values::scheme_of_store(sealer, row.get::<_, &[u8]>(0)));
    Ok(scheme == Some(Scheme::Bound))
}

/// Sees to it that everything is bound, as soon as that may be. Ends when it is.
pub(super) async fn run(shared: &Shared, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    while !shared.sealer.refuses_unbound() {
        ticks.tick().await;
        let done = step(shared).await;
        if let Err(error) = &done
            && !is_failing
        {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "failed to seal endpoints' values again; retrying");
        }
        is_failing = done.is_err();
    }
}

/// Goes as far as it may at this moment.
pub(super) async fn step(shared: &Shared) -> Result<(), Failed> {
    let sealer = shared.sealer.clone();
    let is_complete = shared.harmless(shared.patience, move |client| {
        Box::pin(async move { is_complete(&*client, &sealer).await })
    });
    if is_complete.await? {
        shared.sealer.refuse_unbound();
        return Ok(());
    }
    if shared.membership().rank != 0 {
        return Ok(());
    }
    let began = shared.harmless(shared.patience, |client| Box::pin(begin(client))).await?;
    if !began {
        return Ok(());
    }
    let mut after = Some(i64::MIN);
    while let Some(from) = after {
        let sealer = shared.sealer.clone();
        let part = shared.harmless(shared.patience, move |client| {
            Box::pin(async move { bind_part(client, &sealer, from).await })
        });
        after = part.await?;
    }
    let sealer = shared.sealer.clone();
    let finished = shared
        .harmless(shared.patience, move |client| Box::pin(async move { finish(client, &sealer).await }));
    finished.await?;
    shared.sealer.refuse_unbound();
    tracing::info!(
        "sealed values are bound to their endpoints' URLs; nodes of the previous release can't join"
    );
    Ok(())
}

/// From here on the new scheme is written, and nodes of the previous release can't join. False while one lives.
async fn begin(client: &mut Object) -> Result<bool, Failed> {
    let transaction = client.transaction().await?;
    if transaction.query_opt("SELECT FROM seal_schemes WHERE scheme = 1", &[]).await?.is_none() {
        return Ok(true);
    }
    let gone = "UPDATE nodes SET seal_scheme = NULL WHERE state <> 'alive' AND seal_scheme = 1";
    transaction.execute(gone, &[]).await?;
    // This waits for every change in which a node goes by the old scheme.
    let end = "DELETE FROM seal_schemes WHERE scheme = 1
        AND NOT EXISTS (SELECT FROM nodes WHERE state = 'alive' AND seal_scheme = 1)";
    match transaction.execute(end, &[]).await {
        Ok(0) => return Ok(false),
        Ok(_) => {}
        // One has joined just now.
        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    // A program of the previous release is told why it can't start, where this user may write that down.
    let may = "SELECT has_table_privilege('postrider_schema', 'UPDATE')";
    if transaction.query_one(may, &[]).await?.get(0) {
        let refuse = "UPDATE postrider_schema SET works_from = greatest(works_from, $1) WHERE version >= $1";
        transaction.execute(refuse, &[&migrations::SEAL_SCHEMES]).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// Endpoints with a value of the old scheme.
macro_rules! unbound {
    () => {
        "SELECT no, id, url, secret, next_secret, headers FROM endpoints
            WHERE no > $1 AND (substring(secret FROM 1 FOR 1) = '\\x01'
                OR substring(next_secret FROM 1 FOR 1) = '\\x01' OR substring(headers FROM 1 FOR 1) = '\\x01')
            ORDER BY no"
    };
}

/// Binds the values of the endpoints behind `after`. Returns the last one of this part; none where it was the end. Waits for
/// nobody: a row that is locked is left to [`finish`].
async fn bind_part(client: &mut Object, sealer: &Sealer, after: i64) -> Result<Option<i64>, Failed> {
    let transaction = client.transaction().await?;
    let find = concat!(unbound!(), " LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED");
    let rows = transaction.query(find, &[&after, &PART_ROWS]).await?;
    bind(&transaction, sealer, &rows).await?;
    transaction.commit().await?;
    Ok(rows.last().map(|row| row.get(0)))
}

/// Binds what is left, while nobody else writes endpoints, and refuses the old scheme from then on. What does not open stays
/// as it is.
async fn finish(client: &mut Object, sealer: &Sealer) -> Result<(), Failed> {
    let transaction = client.transaction().await?;
    let lock = "SET LOCAL lock_timeout = '2s'; LOCK TABLE endpoints IN SHARE ROW EXCLUSIVE MODE";
    transaction.batch_execute(lock).await?;
    let rows = transaction.query(unbound!(), &[&i64::MIN]).await?;
    bind(&transaction, sealer, &rows).await?;
    configuration::seal_operator_key(&transaction, sealer).await?;
    let check = meta_values::key_check(sealer, Scheme::Bound);
    transaction.execute("UPDATE meta SET value = $1 WHERE name = 'key_check'", &[&check]).await?;
    Ok(transaction.commit().await?)
}

async fn bind(client: &impl GenericClient, sealer: &Sealer, rows: &[Row]) -> Result<(), Failed> {
    let (mut nos, mut values) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for row in rows {
        let sealed = SealedRow { sealer, id: EndpointId::from_bytes(id_bytes(row, 1)), url: row.get(2) };
        nos.push(row.get::<_, i64>(0));
        for (index, column) in ["secret", "next_secret", "headers"].into_iter().enumerate() {
            let value: Option<&[u8]> = row.get(3 + index);
            values[index].push(value.and_then(|value| sealed.bind(column, value)));
        }
    }
    let [secrets, next_secrets, headers] = values;
    let set = "UPDATE endpoints e SET secret = coalesce(b.secret, e.secret),
            next_secret = coalesce(b.next_secret, e.next_secret), headers = coalesce(b.headers, e.headers)
        FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[]) AS b (no, secret, next_secret, headers)
        WHERE e.no = b.no AND (b.secret IS NOT NULL OR b.next_secret IS NOT NULL OR b.headers IS NOT NULL)";
    client.execute(set, &[&nos, &secrets, &next_secrets, &headers]).await?;
    Ok(())
}
