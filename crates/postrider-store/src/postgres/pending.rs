//! What lanes and timers are filled from. A node reads its own deliveries, and takes over what has no owner, or one that
//! is gone, as it reads: whoever has room for more comes by more often.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Object;
use postrider_core::delivery::{DeliverySeq, Progress};
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::{DeliveryId, EventId};
use postrider_core::time::Timestamp;
use tokio_postgres::Row;

use super::rows::{Failed, id_bytes, optional_time, to_i64, to_u32};
use super::shared::Shared;
use crate::model::{LaneBacklog, PendingDelivery};

/// How many payload bytes one query gives inline; later rows leave them to `payloads`.
const MAX_INLINE_BYTES: i64 = 8 * 1024 * 1024;
/// From so long on anyone takes a retry that has fallen due; before that each node takes its share.
const ANYONES_AFTER: Duration = Duration::from_secs(10);

/// Pending deliveries per endpoint: this node's, and those that are nobody's.
pub(super) async fn backlogs(client: &mut Object, me: i64, gone: &[i64]) -> Result<Vec<LaneBacklog>, Failed> {
    let mut lanes = BTreeMap::<i64, (u64, u64)>::new();
    for (is_waiting, condition) in [(false, "IS NULL"), (true, "IS NOT NULL")] {
        let sql = format!(
            "SELECT endpoint_no, count(*) FROM queue
             WHERE next_attempt_at {condition} AND (owner = $1 OR owner IS NULL OR owner = ANY($2))
             GROUP BY endpoint_no"
        );
        for row in client.query(&sql, &[&me, &gone]).await? {
            let counts = lanes.entry(row.get(0)).or_default();
            let count = row.get::<_, i64>(1).unsigned_abs();
            if is_waiting { counts.1 = count } else { counts.0 = count }
        }
    }
    let backlog = |(endpoint_no, (ready, waiting))| LaneBacklog {
        endpoint_no: EndpointNo(endpoint_no),
        ready,
        waiting,
    };
    Ok(lanes.into_iter().map(backlog).collect())
}

/// When the oldest pending delivery of all nodes was accepted.
pub(super) async fn oldest(client: &mut Object) -> Result<Option<Timestamp>, Failed> {
    let sql = "SELECT d.created_at FROM deliveries d WHERE d.seq = (SELECT min(seq) FROM queue)";
    let row = client.query_opt(sql, &[]).await?;
    Ok(row.map(|row| Timestamp::from_ms(row.get(0))))
}

/// Of these endpoints those with ready deliveries. `OFFSET 0` keeps each question a look into the index: without it the
/// server may answer them all by one walk through the queue.
pub(super) const WITH_READY: &str = "SELECT e.no FROM unnest($1::bigint[]) WITH ORDINALITY AS e(no, place)
    WHERE EXISTS (SELECT FROM queue WHERE owner = $2 AND endpoint_no = e.no AND next_attempt_at IS NULL OFFSET 0)
        OR EXISTS (SELECT FROM queue WHERE owner IS NULL AND endpoint_no = e.no AND next_attempt_at IS NULL OFFSET 0)
        OR EXISTS (SELECT FROM unnest($3::bigint[]) g(no), queue q
            WHERE q.owner = g.no AND q.endpoint_no = e.no AND q.next_attempt_at IS NULL OFFSET 0)
    ORDER BY e.place";

pub(super) async fn with_ready(
    client: &mut Object,
    me: i64,
    gone: &[i64],
    endpoints: Vec<EndpointNo>,
) -> Result<Vec<EndpointNo>, Failed> {
    let asked: Vec<i64> = endpoints.into_iter().map(|no| no.0).collect();
    let select = client.prepare_cached(WITH_READY).await?;
    let rows = client.query(&select, &[&asked, &me, &gone]).await?;
    Ok(rows.iter().map(|row| EndpointNo(row.get(0))).collect())
}

/// The lowest numbers of this node's ready deliveries, for each endpoint as many as are asked for.
pub(super) const READY_NUMBERS: &str =
    "SELECT e.no, q.seq FROM unnest($1::bigint[], $2::bigint[]) AS e(no, wanted),
    LATERAL (SELECT seq FROM queue WHERE owner = $3 AND endpoint_no = e.no AND next_attempt_at IS NULL
        ORDER BY seq LIMIT e.wanted) q";

