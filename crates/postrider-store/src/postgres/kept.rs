//! Answers that are kept with what a call created, so that the call happens once, whichever node it comes to.

use deadpool_postgres::{GenericClient, Object};
use postrider_core::time::Timestamp;

use super::accept::{self, Accepted, Request};
use super::lost_accept;
use super::rows::{Failed, to_i64};
use super::shared::Shared;
use crate::error::{AcceptError, StoreError};
use crate::kept_answers::{self, Row, forgotten_until};
use crate::model::NewEvent;
use crate::model::once::{Before, Claim, Keep};
use crate::seal::Sealer;

/// Whoever comes second waits here for the first one's commit.
const PUT: &str = "INSERT INTO kept_answers (scope, body_sha256, status, answer, kept_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (scope) DO UPDATE SET body_sha256 = $2, status = $3, answer = $4, kept_at = $5
        WHERE kept_answers.kept_at <= $6";
const FIND: &str = "SELECT body_sha256, status, answer FROM kept_answers WHERE scope = $1 AND kept_at > $2";
const FORGET_OUTDATED: &str = "DELETE FROM kept_answers WHERE scope IN (
        SELECT k.scope FROM unnest($1::bytea[], $2::bigint[]) AS u(scope, until)
            JOIN kept_answers k ON k.scope = u.scope AND k.kept_at <= u.until
        FOR UPDATE OF k SKIP LOCKED)";
const FORGET: &str = "DELETE FROM kept_answers WHERE scope IN
    (SELECT scope FROM kept_answers WHERE kept_at < $1 ORDER BY kept_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// Keeps an answer in this transaction, before anything else of it. Where there is one already, nothing is to be created.
pub(super) async fn keep(
    client: &impl GenericClient,
    sealer: &Sealer,
    keep: Option<&Keep>,
) -> Result<(), Failed> {
    match keep {
        Some(keep) => put(client, &Row::of(sealer, keep)).await,
        None => Ok(()),
    }
}

async fn put(client: &impl GenericClient, row: &Row) -> Result<(), Failed> {
    let (scope, body) = (&row.claim.scope[..], &row.claim.body_sha256[..]);
    let put = client.prepare_cached(PUT).await?;
    let written = client
        .execute(&put, &[&scope, &body, &row.status, &row.answer, &row.kept_at, &row.forgotten_until()])
        .await?;
    if written == 0 { Err(StoreError::AnsweredBefore.into()) } else { Ok(()) }
}

/// Forgets what is kept for these calls from so long ago that it is as if it were not there.
pub(super) async fn forget_outdated(shared: &Shared, rows: &[&Row]) -> Result<(), Failed> {
    let (scopes, until): (Vec<Vec<u8>>, Vec<i64>) =
        rows.iter().map(|row| (row.claim.scope.to_vec(), row.forgotten_until())).unzip();
    let forget = async move |client: &mut Object| {
        client.execute(FORGET_OUTDATED, &[&scopes, &until]).await?;
        Ok(())
    };
    shared.run(move |client| Box::pin(async move { forget(client).await })).await
}

/// Accepts the events of a call with an idempotency key, in a transaction of its own.
pub(super) async fn accept_once(shared: &Shared, events: Vec<NewEvent>, row: Row) -> Accepted {
    let _numbering = shared.numbering().await?;
    let mut checkout = shared.checkout().await?;
    let (backend, client) = (checkout.backend(), checkout.client());
    let work = accept_in_one(client, shared.me(), &events, &row);
    let done = shared.resolver.run(backend, shared.patience, work).await;
    checkout.release(&done);
    match done {
        Err(failed) if failed.is_unknown() => {
            let found =
                lost_accept::resolve(shared, &[Request { events: &events, keep: None }], failed).await?;
            found.into_iter().next().unwrap_or(Err(AcceptError::ConfigChanged))
        }
        done => {
            let accepted = done??;
            accept::wake_others(shared, &[Request { events: &events, keep: None }]);
            Ok(accepted)
        }
    }
}

async fn accept_in_one(
    client: &mut Object,
    me: i64,
    events: &[NewEvent],
    row: &Row,
) -> Result<Accepted, Failed> {
    let transaction = client.transaction().await?;
    put(&transaction, row).await?;
    let accepted = accept::accept_in(&transaction, me, &[Request { events, keep: None }]).await?.pop();
    let accepted = accepted.unwrap_or(Err(AcceptError::ConfigChanged));
    if accepted.is_ok() {
        transaction.commit().await?;
    }
    Ok(accepted)
}

pub(super) async fn before(
    client: &mut Object,
    sealer: &Sealer,
    claim: Claim,
    now: Timestamp,
) -> Result<Option<Before>, Failed> {
    let find = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&find, &[&&claim.scope[..], &forgotten_until(now)]).await?;
    let read = |row: tokio_postgres::Row| {
        kept_answers::before(sealer, claim, row.get::<_, &[u8]>(0), row.get(1), row.get::<_, &[u8]>(2))
    };
    Ok(row.map(read).transpose()?)
}

pub(super) async fn forget(client: &mut Object, before: Timestamp, limit: usize) -> Result<usize, Failed> {
    let forgotten = client.execute(FORGET, &[&before.as_ms(), &to_i64(limit)]).await?;
    Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
}
