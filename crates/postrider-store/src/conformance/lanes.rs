//! What lanes and timers are filled from: pending deliveries, their payloads and counts; cancelling; resends.

use std::time::Duration;

use postrider_core::delivery::{CancelReason, DeliverySeq, Next, Progress, Status};

use super::Backend;
use super::world::{Accepted, Lane, World, deed_at};
use crate::StoreError;
use crate::model::{LaneBacklog, NewResend, PendingDelivery};

fn seqs(deliveries: &[PendingDelivery]) -> Vec<DeliverySeq> {
    deliveries.iter().map(|delivery| delivery.seq).collect()
}

fn seqs_of(accepted: &[Accepted]) -> Vec<DeliverySeq> {
    accepted.iter().map(|accepted| accepted.seq).collect()
}

/// In order, with everything that a lane needs, up to the limit, of this endpoint alone.
pub async fn ready_gives_the_oldest_with_their_payloads(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (lane, other) = (world.lane().await, world.lane().await);
    let mut accepted = Vec::new();
    for payload in ["0", "1", "2", "3", "4"] {
        accepted.push(world.try_accept(world.event(&lane, payload)).await.unwrap()[0]);
        world.accept(&other).await;
    }
    world.record(accepted[0], 1, Next::Delivered).await;
    world.record(accepted[2], 1, Next::RetryAt(world.now())).await;
    world.record(accepted[3], 2, Next::Waits).await;
    let ready = world.store.ready(lane.endpoint.no, 10).await.unwrap();
    assert_eq!(seqs(&ready), [accepted[1].seq, accepted[3].seq, accepted[4].seq]);
    let waits = &ready[1];
    assert_eq!(
        (waits.id, waits.event, waits.event_type.as_str()),
        (accepted[3].id, accepted[3].event, "policy.created")
    );
    assert_eq!((waits.endpoint_no, waits.next_attempt_at), (lane.endpoint.no, None));
    assert_eq!(
        (waits.payload.as_deref(), waits.progress),
        (Some(&b"3"[..]), Progress { attempts: 2, used: 2 })
    );
    assert!(ready.iter().all(|ready| ready.payload_bytes == 1));
    assert_eq!(
        seqs(&world.store.ready(lane.endpoint.no, 2).await.unwrap()),
        [accepted[1].seq, accepted[3].seq]
    );
    assert_eq!(world.store.ready(lane.endpoint.no, 0).await.unwrap().len(), 0);
}

/// Earliest first, up to the time, page by page; `waiting` has the same of one endpoint by number.
pub async fn what_waits_for_a_time_is_due_then_and_paged(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (lane, other) = (world.lane().await, world.lane().await);
    let begin = world.now();
    let at = |seconds: u64| begin.plus(Duration::from_secs(seconds));
    let accepted = world.accept_many(&lane, 5).await;
    let beside = world.accept(&other).await;
    for (accepted, seconds) in accepted.iter().zip([50, 20, 20, 40, 10]) {
        world.record(*accepted, 1, Next::RetryAt(at(seconds))).await;
    }
    world.record(beside, 1, Next::RetryAt(at(20))).await;
    let expected = [accepted[4], accepted[1], accepted[2], beside, accepted[3], accepted[0]];

    assert_eq!(seqs(&world.store.due(at(100), None, 10).await.unwrap()), seqs_of(&expected));
    assert_eq!(seqs(&world.store.due(at(20), None, 10).await.unwrap()), seqs_of(&expected[..4]));
    assert_eq!(world.store.due(at(9), None, 10).await.unwrap().len(), 0);
    let (mut paged, mut after) = (Vec::new(), None);
    for _ in 0..=expected.len() {
        let page = world.store.due(at(100), after, 1).await.unwrap();
        after = page.last().map(|last| (last.next_attempt_at.unwrap(), last.seq)).or(after);
        paged.extend(page);
    }
    assert_eq!(seqs(&paged), seqs_of(&expected));
    assert_eq!(paged[0].next_attempt_at, Some(at(10)));
    assert_eq!(
        (paged[3].endpoint_no, paged[3].progress),
        (other.endpoint.no, Progress { attempts: 1, used: 1 })
    );
    assert!(paged.iter().all(|due| due.payload_bytes == 2));

    assert_eq!(seqs(&world.store.waiting(lane.endpoint.no, 10).await.unwrap()), seqs_of(&accepted));
    assert_eq!(seqs(&world.store.waiting(lane.endpoint.no, 2).await.unwrap()), seqs_of(&accepted[..2]));
    assert_eq!(world.store.ready(lane.endpoint.no, 10).await.unwrap().len(), 0);
    world.record(accepted[4], 1, Next::Waits).await;
    assert_eq!(seqs(&world.store.ready(lane.endpoint.no, 10).await.unwrap()), [accepted[4].seq]);
    assert_eq!(seqs(&world.store.due(at(10), None, 10).await.unwrap()), []);
}

