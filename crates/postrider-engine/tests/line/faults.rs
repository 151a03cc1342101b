//! What happens where something inside the house fails, is short, or changes at the same moment.

use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_core::attempt::Outcome;
use postrider_core::audit::{Action, Who};
use postrider_core::catalogue::Definition;
use postrider_core::delivery::Status;
use postrider_core::endpoint::{DisabledReason, State};
use postrider_core::id::{AccountId, DeliveryId, EventId};
use postrider_engine::model::StateChange;
use postrider_engine::{EngineConfig, EngineError, EventFilter};
use postrider_store::Store as _;
use postrider_store::model::event_types::NewEventType;

use crate::defaults;
use crate::harness::{House, PAGE, Reply, Seen};
use crate::held_store::Side;

/// A 410 comes while a pause by hand is being committed, on either side of the commit.
async fn gone_during_a_pause(side: Side) {
    let script = |_: &_, _| Reply::StatusAfter(410, Duration::from_secs(1));
    let mut house = House::build(defaults(), script).await;
    let endpoint = house.endpoint("gone.example", |_| {}).await.endpoint.id;
    let delivery = house.send("policy.created").await.deliveries[0].0;
    house.until_seen(1).await;
    let hold = house.store.hold_next_update(side);
    let engine = house.engine.clone();
    let pausing = tokio::spawn(async move {
        engine.by(postrider_core::audit::Who::SERVICE).change_state(endpoint, StateChange::Pause).await
    });
    hold.reached.await.unwrap();
    house.until(delivery, |delivery| delivery.attempt_count == 1).await;
    hold.go.send(()).unwrap();
    assert!(matches!(pausing.await.unwrap(), Err(EngineError::Conflict(_))), "it is disabled by now");
    let gone = State::Disabled(DisabledReason::Gone);
    assert_eq!(house.engine.endpoint(endpoint).unwrap().state, gone);
    house.restart().await;
    assert_eq!(house.engine.endpoint(endpoint).unwrap().state, gone, "in the store as well");
}

#[tokio::test(start_paused = true)]
async fn a_disabling_that_comes_before_a_pause_is_committed_is_not_covered_by_it() {
    gone_during_a_pause(Side::Before).await;
}

#[tokio::test(start_paused = true)]
async fn a_disabling_that_comes_after_a_pause_is_committed_is_not_covered_by_it() {
    gone_during_a_pause(Side::After).await;
}

