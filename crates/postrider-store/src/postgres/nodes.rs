//! Nodes: joining, the heartbeat, taking over from one that is gone, leases, and leaving.
//!
//! Whether a node lives is judged by the database's clock alone, and it is written down: until somebody has marked it
//! dead, under a lock that everything it accepts has to share, it is alive, and after that never again.

use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;

use super::connect::ConnectError;
use super::rows::{Failed, to_i64};
use super::shared::{Membership, Shared};
use super::wake;
use crate::error::StoreError;
use crate::model::Node;

/// How many rows one statement hands over.
const HAND_OVER_ROWS: i64 = 5_000;
/// How long before others may declare it dead a node stops being certain that it lives.
const MARGIN: u32 = 4;

const JOIN: &str =
    "INSERT INTO nodes (name, version, state, seal_scheme) VALUES ($1, $2, 'alive', 2) RETURNING no";

/// Joins under the first number.
pub(super) async fn join(pool: &Pool, name: &str) -> Result<i64, Failed> {
    let client = pool.get().await?;
    Ok(client.query_one(JOIN, &[&name, &env!("CARGO_PKG_VERSION")]).await?.get(0))
}

/// Joins under a new number. One that is joined without an answer has nothing of its own, and is buried by the others.
pub(super) async fn join_again(shared: &Shared, name: &str) -> Result<i64, Failed> {
    let name = name.to_owned();
    shared
        .harmless(shared.patience, move |client| {
            Box::pin(
                async move { Ok(client.query_one(JOIN, &[&name, &env!("CARGO_PKG_VERSION")]).await?.get(0)) },
            )
        })
        .await
}

impl From<Failed> for ConnectError {
    fn from(failed: Failed) -> Self {
        Self::Other(super::connect::chain(&failed))
    }
}

/// How long a heartbeat may take, so that several fit into the time after which a silent node is declared dead.
fn beat_patience(lapse: Duration) -> Duration {
    (lapse / 4).max(Duration::from_millis(100))
}

/// Says that this node lives, and looks who else does. Gives those that have not said so for `lapse`, and whether it was
/// uncertain until now that this one lives. `LeaseLost` where this one was declared dead.
pub(super) async fn beat(shared: &Shared, lapse: Duration) -> Result<(Vec<i64>, bool), Failed> {
    let (me, sent_at, lapse_s) = (shared.me(), Instant::now(), lapse.as_secs_f64());
    let (membership, lapsed) = shared
        .harmless(beat_patience(lapse).min(shared.patience), move |client| {
            Box::pin(async move {
                let beat = "UPDATE nodes SET beat_at = clock_timestamp() WHERE no = $1 AND state = 'alive'";
                if client.execute(&client.prepare_cached(beat).await?, &[&me]).await? == 0 {
                    return Err(StoreError::LeaseLost.into());
                }
                let all =
                    "SELECT no, state = 'alive', beat_at < clock_timestamp() - make_interval(secs => $1)
                    FROM nodes ORDER BY no";
                let rows = client.query(&client.prepare_cached(all).await?, &[&lapse_s]).await?;
                let of = |is_alive: bool| rows.iter().filter(move |row| row.get::<_, bool>(1) == is_alive);
                let alive: Vec<i64> = of(true).map(|row| row.get(0)).collect();
                let lapsed = of(true).filter(|row| row.get(2)).map(|row| row.get(0)).collect();
                let rank = alive.iter().filter(|no| **no < me).count();
                let membership = Membership {
                    rank: to_i64(rank),
                    alive: to_i64(alive.len().max(1)),
                    gone: of(false).map(|row| row.get(0)).collect(),
                };
                Ok((membership, lapsed))
            })
        })
        .await?;
    shared.set_membership(membership);
    // Asked now, and not before the database answered: it may have become uncertain while it was waited for.
    let was_uncertain = !shared.is_surely_alive();
    shared.lives_until(sent_at + (lapse - lapse / MARGIN));
    Ok((lapsed, was_uncertain))
}

/// Declares a node dead that has not said for `lapse` that it lives; false where it has, or is gone already. Waits for
/// what the node is committing at this moment, and sees to it that it commits nothing afterwards. From then on what is
/// its own is for whoever comes first.
pub(super) async fn take_over(shared: &Shared, no: i64, lapse: Duration) -> Result<bool, Failed> {
    let lapse_s = lapse.as_secs_f64();
    shared
        .harmless(beat_patience(lapse).min(shared.patience), move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                let lock = "SELECT FROM nodes WHERE no = $1 AND state = 'alive'
                    AND beat_at < clock_timestamp() - make_interval(secs => $2) FOR UPDATE";
                if transaction.execute(lock, &[&no, &lapse_s]).await? == 0 {
                    return Ok(false);
                }
                transaction.execute("UPDATE nodes SET state = 'dead' WHERE no = $1", &[&no]).await?;
                transaction.execute("DELETE FROM leases WHERE node_no = $1", &[&no]).await?;
                wake::others(&transaction).await?;
                transaction.commit().await?;
                Ok(true)
            })
        })
        .await
}

