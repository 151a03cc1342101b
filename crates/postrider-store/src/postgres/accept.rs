//! Accepting: events with their deliveries, many requests in one statement.
//!
//! The statement is a transaction of its own: numbers, events, deliveries and their owner are committed together or not
//! at all, and once it is sent the server needs nothing more from this node. It locks the node's row and asks it to be
//! alive: whoever declares a node dead waits for that lock and sees what was committed under it, and after that no
//! statement of the dead node commits anything.

use std::collections::HashSet;

use deadpool_postgres::{GenericClient, Object};
use postrider_core::delivery::DeliverySeq;
use uuid::Uuid;

use super::rows::{Failed, to_i64, uuid};
use super::shared::Shared;
use super::wake;
use crate::error::{AcceptError, StoreError};
use crate::model::NewEvent;

/// What became of a request.
pub(super) type Accepted = Result<Vec<DeliverySeq>, AcceptError>;

/// `stale` are the accounts whose configuration is newer than an event was matched by, or that are deleted. The versions
/// are read after the requests came in: an endpoint that was there when a request came in is never missed.
///
/// The answer has a row for the node where it is alive, one for each stale account, and one for each delivery.
const ACCEPT: &str = "WITH me AS MATERIALIZED (
        SELECT no FROM nodes WHERE no = $1 AND state = 'alive' FOR KEY SHARE
    ), stale AS MATERIALIZED (
        SELECT v.no FROM unnest($2::bigint[], $3::bigint[]) AS v(no, version)
            LEFT JOIN accounts a ON a.no = v.no AND a.deleted_at IS NULL
        WHERE a.no IS NULL OR a.config_version > v.version
    ), go AS MATERIALIZED (
        SELECT no FROM me WHERE NOT EXISTS (SELECT FROM stale)
    ), e AS MATERIALIZED (
        SELECT nextval('numbers') AS seq, x.* FROM (
            SELECT u.* FROM go, unnest($4::uuid[], $5::bigint[], $6::boolean[], $7::bigint[], $8::text[], $9::bytea[])
                WITH ORDINALITY AS u(id, account_no, livemode, created_at, type, payload, place)
            ORDER BY u.place
        ) x
    ), d AS MATERIALIZED (
        SELECT nextval('numbers') AS seq, x.* FROM (
            SELECT u.id, u.endpoint_no, u.place, u.event_place, e.seq AS event_seq, e.account_no, e.livemode,
                e.created_at, CASE WHEN u.is_own THEN $1 END AS owner
            FROM unnest($10::uuid[], $11::bigint[], $12::bigint[], $13::boolean[])
                WITH ORDINALITY AS u(id, event_place, endpoint_no, is_own, place)
                JOIN e ON e.place = u.event_place
            ORDER BY u.place
        ) x
    ), new_events AS (
        INSERT INTO events (seq, id, account_no, livemode, created_at, first_delivery_seq, last_delivery_seq, type,
            payload)
        SELECT e.seq, e.id, e.account_no, e.livemode, e.created_at, own.first, own.last, e.type, e.payload
        FROM e LEFT JOIN (
            SELECT event_place, min(seq) AS first, max(seq) AS last FROM d GROUP BY event_place
        ) own ON own.event_place = e.place
    ), new_deliveries AS (
        INSERT INTO deliveries (seq, id, event_seq, endpoint_no, account_no, livemode, created_at, updated_at, status,
            attempts)
        SELECT seq, id, event_seq, endpoint_no, account_no, livemode, created_at, created_at, 0, 0 FROM d
    ), queued AS (
        INSERT INTO queue (seq, event_seq, endpoint_no, owner) SELECT seq, event_seq, endpoint_no, owner FROM d
    )
    SELECT 0::bigint AS kind, no, 0::bigint AS place FROM me
    UNION ALL SELECT 1, no, 0 FROM stale
    UNION ALL SELECT 2, seq, place FROM d";

const ALIVE: i64 = 0;
const STALE: i64 = 1;