/// None for what is no longer pending or never was; twice where it is asked twice.
pub async fn payloads_come_in_the_order_asked(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let mut accepted = Vec::new();
    for payload in ["0", "1", "2"] {
        accepted.push(world.try_accept(world.event(&lane, payload)).await.unwrap()[0].seq);
    }
    let done = world.accept(&lane).await;
    world.record(done, 1, Next::Delivered).await;
    let unknown = DeliverySeq(done.seq.0 + 1);
    let asked = vec![accepted[2], unknown, accepted[0], done.seq, accepted[1], accepted[2]];
    let payloads = world.store.payloads(asked).await.unwrap();
    let texts: Vec<Option<&[u8]>> = payloads.iter().map(Option::as_deref).collect();
    assert_eq!(texts, [Some(&b"2"[..]), None, Some(b"0"), None, Some(b"1"), Some(b"2")]);
}

/// Per endpoint that has any, apart for what waits for its turn and what waits for a time.
pub async fn backlogs_count_what_is_pending(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (first, second, idle) = (world.lane().await, world.lane().await, world.lane().await);
    let accepted = world.accept_many(&first, 6).await;
    world.record(accepted[0], 1, Next::Delivered).await;
    world.record(accepted[1], 1, Next::Exhausted).await;
    world.record(accepted[2], 1, Next::RetryAt(world.now())).await;
    let waiting = world.accept(&second).await;
    world.record(waiting, 1, Next::RetryAt(world.now())).await;
    let done = world.accept(&idle).await;
    world.record(done, 1, Next::Delivered).await;
    let expected = [
        LaneBacklog { endpoint_no: first.endpoint.no, ready: 3, waiting: 1 },
        LaneBacklog { endpoint_no: second.endpoint.no, ready: 0, waiting: 1 },
    ];
    let world = world.reopen().await;
    let asked = vec![idle.endpoint.no, first.endpoint.no, second.endpoint.no];
    assert_eq!(world.store.with_ready(asked).await.unwrap(), [first.endpoint.no]);
    let mut backlogs = world.store.backlogs().await.unwrap();
    backlogs.sort_by_key(|lane| lane.endpoint_no);
    assert_eq!(backlogs, expected);
}

/// The lowest of each endpoint, up to what is asked for; what has ended or waits for a time is not among them.
pub async fn ready_numbers_are_the_lowest_of_each_endpoint(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (first, second, idle) = (world.lane().await, world.lane().await, world.lane().await);
    let accepted = world.accept_many(&first, 5).await;
    world.record(accepted[0], 1, Next::Delivered).await;
    world.record(accepted[2], 1, Next::RetryAt(world.now())).await;
    let beside = world.accept(&second).await;
    let of = |lane: &Lane, wanted| (lane.endpoint.no, wanted);
    let asked = vec![of(&first, 2), of(&idle, 3), of(&second, 3)];
    let mut found = world.store.ready_numbers(asked).await.unwrap();
    found.sort();
    let mut expected = vec![
        (first.endpoint.no, accepted[1].seq),
        (first.endpoint.no, accepted[3].seq),
        (second.endpoint.no, beside.seq),
    ];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(world.store.ready_numbers(Vec::new()).await.unwrap(), []);
}

