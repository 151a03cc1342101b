//! While outcomes can't be recorded, nothing is sent in order, and what is sent otherwise is bounded.

use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_core::delivery::Status;

use crate::defaults;
use crate::harness::{House, Reply};

#[tokio::test(start_paused = true)]
async fn ordered_endpoints_wait_while_recording_fails_and_the_others_go_on() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    house.endpoint("in-order.example", |settings| settings.ordered = true).await;
    house.endpoint("other.example", |_| {}).await;
    house.store.fails_to_record.store(true, Ordering::Relaxed);
    let first = house.send("policy.created").await;
    house.until_seen(2).await;
    house.pass(Duration::from_secs(2)).await;
    let mut sent = vec![first];
    for _ in 0..100 {
        sent.push(house.send("policy.created").await);
    }
    house.pass(Duration::from_secs(30)).await;
    let seen = |host: &str| house.receivers.seen().iter().filter(|seen| seen.host == host).count();
    assert_eq!(
        seen("in-order.example"),
        1,
        "what was in flight before the failure was known, and nothing else"
    );
    assert_eq!(seen("other.example"), 101, "what is durable is delivered");
    house.store.fails_to_record.store(false, Ordering::Relaxed);
    for (delivery, _) in sent.iter().flat_map(|accepted| &accepted.deliveries) {
        house.until_status(*delivery, Status::Delivered).await;
    }
    let at = |host: &'static str| house.receivers.seen().into_iter().filter(move |seen| seen.host == host);
    assert_eq!(at("other.example").count(), 101, "each once");
    let in_order: Vec<String> = at("in-order.example").map(|seen| seen.guid).collect();
    let expected: Vec<String> = sent.iter().map(|accepted| accepted.id.to_string()).collect();
    assert_eq!(in_order, expected, "each once, and in order");
}

/// A commit that neither succeeds nor fails, as where a disk hangs.
#[tokio::test(start_paused = true)]
async fn an_ordered_endpoint_is_never_far_ahead_of_what_is_recorded() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    house.endpoint("in-order.example", |settings| settings.ordered = true).await;
    house.store.let_records_wait(true);
    let mut last = None;
    for _ in 0..100 {
        last = house.send("policy.created").await.deliveries.pop();
    }
    house.pass(Duration::from_secs(30)).await;
    let seen = house.receivers.seen().len();
    assert!((1..=8).contains(&seen), "{seen} would come again in rewound order after a crash");
    house.store.let_records_wait(false);
    house.until_status(last.unwrap().0, Status::Delivered).await;
    assert_eq!(house.receivers.seen().len(), 100, "each once");
}