pub(super) async fn ready_numbers(
    client: &mut Object,
    me: i64,
    endpoints: Vec<(EndpointNo, usize)>,
) -> Result<Vec<(EndpointNo, DeliverySeq)>, Failed> {
    let (nos, wanted): (Vec<i64>, Vec<i64>) =
        endpoints.into_iter().map(|(no, wanted)| (no.0, to_i64(wanted))).unzip();
    let select = client.prepare_cached(READY_NUMBERS).await?;
    let rows = client.query(&select, &[&nos, &wanted, &me]).await?;
    Ok(rows.iter().map(|row| (EndpointNo(row.get(0)), DeliverySeq(row.get(1)))).collect())
}

/// What of an endpoint is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// What waits for nothing but its turn.
    Ready,
    /// What waits for a point in time.
    Waiting,
}

impl Which {
    const fn condition(self) -> &'static str {
        match self {
            Self::Ready => "next_attempt_at IS NULL",
            Self::Waiting => "next_attempt_at IS NOT NULL",
        }
    }
}

/// The oldest of an endpoint, by number; those that are nobody's become this node's first.
pub(super) async fn of_endpoint(
    shared: &Shared,
    endpoint: EndpointNo,
    which: Which,
    limit: usize,
) -> Result<Vec<PendingDelivery>, Failed> {
    let (me, gone, no, limit) = (shared.me(), shared.membership().gone, endpoint.0, to_i64(limit));
    let is_free = {
        let gone = gone.clone();
        shared
            .read_settled(move |client| Box::pin(async move { is_any_free(client, no, which, &gone).await }))
            .await?
    };
    if is_free && !shared.is_leaving() {
        // From here on until the commit nothing else becomes this node's.
        let _numbering = shared.numbering().await?;
        shared.run(move |client| Box::pin(async move { take(client, me, no, which, limit).await })).await?;
    }
    shared.read_settled(move |client| Box::pin(async move { read(client, me, no, which, limit).await })).await
}

async fn is_any_free(client: &Object, no: i64, which: Which, gone: &[i64]) -> Result<bool, Failed> {
    let condition = which.condition();
    let sql = format!(
        "SELECT EXISTS (SELECT FROM queue WHERE owner IS NULL AND endpoint_no = $1 AND {condition})
            OR EXISTS (SELECT FROM unnest($2::bigint[]) g(no), queue q
                WHERE q.owner = g.no AND q.endpoint_no = $1 AND q.{condition})"
    );
    let select = client.prepare_cached(&sql).await?;
    Ok(client.query_one(&select, &[&no, &gone]).await?.get(0))
}

/// An endpoint that only one node may send to is left to the one that holds it. Which nodes are gone is asked anew: whoever
/// has just got an `ordered` endpoint must see what the one before has left, or a later delivery would come first.
async fn take(client: &Object, me: i64, no: i64, which: Which, limit: i64) -> Result<(), Failed> {
    let condition = which.condition();
    let sql = format!(
        "WITH free AS MATERIALIZED (
            SELECT f.seq FROM (
                SELECT a.seq FROM (SELECT seq FROM queue WHERE owner IS NULL AND endpoint_no = $2 AND {condition}
                    ORDER BY seq LIMIT $3 FOR UPDATE SKIP LOCKED) a
                UNION ALL
                SELECT b.seq FROM (SELECT no FROM nodes WHERE state <> 'alive') g(no), LATERAL (SELECT seq FROM queue
                    WHERE owner = g.no AND endpoint_no = $2 AND {condition}
                    ORDER BY seq LIMIT $3 FOR UPDATE SKIP LOCKED) b
            ) f ORDER BY f.seq LIMIT $3
        )
        UPDATE queue q SET owner = $1 FROM free, nodes me
        WHERE q.seq = free.seq AND me.no = $1 AND me.state = 'alive' AND NOT EXISTS (
            SELECT FROM leases l JOIN endpoints ep ON ep.no = l.endpoint_no
            WHERE l.endpoint_no = $2 AND l.node_no <> $1
                AND (ep.ordered OR ep.failing OR ep.rate_per_second IS NOT NULL))"
    );
    let statement = client.prepare_cached(&sql).await?;
    client.execute(&statement, &[&me, &no, &limit]).await?;
    Ok(())
}

