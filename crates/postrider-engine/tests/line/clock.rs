//! A clock that jumps back or ahead while deliveries, lanes and endpoints wait for a time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::audit::Who;
use postrider_core::delivery::{CancelReason, Status};
use postrider_core::endpoint::RateLimit;
use postrider_engine::model::StateChange;
use postrider_engine::{Before, Claim, EngineConfig, EngineError, KeptAnswer, Once};

use crate::defaults;
use crate::harness::{House, Reply};

const HOUR_MS: i64 = 3_600_000;

fn jump(house: &House, by_ms: i64) {
    house.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
}

fn retries_after(delay: &str) -> EngineConfig {
    EngineConfig { retry_schedule: delay.parse().unwrap(), ..EngineConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_not_put_off_by_a_clock_that_goes_back() {
    let script = |_: &_, before| Reply::Status(if before == 0 { 500 } else { 200 });
    let house = House::build(retries_after("20s,20s"), script).await;
    house.endpoint("fails-once.example", |_| {}).await;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until(id, |delivery| delivery.attempt_count == 1).await;
    house.pass(Duration::from_secs(2)).await;
    jump(&house, -HOUR_MS);
    house.until_status(id, Status::Delivered).await;
    let seen = house.receivers.seen();
    let wait = (seen[1].at - seen[0].at).as_secs();
    assert!((18..=25).contains(&wait), "some twenty seconds, not {wait}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asked_for_peace_and_a_rate_limit_are_not_put_off_either() {
    let script = |seen: &crate::harness::Seen, before: usize| match seen.host.as_str() {
        "busy.example" if before == 0 => Reply::StatusWithRetryAfter(429, 20),
        _ => Reply::Status(200),
    };
    let house = House::build(retries_after("1s,1s"), script).await;
    house.endpoint("busy.example", |_| {}).await;
    house
        .endpoint("limited.example", |settings| {
            settings.rate_limit = Some(RateLimit { per_second: 1, burst: 1 });
        })
        .await;
    let mut last = Vec::new();
    for _ in 0..10 {
        last = house.send("policy.created").await.deliveries;
    }
    house.pass(Duration::from_secs(2)).await;
    jump(&house, -HOUR_MS);
    let jumped = tokio::time::Instant::now();
    for (id, _) in last {
        house.until_status(id, Status::Delivered).await;
    }
    assert!(jumped.elapsed() < Duration::from_secs(1_800), "{:?}", jumped.elapsed());
    let peace = house.receivers.seen().into_iter().filter(|seen| seen.host == "busy.example");
    let times: Vec<_> = peace.map(|seen| seen.at).collect();
    // Those that were on their way together with the first were refused like it.
    let later = times.iter().map(|at| *at - times[0]).filter(|after| *after > Duration::from_secs(1));
    let first_later = later.min().unwrap();
    assert!(first_later >= Duration::from_secs(18), "it got its peace all the same, not {first_later:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_is_probed_in_time_when_the_clock_goes_back() {
    let house = House::build(
        retries_after("2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s"),
        |_, before| Reply::Status(if before < 18 { 500 } else { 200 }),
    )
    .await;
    let endpoint = house.endpoint("down.example", |_| {}).await.endpoint.id;
    for _ in 0..3 {
        house.send("policy.created").await;
    }
    while !house.engine.endpoint(endpoint).unwrap().health.is_failing() {
        house.pass(Duration::from_secs(1)).await;
    }
    let before = house.receivers.seen().len();
    jump(&house, -HOUR_MS);
    house.pass(Duration::from_secs(60)).await;
    assert!(house.receivers.seen().len() > before, "a probe was made");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_a_day_makes_what_is_due_once_and_in_order() {
    let script = |seen: &crate::harness::Seen, before: usize| match seen.host.as_str() {
        "fails-once.example" if before == 0 => Reply::Status(500),
        _ => Reply::Status(200),
    };
    let house = House::build(defaults(), script).await;
    house.endpoint("fails-once.example", |_| {}).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        let accepted = house.send("policy.created").await;
        house.until(accepted.deliveries[0].0, |delivery| delivery.attempt_count == 1).await;
        sent.push(accepted);
    }
    jump(&house, 24 * HOUR_MS);
    for accepted in &sent {
        house.until_status(accepted.deliveries[0].0, Status::Delivered).await;
    }
    house.pass(Duration::from_secs(120)).await;
    assert_eq!(house.receivers.seen().len(), 10, "each twice, and nothing more");
    jump(&house, -24 * HOUR_MS);
    let after = house.send("policy.updated").await;
    let fails_once = after.deliveries[0].0;
    house.until_status(fails_once, Status::Delivered).await;
}

const DAY_MS: i64 = 24 * HOUR_MS;

/// A call with an idempotency key, made again: whether it is known.
async fn is_known(house: &House) -> bool {
    let claim = Claim { scope: [1; 32], body_sha256: [2; 32] };
    let answer = KeptAnswer { status: 201, body: Bytes::from_static(b"{}") };
    let once = Once::new(claim, move |_| answer.clone());
    match house.engine.by(Who::SERVICE).create_account_once("Once".to_owned(), Some(once)).await {
        Ok(_made) => false,
        Err(EngineError::AnsweredBefore) => {
            let before = house.engine.answered_before(claim).await.unwrap();
            assert!(matches!(before, Some(Before::Answered(_))), "what refuses it is found");
            true
        }
        Err(error) => panic!("{error}"),
    }
}

/// Lets the service run for so many times ten minutes, in large steps.
async fn run_for(house: &House, steps: usize) {
    for _ in 0..steps {
        tokio::time::advance(Duration::from_secs(599)).await;
        house.pass(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_a_year_ahead_deletes_nothing_until_it_was_right_for_a_day() {
    let config = EngineConfig { retention: Duration::from_secs(7 * 24 * 3600), ..defaults() };
    let mut house = House::build(config, |_, _| Reply::Status(200)).await;
    let paused = house.endpoint("paused.example", |_| {}).await.endpoint.id;
    house.engine.by(Who::SERVICE).change_state(paused, StateChange::Pause).await.unwrap();
    let event = house.send("policy.created").await;
    let held = event.deliveries[0].0;
    assert!(!is_known(&house).await && is_known(&house).await);
    assert_eq!(house.engine.clock_distrusted_for(), None);

    // While it runs …
    jump(&house, 365 * DAY_MS);
    assert!(house.engine.clock_distrusted_for().is_some() && is_known(&house).await, "at once");
    run_for(&house, 2).await;
    assert!(house.engine.metrics().await.iter().any(|metric| {
        metric.name == "postrider_clock_in_doubt" && format!("{:?}", metric.points).contains('1')
    }));
    // … and at a start.
    house.restart().await;
    run_for(&house, 6).await;
    assert!(is_known(&house).await);
    assert_eq!(house.engine.delivery(held).await.unwrap().status, Status::Pending);
    let left = house.engine.clock_distrusted_for().expect("it is in doubt");
    assert!((22 * 3600..23 * 3600).contains(&left.as_secs()), "counted across restarts: {left:?}");

    // Set right, it is trusted at once, and nothing is lost.
    jump(&house, -365 * DAY_MS);
    run_for(&house, 2).await;
    assert_eq!(house.engine.clock_distrusted_for(), None);
    assert!(is_known(&house).await);
    assert_eq!(house.engine.delivery(held).await.unwrap().status, Status::Pending);

    // A clock that is right after all is believed after a day.
    jump(&house, 365 * DAY_MS);
    run_for(&house, 24 * 6 - 1).await;
    assert_eq!(house.engine.delivery(held).await.unwrap().status, Status::Pending);
    run_for(&house, 3).await;
    let cancelled = house.engine.delivery(held).await.unwrap();
    assert_eq!(cancelled.cancel_reason, Some(CancelReason::HeldTooLong));
    assert!(!is_known(&house).await, "it is more than a day old");
}