#[tokio::test(start_paused = true)]
async fn an_enabling_by_hand_is_the_last_word_over_a_disabling_before_it() {
    let script = |_: &_, before| Reply::Status(if before == 0 { 410 } else { 200 });
    let mut house = House::build(defaults(), script).await;
    let endpoint = house.endpoint("gone.example", |_| {}).await.endpoint.id;
    let delivery = house.send("policy.created").await.deliveries[0].0;
    while house.engine.endpoint(endpoint).unwrap().state == State::Enabled {
        tokio::time::advance(Duration::from_micros(100)).await;
    }
    // Its record may still be on its way.
    let engine = house.engine.clone();
    let enabling = tokio::spawn(async move {
        engine.by(postrider_core::audit::Who::SERVICE).change_state(endpoint, StateChange::Enable).await
    });
    // Slowly, so that the disk gets its turn before the patience with it runs out.
    while !enabling.is_finished() {
        tokio::time::advance(Duration::from_micros(100)).await;
        tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
    }
    house.until_status(delivery, Status::Delivered).await;
    enabling.await.unwrap().unwrap();
    house.restart().await;
    assert_eq!(house.engine.endpoint(endpoint).unwrap().state, State::Enabled);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_breaks_off_before_it_is_sent_is_a_failed_one_and_holds_nothing_up() {
    let mut house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    house.endpoint("fine.example", |settings| settings.max_in_flight = 1).await;
    // No header can say this, which is found out when it is signed. Nobody but the store lets such a name in.
    let now = house.engine.now();
    let definition = Definition {
        name: "grüße.gesendet".to_owned(),
        description: None,
        schema: None,
        example: None,
        validation: true,
        archived: false,
        created_at: now,
        updated_at: now,
    };
    let deed = Who::SERVICE.did(Action::EventTypeCreated, AccountId::OPERATOR, &definition.name, now);
    house.store.create_event_type(NewEventType { definition, deed, keep: None }).await.unwrap();
    house.restart().await;
    let poisonous = house.send("grüße.gesendet").await.deliveries[0].0;
    let next = house.send("policy.created").await.deliveries[0].0;
    house.until_status(next, Status::Delivered).await;
    let exhausted = house.until_status(poisonous, Status::Exhausted).await;
    assert_eq!(exhausted.attempt_count, 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_breaks_off_before_it_is_decided_is_made_again_later_and_holds_nothing_up() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    house.endpoint("fine.example", |settings| settings.max_in_flight = 1).await;
    house.chance.breaks.store(1, Ordering::Relaxed);
    let accepted = house.send("policy.created").await;
    let broken = accepted.deliveries[0].0;
    while house.chance.breaks.load(Ordering::Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
    let next = house.send("policy.updated").await.deliveries[0].0;
    house.until_status(next, Status::Delivered).await;
    house.until_status(broken, Status::Delivered).await;
    let guid = accepted.id.to_string();
    let made: Vec<_> = house.receivers.seen().into_iter().filter(|seen| seen.guid == guid).collect();
    assert!(made.len() == 2 && made[1].at - made[0].at >= Duration::from_secs(60), "later: {made:?}");
    assert_eq!(house.stop(Duration::from_secs(5)).await, 0, "every slot is back");
}

#[tokio::test(start_paused = true)]
async fn a_shortage_of_files_uses_up_no_attempt() {
    let script = |_: &_, before| if before < 5 { Reply::NoFiles } else { Reply::Status(200) };
    let house = House::build(defaults(), script).await;
    let endpoint = house.endpoint("fine.example", |_| {}).await.endpoint.id;
    let delivery = house.send("policy.created").await.deliveries[0].0;
    let delivered = house.until_status(delivery, Status::Delivered).await;
    assert_eq!(delivered.attempt_count, 1);
    assert_eq!(house.engine.endpoint(endpoint).unwrap().health.run, None);
    let seen = house.receivers.seen();
    assert!(seen.windows(2).all(|pair| pair[1].at - pair[0].at >= Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn payloads_read_again_are_bounded_and_hanging_receivers_leave_room_to_quick_ones() {
    let config = EngineConfig { payload_bytes: 0, reread_bytes: 8 * 1_024, ..defaults() };
    let house = House::build(config, |seen, _| match seen.host.starts_with("hangs") {
        true => Reply::After(Duration::from_secs(60)),
        false => Reply::Status(200),
    })
    .await;
    house.endpoint("quick.example", |_| {}).await;
    let payload = format!("{{\"livemode\":false,\"x\":\"{}\"}}", "y".repeat(1_500));
    let first = house.send_payload("policy.created", payload.as_bytes()).await;
    house.until_status(first.deliveries[0].0, Status::Delivered).await;
    for no in 0..20 {
        house.endpoint(&format!("hangs-{no}.example"), |_| {}).await;
    }
    let hanging = |house: &House| {
        house.receivers.seen().into_iter().filter(|seen| seen.host.starts_with("hangs")).count()
    };
    house.send_payload("policy.created", payload.as_bytes()).await;
    house.pass(Duration::from_secs(5)).await;
    assert_eq!(hanging(&house), 2, "four KiB of eight: one account leaves room to others");
    let large = format!("{{\"livemode\":false,\"x\":\"{}\"}}", "y".repeat(100_000));
    let quick = house.send_payload("policy.updated", payload.as_bytes()).await;
    let sent = |event: EventId| {
        let guid = event.to_string();
        house
            .receivers
            .seen()
            .into_iter()
            .filter(|seen| seen.guid == guid && seen.host == "quick.example")
            .count()
    };
    // Reading a payload again takes real time, which paused time does not wait for.
    for _ in 0..20 {
        house.pass(Duration::from_secs(1)).await;
        if sent(quick.id) > 0 {
            break;
        }
    }
    assert_eq!((hanging(&house), sent(quick.id)), (2, 1));
    let alone = house.send_payload("offer.created", large.as_bytes()).await;
    house.pass(Duration::from_secs(300)).await;
    assert_eq!(sent(alone.id), 1, "one that is larger than all of it goes when it is alone");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_close_does_not_keep_the_service_from_stopping() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    house.store.never_closes.store(true, Ordering::Relaxed);
    assert_eq!(house.stop(Duration::from_secs(1)).await, 0);
    house.store.never_closes.store(false, Ordering::Relaxed);
    house.store.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_still_counted_at_a_stop_is_told() {
    let config = EngineConfig { retry_schedule: "1s".parse().unwrap(), ..EngineConfig::default() };
    let mut house = House::build(config, |_, _| Reply::Status(500)).await;
    house.endpoint("down.example", |_| {}).await;
    let mut last = None;
    for _ in 0..4 {
        last = Some(house.send("policy.created").await.deliveries[0].0);
    }
    house.until_status(last.unwrap(), Status::Exhausted).await;
    house.pass(Duration::from_secs(2)).await;
    house.restart().await;
    let filter = EventFilter { account: Some(AccountId::OPERATOR), ..EventFilter::default() };
    let told = house.engine.events(filter, PAGE).await.unwrap().rows;
    let mut texts: Vec<_> = told.iter().map(|event| String::from_utf8_lossy(&event.payload)).collect();
    texts.reverse();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("\"count\":1") && texts[1].contains("\"count\":3"), "{texts:?}");
}

/// Deliveries to an endpoint that answers 299, which the store will not have, among others.
async fn one_outcome_is_refused(house: &House) -> (DeliveryId, Vec<DeliveryId>) {
    house.store.refuses_status.store(299, Ordering::Relaxed);
    let odd = house.endpoint("odd.example", |_| {}).await.endpoint.id;
    for no in 0..4 {
        house.endpoint(&format!("fine-{no}.example"), |_| {}).await;
    }
    let deliveries = house.send("policy.created").await.deliveries;
    let of = |is_odd: bool| {
        deliveries.iter().filter(move |(_, endpoint)| (*endpoint == odd) == is_odd).map(|(id, _)| *id)
    };
    (of(true).next().unwrap(), of(false).collect())
}

async fn attempts(house: &House, id: DeliveryId) -> usize {
    let delivery = house.engine.delivery(id).await.unwrap();
    house.engine.attempts(&delivery).await.unwrap().len()
}

fn odd_or_fine(seen: &Seen, _before: usize) -> Reply {
    Reply::Status(if seen.host == "odd.example" { 299 } else { 200 })
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_cannot_be_written_down_keeps_no_outcome_from_the_store() {
    let mut house = House::build(defaults(), odd_or_fine).await;
    let (odd, fine) = one_outcome_is_refused(&house).await;
    for id in fine {
        house.until_status(id, Status::Delivered).await;
        assert_eq!(attempts(&house, id).await, 1);
    }
    house.until_status(odd, Status::Delivered).await;
    assert_eq!(attempts(&house, odd).await, 0, "it could not be kept");
    house.restart().await;
    house.pass(Duration::from_secs(120)).await;
    assert_eq!(house.receivers.seen().len(), 5, "after a recorded 2xx no attempt is made again");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_text_the_database_refuses_is_logged_in_ascii() {
    let script = |_: &_, before| match before {
        0 => Reply::Fail("kaputt ☃"),
        _ => Reply::Status(200),
    };
    let house = House::build(defaults(), script).await;
    house.store.holds_only_ascii.store(true, Ordering::Relaxed);
    house.endpoint("odd.example", |_| {}).await;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until_status(id, Status::Delivered).await;
    let delivery = house.engine.delivery(id).await.unwrap();
    let attempts = house.engine.attempts(&delivery).await.unwrap();
    let outcomes: Vec<_> = attempts.into_iter().map(|attempt| attempt.outcome).collect();
    let [Outcome::Failed { detail, .. }, Outcome::Answered { status: 200, .. }] = outcomes.as_slice() else {
        panic!("an attempt is missing: {outcomes:?}");
    };
    assert_eq!(detail, "kaputt ?");
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_written_down_at_all_is_left_out_and_the_others_are_not() {
    let house = House::build(defaults(), odd_or_fine).await;
    house.store.refuses_outcome.store(true, Ordering::Relaxed);
    let (odd, fine) = one_outcome_is_refused(&house).await;
    for id in fine {
        house.until_status(id, Status::Delivered).await;
    }
    house.pass(Duration::from_secs(150)).await;
    assert_eq!(house.engine.delivery(odd).await.unwrap().status, Status::Pending);
    assert_eq!(house.receivers.seen().len(), 5, "it is not sent over and over");
}