/// Oldest first, so many at a time, whether they wait for a turn or a time.
pub async fn cancelling_goes_in_slices_from_the_oldest(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (lane, other) = (world.lane().await, world.lane().await);
    let accepted = world.accept_many(&lane, 6).await;
    let beside = world.accept(&other).await;
    world.record(accepted[0], 1, Next::Delivered).await;
    world.record(accepted[2], 1, Next::RetryAt(world.now())).await;
    let no = lane.endpoint.no;
    let cancel = |limit| world.store.cancel_pending(no, CancelReason::HeldTooLong, world.now(), limit);
    assert_eq!(cancel(2).await.unwrap(), 2);
    let statuses = [Status::Delivered, Status::Cancelled, Status::Cancelled, Status::Pending];
    for (accepted, status) in accepted.iter().zip(statuses) {
        let delivery = world.store.delivery(accepted.id).await.unwrap();
        assert_eq!((delivery.status, delivery.next_attempt_at), (status, None));
        let reason = (status == Status::Cancelled).then_some(CancelReason::HeldTooLong);
        assert_eq!(
            (delivery.cancel_reason, delivery.finished_at.is_some()),
            (reason, status != Status::Pending)
        );
    }
    assert_eq!(cancel(0).await.unwrap(), 0);
    assert_eq!((cancel(2).await.unwrap(), cancel(2).await.unwrap(), cancel(2).await.unwrap()), (2, 1, 0));
    assert_eq!(world.store.delivery(beside.id).await.unwrap().status, Status::Pending);
    assert_eq!(world.store.due(world.now(), None, 10).await.unwrap().len(), 0);
}

/// Whether it is ready or waits; once, and only while it is pending.
pub async fn one_pending_delivery_is_cancelled_and_no_other(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let [ready, waits, done, stays] = world.accept_many(&lane, 4).await.try_into().unwrap();
    world.record(waits, 1, Next::RetryAt(world.now())).await;
    world.record(done, 1, Next::Delivered).await;
    let now = world.now();
    for cancelled in [ready, waits] {
        let found = world.store.cancel_delivery(cancelled.id, deed_at(now)).await.unwrap();
        assert_eq!(found, (lane.endpoint.no, cancelled.seq));
    }
    let world = world.reopen().await;
    for cancelled in [ready, waits] {
        let shown = world.store.delivery(cancelled.id).await.unwrap();
        assert_eq!((shown.status, shown.cancel_reason), (Status::Cancelled, Some(CancelReason::Operator)));
        assert_eq!((shown.finished_at, shown.next_attempt_at), (Some(now), None));
    }
    for over in [ready, waits, done] {
        let refused = world.store.cancel_delivery(over.id, deed_at(world.now())).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))));
    }
    let unknown = world.store.cancel_delivery(world.delivery_id(), deed_at(world.now())).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)));
    assert_eq!(seqs(&world.store.ready(lane.endpoint.no, 10).await.unwrap()), [stays.seq]);
    assert!(world.store.waiting(lane.endpoint.no, 10).await.unwrap().is_empty());
    assert_eq!(world.store.delivery(done.id).await.unwrap().status, Status::Delivered);
}

/// What is pending at deleted endpoints and accounts is told after a restart too, until it is cancelled.
pub async fn what_is_deleted_leaves_its_backlog_to_be_cancelled(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lanes = [world.lane().await, world.lane().await, world.lane().await, world.lane().await];
    for lane in &lanes[..3] {
        world.accept(lane).await;
    }
    let retried = world.accept(&lanes[1]).await;
    world.record(retried, 1, Next::RetryAt(world.now())).await;
    world.store.delete_endpoint(lanes[0].endpoint.no, deed_at(world.now())).await.unwrap();
    world.store.delete_account(lanes[1].account.no, deed_at(world.now())).await.unwrap();
    world.store.delete_endpoint(lanes[3].endpoint.no, deed_at(world.now())).await.unwrap();
    let world = world.reopen().await;
    let deleted = world.store.deleted_with_backlog().await.unwrap();
    let expected = [
        (lanes[0].endpoint.no, CancelReason::EndpointDeleted, 1),
        (lanes[1].endpoint.no, CancelReason::AccountDeleted, 2),
    ];
    assert_eq!(deleted, expected.map(|(no, reason, _)| (no, reason)));
    for (no, reason, count) in expected {
        assert_eq!(world.store.cancel_pending(no, reason, world.now(), 100).await.unwrap(), count);
    }
    assert_eq!(world.store.deleted_with_backlog().await.unwrap(), []);
    assert_eq!(
        world.store.delivery(retried.id).await.unwrap().cancel_reason,
        Some(CancelReason::AccountDeleted)
    );
    assert_eq!(world.store.ready(lanes[2].endpoint.no, 10).await.unwrap().len(), 1);
}

