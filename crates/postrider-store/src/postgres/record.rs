//! Recording: outcomes, attempts and health changes, many in one statement.
//!
//! What is recorded must be this node's: an outcome of a delivery that another node has taken over meanwhile is left out,
//! and a node that was declared dead records nothing at all.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Instant;

use deadpool_postgres::GenericClient;
use deadpool_postgres::Object;
use postrider_core::attempt::{Attempt, Outcome};
use postrider_core::delivery::{Next, Status};
use postrider_core::endpoint::{EndpointNo, State};
use postrider_core::health::{Health, MAX_RECENT_ATTEMPTS};
use postrider_core::limits::MAX_ATTEMPT_TIMEOUT;
use postrider_core::time::Timestamp;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::rows::{Failed, to_i32, to_i64};
use super::shared::Shared;
use super::{audit, configuration, wake};
use crate::RETRY_IS_NEAR;
use crate::columns::{self, LAST_ATTEMPT, status_number, storable};
use crate::error::StoreError;
use crate::model::{HealthUpdate, Record, RecordBatch};

/// How often a statement that another one was preferred to is tried again.
const TRIES: usize = 5;

/// `attempts` only grows, so that an outcome recorded again cannot undo a later one. An attempt is logged wherever its
/// delivery is there, unless it is pending at another node; again, it overwrites itself and no other.
///
/// The answer is whether this node is alive; where it is not, nothing is written.
const RECORD: &str = "WITH me AS MATERIALIZED (
        SELECT no FROM nodes WHERE no = $1 AND state = 'alive'
    ), o AS MATERIALIZED (
        SELECT u.* FROM me, unnest($2::bigint[], $3::smallint[], $4::integer[], $5::integer[], $6::bigint[],
            $7::bigint[], $8::boolean[])
            AS u(seq, status, attempts, used, at, next_attempt_at, is_own)
    ), ended AS (
        DELETE FROM queue q USING o
        WHERE o.status <> 0 AND q.seq = o.seq AND q.owner = $1 AND q.attempts <= o.attempts
        RETURNING q.seq, o.status, o.attempts, o.at
    ), gone_on AS (
        UPDATE queue q SET attempts = o.attempts, used = o.used, next_attempt_at = o.next_attempt_at,
            owner = CASE WHEN o.is_own THEN $1 END
        FROM o WHERE o.status = 0 AND q.seq = o.seq AND q.owner = $1 AND q.attempts <= o.attempts
        RETURNING q.seq, o.status, o.attempts, o.at
    ), told AS (
        UPDATE deliveries d SET status = mine.status, attempts = mine.attempts, updated_at = mine.at
        FROM (SELECT * FROM ended UNION ALL SELECT * FROM gone_on) mine WHERE d.seq = mine.seq
    ), logged AS (
        INSERT INTO attempts AS kept (delivery_seq, number, probe, started_at, dns_us, connect_us, tls_us,
            first_byte_us, total_us, status, retry_after_ms, failure_code, failure_detail, request_url,
            request_headers, response_headers, response_truncated, response_body)
        SELECT a.* FROM me, unnest($9::bigint[], $10::integer[], $11::boolean[], $12::bigint[], $13::bigint[],
                $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::integer[], $19::bigint[], $20::text[],
                $21::text[], $22::text[], $23::text[], $24::text[], $25::boolean[], $26::bytea[])
            AS a(delivery_seq, number, probe, started_at, dns_us, connect_us, tls_us, first_byte_us, total_us, status,
                retry_after_ms, failure_code, failure_detail, request_url, request_headers, response_headers,
                response_truncated, response_body)
        WHERE EXISTS (SELECT FROM deliveries d WHERE d.seq = a.delivery_seq)
            AND NOT EXISTS (SELECT FROM queue q WHERE q.seq = a.delivery_seq AND q.owner IS DISTINCT FROM $1)
        ON CONFLICT (delivery_seq, number) DO UPDATE SET probe = excluded.probe, started_at = excluded.started_at,
            dns_us = excluded.dns_us, connect_us = excluded.connect_us, tls_us = excluded.tls_us,
            first_byte_us = excluded.first_byte_us, total_us = excluded.total_us, status = excluded.status,
            retry_after_ms = excluded.retry_after_ms, failure_code = excluded.failure_code,
            failure_detail = excluded.failure_detail, request_url = excluded.request_url,
            request_headers = excluded.request_headers, response_headers = excluded.response_headers,
            response_truncated = excluded.response_truncated, response_body = excluded.response_body
        WHERE kept.started_at = excluded.started_at OR kept.number = 65535
    )
    SELECT EXISTS (SELECT FROM me)";

