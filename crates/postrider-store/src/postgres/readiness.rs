//! Readiness: does what an accept does, and takes it back.
//!
//! An event with a delivery goes through the statement that accepts, into every table that it needs, and is rolled back to
//! a savepoint. Then one row is written and committed, so that a full disk or a read-only server shows as well.

use bytes::Bytes;
use deadpool_postgres::Object;
use postrider_core::account::AccountNo;
use postrider_core::endpoint::EndpointNo;
use postrider_core::event::Event;
use postrider_core::id::{AccountId, DeliveryId, EventId};
use postrider_core::time::Timestamp;

use super::accept::{self, Request};
use super::configuration;
use super::rows::Failed;
use super::shared::Shared;
use crate::error::AcceptError;
use crate::model::{NewDelivery, NewEvent};

/// How long the payload of the probe is.
const PAYLOAD_BYTES: usize = 1_024;

/// Whether this node can accept just now. Leaves nothing but one row of `meta`, which is always the same.
pub(super) async fn check(shared: &Shared) -> Result<(), Failed> {
    let me = shared.me();
    shared.run(move |client| Box::pin(async move { probe(client, me).await })).await
}

async fn probe(client: &mut Object, me: i64) -> Result<(), Failed> {
    let mut transaction = client.transaction().await?;
    let sql = "SELECT no, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, gen_random_uuid()
        FROM accounts WHERE deleted_at IS NULL ORDER BY no LIMIT 1";
    let statement = transaction.prepare_cached(sql).await?;
    // Before the first start has made its account there is nothing that could accept.
    if let Some(row) = transaction.query_opt(&statement, &[]).await? {
        let id: uuid::Uuid = row.get(2);
        let event = event(AccountNo(row.get(0)), Timestamp::from_ms(row.get(1)), id.as_u128());
        let savepoint = transaction.savepoint("probe").await?;
        let requests = [Request { events: std::slice::from_ref(&event), keep: None }];
        let accepted = accept::accept_in(&savepoint, me, &requests).await?.pop();
        // The account may have been deleted at this moment; that is no fault of the database.
        if let Some(Err(error)) = accepted
            && !matches!(error, AcceptError::ConfigChanged)
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "the probe was not accepted");
        }
        savepoint.rollback().await?;
    }
    configuration::write_something(&transaction).await?;
    Ok(transaction.commit().await?)
}

/// An event that is never committed, for an endpoint that is not there.
fn event(account_no: AccountNo, now: Timestamp, random: u128) -> NewEvent {
    let event = Event {
        id: EventId::new(now, random),
        account_no,
        account: AccountId::OPERATOR,
        event_type: "readiness.probe".to_owned(),
        livemode: false,
        payload: Bytes::from_static(&[b' '; PAYLOAD_BYTES]),
        created_at: now,
    };
    let delivery = NewDelivery {
        id: DeliveryId::new(now, random.rotate_left(64)),
        endpoint_no: EndpointNo(0),
        is_own: true,
    };
    NewEvent { event, config_version: i64::MAX, deliveries: vec![delivery] }
}
