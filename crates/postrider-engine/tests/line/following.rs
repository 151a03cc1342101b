//! Following attempts as they end: live, and from a place in the log on, without a gap.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::audit::Who;
use postrider_core::delivery::{DeliverySeq, Status};
use postrider_core::id::DeliveryId;
use postrider_core::time::Timestamp;
use postrider_engine::{AttemptFeed, AttemptPlace, AttemptSeen, DeliveryFilter, EngineConfig, FeedEnd};

use crate::harness::{House, Reply};

/// Before everything.
const BEGINNING: AttemptPlace =
    AttemptPlace { ended_at: Timestamp::from_ms(0), seq: DeliverySeq(0), number: 0 };

/// The next attempt, while a little time passes whenever there is none.
async fn next(feed: &mut AttemptFeed) -> Arc<AttemptSeen> {
    loop {
        tokio::select! {
            biased;
            seen = feed.next() => return seen.unwrap(),
            () = a_moment() => {}
        }
    }
}

async fn a_moment() {
    tokio::time::advance(Duration::from_millis(10)).await;
    tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
}

fn config() -> EngineConfig {
    EngineConfig { retry_schedule: "1s".parse().unwrap(), ..EngineConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_follower_sees_each_attempt_with_what_became_of_its_delivery() {
    let house = House::build(config(), |_, before| Reply::Status(if before == 0 { 500 } else { 204 })).await;
    house.endpoint("a.example", |_| {}).await;
    let mut feed = house.engine.follow_attempts(DeliveryFilter::default(), None);
    let id = house.send("policy.created").await.deliveries[0].0;
    let first = next(&mut feed).await;
    assert_eq!((first.delivery, first.number, first.status()), (id, 1, Status::Pending));
    assert!(first.next_attempt_at().is_some());
    let second = next(&mut feed).await;
    assert_eq!((second.delivery, second.number, second.status()), (id, 2, Status::Delivered));
    assert_eq!(second.outcome.status(), Some(204));
    // What the log tells later is what was told live.
    house.until_status(id, Status::Delivered).await;
    let mut again = house.engine.follow_attempts(DeliveryFilter::default(), Some(BEGINNING));
    for told in [first, second] {
        let logged = next(&mut again).await;
        assert_eq!((logged.place, logged.delivery, logged.number), (told.place, id, told.number));
        assert_eq!((logged.status(), &logged.outcome), (told.status(), &told.outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_ended_meanwhile_and_then_what_ends_from_there_on_each_once() {
    let house = House::build(config(), |_, _| Reply::Status(200)).await;
    house.endpoint("a.example", |_| {}).await;
    let mut sent: Vec<DeliveryId> = Vec::new();
    let mut feed = house.engine.follow_attempts(DeliveryFilter::default(), None);
    sent.push(house.send("policy.created").await.deliveries[0].0);
    let place = next(&mut feed).await.place;
    drop(feed);
    // Further off than the order may differ, and more than one part of the log.
    house.pass(Duration::from_secs(5)).await;
    for _ in 0..250 {
        sent.push(house.send("policy.created").await.deliveries[0].0);
    }
    house.until_status(*sent.last().unwrap(), Status::Delivered).await;
    let mut feed = house.engine.follow_attempts(DeliveryFilter::default(), Some(place));
    let mut seen = vec![next(&mut feed).await.delivery];
    // These end while the log is still being read.
    for _ in 0..20 {
        sent.push(house.send("policy.created").await.deliveries[0].0);
    }
    while seen.len() < 270 {
        seen.push(next(&mut feed).await.delivery);
    }
    let distinct: HashSet<DeliveryId> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "none twice");
    assert_eq!(distinct, sent[1..].iter().copied().collect(), "none missing");
    sent.push(house.send("policy.created").await.deliveries[0].0);
    assert_eq!(next(&mut feed).await.delivery, *sent.last().unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_falls_too_far_behind_is_let_go_and_loses_nothing() {
    const MANY: usize = 1_100;
    let house = House::build(config(), |_, _| Reply::Status(200)).await;
    house.endpoint("a.example", |settings| settings.max_in_flight = 100).await;
    let mut slow = house.engine.follow_attempts(DeliveryFilter::default(), None);
    house.send("policy.created").await;
    let place = next(&mut slow).await.place;
    house.pass(Duration::from_secs(5)).await;
    let mut last = None;
    for _ in 0..MANY {
        last = Some(house.send("policy.created").await.deliveries[0].0);
    }
    house.until_status(last.unwrap(), Status::Delivered).await;
    assert!(matches!(slow.next().await, Err(FeedEnd::TooSlow)));
    let mut back = house.engine.follow_attempts(DeliveryFilter::default(), Some(place));
    let mut seen = HashSet::new();
    while seen.len() < MANY {
        assert!(seen.insert(next(&mut back).await.delivery));
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_holds_for_the_log_and_live_alike() {
    let house = House::build(config(), |seen, before| {
        Reply::Status(if seen.host == "bad.example" && before == 0 { 500 } else { 200 })
    })
    .await;
    let good = house.endpoint("good.example", |_| {}).await.endpoint.id;
    let bad = house.endpoint("bad.example", |_| {}).await.endpoint.id;
    let filters = [
        DeliveryFilter { endpoint: Some(bad), ..DeliveryFilter::default() },
        DeliveryFilter { status: Some(Status::Pending), ..DeliveryFilter::default() },
        DeliveryFilter { event_type: Some("policy.updated".to_owned()), ..DeliveryFilter::default() },
        DeliveryFilter { livemode: Some(true), ..DeliveryFilter::default() },
        DeliveryFilter { account: Some(house.account), endpoint: Some(good), ..DeliveryFilter::default() },
    ];
    let mut live = filters.clone().map(|filter| house.engine.follow_attempts(filter, None));
    let ids = [house.send("policy.created").await, house.send("policy.updated").await];
    for id in ids.iter().flat_map(|accepted| &accepted.deliveries) {
        house.until_status(id.0, Status::Delivered).await;
    }
    let mut logged = filters.map(|filter| house.engine.follow_attempts(filter, Some(BEGINNING)));
    for (index, count) in [4, 2, 3, 0, 2].into_iter().enumerate() {
        let mut told = Vec::new();
        for feed in [&mut live[index], &mut logged[index]] {
            let mut places = Vec::new();
            for _ in 0..count {
                places.push(next(feed).await.place);
            }
            places.sort();
            told.push(places);
        }
        assert_eq!(told[0], told[1], "filter {index}");
    }
    // Nothing more is left in any of them.
    house.pass(Duration::from_secs(1)).await;
    for feed in live.iter_mut().chain(&mut logged) {
        assert!(futures_util::FutureExt::now_or_never(feed.next()).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_survives_a_restart() {
    let mut house = House::build(config(), |_, _| Reply::Status(200)).await;
    house.endpoint("a.example", |_| {}).await;
    let mut feed = house.engine.follow_attempts(DeliveryFilter::default(), None);
    house.send("policy.created").await;
    let place = next(&mut feed).await.place;
    let missed = house.send("policy.updated").await.deliveries[0].0;
    house.until_status(missed, Status::Delivered).await;
    drop(feed);
    house.restart().await;
    let mut feed = house.engine.follow_attempts(DeliveryFilter::default(), Some(place));
    assert_eq!(next(&mut feed).await.delivery, missed);
}

/// Another attempt may end between the two questions.
#[tokio::test(start_paused = true)]
async fn a_delivery_has_the_attempts_that_it_tells_of() {
    let house = House::build(config(), |_, before| Reply::Status(if before == 0 { 500 } else { 204 })).await;
    house.endpoint("a.example", |_| {}).await;
    let mut feed = house.engine.follow_attempts(DeliveryFilter::default(), None);
    let id = house.send("policy.created").await.deliveries[0].0;
    next(&mut feed).await;
    let earlier = loop {
        let delivery = house.engine.delivery(id).await.unwrap();
        if delivery.attempt_count == 1 {
            break delivery;
        }
        a_moment().await;
    };
    let later = house.until_status(id, Status::Delivered).await;
    for (delivery, count) in [(&earlier, 1), (&later, 2)] {
        assert_eq!(house.engine.attempts(delivery).await.unwrap().len(), count);
        assert_eq!(house.engine.last_attempts(delivery, None, 40).await.unwrap().len(), count);
    }
    assert_eq!(house.engine.last_attempts(&later, Some(2), 40).await.unwrap().len(), 1);
}

/// Its request ends after the end of the delivery.
#[tokio::test(start_paused = true)]
async fn the_attempt_of_a_delivery_that_was_cancelled_meanwhile_is_shown() {
    let house = House::build(config(), |_, _| Reply::StatusAfter(500, Duration::from_secs(5))).await;
    house.endpoint("a.example", |_| {}).await;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until_seen(1).await;
    let cancelled = house.engine.by(Who::SERVICE).cancel_delivery(id).await.unwrap();
    assert_eq!((cancelled.status, cancelled.attempt_count), (Status::Cancelled, 0));
    house.pass(Duration::from_secs(6)).await;
    while house.engine.attempts(&cancelled).await.unwrap().is_empty() {
        a_moment().await;
    }
    assert_eq!(house.engine.last_attempts(&cancelled, None, 40).await.unwrap().len(), 1);
}
