//! Many endpoints, or very many deliveries, of one customer: another one's go on as if they were not there.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::AccountId;
use postrider_core::schedule::RetrySchedule;
use postrider_engine::EngineConfig;
use postrider_engine::model::{EndpointDraft, Submission};

use crate::harness::{House, Reply, settings};

/// Deliveries pending for an endpoint that is down.
const BACKLOG: usize = 20_000;

/// Another customer with one endpoint.
async fn neighbour(house: &House) -> AccountId {
    let account = house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_account("Neighbour".to_owned())
        .await
        .unwrap()
        .account
        .id;
    let settings = settings("healthy.example", |_| {});
    let draft = EndpointDraft { account, livemode: false, settings, secret: None };
    house.engine.by(postrider_core::audit::Who::SERVICE).create_endpoint(draft).await.unwrap();
    account
}

async fn send(house: &House, account: AccountId, events: usize) -> Vec<String> {
    let submission = || Submission {
        account,
        event_type: house.event_type("policy.created"),
        livemode: false,
        payload: Bytes::from_static(br#"{"livemode":false}"#),
    };
    let accepted = house.engine.ingest((0..events).map(|_| submission()).collect()).await.unwrap();
    accepted.into_iter().map(|event| event.id.to_string()).collect()
}

fn seen_at(house: &House, host: &str) -> Vec<String> {
    house.receivers.seen().into_iter().filter(|seen| seen.host == host).map(|seen| seen.guid).collect()
}

/// Waits in real time, while not a moment of the service's time passes.
async fn until_seen_at(house: &House, host: &str, count: usize) {
    let began = std::time::Instant::now();
    while seen_at(house, host).len() < count {
        assert!(began.elapsed() < Duration::from_secs(20), "{host} saw {:?}", seen_at(house, host).len());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_hundred_endpoints_that_hang_delay_nobody_else_by_a_moment() {
    let config = EngineConfig { max_in_flight: 400, ..EngineConfig::default() };
    let house = House::build(config, |seen, _| match seen.host.as_str() {
        "healthy.example" => Reply::Status(200),
        _ => Reply::After(Duration::from_secs(60)),
    })
    .await;
    for number in 0..300 {
        house.endpoint(&format!("hangs{number}.example"), |_| {}).await;
    }
    let neighbour = neighbour(&house).await;
    send(&house, neighbour, 1).await;
    until_seen_at(&house, "healthy.example", 1).await;
    // More than may be in flight, and of that a quarter is not theirs however many they are.
    send(&house, house.account, 3).await;
    let began = tokio::time::Instant::now();
    for already in 1..=20 {
        send(&house, neighbour, 1).await;
        until_seen_at(&house, "healthy.example", already + 1).await;
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "not a moment passed");
    let hanging = house.receivers.seen().len() - 21;
    assert!(hanging <= 300, "{hanging} hang, and the slow share is 300");
}

#[tokio::test(start_paused = true)]
async fn a_large_backlog_of_a_dead_endpoint_delays_nobody_and_is_sent_oldest_first_once_it_is_back() {
    let back_from = tokio::time::Instant::now() + Duration::from_secs(300);
    let config = EngineConfig {
        retry_schedule: RetrySchedule::default(),
        lane_queue: 500,
        loaded_deliveries: 2_000,
        ..EngineConfig::default()
    };
    let house = House::build(config, move |seen, _| match seen.host.as_str() {
        "dead.example" if tokio::time::Instant::now() < back_from => Reply::Status(500),
        "dead.example" => Reply::StatusAfter(200, Duration::from_millis(1)),
        _ => Reply::Status(200),
    })
    .await;
    let dead = house.endpoint("dead.example", |_| {}).await.endpoint.id;
    let neighbour = neighbour(&house).await;
    // It counts as failing before the flood comes, so few of that are tried and come later than their turn.
    while !house.engine.endpoint(dead).unwrap().health.is_failing() {
        send(&house, house.account, 1).await;
        house.pass(Duration::from_secs(4)).await;
    }
    let tried_before = seen_at(&house, "dead.example").len();
    let mut flood = Vec::with_capacity(BACKLOG);
    while flood.len() < BACKLOG {
        flood.extend(send(&house, house.account, 500).await);
    }
    for already in 0..20 {
        let began = tokio::time::Instant::now();
        send(&house, neighbour, 1).await;
        until_seen_at(&house, "healthy.example", already + 1).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "not a moment passed");
    }

    let began = std::time::Instant::now();
    while house.engine.endpoint(dead).unwrap().backlog > 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{:?}", house.engine.endpoint(dead).unwrap());
        house.pass(Duration::from_secs(1)).await;
    }
    let guids = seen_at(&house, "dead.example");
    let mut places = std::collections::HashMap::new();
    for (place, guid) in flood.iter().enumerate() {
        places.insert(guid, place);
    }
    let arrived: Vec<usize> =
        guids.iter().skip(tried_before).filter_map(|guid| places.get(guid).copied()).collect();
    let mut once = arrived.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), BACKLOG, "nothing is lost");
    let probed = arrived.len() - BACKLOG;
    assert!(probed < 20, "a probe is all that is made twice, not {probed}");
    let furthest = arrived.iter().enumerate().skip(probed).map(|(turn, place)| turn.abs_diff(*place)).max();
    assert!(furthest.is_some_and(|turns| turns < 100), "{furthest:?} turns before or after its own");
}
