//! Cancelling what is pending: by hand, and in slices for what was deleted or held too long; and telling the node that
//! has a cancelled one in its memory.

use deadpool_postgres::{GenericClient, Object};
use postrider_core::audit::Deed;
use postrider_core::delivery::{CancelReason, DeliverySeq};
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::DeliveryId;
use postrider_core::time::Timestamp;

use super::rows::{Failed, uuid};
use super::{audit, wake};
use crate::columns::HAS_ENDED;
use crate::error::StoreError;

/// The oldest pending deliveries of an endpoint, whosever they are: at most `$2`.
const PENDING_OF: &str = "SELECT q.seq FROM (SELECT no FROM nodes UNION ALL SELECT NULL) n, LATERAL (
        (SELECT seq FROM queue WHERE owner = n.no AND endpoint_no = $1 AND next_attempt_at IS NULL
            ORDER BY seq LIMIT $2)
        UNION ALL (SELECT seq FROM queue WHERE owner = n.no AND endpoint_no = $1 AND next_attempt_at IS NOT NULL
            ORDER BY seq LIMIT $2)
        UNION ALL (SELECT seq FROM queue WHERE n.no IS NULL AND owner IS NULL AND endpoint_no = $1
            AND next_attempt_at IS NULL ORDER BY seq LIMIT $2)
        UNION ALL (SELECT seq FROM queue WHERE n.no IS NULL AND owner IS NULL AND endpoint_no = $1
            AND next_attempt_at IS NOT NULL ORDER BY seq LIMIT $2)
    ) q ORDER BY q.seq LIMIT $2";

/// Cancels the oldest `limit` pending deliveries of an endpoint, of those made before `before`; gives how many it were.
pub(super) async fn cancel_oldest(
    client: &impl GenericClient,
    endpoint_no: i64,
    before: Option<Timestamp>,
    reason: CancelReason,
    now: Timestamp,
    limit: i64,
) -> Result<usize, Failed> {
    let sql = format!(
        "WITH oldest AS MATERIALIZED ({PENDING_OF}), gone AS (
            DELETE FROM queue q USING oldest, deliveries d
            WHERE q.seq = oldest.seq AND d.seq = q.seq AND d.created_at < $3
            RETURNING q.seq
        )
        UPDATE deliveries d SET status = 3, cancel_reason = $4, updated_at = $5
        FROM gone WHERE d.seq = gone.seq"
    );
    let before = before.map_or(i64::MAX, Timestamp::as_ms);
    let cancelled =
        client.execute(&sql, &[&endpoint_no, &limit, &before, &reason.as_str(), &now.as_ms()]).await?;
    Ok(usize::try_from(cancelled).unwrap_or(usize::MAX))
}

/// Cancels one pending delivery by hand. The node that owns it is told in the same commit, this one too: should the answer
/// to the commit be lost, nothing else would tell it.
pub(super) async fn cancel(
    client: &mut Object,
    id: DeliveryId,
    deed: Deed,
) -> Result<(EndpointNo, DeliverySeq), Failed> {
    let transaction = client.transaction().await?;
    let id = uuid(id.to_bytes());
    let sql = "WITH found AS MATERIALIZED (SELECT seq, endpoint_no FROM deliveries WHERE id = $1), gone AS (
            DELETE FROM queue q USING found WHERE q.seq = found.seq RETURNING q.seq, q.endpoint_no, q.owner
        ), cancelled AS (
            UPDATE deliveries d SET status = 3, cancel_reason = $2, updated_at = $3
            FROM gone WHERE d.seq = gone.seq RETURNING d.seq
        ), told AS (
            INSERT INTO cancelled_elsewhere (owner, endpoint_no, seq)
            SELECT n.no, gone.endpoint_no, gone.seq FROM gone JOIN nodes n ON n.no = gone.owner
            WHERE n.state = 'alive' RETURNING owner
        )
        SELECT endpoint_no, seq, EXISTS (SELECT FROM cancelled), EXISTS (SELECT FROM told) FROM found";
    let (reason, at) = (CancelReason::Operator.as_str(), deed.at.as_ms());
    let row = transaction.query_opt(sql, &[&id, &reason, &at]).await?.ok_or(StoreError::NotFound)?;
    if !row.get::<_, bool>(2) {
        return Err(StoreError::Conflict(HAS_ENDED).into());
    }
    audit::write(&transaction, &deed).await?;
    if row.get(3) {
        wake::others(&transaction).await?;
    }
    transaction.commit().await?;
    Ok((EndpointNo(row.get(0)), DeliverySeq(row.get(1))))
}

