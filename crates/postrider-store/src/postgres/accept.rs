//! Accepting: events with their deliveries, many requests in one statement.
//!
//! The statement is a transaction of its own: numbers, events, deliveries and their owner are committed together or not
//! at all, and once it is sent the server needs nothing more from this node. It locks the node's row and asks it to be
//! alive: whoever declares a node dead waits for that lock and sees what was committed under it, and after that no
//! statement of the dead node commits anything.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::GenericClient;
use postrider_core::delivery::DeliverySeq;
use uuid::Uuid;

use super::lost_accept;
use super::rows::{Failed, uuid};
use super::shared::Shared;
use crate::error::{AcceptError, StoreError};
use crate::kept_answers;
use crate::model::NewEvent;

/// What became of a request.
pub(super) type Accepted = Result<Vec<DeliverySeq>, AcceptError>;

/// `stale` are the accounts whose configuration is newer than an event was matched by, or that are deleted. The versions
/// are read after the requests came in: an endpoint that was there when a request came in is never missed.
///
/// `taken` are the calls with an idempotency key that were answered before. The keys of the others are kept in the same
/// statement: where another node is just keeping one of them it waits, and fails as a whole. Their order is one for all
/// nodes, so that no two of them wait for each other.
///
/// What one part needs of another is looked up in an array by its place: there is nothing to join that has no index.
///
/// The answer has a row for the node where it is alive, one for each stale account, one for each call that was answered
/// before, and one for each delivery.
const ACCEPT: &str = "WITH me AS MATERIALIZED (
        SELECT no FROM nodes WHERE no = $1 AND state = 'alive' FOR KEY SHARE
    ), stale AS MATERIALIZED (
        SELECT v.no FROM unnest($2::bigint[], $3::bigint[]) AS v(no, version)
            LEFT JOIN accounts a ON a.no = v.no AND a.deleted_at IS NULL
        WHERE a.no IS NULL OR a.config_version > v.version
    ), taken AS MATERIALIZED (
        SELECT u.place FROM unnest($19::bytea[], $24::bigint[]) WITH ORDINALITY AS u(scope, forgotten_until, place)
            JOIN kept_answers k ON k.scope = u.scope AND k.kept_at > u.forgotten_until
    ), go AS MATERIALIZED (
        SELECT no FROM me WHERE NOT EXISTS (SELECT FROM stale) AND NOT EXISTS (SELECT FROM taken)
    ), new_answers AS (
        INSERT INTO kept_answers (scope, body_sha256, status, answer, kept_at)
        SELECT u.* FROM go, unnest($19::bytea[], $20::bytea[], $21::integer[], $22::bytea[], $23::bigint[])
            AS u(scope, body_sha256, status, answer, kept_at)
        ORDER BY u.scope
    ), e AS MATERIALIZED (
        SELECT nextval('numbers') AS seq, x.* FROM (
            SELECT u.* FROM go, unnest($4::uuid[], $5::bigint[], $6::boolean[], $7::bigint[], $8::text[], $9::bytea[],
                $10::integer[], $11::integer[]) WITH ORDINALITY
                AS u(id, account_no, livemode, created_at, type, payload, first_place, last_place, place)
            ORDER BY u.place
        ) x
    ), e_numbers AS MATERIALIZED (
        SELECT array_agg(seq ORDER BY place) AS at FROM e
    ), d AS MATERIALIZED (
        SELECT nextval('numbers') AS seq, x.* FROM (
            SELECT u.*, e_numbers.at[u.event_place] AS event_seq
            FROM go, e_numbers, unnest($12::uuid[], $13::integer[], $14::bigint[], $15::boolean[], $16::bigint[],
                $17::boolean[], $18::bigint[]) WITH ORDINALITY
                AS u(id, event_place, endpoint_no, is_own, account_no, livemode, created_at, place)
            ORDER BY u.place
        ) x
    ), d_numbers AS MATERIALIZED (
        SELECT array_agg(seq ORDER BY place) AS at FROM d
    ), new_events AS (
        INSERT INTO events (seq, id, account_no, livemode, created_at, first_delivery_seq, last_delivery_seq, type,
            payload)
        SELECT e.seq, e.id, e.account_no, e.livemode, e.created_at, d_numbers.at[e.first_place],
            d_numbers.at[e.last_place], e.type, e.payload
        FROM e, d_numbers
    ), new_deliveries AS (
        INSERT INTO deliveries (seq, id, event_seq, endpoint_no, account_no, livemode, created_at, updated_at, status,
            attempts)
        SELECT seq, id, event_seq, endpoint_no, account_no, livemode, created_at, created_at, 0, 0 FROM d
    ), queued AS (
        INSERT INTO queue (seq, event_seq, endpoint_no, owner)
        SELECT seq, event_seq, endpoint_no, CASE WHEN is_own THEN $1 END FROM d
    )
    SELECT 0::bigint AS kind, no, 0::bigint AS place FROM me
    UNION ALL SELECT 1, no, 0 FROM stale
    UNION ALL SELECT 2, place, 0 FROM taken
    UNION ALL SELECT 3, seq, place FROM d";

