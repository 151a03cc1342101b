//! Nodes: joining, the heartbeat, and leaving.

use deadpool_postgres::Pool;

use super::connect::ConnectError;
use super::rows::Failed;
use super::shared::{Membership, Shared};
use super::wake;
use crate::error::StoreError;

/// Joins under a new number.
pub(super) async fn join(pool: &Pool, name: &str) -> Result<i64, ConnectError> {
    let client = pool.get().await?;
    let sql = "INSERT INTO nodes (name, version, state) VALUES ($1, $2, 'alive') RETURNING no";
    Ok(client.query_one(sql, &[&name, &env!("CARGO_PKG_VERSION")]).await?.get(0))
}

/// Says that this node lives and looks who else does. `LeaseLost` where it was declared dead.
pub(super) async fn beat(shared: &Shared) -> Result<(), Failed> {
    let me = shared.me();
    let membership = shared
        .run(move |client| {
            Box::pin(async move {
                let beat = "UPDATE nodes SET beat_at = clock_timestamp() WHERE no = $1 AND state = 'alive'";
                if client.execute(&client.prepare_cached(beat).await?, &[&me]).await? == 0 {
                    return Err(StoreError::LeaseLost.into());
                }
                let all = client.prepare_cached("SELECT no, state = 'alive' FROM nodes ORDER BY no").await?;
                let rows = client.query(&all, &[]).await?;
                let of = |is_alive: bool| {
                    rows.iter().filter(move |row| row.get::<_, bool>(1) == is_alive).map(|row| row.get(0))
                };
                let alive: Vec<i64> = of(true).collect();
                let rank = alive.iter().filter(|no| **no < me).count();
                Ok(Membership {
                    rank: i64::try_from(rank).unwrap_or(0),
                    alive: i64::try_from(alive.len().max(1)).unwrap_or(1),
                    gone: of(false).collect(),
                })
            })
        })
        .await?;
    shared.set_membership(membership);
    Ok(())
}

/// Leaves: from here on everything of this node is for whoever comes first.
pub(super) async fn leave(shared: &Shared) -> Result<(), Failed> {
    let me = shared.me();
    shared
        .run(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                transaction.execute("UPDATE nodes SET state = 'left' WHERE no = $1", &[&me]).await?;
                transaction.execute("DELETE FROM leases WHERE node_no = $1", &[&me]).await?;
                wake::others(&transaction).await?;
                Ok(transaction.commit().await?)
            })
        })
        .await
}