/// Writes health as one node sees it over what all have written before. When something was last received is kept where
/// another node knows better, and so is how long its receiver asked for nothing to be sent, unless a request that was
/// sent after that was received; outcomes of attempts go behind
/// those of other nodes; and that the endpoint is failing ends with something received since, not with a node that
/// has not heard of it.
///
/// Gives the accounts of endpoints whose state other nodes must know of: it was disabled, began to fail, recovered, or
/// was closed for a while. And whose state is another now.
const HEALTH: &str = "WITH h AS (
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::boolean[], $7::bigint[],
                $8::text[], $9::bigint[])
            AS h(no, health, state, disabled_reason, failing, received_at, attempts, closed_until)
    ), before AS MATERIALIZED (
        SELECT ep.no, ep.failing, ep.ordered, ep.health::jsonb AS health, ep.state, ep.disabled_reason
        FROM h JOIN endpoints ep ON ep.no = h.no WHERE ep.deleted_at IS NULL ORDER BY ep.no FOR UPDATE OF ep
    ), known AS MATERIALIZED (
        SELECT no, failing, health ->> 'closed_until' AS closed_until,
            health ->> 'closed_at' AS closed_at, coalesce(health ->> 'attempts', '') AS attempts,
            CASE WHEN failing AND NOT ordered THEN (health #>> '{failing,since}')::bigint END AS failing_since,
            health -> 'failing' AS failure, (health ->> 'last_success_at')::bigint AS received_at,
            state, disabled_reason
        FROM before
    ), now AS MATERIALIZED (
        SELECT h.no, h.state, h.disabled_reason, h.health, k.failing AS was_failing, k.closed_until, k.failure,
            right(k.attempts || h.attempts, $10) AS attempts,
            CASE WHEN k.closed_until::bigint > greatest(h.closed_until, $6, 0)
                AND (h.received_at IS NULL OR h.received_at <= k.closed_at::bigint + $11) THEN jsonb_strip_nulls(jsonb_build_object(
                'closed_until', k.closed_until::bigint, 'closed_at', k.closed_at::bigint)) ELSE '{}' END AS closing,
            h.failing OR coalesce(h.received_at, 0) < k.failing_since AS failing,
            NOT h.failing AND coalesce(h.received_at, 0) < k.failing_since AS goes_on_failing,
            CASE WHEN k.received_at > coalesce(h.received_at, 0) THEN k.received_at END AS received_at,
            h.state IS NOT NULL AND (h.state, h.disabled_reason) IS DISTINCT FROM (k.state, k.disabled_reason)
                AS is_changed
        FROM h JOIN known k ON k.no = h.no
    )
    UPDATE endpoints ep SET failing = coalesce(now.failing, false), state = coalesce(now.state, ep.state),
        health = (now.health::jsonb || now.closing
                || CASE WHEN now.attempts <> '' THEN jsonb_build_object('attempts', now.attempts) ELSE '{}' END
                || CASE WHEN now.goes_on_failing THEN jsonb_build_object('failing', now.failure) ELSE '{}' END
                || CASE WHEN now.received_at IS NOT NULL THEN jsonb_build_object('last_success_at', now.received_at)
                    ELSE '{}' END)::text,
        disabled_reason = CASE WHEN now.state IS NULL THEN ep.disabled_reason ELSE now.disabled_reason END,
        updated_at = CASE WHEN now.is_changed THEN coalesce($6, ep.updated_at) ELSE ep.updated_at END
    FROM now WHERE ep.no = now.no
    RETURNING ep.account_no, now.is_changed OR now.was_failing IS DISTINCT FROM ep.failing
        OR now.closed_until IS DISTINCT FROM ep.health::json ->> 'closed_until', ep.no, now.is_changed";

/// Commits a batch, all or nothing.
pub(super) async fn record(shared: &Shared, batch: &RecordBatch) -> Result<(), Failed> {
    let began = Instant::now();
    let recorded = record_in_time(shared, batch).await;
    // A refused value is not a failed commit: the recorder tries the batch in parts.
    if !matches!(&recorded, Err(failed) if failed.concerns_one_job()) {
        shared.figures.committed(began.elapsed(), batch.records.len(), recorded.is_ok());
    }
    recorded
}

async fn record_in_time(shared: &Shared, batch: &RecordBatch) -> Result<(), Failed> {
    let mut checkout = shared.checkout().await?;
    let (backend, client) = (checkout.backend(), checkout.client());
    let work = async {
        for _ in 1..TRIES {
            match record_once(client, shared.me(), batch).await {
                Err(failed) if failed.is_worth_repeating() => {}
                done => return done,
            }
        }
        record_once(client, shared.me(), batch).await
    };
    let done = shared.resolver.run(backend, shared.patience, work).await;
    checkout.release(&done);
    done
}

async fn record_once(client: &mut Object, me: i64, batch: &RecordBatch) -> Result<(), Failed> {
    let parts = parts(&batch.records);
    // The usual batch is one statement, and that is a transaction of its own.
    if let ([only], true) = (parts.as_slice(), batch.health.is_empty()) {
        let statement = client.prepare_cached(RECORD).await?;
        return write(&*client, &statement, me, only).await;
    }
    let (records, health) = (client.prepare_cached(RECORD).await?, client.prepare_cached(HEALTH).await?);
    let transaction = client.transaction().await?;
    for part in parts {
        write(&transaction, &records, me, part).await?;
    }
    if !batch.health.is_empty() {
        let at = batch.records.iter().map(|record| record.at.as_ms()).max();
        let changed = write_health(&transaction, &health, &batch.health, at).await?;
        if !changed.is_empty() {
            configuration::tell(&transaction, &changed).await?;
            wake::others(&transaction).await?;
        }
    }
    transaction.commit().await.map_err(Failed::from)
}

/// Cuts records where a delivery comes a second time: one statement changes a row once.
fn parts(records: &[Record]) -> Vec<&[Record]> {
    let (mut parts, mut begin, mut seen) = (Vec::new(), 0, HashSet::new());
    for (index, record) in records.iter().enumerate() {
        if !seen.insert(record.seq) {
            parts.push(&records[begin..index]);
            begin = index;
            seen = HashSet::from([record.seq]);
        }
    }
    if begin < records.len() {
        parts.push(&records[begin..]);
    }
    parts
}

#[derive(Default)]
struct Outcomes {
    seqs: Vec<i64>,
    statuses: Vec<i16>,
    attempts: Vec<i32>,
    used: Vec<i32>,
    ats: Vec<i64>,
    next_attempt_ats: Vec<Option<i64>>,
    are_own: Vec<bool>,
}

impl Outcomes {
    fn add(&mut self, record: &Record) {
        let (status, next_attempt_at) = match record.next {
            Next::Delivered => (Status::Delivered, None),
            Next::Exhausted => (Status::Exhausted, None),
            Next::Waits => (Status::Pending, None),
            Next::RetryAt(at) => (Status::Pending, Some(at.as_ms())),
        };
        self.seqs.push(record.seq.0);
        self.statuses.push(status_number(status));
        self.attempts.push(to_i32(record.progress.attempts));
        self.used.push(to_i32(record.progress.used));
        self.ats.push(record.at.as_ms());
        self.next_attempt_ats.push(next_attempt_at);
        // A retry far ahead has no owner; who is free when it falls due takes it.
        self.are_own.push(next_attempt_at.is_none_or(|at| at <= record.at.plus(RETRY_IS_NEAR).as_ms()));
    }
}

#[derive(Default)]
struct Attempts<'a> {
    seqs: Vec<i64>,
    numbers: Vec<i32>,
    probes: Vec<bool>,
    started_ats: Vec<i64>,
    /// DNS, connect, TLS, first byte.
    phases_us: [Vec<Option<i64>>; 4],
    total_us: Vec<i64>,
    statuses: Vec<Option<i32>>,
    retry_after_ms: Vec<Option<i64>>,
    failure_codes: Vec<Option<&'a str>>,
    failure_details: Vec<Option<Cow<'a, str>>>,
    request_urls: Vec<Cow<'a, str>>,
    request_headers: Vec<Cow<'a, str>>,
    response_headers: Vec<Option<Cow<'a, str>>>,
    response_truncated: Vec<Option<bool>>,
    response_bodies: Vec<Option<&'a [u8]>>,
}