/// `OFFSET 0` keeps each question a look into the index: without it the server may answer them all by one walk through
/// the queue.
pub(super) const DELETED_WITH_BACKLOG: &str = "SELECT ep.no, a.deleted_at IS NOT NULL
    FROM endpoints ep JOIN accounts a ON a.no = ep.account_no
    WHERE ep.deleted_at IS NOT NULL AND (
        EXISTS (SELECT FROM (SELECT no FROM nodes) n, queue q WHERE q.owner = n.no AND q.endpoint_no = ep.no
            AND q.next_attempt_at IS NULL OFFSET 0)
        OR EXISTS (SELECT FROM (SELECT no FROM nodes) n, queue q WHERE q.owner = n.no AND q.endpoint_no = ep.no
            AND q.next_attempt_at IS NOT NULL OFFSET 0)
        OR EXISTS (SELECT FROM queue q WHERE q.owner IS NULL AND q.endpoint_no = ep.no
            AND q.next_attempt_at IS NULL OFFSET 0)
        OR EXISTS (SELECT FROM queue q WHERE q.owner IS NULL AND q.endpoint_no = ep.no
            AND q.next_attempt_at IS NOT NULL OFFSET 0))
    ORDER BY ep.no";

/// Deleted endpoints with pending deliveries, with the reason to cancel them.
pub(super) async fn deleted_with_backlog(
    client: &mut Object,
) -> Result<Vec<(EndpointNo, CancelReason)>, Failed> {
    let reason = |account_is_deleted: bool| match account_is_deleted {
        true => CancelReason::AccountDeleted,
        false => CancelReason::EndpointDeleted,
    };
    let rows = client.query(DELETED_WITH_BACKLOG, &[]).await?;
    Ok(rows.iter().map(|row| (EndpointNo(row.get(0)), reason(row.get(1)))).collect())
}

/// How many cancelled deliveries a node is told of at once; the next look goes on behind them.
const TOLD_AT_ONCE: i64 = 1_000;

/// Whether deliveries of this node were cancelled at others.
pub(super) const IS_ANY_TOLD: &str = "EXISTS (SELECT FROM cancelled_elsewhere WHERE owner = $1)";

/// This node's deliveries that were cancelled at others, each with the number under which it is told.
pub(super) async fn told(
    client: &impl GenericClient,
    me: i64,
) -> Result<Vec<(i64, EndpointNo, DeliverySeq)>, Failed> {
    let sql = "SELECT no, endpoint_no, seq FROM cancelled_elsewhere WHERE owner = $1 ORDER BY no LIMIT $2";
    let rows = client.query(&client.prepare_cached(sql).await?, &[&me, &TOLD_AT_ONCE]).await?;
    Ok(rows.iter().map(|row| (row.get(0), EndpointNo(row.get(1)), DeliverySeq(row.get(2)))).collect())
}

/// Forgets what this node has heard of.
pub(super) async fn heard(client: &impl GenericClient, nos: &[i64]) -> Result<(), Failed> {
    let sql = "DELETE FROM cancelled_elsewhere WHERE no = ANY($1)";
    client.execute(&client.prepare_cached(sql).await?, &[&nos]).await?;
    Ok(())
}