const ALIVE: i64 = 0;
const STALE: i64 = 1;
const TAKEN: i64 = 2;

/// Events to be accepted, and what is kept of their call where it has an idempotency key.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) events: &'a [NewEvent],
    pub(super) keep: Option<&'a kept_answers::Row>,
}

impl Request<'_> {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.keep.is_none()
    }
}

/// Rows as arrays of columns.
#[derive(Default)]
struct Columns<'a> {
    /// Each account, with the oldest version that one of its events was matched by.
    versions: BTreeMap<i64, i64>,
    ids: Vec<Uuid>,
    account_nos: Vec<i64>,
    livemodes: Vec<bool>,
    created_ats: Vec<i64>,
    types: Vec<&'a str>,
    payloads: Vec<&'a [u8]>,
    /// Where an event's deliveries stand among all, counted from 1.
    first_places: Vec<Option<i32>>,
    last_places: Vec<Option<i32>>,
    deliveries: Deliveries,
    answers: Answers<'a>,
}

#[derive(Default)]
struct Answers<'a> {
    scopes: Vec<&'a [u8]>,
    bodies: Vec<&'a [u8]>,
    statuses: Vec<i32>,
    answers: Vec<&'a [u8]>,
    kept_ats: Vec<i64>,
    forgotten_untils: Vec<i64>,
}

impl<'a> Answers<'a> {
    fn add(&mut self, row: &'a kept_answers::Row) {
        self.scopes.push(&row.claim.scope);
        self.bodies.push(&row.claim.body_sha256);
        self.statuses.push(row.status);
        self.answers.push(&row.answer);
        self.kept_ats.push(row.kept_at);
        self.forgotten_untils.push(row.forgotten_until());
    }

    /// The scope at a place, counted from 1.
    fn scope_at(&self, place: i64) -> Option<[u8; 32]> {
        let scope = self.scopes.get(usize::try_from(place).ok()?.checked_sub(1)?)?;
        (*scope).try_into().ok()
    }
}

#[derive(Default)]
struct Deliveries {
    ids: Vec<Uuid>,
    event_places: Vec<i32>,
    endpoint_nos: Vec<i64>,
    are_own: Vec<bool>,
    account_nos: Vec<i64>,
    livemodes: Vec<bool>,
    created_ats: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, NewEvent { event, config_version, deliveries }: &'a NewEvent) {
        let (account_no, created_at) = (event.account_no.0, event.created_at.as_ms());
        let oldest = self.versions.entry(account_no).or_insert(*config_version);
        *oldest = (*oldest).min(*config_version);
        self.ids.push(uuid(event.id.to_bytes()));
        self.account_nos.push(account_no);
        self.livemodes.push(event.livemode);
        self.created_ats.push(created_at);
        self.types.push(&event.event_type);
        self.payloads.push(&event.payload);
        let of_event = &mut self.deliveries;
        let first = place(of_event.ids.len() + 1);
        for delivery in deliveries {
            of_event.ids.push(uuid(delivery.id.to_bytes()));
            of_event.event_places.push(place(self.ids.len()));
            of_event.endpoint_nos.push(delivery.endpoint_no.0);
            of_event.are_own.push(delivery.is_own);
            of_event.account_nos.push(account_no);
            of_event.livemodes.push(event.livemode);
            of_event.created_ats.push(created_at);
        }
        let has_any = !deliveries.is_empty();
        self.first_places.push(has_any.then_some(first));
        self.last_places.push(has_any.then_some(place(of_event.ids.len())));
    }
}

