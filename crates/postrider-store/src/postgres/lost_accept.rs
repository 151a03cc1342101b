//! Accepts that returned no result: finds out whether they committed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::Object;
use postrider_core::delivery::DeliverySeq;
use uuid::Uuid;

use super::accept::{Accepted, Request};
use super::rows::{Failed, uuid};
use super::shared::Shared;
use crate::error::AcceptError;
use crate::model::NewEvent;

/// How long a caller waits until it is known whether its events were accepted, once their connection was given up.
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);

/// Asks whether requests were accepted whose answer did not come: the server process that had them is ended first, so that
/// the answer holds. Gives `unknown` back where nobody can say yet; whatever is found later goes to its lanes by a look of
/// the engine.
pub(super) async fn resolve(
    shared: &Shared,
    requests: &[Request<'_>],
    unknown: Failed,
) -> Result<Vec<Accepted>, Failed> {
    let finding = find(shared, requests);
    match tokio::time::timeout(RESOLVE_WITHIN, finding).await {
        Ok(Ok(Some(found))) => Ok(found),
        Ok(Ok(None)) => Err(unknown.into_not_done()),
        // Nobody can say yet.
        Ok(Err(_)) | Err(_) => Err(unknown),
    }
}

/// What became of each request; nothing if none of them was accepted.
async fn find(shared: &Shared, requests: &[Request<'_>]) -> Result<Option<Vec<Accepted>>, Failed> {
    shared.resolver.wait_until_resolved(RESOLVE_WITHIN).await?;
    let new = || requests.iter().flat_map(|request| request.events);
    let events: Vec<Uuid> = new().map(|new| uuid(new.event.id.to_bytes())).collect();
    let of_event = |new: &NewEvent| -> Vec<Uuid> {
        new.deliveries.iter().map(|delivery| uuid(delivery.id.to_bytes())).collect()
    };
    let deliveries: Vec<Uuid> = new().flat_map(of_event).collect();
    let (events, deliveries) = shared
        .harmless(shared.patience, move |client| {
            Box::pin(async move { stored(client, &events, &deliveries).await })
        })
        .await?;
    if events.is_empty() {
        // Every request has events, but for one whose call is only kept; that one is told the same.
        return Ok(None);
    }
    // The process may have been ended after its commit and before a standby had it.
    shared.resolver.barrier().await?;
    let accepted = |request: &Request<'_>| {
        let is_there = request.events.iter().all(|new| events.contains(&uuid(new.event.id.to_bytes())));
        // It was refused before the others were accepted; matched again, it learns why.
        if !is_there || request.events.is_empty() {
            return Err(AcceptError::ConfigChanged);
        }
        let of_request = request.events.iter().flat_map(of_event);
        of_request.map(|id| deliveries.get(&id).copied().ok_or(AcceptError::ConfigChanged)).collect()
    };
    Ok(Some(requests.iter().map(accepted).collect()))
}

/// Which of these events are stored, and the numbers of which of these deliveries.
async fn stored(
    client: &Object,
    events: &[Uuid],
    deliveries: &[Uuid],
) -> Result<(HashSet<Uuid>, HashMap<Uuid, DeliverySeq>), Failed> {
    let find = client.prepare_cached("SELECT id FROM events WHERE id = ANY($1)").await?;
    let rows = client.query(&find, &[&events]).await?;
    let events = rows.iter().map(|row| row.get(0)).collect();
    let find = client.prepare_cached("SELECT id, seq FROM deliveries WHERE id = ANY($1)").await?;
    let rows = client.query(&find, &[&deliveries]).await?;
    Ok((events, rows.iter().map(|row| (row.get(0), DeliverySeq(row.get(1)))).collect()))
}