impl<'a> Attempts<'a> {
    fn add(&mut self, seq: i64, attempt: &'a Attempt) {
        let (status, retry_after, failure) = match &attempt.outcome {
            Outcome::Answered { status, retry_after } => (Some(*status), *retry_after, None),
            Outcome::Failed { code, detail } => (None, None, Some((code.as_str(), detail.as_str()))),
        };
        let (timings, response) = (&attempt.timings, attempt.response.as_ref());
        self.seqs.push(seq);
        self.numbers.push(to_i32(attempt.number.min(LAST_ATTEMPT)));
        self.probes.push(attempt.probe);
        self.started_ats.push(attempt.started_at.as_ms());
        let phases = [timings.dns_us, timings.connect_us, timings.tls_us, timings.first_byte_us];
        for (column, phase) in self.phases_us.iter_mut().zip(phases) {
            column.push(phase.map(to_i64));
        }
        self.total_us.push(to_i64(timings.total_us));
        self.statuses.push(status.map(i32::from));
        self.retry_after_ms.push(retry_after.map(|wait| to_i64(wait.as_millis())));
        self.failure_codes.push(failure.map(|(code, _)| code));
        self.failure_details.push(failure.map(|(_, detail)| storable(detail)));
        self.request_urls.push(storable(&attempt.request.url));
        self.request_headers.push(storable(attempt.request.headers.as_text()));
        self.response_headers.push(response.map(|response| storable(response.headers.as_text())));
        self.response_truncated.push(response.map(|response| response.body_truncated));
        self.response_bodies.push(response.map(|response| &response.body[..]));
    }
}