/// Leaves: from here on everything of this node is for whoever comes first.
pub(super) async fn leave(shared: &Shared) -> Result<(), Failed> {
    shared.begin_to_leave();
    let me = shared.me();
    shared
        .harmless(shared.patience, move |client| {
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

/// Forgets nodes that are gone and have left nothing behind.
pub(super) async fn forget_gone(shared: &Shared) -> Result<(), Failed> {
    let sql =
        "DELETE FROM nodes n WHERE n.state <> 'alive' AND n.beat_at < clock_timestamp() - interval '1 minute'
        AND NOT EXISTS (SELECT FROM queue WHERE owner = n.no AND next_attempt_at IS NULL)
        AND NOT EXISTS (SELECT FROM queue WHERE owner = n.no AND next_attempt_at IS NOT NULL)
        AND NOT EXISTS (SELECT FROM leases WHERE node_no = n.no)";
    shared
        .harmless(shared.patience, move |client| {
            Box::pin(async move { Ok(client.execute(sql, &[]).await.map(drop)?) })
        })
        .await
}

/// Takes the lease of an endpoint, or keeps it; false where another node that lives has it.
pub(super) async fn hold(shared: &Shared, endpoint: EndpointNo) -> Result<bool, Failed> {
    let me = shared.me();
    let sql = "WITH me AS MATERIALIZED (SELECT no FROM nodes WHERE no = $2 AND state = 'alive' FOR KEY SHARE)
        INSERT INTO leases (endpoint_no, node_no) SELECT $1, no FROM me
        ON CONFLICT (endpoint_no) DO UPDATE SET node_no = excluded.node_no
            WHERE leases.node_no = excluded.node_no
                OR NOT EXISTS (SELECT FROM nodes n WHERE n.no = leases.node_no AND n.state = 'alive')
        RETURNING node_no";
    shared
        .run(move |client| {
            Box::pin(async move {
                let hold = client.prepare_cached(sql).await?;
                Ok(client.query_opt(&hold, &[&endpoint.0, &me]).await?.is_some())
            })
        })
        .await
}

/// Makes what is pending for an endpoint and is this node's nobody's, but for `keep`, and wakes the others.
pub(super) async fn hand_over(
    shared: &Shared,
    endpoint: EndpointNo,
    keep: Vec<DeliverySeq>,
) -> Result<(), Failed> {
    give_away(shared, Some(endpoint), numbers(keep)).await
}

/// Makes everything of this node nobody's, but for `keep`, and gives up the leases of endpoints of which none is kept.
pub(super) async fn step_down(shared: &Shared, keep: Vec<DeliverySeq>) -> Result<(), Failed> {
    shared.begin_to_leave();
    let (me, keep) = (shared.me(), numbers(keep));
    let kept = keep.clone();
    shared
        .run(move |client| {
            Box::pin(async move {
                let sql = "DELETE FROM leases WHERE node_no = $1
                    AND NOT endpoint_no IN (SELECT endpoint_no FROM queue WHERE seq = ANY($2))";
                client.execute(sql, &[&me, &kept]).await?;
                wake::others(client).await
            })
        })
        .await?;
    give_away(shared, None, keep).await
}

fn numbers(seqs: Vec<DeliverySeq>) -> Vec<i64> {
    seqs.into_iter().map(|seq| seq.0).collect()
}

/// Part by part, so that nobody waits long for a row.
async fn give_away(shared: &Shared, of: Option<EndpointNo>, keep: Vec<i64>) -> Result<(), Failed> {
    let (me, of) = (shared.me(), of.map(|endpoint| endpoint.0));
    let only = if of.is_some() { "AND endpoint_no = $4" } else { "AND $4::bigint IS NULL" };
    let part = |condition: &str| {
        format!(
            "(SELECT seq FROM queue WHERE owner = $1 AND next_attempt_at {condition} {only}
                AND NOT seq = ANY($2) LIMIT $3)"
        )
    };
    let sql = format!(
        "UPDATE queue SET owner = NULL WHERE seq IN ({} UNION ALL {})",
        part("IS NULL"),
        part("IS NOT NULL")
    );
    loop {
        let (sql, keep) = (sql.clone(), keep.clone());
        let moved = shared
            .run(move |client| {
                Box::pin(async move {
                    let give = client.prepare_cached(&sql).await?;
                    let moved = client.execute(&give, &[&me, &keep, &HAND_OVER_ROWS, &of]).await?;
                    if moved > 0 {
                        wake::others(client).await?;
                    }
                    Ok(moved)
                })
            })
            .await?;
        if to_i64(moved) < HAND_OVER_ROWS {
            return Ok(());
        }
    }
}

/// The nodes that are alive.
pub(super) async fn alive(shared: &Shared) -> Result<Vec<Node>, Failed> {
    let me = shared.me();
    let sql = "SELECT n.no, n.name, n.version, (extract(epoch FROM n.started_at) * 1000)::bigint,
            (extract(epoch FROM n.beat_at) * 1000)::bigint,
            (SELECT count(*) FROM queue WHERE owner = n.no AND next_attempt_at IS NULL)
                + (SELECT count(*) FROM queue WHERE owner = n.no AND next_attempt_at IS NOT NULL),
            (SELECT count(*) FROM leases WHERE node_no = n.no)
        FROM nodes n WHERE n.state = 'alive' ORDER BY n.no";
    shared
        .harmless(shared.patience, move |client| {
            Box::pin(async move {
                let rows = client.query(sql, &[]).await?;
                let node = |row: &tokio_postgres::Row| Node {
                    no: row.get(0),
                    name: row.get(1),
                    version: row.get(2),
                    is_self: row.get::<_, i64>(0) == me,
                    started_at: Timestamp::from_ms(row.get(3)),
                    seen_at: Timestamp::from_ms(row.get(4)),
                    pending: row.get::<_, i64>(5).unsigned_abs(),
                    leases: row.get::<_, i64>(6).unsigned_abs(),
                };
                Ok(rows.iter().map(node).collect())
            })
        })
        .await
}