/// Rows as arrays of columns.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    account_nos: Vec<i64>,
    versions: Vec<i64>,
    livemodes: Vec<bool>,
    created_ats: Vec<i64>,
    types: Vec<&'a str>,
    payloads: Vec<&'a [u8]>,
    delivery_ids: Vec<Uuid>,
    event_places: Vec<i64>,
    endpoint_nos: Vec<i64>,
    are_own: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, NewEvent { event, config_version, deliveries }: &'a NewEvent) {
        self.ids.push(uuid(event.id.to_bytes()));
        self.account_nos.push(event.account_no.0);
        self.versions.push(*config_version);
        self.livemodes.push(event.livemode);
        self.created_ats.push(event.created_at.as_ms());
        self.types.push(&event.event_type);
        self.payloads.push(&event.payload);
        let place = to_i64(self.ids.len());
        for delivery in deliveries {
            self.delivery_ids.push(uuid(delivery.id.to_bytes()));
            self.event_places.push(place);
            self.endpoint_nos.push(delivery.endpoint_no.0);
            self.are_own.push(delivery.is_own);
        }
    }
}

/// Accepts requests, each all or nothing; an error has accepted none of them.
pub(super) async fn accept(shared: &Shared, requests: &[&[NewEvent]]) -> Result<Vec<Accepted>, Failed> {
    if requests.iter().all(|events| events.is_empty()) {
        return Ok(requests.iter().map(|_| Ok(Vec::new())).collect());
    }
    // From here on until the commit nothing else becomes this node's.
    let _numbering = shared.numbering().await;
    let client = shared.pool.get().await?;
    match tokio::time::timeout(shared.patience, accept_in(&client, shared.me(), requests)).await {
        Ok(done) => done,
        Err(_elapsed) => {
            drop(Object::take(client));
            Err(Failed::TooSlow)
        }
    }
}

/// Accepts requests on this connection, or in this transaction.
pub(super) async fn accept_in(
    client: &impl GenericClient,
    me: i64,
    requests: &[&[NewEvent]],
) -> Result<Vec<Accepted>, Failed> {
    let mut refused: HashSet<i64> = HashSet::new();
    loop {
        let is_refused =
            |events: &[NewEvent]| events.iter().any(|new| refused.contains(&new.event.account_no.0));
        let mut columns = Columns::default();
        for events in requests.iter().filter(|events| !is_refused(events)) {
            events.iter().for_each(|new| columns.add(new));
        }
        let Answer { seqs, stale } = insert(client, me, &columns).await?;
        if !stale.is_empty() {
            // Seldom: nothing was accepted, and the rest goes without those that must be matched again.
            refused.extend(stale);
            continue;
        }
        if columns.are_own.contains(&false) {
            wake::others(client).await?;
        }
        let mut seqs = seqs.into_iter();
        let mut give = |events: &&[NewEvent]| match is_refused(events) {
            true => Err(AcceptError::ConfigChanged),
            false => Ok(seqs.by_ref().take(events.iter().map(|new| new.deliveries.len()).sum()).collect()),
        };
        return Ok(requests.iter().map(&mut give).collect());
    }
}

/// What the statement says.
struct Answer {
    /// The deliveries' numbers in their order.
    seqs: Vec<DeliverySeq>,
    /// Accounts that events were matched by too early; nothing was accepted then.
    stale: Vec<i64>,
}

async fn insert(client: &impl GenericClient, me: i64, columns: &Columns<'_>) -> Result<Answer, Failed> {
    let insert = client.prepare_cached(ACCEPT).await?;
    let rows = client
        .query(
            &insert,
            &[
                &me,
                &columns.account_nos,
                &columns.versions,
                &columns.ids,
                &columns.account_nos,
                &columns.livemodes,
                &columns.created_ats,
                &columns.types,
                &columns.payloads,
                &columns.delivery_ids,
                &columns.event_places,
                &columns.endpoint_nos,
                &columns.are_own,
            ],
        )
        .await?;
    let (mut is_alive, mut stale) = (false, Vec::new());
    let mut numbered: Vec<(i64, DeliverySeq)> = Vec::with_capacity(columns.delivery_ids.len());
    for row in rows {
        match row.get::<_, i64>(0) {
            ALIVE => is_alive = true,
            STALE => stale.push(row.get(1)),
            _ => numbered.push((row.get(2), DeliverySeq(row.get(1)))),
        }
    }
    if !is_alive {
        return Err(StoreError::LeaseLost.into());
    }
    numbered.sort_unstable_by_key(|(place, _)| *place);
    Ok(Answer { seqs: numbered.into_iter().map(|(_, seq)| seq).collect(), stale })
}