const COLUMNS: &str = "q.seq, d.id, q.endpoint_no, ev.id, ev.type, q.attempts, q.used, q.next_attempt_at,
    octet_length(ev.payload)";
const FROM: &str = "JOIN deliveries d ON d.seq = q.seq JOIN events ev ON ev.seq = q.event_seq";

async fn read(
    client: &Object,
    me: i64,
    no: i64,
    which: Which,
    limit: i64,
) -> Result<Vec<PendingDelivery>, Failed> {
    let condition = which.condition();
    // Payloads come along while the bytes before them are within the budget.
    let payload = match which {
        Which::Waiting => "NULL::bytea",
        Which::Ready => {
            "CASE WHEN sum(octet_length(ev.payload)) OVER (ORDER BY q.seq) - octet_length(ev.payload) < $4::bigint
                THEN ev.payload END"
        }
    };
    let sql = format!(
        "SELECT {COLUMNS}, {payload} FROM (
            SELECT * FROM queue WHERE owner = $1 AND endpoint_no = $2 AND {condition} ORDER BY seq LIMIT $3
        ) q {FROM} WHERE $4::bigint > 0 ORDER BY q.seq"
    );
    let select = client.prepare_cached(&sql).await?;
    let rows = client.query(&select, &[&me, &no, &limit, &MAX_INLINE_BYTES]).await?;
    let inline = |row: &Row| {
        let payload = row.get::<_, Option<Vec<u8>>>(9).map(Bytes::from);
        PendingDelivery { payload, ..pending(row) }
    };
    Ok(rows.iter().map(inline).collect())
}

/// Retries that are due, the earliest first; of those that are nobody's this node takes its share.
pub(super) async fn due(
    shared: &Shared,
    until: Timestamp,
    after: Option<(Timestamp, DeliverySeq)>,
    limit: usize,
) -> Result<Vec<PendingDelivery>, Failed> {
    let (me, membership, limit) = (shared.me(), shared.membership(), to_i64(limit));
    let gone = membership.gone.clone();
    let is_free = shared
        .read_settled(move |client| Box::pin(async move { is_any_due(client, until.as_ms(), &gone).await }))
        .await?;
    if is_free && !shared.is_leaving() {
        let _numbering = shared.numbering().await?;
        shared
            .run(move |client| {
                Box::pin(async move {
                    let overdue = until.minus(ANYONES_AFTER).as_ms();
                    let (rank, alive) = (membership.rank, membership.alive);
                    let statement = client.prepare_cached(TAKE_DUE).await?;
                    let until = until.as_ms();
                    let gone = &*membership.gone;
                    client
                        .execute(&statement, &[&me, &until, &limit, &gone, &overdue, &rank, &alive])
                        .await?;
                    Ok(())
                })
            })
            .await?;
    }
    let (at, seq) = after.map_or((i64::MIN, i64::MIN), |(at, seq)| (at.as_ms(), seq.0));
    let sql = format!(
        "SELECT {COLUMNS} FROM (
            SELECT * FROM queue WHERE owner = $1 AND next_attempt_at <= $2 AND (next_attempt_at, seq) > ($3, $4)
            ORDER BY next_attempt_at, seq LIMIT $5
        ) q {FROM} ORDER BY q.next_attempt_at, q.seq"
    );
    shared
        .read_settled(move |client| {
            Box::pin(async move {
                let select = client.prepare_cached(&sql).await?;
                let rows = client.query(&select, &[&me, &until.as_ms(), &at, &seq, &limit]).await?;
                Ok(rows.iter().map(pending).collect())
            })
        })
        .await
}