/// A new delivery of the same event, from the beginning; the old one stays as it is.
pub async fn a_finished_delivery_can_be_resent(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let accepted = world.try_accept(world.event(&lane, "the payload")).await.unwrap()[0];
    world.record(accepted, 10, Next::Exhausted).await;
    let before = world.store.delivery(accepted.id).await.unwrap();
    let new = NewResend {
        id: world.delivery_id(),
        of: accepted.id,
        created_at: world.now(),
        deed: deed_at(world.now()),
        keep: None,
    };
    let resent = world.store.resend(new.clone()).await.unwrap();
    assert!(resent.seq > accepted.seq);
    assert_eq!((resent.id, resent.endpoint_no, resent.event), (new.id, lane.endpoint.no, accepted.event));
    assert_eq!(
        (resent.event_type.as_str(), resent.payload.as_deref()),
        ("policy.created", Some(&b"the payload"[..]))
    );
    assert_eq!((resent.progress, resent.next_attempt_at), (Progress::default(), None));

    let world = world.reopen().await;
    assert_eq!(world.store.delivery(accepted.id).await.unwrap(), before);
    let delivery = world.store.delivery(new.id).await.unwrap();
    assert_eq!((delivery.seq, delivery.resend_of), (resent.seq, Some(accepted.id)));
    assert_eq!((delivery.status, delivery.attempt_count), (Status::Pending, 0));
    assert_eq!((delivery.created_at, delivery.finished_at), (new.created_at, None));
    assert_eq!(seqs(&world.store.ready(lane.endpoint.no, 10).await.unwrap()), [resent.seq]);
    assert!(world.accept(&lane).await.seq > resent.seq);
}

/// `Conflict` and `NotFound`, and nothing made.
pub async fn what_is_pending_or_gone_cannot_be_resent(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (lane, deleted) = (world.lane().await, world.lane().await);
    let pending = world.accept(&lane).await;
    let finished = world.accept(&deleted).await;
    world.record(finished, 1, Next::Delivered).await;
    world.store.delete_endpoint(deleted.endpoint.no, deed_at(world.now())).await.unwrap();
    let resend = |of| {
        world.store.resend(NewResend {
            id: world.delivery_id(),
            of,
            created_at: world.now(),
            deed: deed_at(world.now()),
            keep: None,
        })
    };
    assert!(matches!(resend(pending.id).await, Err(StoreError::Conflict(_))));
    assert!(matches!(resend(finished.id).await, Err(StoreError::NotFound)));
    assert!(matches!(resend(world.delivery_id()).await, Err(StoreError::NotFound)));
    assert_eq!(world.store.ready(lane.endpoint.no, 10).await.unwrap().len(), 1);
    assert_eq!(world.store.ready(deleted.endpoint.no, 10).await.unwrap().len(), 0);
    // Twice with one id, as when a caller repeats itself.
    world.record(pending, 1, Next::Delivered).await;
    let twice = NewResend {
        id: world.delivery_id(),
        of: pending.id,
        created_at: world.now(),
        deed: deed_at(world.now()),
        keep: None,
    };
    world.store.resend(twice.clone()).await.unwrap();
    assert!(matches!(world.store.resend(twice).await, Err(StoreError::Conflict(_))));
}

/// Ready or waiting for a time, first or last endpoint; none where nothing is pending.
pub async fn the_oldest_pending_delivery_is_found_wherever_it_waits(backend: &dyn Backend) {
    let world = World::new(backend).await;
    assert_eq!(world.store.oldest_pending().await.unwrap(), None);
    let (first, second) = (world.lane().await, world.lane().await);
    let mut accepted = Vec::new();
    for lane in [&second, &first, &second, &first] {
        accepted.push(world.accept(lane).await);
    }
    let mut created = Vec::new();
    for accepted in &accepted {
        created.push(world.store.delivery(accepted.id).await.unwrap().created_at);
    }
    // Near, so that it stays with the node that made the attempt.
    let later = world.now().plus(Duration::from_secs(1));
    world.record(accepted[1], 1, Next::RetryAt(later)).await;
    for (index, expected) in created.into_iter().enumerate() {
        assert_eq!(world.store.oldest_pending().await.unwrap(), Some(expected), "of {index} that are done");
        world.record(accepted[index], 2, Next::Delivered).await;
    }
    assert_eq!(world.store.oldest_pending().await.unwrap(), None);
}
