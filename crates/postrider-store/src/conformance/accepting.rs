//! Accepting: durable, all or nothing, numbered in the order of commits, never by an old configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use postrider_core::delivery::{Next, Status};

use super::Backend;
use super::world::{World, deed_at};
use crate::model::{EndpointUpdate, EventFilter, PageRequest};
use crate::{AcceptError, StoreError};

/// The bodies that signatures are checked with: big integers, duplicate keys, escapes, white space.
const VECTORS: &str = include_str!("../../../postrider-signature/tests/data/signature-vectors.json");

const WHOLE: PageRequest = PageRequest { limit: 250, before: None };

/// Events and deliveries with every field, read back from a store that was closed in between.
pub async fn what_was_accepted_is_there_after_a_reopen(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let new = world.event(&lane, r#"{"livemode": false}"#);
    let accepted = world.try_accept(new.clone()).await.unwrap()[0];

    let world = world.reopen().await;
    assert_eq!(world.store.event(new.event.id).await.unwrap(), new.event);
    let delivery = world.store.delivery(accepted.id).await.unwrap();
    assert_eq!(
        (delivery.seq, delivery.id, delivery.event, delivery.event_type.as_str()),
        (accepted.seq, accepted.id, new.event.id, "policy.created")
    );
    assert_eq!((delivery.account, delivery.endpoint), (lane.account.id, lane.endpoint.id));
    assert_eq!((delivery.livemode, delivery.status, delivery.cancel_reason), (false, Status::Pending, None));
    assert_eq!((delivery.attempt_count, delivery.created_at), (0, new.event.created_at));
    assert_eq!((delivery.next_attempt_at, delivery.finished_at, delivery.resend_of), (None, None, None));
}

/// Every way that a payload leaves the store gives the bytes that went in.
pub async fn payloads_survive_byte_for_byte(backend: &dyn Backend) {
    #[derive(serde::Deserialize)]
    struct Vector {
        body: String,
    }
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    let mut bodies: Vec<String> = vectors.into_iter().map(|vector| vector.body).collect();
    bodies.extend(["", "\0", "{\"a\":\"\u{0}\u{10ffff}\"}"].map(str::to_owned));
    bodies.push(format!("\"{}\"", "x".repeat(1024 * 1024)));

    let world = World::new(backend).await;
    let lane = world.lane().await;
    let mut events = Vec::new();
    for body in &bodies {
        events.push(world.try_accept(world.event(&lane, body)).await.unwrap()[0]);
    }
    let world = world.reopen().await;
    let ready = world.store.ready(lane.endpoint.no, bodies.len()).await.unwrap();
    let payloads = world.store.payloads(events.iter().map(|event| event.seq).collect()).await.unwrap();
    let listed = world.store.events(EventFilter::default(), WHOLE).await.unwrap().rows;
    for (index, body) in bodies.iter().enumerate() {
        assert_eq!(world.store.event(events[index].event).await.unwrap().payload, body.as_bytes());
        assert_eq!(ready[index].payload.as_deref(), Some(body.as_bytes()));
        assert_eq!(payloads[index].as_deref(), Some(body.as_bytes()));
        assert_eq!(listed[bodies.len() - 1 - index].payload, body.as_bytes());
    }
}

/// Within a request in its order, and above everything committed before.
pub async fn numbers_follow_the_order_of_commits(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let (second, version) = world.endpoint(&lane.account, false).await;
    let lane = super::world::Lane { version, ..lane };
    let mut last = i64::MIN;
    for _ in 0..5 {
        let both = [&lane.endpoint, &second];
        let events: Vec<_> = (0..3).map(|_| world.event_to(&lane, &both, "{}")).collect();
        let ids: Vec<_> = events.iter().flat_map(|new| &new.deliveries).map(|delivery| delivery.id).collect();
        let seqs = world.store.accept(events).await.unwrap();
        assert_eq!(seqs.len(), ids.len());
        for (seq, id) in seqs.into_iter().zip(ids) {
            assert!(seq.0 > last, "{} after {last}", seq.0);
            last = seq.0;
            assert_eq!(world.store.delivery(id).await.unwrap().seq, seq);
        }
    }
}

/// A number names one delivery for ever.
pub async fn numbers_are_not_used_again_after_a_reopen(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let before = world.accept_many(&lane, 3).await;
    world.record(before[2], 1, Next::Delivered).await;
    let world = world.reopen().await;
    let after = world.accept(&lane).await;
    assert!(after.seq > before[2].seq);
    assert_eq!(world.store.delivery(before[2].id).await.unwrap().seq, before[2].seq);
}

/// Whoever matched before an endpoint was made, changed or deleted must match again.
pub async fn events_matched_by_an_old_configuration_are_refused(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let mut lane = world.lane().await;
    let store = Arc::clone(&world.store);
    let mut old = Vec::new();
    old.push(world.event(&lane, "{}"));
    let (other, version) = world.endpoint(&lane.account, false).await;
    lane.version = version;
    old.push(world.event(&lane, "{}"));
    lane.version = store
        .update_endpoint(&other, &other, EndpointUpdate::State { fresh_health: false }, deed_at(world.now()))
        .await
        .unwrap();
    old.push(world.event(&lane, "{}"));
    lane.version = store.delete_endpoint(other.no, deed_at(world.now())).await.unwrap();
    old.push(world.event(&lane, "{}"));
    lane.version =
        store.rename_account(lane.account.no, "Another", deed_at(world.now())).await.unwrap().config_version;

    for new in old {
        let id = new.event.id;
        assert!(matches!(world.try_accept(new).await, Err(AcceptError::ConfigChanged)));
        assert!(matches!(store.event(id).await, Err(StoreError::NotFound)));
    }
    world.accept(&lane).await;
    let world = world.reopen().await;
    world.accept(&lane).await;
}

/// All or nothing, and only for the request at fault.
pub async fn one_refused_event_refuses_its_whole_request_and_no_other(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let (good, mut stale) = (world.lane().await, world.lane().await);
    stale.version -= 1;
    let mixed = vec![world.event(&good, "1"), world.event(&stale, "2"), world.event(&good, "3")];
    let ids: Vec<_> = mixed.iter().map(|new| new.event.id).collect();
    let fine = world.event(&good, "4");
    let fine_id = fine.event.id;
    let (mixed, fine) = tokio::join!(world.store.accept(mixed), world.store.accept(vec![fine]));
    assert!(matches!(mixed, Err(AcceptError::ConfigChanged)));
    assert_eq!(fine.unwrap().len(), 1);
    for id in ids {
        assert!(matches!(world.store.event(id).await, Err(StoreError::NotFound)));
    }
    assert_eq!(world.store.event(fine_id).await.unwrap().payload, "4");
    assert_eq!(world.store.ready(good.endpoint.no, 10).await.unwrap().len(), 1);
}

/// A deleted account takes no events, whatever version they were matched by.
pub async fn a_deleted_accounts_events_are_refused(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let mut lane = world.lane().await;
    world.store.delete_account(lane.account.no, deed_at(world.now())).await.unwrap();
    lane.version += 100;
    let new = world.event(&lane, "{}");
    assert!(matches!(world.try_accept(new).await, Err(AcceptError::ConfigChanged)));
    let world = world.reopen().await;
    let new = world.event(&lane, "{}");
    assert!(matches!(world.try_accept(new).await, Err(AcceptError::ConfigChanged)));
}

/// Concurrent requests share commits and nothing else.
pub async fn many_at_once_are_all_kept_apart(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..200 {
        let store = Arc::clone(&world.store);
        let new = world.event(&lane, &index.to_string());
        tasks.spawn(async move { (new.event.id, index, store.accept(vec![new]).await) });
    }
    let mut seqs = BTreeSet::new();
    while let Some(done) = tasks.join_next().await {
        let (id, index, accepted) = done.unwrap();
        seqs.extend(accepted.unwrap());
        assert_eq!(world.store.event(id).await.unwrap().payload, index.to_string());
    }
    assert_eq!(seqs.len(), 200, "every delivery has a number of its own");
    let ready = world.store.ready(lane.endpoint.no, 1_000).await.unwrap();
    assert_eq!(ready.iter().map(|delivery| delivery.seq).collect::<BTreeSet<_>>(), seqs);
}

/// However many endpoints an event has, each has its own delivery, in their order.
pub async fn an_event_for_many_endpoints_has_a_delivery_for_each(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let mut lane = world.lane().await;
    let mut endpoints = vec![lane.endpoint.clone()];
    for _ in 1..60 {
        let (endpoint, version) = world.endpoint(&lane.account, false).await;
        endpoints.push(endpoint);
        lane.version = version;
    }
    // None, one, and around and between whole parts, if a store writes them in parts.
    for count in [0, 1, 24, 25, 26, 49, 50, 51, 60] {
        let wanting: Vec<_> = endpoints.iter().take(count).collect();
        let new = world.event_to(&lane, &wanting, "{}");
        let accepted = world.try_accept(new.clone()).await.unwrap();
        assert_eq!(accepted.len(), count);
        for ((accepted, endpoint), planned) in accepted.iter().zip(&wanting).zip(&new.deliveries) {
            let delivery = world.store.delivery(planned.id).await.unwrap();
            assert_eq!((delivery.seq, delivery.event), (accepted.seq, new.event.id));
            assert_eq!((delivery.endpoint, delivery.status), (endpoint.id, Status::Pending));
            assert_eq!(delivery.created_at, new.event.created_at);
            let ready = world.store.ready(endpoint.no, 100).await.unwrap();
            assert_eq!(ready.last().map(|last| (last.seq, last.id)), Some((accepted.seq, planned.id)));
        }
    }
}

/// An event that no endpoint wants is still an event.
pub async fn an_event_without_deliveries_is_kept(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let new = world.event_to(&lane, &[], "{}");
    let id = new.event.id;
    assert_eq!(world.try_accept(new).await.unwrap(), []);
    assert_eq!(world.store.event(id).await.unwrap().payload, "{}");
    assert_eq!(world.store.accept(Vec::new()).await.unwrap(), []);
}

/// The same guid twice is refused whole, and hurts nobody who is committed with it.
pub async fn a_guid_is_accepted_once(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let first = world.event(&lane, "first");
    world.store.accept(vec![first.clone()]).await.unwrap();
    let mut again = world.event(&lane, "again");
    again.event.id = first.event.id;
    let beside = world.event(&lane, "beside it");
    let beside_id = beside.event.id;
    let other = world.event(&lane, "other");
    let other_id = other.event.id;
    let (refused, accepted) =
        tokio::join!(world.store.accept(vec![beside, again]), world.store.accept(vec![other]));
    assert!(matches!(refused, Err(AcceptError::Refused(_))), "{refused:?}");
    assert_eq!(accepted.unwrap().len(), 1);
    assert!(matches!(world.store.event(beside_id).await, Err(StoreError::NotFound)));
    assert_eq!(world.store.event(other_id).await.unwrap().payload, "other");
    assert_eq!(world.store.event(first.event.id).await.unwrap(), first.event);
}