/// A place in an array; a request's limit is far below what it can tell.
fn place(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Accepts requests, each all or nothing. An error has accepted none of them, unless it is [`Failed::Unknown`].
pub(super) async fn accept(shared: &Shared, requests: &[Request<'_>]) -> Result<Vec<Accepted>, Failed> {
    if requests.iter().all(Request::is_empty) {
        return Ok(requests.iter().map(|_| Ok(Vec::new())).collect());
    }
    let accepted = {
        // From here on until the commit nothing else becomes this node's.
        let _numbering = shared.numbering().await?;
        match accept_or_find_out(shared, requests).await {
            // A connection had ended without anybody's knowledge, and nothing was done.
            Err(Failed::NotDone) => accept_or_find_out(shared, requests).await,
            done => done,
        }
    }?;
    wake_others(shared, requests);
    Ok(accepted)
}

async fn accept_or_find_out(shared: &Shared, requests: &[Request<'_>]) -> Result<Vec<Accepted>, Failed> {
    let mut checkout = shared.checkout().await?;
    let (backend, client) = (checkout.backend(), checkout.client());
    let done = shared.resolver.run(backend, shared.patience, accept_in(client, shared.me(), requests)).await;
    checkout.release(&done);
    match done {
        Err(failed) if failed.is_unknown() => lost_accept::resolve(shared, requests, failed).await,
        done => done,
    }
}

/// Accepts requests on this connection, or in this transaction.
pub(super) async fn accept_in(
    client: &impl GenericClient,
    me: i64,
    requests: &[Request<'_>],
) -> Result<Vec<Accepted>, Failed> {
    let mut stale_accounts: HashSet<i64> = HashSet::new();
    let mut taken_scopes: HashSet<[u8; 32]> = HashSet::new();
    loop {
        let refused = |request: &Request<'_>| {
            if request.keep.is_some_and(|row| taken_scopes.contains(&row.claim.scope)) {
                return Some(AcceptError::AnsweredBefore);
            }
            let is_stale = |new: &NewEvent| stale_accounts.contains(&new.event.account_no.0);
            request.events.iter().any(is_stale).then_some(AcceptError::ConfigChanged)
        };
        let mut columns = Columns::default();
        for request in requests.iter().filter(|request| refused(request).is_none()) {
            request.events.iter().for_each(|new| columns.add(new));
            request.keep.into_iter().for_each(|row| columns.answers.add(row));
        }
        let Answer { seqs, stale, taken } = insert(client, me, &columns).await?;
        if !stale.is_empty() || !taken.is_empty() {
            // Seldom: nothing was accepted, and the rest goes without those that must be matched again, or were answered.
            stale_accounts.extend(stale);
            taken_scopes.extend(taken);
            continue;
        }
        let mut seqs = seqs.into_iter();
        let mut give = |request: &Request<'_>| match refused(request) {
            Some(error) => Err(error),
            None => {
                let count = request.events.iter().map(|new| new.deliveries.len()).sum();
                Ok(seqs.by_ref().take(count).collect())
            }
        };
        return Ok(requests.iter().map(&mut give).collect());
    }
}

/// Lets other nodes be told that there is something for them. That comes after the commit and beside the answer: a
/// notification that fails costs a heartbeat's time, and must not look like a commit that failed.
pub(super) fn wake_others(shared: &Shared, requests: &[Request<'_>]) {
    let mut deliveries = requests.iter().flat_map(|request| request.events).flat_map(|new| &new.deliveries);
    if deliveries.any(|delivery| !delivery.is_own) {
        shared.wake.notify_one();
    }
}

/// What the statement says.
struct Answer {
    /// The deliveries' numbers in their order.
    seqs: Vec<DeliverySeq>,
    /// Accounts that events were matched by too early; nothing was accepted then.
    stale: Vec<i64>,
    /// Calls that were answered before; nothing was accepted then either.
    taken: Vec<[u8; 32]>,
}

async fn insert(client: &impl GenericClient, me: i64, columns: &Columns<'_>) -> Result<Answer, Failed> {
    let insert = client.prepare_cached(ACCEPT).await?;
    let (accounts, versions): (Vec<i64>, Vec<i64>) = columns.versions.iter().unzip();
    let (deliveries, answers) = (&columns.deliveries, &columns.answers);
    let rows = client
        .query(
            &insert,
            &[
                &me,
                &accounts,
                &versions,
                &columns.ids,
                &columns.account_nos,
                &columns.livemodes,
                &columns.created_ats,
                &columns.types,
                &columns.payloads,
                &columns.first_places,
                &columns.last_places,
                &deliveries.ids,
                &deliveries.event_places,
                &deliveries.endpoint_nos,
                &deliveries.are_own,
                &deliveries.account_nos,
                &deliveries.livemodes,
                &deliveries.created_ats,
                &answers.scopes,
                &answers.bodies,
                &answers.statuses,
                &answers.answers,
                &answers.kept_ats,
                &answers.forgotten_untils,
            ],
        )
        .await?;
    let (mut is_alive, mut stale, mut taken) = (false, Vec::new(), Vec::new());
    let mut numbered: Vec<(i64, DeliverySeq)> = Vec::with_capacity(deliveries.ids.len());
    for row in rows {
        match row.get::<_, i64>(0) {
            ALIVE => is_alive = true,
            STALE => stale.push(row.get(1)),
            TAKEN => taken.extend(answers.scope_at(row.get(1))),
            _ => numbered.push((row.get(2), DeliverySeq(row.get(1)))),
        }
    }
    if !is_alive {
        return Err(StoreError::LeaseLost.into());
    }
    numbered.sort_unstable_by_key(|(place, _)| *place);
    Ok(Answer { seqs: numbered.into_iter().map(|(_, seq)| seq).collect(), stale, taken })
}
