//! Retention: old ends go, in slices; what is pending, or ended lately, stays.

use std::time::Duration;

use postrider_core::delivery::{CancelReason, Next, Status};
use postrider_core::endpoint::{Endpoint, State};
use postrider_core::replay::{self, Selection};
use postrider_core::time::Timestamp;

use super::Backend;
use super::world::{World, deed_at};
use crate::StoreError;
use crate::model::{
    DeliveryFilter, EndpointUpdate, EventFilter, NewResend, PageRequest, Pruned, ReplayFilter,
};

const PAGE: PageRequest = PageRequest { limit: 250, before: None };

/// A time after all that happened so far.
fn later(world: &World<'_>) -> Timestamp {
    world.now().plus(Duration::from_secs(3600))
}

async fn prune(world: &World<'_>, before: Timestamp) -> Pruned {
    world.store.prune(before, 0, before, 1_000).await.unwrap()
}

/// Event, delivery and attempts are gone, but for the newest event, from which numbering goes on.
pub async fn what_ended_before_the_retention_goes_with_its_attempts(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 3).await;
    for (one, next) in accepted.iter().zip([Next::Delivered, Next::Exhausted, Next::Delivered]) {
        world.record(*one, 1, next).await;
    }
    let pruned = prune(&world, later(&world)).await;
    assert_eq!((pruned.deleted_events, pruned.cancelled.len(), pruned.next), (2, 0, None));
    let world = world.reopen().await;
    for one in &accepted[..2] {
        assert!(matches!(world.store.delivery(one.id).await, Err(StoreError::NotFound)));
        assert!(world.store.attempts(one.seq).await.unwrap().is_empty());
    }
    assert_eq!(world.store.delivery(accepted[2].id).await.unwrap().status, Status::Delivered);
    assert_eq!(world.store.events(EventFilter::default(), PAGE).await.unwrap().rows.len(), 1);
    let next = world.accept(&lane).await;
    assert!(next.seq > accepted[2].seq, "numbers are not used again");
}

/// Pending ones, ones that ended within the retention, and ones resent lately, with their events.
pub async fn what_is_pending_or_ended_lately_stays(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 4).await;
    let before = later(&world);
    world.record(accepted[1], 1, Next::Delivered).await;
    let resent = NewResend {
        id: world.delivery_id(),
        of: accepted[1].id,
        created_at: before,
        deed: deed_at(world.now()),
        keep: None,
    };
    world.store.resend(resent).await.unwrap();
    let ended_later = world.outcome(accepted[2], 1, Next::Delivered, before);
    world.store.record(super::world::batch(vec![ended_later]).into()).await.unwrap();
    assert_eq!(prune(&world, before).await.deleted_events, 0);
    for one in &accepted {
        assert!(world.store.delivery(one.id).await.is_ok());
    }
}

/// What a paused endpoint holds since before the retention is cancelled, whether it waits for a retry or not.
pub async fn what_was_held_too_long_is_cancelled_and_then_goes(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 3).await;
    let far = later(&world).plus(Duration::from_secs(3600));
    world.record(accepted[0], 1, Next::RetryAt(far)).await;
    let before = later(&world);
    assert!(
        prune(&world, before).await.cancelled.is_empty(),
        "an enabled endpoint's deliveries are not touched"
    );
    let paused = Endpoint { state: State::Paused, ..lane.endpoint.clone() };
    world
        .store
        .update_endpoint(
            &lane.endpoint,
            &paused,
            EndpointUpdate::State { fresh_health: false },
            deed_at(world.now()),
        )
        .await
        .unwrap();
    let pruned = prune(&world, before).await;
    assert_eq!(pruned.cancelled, [(lane.endpoint.no, 3)]);
    for one in &accepted {
        let delivery = world.store.delivery(one.id).await.unwrap();
        assert_eq!(delivery.cancel_reason, Some(CancelReason::HeldTooLong));
    }
    assert!(world.store.backlogs().await.unwrap().is_empty());
    assert_eq!(prune(&world, before.plus(Duration::from_secs(1))).await.deleted_events, 2);
}

/// A small limit takes several slices, which together do the same.
pub async fn slices_go_on_where_the_last_one_ended(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 10).await;
    for one in &accepted[1..] {
        world.record(*one, 1, Next::Delivered).await;
    }
    let (mut after, mut deleted, mut slices) = (Some(0), 0, 0);
    while let Some(from) = after {
        let pruned = world.store.prune(later(&world), from, later(&world), 3).await.unwrap();
        deleted += pruned.deleted_events;
        after = pruned.next;
        slices += 1;
    }
    assert_eq!((deleted, slices), (8, 4), "all but the pending one and the newest");
    let left = world.store.deliveries(DeliveryFilter::default(), PAGE).await.unwrap();
    assert_eq!(left.rows.len(), 2);
}

/// A finished replay goes by its own end; a running one stays however old it is.
pub async fn replays_that_ended_before_the_retention_go_and_running_ones_stay(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let lane = world.lane().await;
        ids.push(super::replaying::create(&world, &lane, Selection::default()).await.unwrap().id);
    }
    let cancel = |id| world.store.cancel_replay(id, replay::CancelReason::ByHand, deed_at(world.now()));
    for id in &ids[..2] {
        cancel(*id).await.unwrap();
    }
    let before = world.now();
    cancel(ids[2]).await.unwrap();
    for expected in [1, 1, 0] {
        let pruned = world.store.prune(before, 0, before, 1).await.unwrap();
        assert_eq!(pruned.deleted_replays, expected, "a slice of one");
    }
    let left = world.store.replays(ReplayFilter::default(), PAGE).await.unwrap().rows;
    assert_eq!(left.iter().map(|replay| replay.id).collect::<Vec<_>>(), [ids[3], ids[2]]);
}

/// The size grows with what is accepted, and the oldest event is the one that pruning left.
pub async fn a_store_tells_its_size_and_how_far_back_it_goes(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let empty = world.store.size().await.unwrap();
    assert!(empty.database_bytes > 0);
    assert_eq!((empty.oldest_event_at, empty.oldest_idempotency_at), (None, None));
    assert!(empty.oldest_audit_at.is_some(), "the account was made by somebody");
    let large = format!("\"{}\"", "x".repeat(1_000_000));
    let mut accepted = Vec::new();
    for _ in 0..3 {
        let event = world.event(&lane, &large);
        let created_at = event.event.created_at;
        accepted.push((world.try_accept(event).await.unwrap()[0], created_at));
    }
    let full = world.store.size().await.unwrap();
    assert!(full.database_bytes >= empty.database_bytes + 3_000_000, "{empty:?}, then {full:?}");
    assert_eq!(full.oldest_event_at, Some(accepted[0].1));
    // A database may have no estimate yet, but no wrong one.
    assert!(full.about.events.is_none_or(|events| events <= 3), "{full:?}");
    for (one, _) in &accepted[..2] {
        world.record(*one, 1, Next::Delivered).await;
    }
    assert_eq!(prune(&world, later(&world)).await.deleted_events, 2);
    let left = world.store.size().await.unwrap();
    assert_eq!(left.oldest_event_at, Some(accepted[2].1));
    assert!(left.free_bytes.is_none_or(|free| free >= 2_000_000), "what was deleted is free: {left:?}");
}
