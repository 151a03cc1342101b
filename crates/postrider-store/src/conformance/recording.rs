//! Recording: outcomes and health, once or again, without ever taking back what is final.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::delivery::{CancelReason, Next, Progress, Status};
use postrider_core::endpoint::{DisabledReason, State};
use postrider_core::health::{Failing, FailureRun, Health, RecentAttempts};
use postrider_core::service_clock::ServiceTime;

use super::Backend;
use super::world::{World, batch, own_change};
use crate::model::{AuditFilter, HealthUpdate, PageRequest, Record, RecordBatch};

/// Delivered, tried again, waiting, exhausted: status, counts and times.
pub async fn each_outcome_leaves_its_state(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 4).await;
    let later = world.now().plus(Duration::from_secs(300));
    let nexts = [Next::Delivered, Next::RetryAt(later), Next::Waits, Next::Exhausted];
    let mut times = Vec::new();
    for (accepted, next) in accepted.iter().zip(nexts) {
        times.push(world.record(*accepted, 1, next).await);
    }
    let world = world.reopen().await;
    let expected = [
        (Status::Delivered, None, Some(times[0])),
        (Status::Pending, Some(later), None),
        (Status::Pending, None, None),
        (Status::Exhausted, None, Some(times[3])),
    ];
    for (accepted, expected) in accepted.iter().zip(expected) {
        let delivery = world.store.delivery(accepted.id).await.unwrap();
        assert_eq!((delivery.status, delivery.next_attempt_at, delivery.finished_at), expected);
        assert_eq!((delivery.attempt_count, delivery.cancel_reason), (1, None));
        assert_eq!(world.store.attempts(accepted.seq).await.unwrap().len(), 1);
    }
    let waiting = world.store.waiting(lane.endpoint.no, 10).await.unwrap();
    assert_eq!(waiting[0].progress, Progress { attempts: 1, used: 1 });
}

/// The engine repeats a call whose answer it did not get.
pub async fn recording_again_changes_nothing(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let later = world.now().plus(Duration::from_secs(5));
    for next in [Next::Delivered, Next::RetryAt(later), Next::Waits, Next::Exhausted] {
        let accepted = world.accept(&lane).await;
        let again = batch(vec![world.outcome(accepted, 1, next, world.now())]);
        world.store.record(again.clone().into()).await.unwrap();
        let (delivery, attempts) = (
            world.store.delivery(accepted.id).await.unwrap(),
            world.store.attempts(accepted.seq).await.unwrap(),
        );
        world.store.record(again.into()).await.unwrap();
        assert_eq!(world.store.delivery(accepted.id).await.unwrap(), delivery);
        assert_eq!(world.store.attempts(accepted.seq).await.unwrap(), attempts);
    }
}

/// A repeated call may arrive late.
pub async fn an_older_outcome_does_not_undo_a_later_one(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    let (soon, later) = (world.now(), world.now().plus(Duration::from_secs(300)));
    world.record(accepted, 1, Next::RetryAt(soon)).await;
    world.record(accepted, 2, Next::RetryAt(later)).await;
    world.record(accepted, 1, Next::RetryAt(soon)).await;
    let delivery = world.store.delivery(accepted.id).await.unwrap();
    assert_eq!((delivery.attempt_count, delivery.next_attempt_at), (2, Some(later)));
}

/// An answer may arrive after the cancelling; the request was made all the same.
pub async fn a_cancelled_delivery_stays_cancelled_and_its_attempt_is_logged(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    let cancelled_at = world.now();
    let cancelled =
        world.store.cancel_pending(lane.endpoint.no, CancelReason::Operator, cancelled_at, 10).await;
    assert_eq!(cancelled.unwrap(), 1);
    world.record(accepted, 1, Next::Delivered).await;
    let delivery = world.store.delivery(accepted.id).await.unwrap();
    assert_eq!((delivery.status, delivery.cancel_reason), (Status::Cancelled, Some(CancelReason::Operator)));
    assert_eq!(delivery.finished_at, Some(cancelled_at));
    assert_eq!(world.store.attempts(accepted.seq).await.unwrap().len(), 1);
}

