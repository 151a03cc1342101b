//! Values that the database refuses: an error of the one job that brought them, never an outage for the others.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use postrider_core::delivery::Next;
use postrider_core::id::EventId;
use postrider_core::time::Timestamp;

use super::Backend;
use super::world::{World, batch, deed_at};
use crate::model::once::{Claim, Keep, KeptAnswer};
use crate::{AcceptError, StoreError};

/// How many commits have failed.
fn failed(world: &World<'_>) -> u64 {
    world.store.figures().map_or(0, |figures| figures.failed.load(Ordering::Relaxed))
}

fn keep(world: &World<'_>) -> Keep {
    let mut scope = [0; 32];
    scope[..16].copy_from_slice(&world.event_id().to_bytes());
    let answer = KeptAnswer { status: 202, body: Bytes::new() };
    Keep { claim: Claim { scope, body_sha256: [7; 32] }, answer, at: world.now() }
}

/// A database may hold a value or refuse it. Either way the others of the same moment are accepted, with and without an
/// idempotency key, and nothing looks like an outage.
pub async fn a_value_that_the_database_refuses_is_no_outage(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let first = world.event(&lane, "{}");
    world.store.accept(vec![first.clone()]).await.unwrap();
    let before = failed(&world);
    let odd = |id: EventId, event_type: &str| {
        let mut odd = world.event(&lane, "{}");
        (odd.event.id, odd.event.event_type) = (id, event_type.to_owned());
        vec![odd]
    };
    for (id, event_type) in [(first.event.id, "policy.created"), (world.event_id(), "policy\0created")] {
        let beside = || world.store.accept(vec![world.event(&lane, "{}")]);
        let (one, two, three, plain, with_key) = tokio::join!(
            beside(),
            beside(),
            beside(),
            world.store.accept(odd(id, event_type)),
            world.store.accept_once(odd(id, event_type), keep(&world)),
        );
        for accepted in [one, two, three] {
            assert_eq!(accepted.unwrap().len(), 1, "{event_type:?}");
        }
        for result in [plain, with_key] {
            assert!(matches!(result, Ok(_) | Err(AcceptError::Refused(_))), "{event_type:?}: {result:?}");
        }
    }
    assert_eq!(failed(&world), before, "no commit failed");
    world.store.check_writable().await.unwrap();
}

/// A database may hold an outcome or refuse it. Either way that is no failed commit, and the next one is recorded.
pub async fn an_outcome_that_the_database_refuses_is_no_outage(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let (odd, fine) = (world.accept(&lane).await, world.accept(&lane).await);
    let before = failed(&world);
    let mut record = world.outcome(odd, 1, Next::Delivered, world.now());
    if let Some(attempt) = &mut record.attempt {
        // When it ended is more than 64 bits hold.
        attempt.started_at = Timestamp::from_ms(i64::MAX);
        attempt.timings.total_us = u64::MAX;
    }
    let recorded = world.store.record(batch(vec![record]).into()).await;
    assert!(matches!(recorded, Ok(()) | Err(StoreError::Refused(_))), "{recorded:?}");
    world.record(fine, 1, Next::Delivered).await;
    assert_eq!(failed(&world), before, "no commit failed");
}

/// A database may hold a text or refuse it. Either way that is no outage, and the next change is made.
pub async fn a_text_that_the_database_refuses_is_no_outage(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let before = failed(&world);
    let mut described = world.new_endpoint(&lane.account, false);
    described.settings.description = "a\0b".to_owned();
    let renamed = world.store.rename_account(lane.account.no, "a\0b", deed_at(world.now())).await;
    let made = world.store.create_endpoint(described).await;
    for result in [renamed.map(drop), made.map(drop)] {
        assert!(matches!(result, Ok(()) | Err(StoreError::Refused(_))), "{result:?}");
    }
    world.endpoint(&lane.account, true).await;
    assert_eq!(failed(&world), before, "no commit failed");
}
