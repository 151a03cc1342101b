//! Commits that take their time, callers that leave in the middle, and rows that memory has lost sight of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postrider_core::audit::Who;
use postrider_core::delivery::Status;
use postrider_core::event::Event;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::replay::Selection;
use postrider_engine::model::ReplayDraft;
use postrider_engine::{DeliveryFilter, EngineConfig};
use postrider_store::Store as _;
use postrider_store::model::{NewDelivery, NewEvent};

use crate::defaults;
use crate::harness::{House, PAGE, Reply};

/// Commits an event for an endpoint behind the engine's back.
async fn commit_unseen(house: &House, endpoint: EndpointId) -> DeliveryId {
    let loaded = house.store.load().await.unwrap();
    let endpoint = loaded.endpoints.iter().find(|known| known.id == endpoint).unwrap();
    let account = loaded.accounts.iter().find(|account| account.id == house.account).unwrap();
    let now = house.engine.now();
    let event = Event {
        id: EventId::new(now, 1),
        account_no: account.no,
        account: account.id,
        event_type: "policy.created".to_owned(),
        livemode: false,
        payload: "{}".into(),
        created_at: now,
    };
    let id = DeliveryId::new(now, 2);
    let deliveries = vec![NewDelivery { id, endpoint_no: endpoint.no, is_own: true }];
    let config_version = account.config_version;
    house.store.accept(vec![NewEvent { event, config_version, deliveries }]).await.unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn what_only_the_store_knows_to_be_ready_is_found_within_a_minute() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("fine.example", |_| {}).await.endpoint.id;
    let known = house.send("policy.created").await.deliveries[0].0;
    house.until_status(known, Status::Delivered).await;
    let stranded = commit_unseen(&house, endpoint).await;
    house.pass(Duration::from_secs(60)).await;
    assert_eq!(house.engine.delivery(stranded).await.unwrap().status, Status::Delivered);
}

/// Before, only lanes that believed themselves empty were compared with the store.
#[tokio::test(start_paused = true)]
async fn a_stranded_delivery_of_a_busy_lane_is_sent_within_a_minute_and_counted() {
    // Whatever comes first is in flight for as long as the test lasts.
    let is_first = AtomicBool::new(true);
    let script = move |_: &_, _| match is_first.swap(false, Ordering::SeqCst) {
        true => Reply::StatusAfter(200, Duration::from_secs(600)),
        false => Reply::Status(200),
    };
    let house = House::build(defaults(), script).await;
    let endpoint = house.endpoint("busy.example", |_| {}).await.endpoint.id;
    house.send("policy.created").await;
    house.until_seen(1).await;
    let stranded = commit_unseen(&house, endpoint).await;
    house.pass(Duration::from_secs(60)).await;
    assert_eq!(house.engine.delivery(stranded).await.unwrap().status, Status::Delivered);
    assert_eq!(house.engine.figures().await.stranded, 1);
}

/// A lane with much of its queue in memory reads at once all the same.
#[tokio::test(start_paused = true)]
async fn a_stranded_delivery_behind_a_long_queue_is_read_at_once() {
    let script = |_: &_, _| Reply::StatusAfter(200, Duration::from_secs(6));
    let config = EngineConfig { lane_queue: 100, ..defaults() };
    let house = House::build(config, script).await;
    let endpoint = house.endpoint("busy.example", |settings| settings.max_in_flight = 1).await.endpoint.id;
    for _ in 0..60 {
        house.send("policy.created").await;
    }
    let stranded = commit_unseen(&house, endpoint).await;
    house.pass(Duration::from_secs(60)).await;
    let view = house.engine.endpoint(endpoint).unwrap();
    assert!(view.backlog > 40, "most of it still waits: {}", view.backlog);
    assert_eq!(house.engine.figures().await.stranded, 1);
    house.pass(Duration::from_secs(400)).await;
    assert_eq!(house.engine.delivery(stranded).await.unwrap().status, Status::Delivered);
}

/// Everything that was accepted comes once, whoever leaves while a commit is on its way, and whatever is cancelled or sent
/// again meanwhile.
#[tokio::test(start_paused = true)]
async fn slow_commits_and_callers_that_leave_lose_nothing_and_repeat_nothing() {
    for seed in 1..=6 {
        let script = |seen: &crate::harness::Seen, before: usize| {
            let fails = seen.host == "flaky.example" && before == 0;
            Reply::Status(if fails { 500 } else { 200 })
        };
        let config = EngineConfig { retry_schedule: "1s,1s,1s".parse().unwrap(), ..defaults() };
        let house = House::build(config, script).await;
        let fine = house.endpoint("fine.example", |_| {}).await.endpoint.id;
        house.endpoint("flaky.example", |settings| settings.max_in_flight = 2).await;
        house.endpoint("ordered.example", |settings| settings.ordered = true).await;
        house.store.delay_commits(seed);
        for turn in 0..40_u64 {
            let sending = house.send("policy.created");
            let patience = Duration::from_millis(100 * (turn % 7));
            let left = async {
                let steps = patience.as_millis() / 100;
                for _ in 0..steps {
                    house.pass(Duration::from_millis(100)).await;
                }
            };
            // Whoever comes first; a caller that leaves has begun all the same.
            tokio::select! {
                accepted = sending => {
                    if turn % 5 == 0 {
                        // It may have come to its end already.
                        let (engine, id) = (house.engine.clone(), accepted.deliveries[0].0);
                        tokio::spawn(async move { engine.by(Who::SERVICE).cancel_delivery(id).await });
                    }
                }
                () = left => {}
            }
            house.pass(Duration::from_millis(200)).await;
        }
        let selection = Selection::default();
        let service = house.engine.by(Who::SERVICE);
        let replay = service.create_replay(ReplayDraft { endpoint: fine, selection }).await.unwrap();
        house.pass(Duration::from_secs(60)).await;
        house.store.delay_commits(0);
        house.pass(Duration::from_secs(60)).await;
        let replay = house.engine.replay(replay.id).await.unwrap();
        assert!(replay.finished_at.is_some(), "seed {seed}: {replay:?}");
        let pending = DeliveryFilter { status: Some(Status::Pending), ..DeliveryFilter::default() };
        assert!(house.engine.deliveries(pending, PAGE).await.unwrap().rows.is_empty(), "seed {seed}");
        let all = house.engine.events(postrider_engine::EventFilter::default(), PAGE).await.unwrap().rows;
        let seen = house.receivers.seen();
        for event in all.iter().filter(|event| event.account != AccountId::OPERATOR) {
            let count = |host: &str| {
                seen.iter().filter(|seen| seen.host == host && seen.guid == event.id.to_string()).count()
            };
            assert_eq!(count("ordered.example"), 1, "seed {seed}: {}", event.id);
            assert_eq!(count("flaky.example"), 2, "seed {seed}: {}", event.id);
        }
        assert_eq!(house.engine.figures().await.stranded, 0, "seed {seed}");
    }
}