/// After a recorded 2xx nothing makes a delivery pending again.
pub async fn a_delivered_one_is_never_pending_again(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    world.record(accepted, 1, Next::Delivered).await;
    let delivered = world.store.delivery(accepted.id).await.unwrap();
    for (number, next) in [(1, Next::Waits), (2, Next::RetryAt(world.now())), (3, Next::Exhausted)] {
        world.record(accepted, number, next).await;
        assert_eq!(world.store.delivery(accepted.id).await.unwrap(), delivered);
    }
    assert_eq!(world.store.ready(lane.endpoint.no, 10).await.unwrap().len(), 0);
}

/// Health, every field, and the state where the service changed it; without a new configuration version.
pub async fn health_and_a_disabling_are_written_with_the_outcome(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    let at = world.now();
    let recent = RecentAttempts::from_text("101").unwrap();
    let failing = Health {
        failing: Some(Failing { since: at, probes: 3, next_probe_at: at.plus(Duration::from_secs(60)) }),
        run: Some(FailureRun {
            since: at,
            failures: 12,
            deliveries: [Some(accepted.id), Some(world.delivery_id()), None],
            attempts: 13,
            began: ServiceTime::new(Duration::from_secs(100)),
            latest: ServiceTime::new(Duration::from_millis(123_456)),
        }),
        closed_until: Some(at.plus(Duration::from_secs(7))),
        closed_at: Some(at.minus(Duration::from_secs(100))),
        last_success_at: Some(at),
        recent,
    };
    let received = |at| Health { last_success_at: Some(at), recent, ..Health::default() };
    let states = [
        (failing, None, State::Enabled),
        (failing, Some(State::Disabled(DisabledReason::Failing)), State::Disabled(DisabledReason::Failing)),
        (failing, Some(State::Disabled(DisabledReason::Gone)), State::Disabled(DisabledReason::Gone)),
        (failing, Some(State::Disabled(DisabledReason::Gone)), State::Disabled(DisabledReason::Gone)),
        (received(at), None, State::Disabled(DisabledReason::Gone)),
        (received(at.plus(Duration::from_secs(8))), None, State::Disabled(DisabledReason::Gone)),
    ];
    let log = async |world: &World<'_>| {
        let all = PageRequest { limit: 250, before: None };
        world.store.audit(AuditFilter::default(), all).await.unwrap().rows.len()
    };
    let before = log(&world).await;
    let mut world = world;
    let mut fresh = recent;
    for (health, state, expected) in states {
        let state = state.map(|state| own_change(state, at));
        let update = HealthUpdate {
            endpoint_no: lane.endpoint.no,
            health,
            attempts: std::mem::take(&mut fresh),
            state,
        };
        let records = vec![world.outcome(accepted, 1, Next::Waits, at)];
        world.store.record(RecordBatch { records, health: vec![update] }.into()).await.unwrap();
        world = world.reopen().await;
        let configuration = world.store.load().await.unwrap();
        assert_eq!((configuration.endpoints[0].health, configuration.endpoints[0].state), (health, expected));
        assert_eq!(configuration.accounts[0].config_version, lane.version);
    }
    assert_eq!(
        log(&world).await,
        before + 2,
        "each change of the state has its entry, and what is so already has none"
    );
    world.accept(&lane).await;
}

/// Concurrent calls share commits and nothing else.
pub async fn many_at_once_are_all_recorded(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 100).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (index, accepted) in accepted.iter().enumerate() {
        let next = if index % 2 == 0 { Next::Delivered } else { Next::Exhausted };
        let batch = batch(vec![world.outcome(*accepted, 1, next, world.now())]);
        let store = Arc::clone(&world.store);
        tasks.spawn(async move { store.record(batch.into()).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    for (index, accepted) in accepted.iter().enumerate() {
        let expected = if index % 2 == 0 { Status::Delivered } else { Status::Exhausted };
        assert_eq!(world.store.delivery(accepted.id).await.unwrap().status, expected);
    }
}

/// Outcomes of a delivery that is gone, or of no attempt, leave no attempts behind.
pub async fn an_outcome_of_nothing_leaves_nothing(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let mut accepted = world.accept(&lane).await;
    let record = Record { attempt: None, ..world.outcome(accepted, 0, Next::Waits, world.now()) };
    world.store.record(batch(vec![record]).into()).await.unwrap();
    assert_eq!(world.store.attempts(accepted.seq).await.unwrap(), []);
    accepted.seq.0 += 1_000;
    world.record(accepted, 1, Next::Delivered).await;
    assert_eq!(world.store.attempts(accepted.seq).await.unwrap(), []);
    world.store.record(RecordBatch::default().into()).await.unwrap();
}