async fn is_any_due(client: &Object, until: i64, gone: &[i64]) -> Result<bool, Failed> {
    let select = client
        .prepare_cached(
            "SELECT EXISTS (SELECT FROM queue WHERE owner IS NULL AND next_attempt_at <= $1)
                OR EXISTS (SELECT FROM unnest($2::bigint[]) g(no), queue q
                    WHERE q.owner = g.no AND q.next_attempt_at <= $1)",
        )
        .await?;
    Ok(client.query_one(&select, &[&until, &gone]).await?.get(0))
}

/// Each node takes the numbers that fall to its rank, and anyone takes what nobody took in time. Endpoints that only one
/// node may send to are left to the one that holds them.
const TAKE_DUE: &str = "WITH free AS MATERIALIZED (
        SELECT f.seq FROM (
            SELECT a.* FROM (SELECT q.seq, q.next_attempt_at FROM queue q
                JOIN endpoints ep ON ep.no = q.endpoint_no LEFT JOIN leases l ON l.endpoint_no = q.endpoint_no
                WHERE q.owner IS NULL AND q.next_attempt_at <= $2
                    AND (q.next_attempt_at <= $5 OR (hashint8(q.seq) & 2147483647)::bigint % $7 = $6)
                    AND (l.node_no = $1 OR NOT (ep.ordered OR ep.failing OR ep.rate_per_second IS NOT NULL))
                ORDER BY q.next_attempt_at, q.seq LIMIT $3) a
            UNION ALL
            SELECT b.* FROM unnest($4::bigint[]) g(no), LATERAL (SELECT q.seq, q.next_attempt_at FROM queue q
                JOIN endpoints ep ON ep.no = q.endpoint_no LEFT JOIN leases l ON l.endpoint_no = q.endpoint_no
                WHERE q.owner = g.no AND q.next_attempt_at <= $2
                    AND (q.next_attempt_at <= $5 OR (hashint8(q.seq) & 2147483647)::bigint % $7 = $6)
                    AND (l.node_no = $1 OR NOT (ep.ordered OR ep.failing OR ep.rate_per_second IS NOT NULL))
                ORDER BY q.next_attempt_at, q.seq LIMIT $3) b
        ) f ORDER BY f.next_attempt_at, f.seq LIMIT $3
    ), held AS MATERIALIZED (
        SELECT q.seq FROM queue q JOIN free ON free.seq = q.seq
        WHERE q.owner IS NULL OR q.owner = ANY($4) FOR UPDATE OF q SKIP LOCKED
    )
    UPDATE queue q SET owner = $1 FROM held, nodes me
    WHERE q.seq = held.seq AND me.no = $1 AND me.state = 'alive'";

fn pending(row: &Row) -> PendingDelivery {
    PendingDelivery {
        seq: DeliverySeq(row.get(0)),
        id: DeliveryId::from_bytes(id_bytes(row, 1)),
        endpoint_no: EndpointNo(row.get(2)),
        event: EventId::from_bytes(id_bytes(row, 3)),
        event_type: row.get(4),
        payload: None,
        payload_bytes: to_u32(row.get(8)),
        progress: Progress { attempts: to_u32(row.get(5)), used: to_u32(row.get(6)) },
        next_attempt_at: optional_time(row, 7),
    }
}

/// Payloads of those that are still pending.
pub(super) async fn payloads(
    client: &mut Object,
    deliveries: Vec<DeliverySeq>,
) -> Result<Vec<Option<Bytes>>, Failed> {
    let asked: Vec<i64> = deliveries.into_iter().map(|seq| seq.0).collect();
    let select = client
        .prepare_cached(
            "SELECT a.place, ev.payload FROM unnest($1::bigint[]) WITH ORDINALITY AS a(seq, place)
             JOIN queue q ON q.seq = a.seq JOIN events ev ON ev.seq = q.event_seq",
        )
        .await?;
    let mut payloads = vec![None; asked.len()];
    for row in client.query(&select, &[&asked]).await? {
        let place = usize::try_from(row.get::<_, i64>(0)).unwrap_or(0);
        if let Some(payload) = payloads.get_mut(place.saturating_sub(1)) {
            *payload = Some(Bytes::from(row.get::<_, Vec<u8>>(1)));
        }
    }
    Ok(payloads)
}