async fn write(
    client: &impl GenericClient,
    statement: &Statement,
    me: i64,
    records: &[Record],
) -> Result<(), Failed> {
    let (mut outcomes, mut attempts) = (Outcomes::default(), Attempts::default());
    for record in records {
        outcomes.add(record);
        if let Some(attempt) = &record.attempt {
            attempts.add(record.seq.0, attempt);
        }
    }
    let [dns_us, connect_us, tls_us, first_byte_us] = &attempts.phases_us;
    let row = client
        .query_one(
            statement,
            &[
                &me,
                &outcomes.seqs,
                &outcomes.statuses,
                &outcomes.attempts,
                &outcomes.used,
                &outcomes.ats,
                &outcomes.next_attempt_ats,
                &outcomes.are_own,
                &attempts.seqs,
                &attempts.numbers,
                &attempts.probes,
                &attempts.started_ats,
                dns_us,
                connect_us,
                tls_us,
                first_byte_us,
                &attempts.total_us,
                &attempts.statuses,
                &attempts.retry_after_ms,
                &attempts.failure_codes,
                &attempts.failure_details,
                &attempts.request_urls,
                &attempts.request_headers,
                &attempts.response_headers,
                &attempts.response_truncated,
                &attempts.response_bodies,
            ],
        )
        .await?;
    if row.get(0) { Ok(()) } else { Err(StoreError::LeaseLost.into()) }
}

/// The health of endpoints as all nodes have written it down.
pub(super) async fn health(
    client: &mut Object,
    endpoints: &[EndpointNo],
) -> Result<Vec<(EndpointNo, Health)>, Failed> {
    let nos: Vec<i64> = endpoints.iter().map(|no| no.0).collect();
    let sql = "SELECT no, health FROM endpoints WHERE no = ANY($1) AND deleted_at IS NULL";
    let rows = client.query(&client.prepare_cached(sql).await?, &[&nos]).await?;
    let read = |row: &tokio_postgres::Row| Ok((EndpointNo(row.get(0)), columns::health(row.get(1))?));
    rows.iter().map(read).collect()
}

/// Gives the accounts that other nodes must read again.
async fn write_health(
    client: &impl GenericClient,
    statement: &Statement,
    updates: &[HealthUpdate],
    at: Option<i64>,
) -> Result<Vec<i64>, Failed> {
    let nos: Vec<i64> = updates.iter().map(|update| update.endpoint_no.0).collect();
    let healths: Vec<String> = updates.iter().map(|update| columns::health_text(&update.health)).collect();
    let state = |update: &HealthUpdate| update.state.as_ref().map(|own| own.state);
    let states: Vec<Option<&str>> = updates.iter().map(|update| state(update).map(State::as_str)).collect();
    let reason =
        |update: &HealthUpdate| state(update).and_then(State::disabled_reason).map(|reason| reason.as_str());
    let reasons: Vec<Option<&str>> = updates.iter().map(reason).collect();
    let failing: Vec<bool> = updates.iter().map(|update| update.health.is_failing()).collect();
    let received = |update: &HealthUpdate| update.health.last_success_at.map(Timestamp::as_ms);
    let received: Vec<Option<i64>> = updates.iter().map(received).collect();
    let attempts: Vec<String> = updates.iter().map(|update| update.attempts.to_text()).collect();
    let closed = |update: &HealthUpdate| update.health.closed_until.map(Timestamp::as_ms);
    let closed: Vec<Option<i64>> = updates.iter().map(closed).collect();
    let kept = i32::try_from(MAX_RECENT_ATTEMPTS).unwrap_or(i32::MAX);
    let longest = i64::try_from(MAX_ATTEMPT_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
    let values: [&(dyn ToSql + Sync); 11] =
        [&nos, &healths, &states, &reasons, &failing, &at, &received, &attempts, &closed, &kept, &longest];
    let rows = client.query(statement, &values).await?;
    for row in rows.iter().filter(|row| row.get(3)) {
        let update = updates.iter().find(|update| update.endpoint_no.0 == row.get::<_, i64>(2));
        if let Some(own) = update.and_then(|update| update.state.as_ref()) {
            audit::write(client, &own.deed).await?;
        }
    }
    let mut changed: Vec<i64> = rows.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect();
    changed.sort_unstable();
    changed.dedup();
    Ok(changed)
}
