//! A delivery whose turn has come waits until there is room for its outcome. What is changed meanwhile holds for it.

use std::time::Duration;

use postrider_core::audit::Who;
use postrider_core::delivery::{CancelReason, Status};
use postrider_core::id::{DeliveryId, EndpointId};
use postrider_engine::model::StateChange;
use postrider_engine::{Acting, EngineConfig};

use crate::defaults;
use crate::harness::{House, Reply};

/// A house in which one delivery to `late.example` has been taken from its lane, and waits.
struct Waiting {
    house: House,
    endpoint: EndpointId,
    delivery: DeliveryId,
}

impl Waiting {
    async fn begin() -> Self {
        let config = EngineConfig { unrecorded_outcomes: 1, ..defaults() };
        let house = House::build(config, |_, _| Reply::Status(200)).await;
        let other = house.endpoint("other.example", |_| {}).await.endpoint.id;
        house.store.let_records_wait(true);
        // The first outcome is on its way to the store, the second has the only place.
        for requests in 1..=2 {
            house.send("policy.created").await;
            house.until_seen(requests).await;
            house.pass(Duration::from_millis(50)).await;
        }
        hand(&house).change_state(other, StateChange::Pause).await.expect("it is paused");
        let endpoint = house.endpoint("late.example", |_| {}).await.endpoint.id;
        let accepted = house.send("policy.created").await;
        let delivery = accepted.deliveries.iter().find(|(_, to)| *to == endpoint).expect("it goes there").0;
        house.pass(Duration::from_millis(50)).await;
        assert_eq!(house.engine.in_flight(), 1, "it is taken from its lane");
        assert_eq!(house.receivers.seen().len(), 2, "and not sent");
        Self { house, endpoint, delivery }
    }

    fn hand(&self) -> Acting {
        hand(&self.house)
    }

    /// Outcomes are written again, and everything goes on.
    async fn go_on(&self) {
        self.house.store.let_records_wait(false);
        self.house.pass(Duration::from_secs(1)).await;
    }

    fn requests(&self) -> usize {
        self.house.receivers.seen().iter().filter(|seen| seen.host == "late.example").count()
    }
}

fn hand(house: &House) -> Acting {
    house.engine.by(Who::SERVICE)
}

#[tokio::test(start_paused = true)]
async fn one_that_waited_goes_when_there_is_room() {
    let waiting = Waiting::begin().await;
    waiting.go_on().await;
    waiting.house.until_status(waiting.delivery, Status::Delivered).await;
    assert_eq!(waiting.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_cancelled_while_it_waited_is_not_sent() {
    let waiting = Waiting::begin().await;
    waiting.hand().cancel_delivery(waiting.delivery).await.unwrap();
    waiting.go_on().await;
    assert_eq!(waiting.requests(), 0);
    let delivery = waiting.house.engine.delivery(waiting.delivery).await.unwrap();
    assert_eq!((delivery.status, delivery.attempt_count), (Status::Cancelled, 0));
}

#[tokio::test(start_paused = true)]
async fn one_whose_endpoint_was_deleted_while_it_waited_is_not_sent() {
    let waiting = Waiting::begin().await;
    waiting.hand().delete_endpoint(waiting.endpoint).await.unwrap();
    waiting.go_on().await;
    let cancelled = waiting.house.until_status(waiting.delivery, Status::Cancelled).await;
    assert_eq!(cancelled.cancel_reason, Some(CancelReason::EndpointDeleted));
    assert_eq!(waiting.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_whose_endpoint_was_paused_while_it_waited_goes_once_it_is_resumed() {
    let waiting = Waiting::begin().await;
    waiting.hand().change_state(waiting.endpoint, StateChange::Pause).await.unwrap();
    waiting.go_on().await;
    assert_eq!(waiting.requests(), 0);
    waiting.hand().change_state(waiting.endpoint, StateChange::Resume).await.unwrap();
    waiting.house.until_status(waiting.delivery, Status::Delivered).await;
    assert_eq!(waiting.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_whose_secret_was_rotated_while_it_waited_is_signed_with_the_new_one() {
    let waiting = Waiting::begin().await;
    let (_, secret) = waiting.hand().rotate_secret(waiting.endpoint, None, Duration::ZERO).await.unwrap();
    waiting.go_on().await;
    waiting.house.until_status(waiting.delivery, Status::Delivered).await;
    let seen = waiting.house.receivers.seen().pop().unwrap();
    assert_eq!(seen.signature, postrider_signature::kasko::sign(secret.expose(), &seen.body));
}
