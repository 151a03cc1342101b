//! What is cancelled at one node while another one has it in memory: that one hears of it, and sends it no more.

use std::sync::atomic::{AtomicBool, Ordering};

use postrider_core::delivery::{CancelReason, Status};
use postrider_core::endpoint::EndpointSettings;
use postrider_engine::model::StateChange;
use postrider_engine::{Engine, EngineError};

use crate::harness::{Database, Reply, Seen};

/// The first request of all waits until it is released; every other one is received at once.
fn first_is_held(status: u16) -> impl Fn(&Seen, usize) -> Reply {
    let is_first = AtomicBool::new(true);
    move |_, _| match is_first.swap(false, Ordering::SeqCst) {
        true => Reply::Held(status),
        false => Reply::Status(200),
    }
}

/// It waits for its turn in the lane of the node that accepted it.
#[tokio::test]
async fn a_delivery_cancelled_elsewhere_leaves_the_lane_and_is_not_sent() {
    let database = Database::new();
    let has_it = database.node(first_is_held(200)).await;
    let cancels = database.node(|_, _| Reply::Status(200)).await;
    let account = has_it.account().await;
    let endpoint = has_it.endpoint(account, "one.example", |settings| settings.max_in_flight = 1).await;
    let (first, second) = (has_it.send(account).await, has_it.send(account).await);
    database.until_seen(1).await;
    let cancelled = cancels.hand().cancel_delivery(second.deliveries[0].0).await.unwrap();
    assert_eq!(cancelled.cancel_reason, Some(CancelReason::Operator));
    has_it.until(|engine| engine.endpoint(endpoint).is_ok_and(|view| view.backlog == 1)).await;
    let behind = has_it.send(account).await;
    database.release();
    has_it.until_ended(&first).await;
    has_it.until_ended(&behind).await;
    assert!(!database.guids().contains(&second.id.to_string()), "it stood before the one that was sent");
}

/// It waits for its next attempt in the timer of the node that made the first one.
#[tokio::test]
async fn a_delivery_cancelled_elsewhere_leaves_the_timer() {
    let database = Database::new();
    let has_it = database.node(|_, _| Reply::Status(500)).await;
    let cancels = database.node(|_, _| Reply::Status(200)).await;
    let account = has_it.account().await;
    let near = |settings: &mut EndpointSettings| {
        settings.retry_schedule = Some("30s".parse().unwrap());
    };
    let endpoint = has_it.endpoint(account, "one.example", near).await;
    let accepted = has_it.send(account).await;
    has_it.until_each(&accepted, |delivery| delivery.next_attempt_at.is_some()).await;
    assert_eq!(has_it.backlog(endpoint), 1);
    cancels.hand().cancel_delivery(accepted.deliveries[0].0).await.unwrap();
    has_it.until(|engine| engine.endpoint(endpoint).is_ok_and(|view| view.backlog == 0)).await;
}

/// Its request ends by itself, and whatever that comes to brings it back to nothing.
#[tokio::test]
async fn a_delivery_cancelled_elsewhere_while_it_is_in_flight_stays_cancelled() {
    let database = Database::new();
    let has_it = database.node(first_is_held(500)).await;
    let cancels = database.node(|_, _| Reply::Status(200)).await;
    let account = has_it.account().await;
    let endpoint = has_it.endpoint(account, "one.example", |_| {}).await;
    let accepted = has_it.send(account).await;
    database.until_seen(1).await;
    cancels.hand().cancel_delivery(accepted.deliveries[0].0).await.unwrap();
    has_it.until(|engine| engine.endpoint(endpoint).is_ok_and(|view| view.backlog == 0)).await;
    database.release();
    let is_logged = async || {
        let delivery = has_it.engine.delivery(accepted.deliveries[0].0).await.unwrap();
        assert_eq!((delivery.status, delivery.next_attempt_at), (Status::Cancelled, None));
        has_it.engine.attempts(&delivery).await.unwrap().len() == 1
    };
    has_it.until_async(async |_| is_logged().await).await;
    let behind = has_it.send(account).await;
    has_it.until_ended(&behind).await;
    assert_eq!(database.seen().len(), 2, "the cancelled one is not tried again");
}

/// What a lane holds goes with its endpoint, and that with its account.
#[tokio::test]
async fn what_a_node_has_for_an_endpoint_deleted_elsewhere_is_not_sent() {
    let database = Database::new();
    let has_it = database.node(first_is_held(200)).await;
    let deletes = database.node(|_, _| Reply::Status(200)).await;
    for with_account in [false, true] {
        let account = has_it.account().await;
        let host = if with_account { "two.example" } else { "one.example" };
        let endpoint = has_it.endpoint(account, host, |settings| settings.max_in_flight = 1).await;
        if with_account {
            has_it.hand().change_state(endpoint, StateChange::Pause).await.unwrap();
        }
        has_it.send(account).await;
        let second = has_it.send(account).await;
        deletes.until(|engine| engine.endpoint(endpoint).is_ok()).await;
        let reason = match with_account {
            true => {
                deletes.hand().delete_account(account).await.unwrap();
                CancelReason::AccountDeleted
            }
            false => {
                database.until_seen(1).await;
                deletes.hand().delete_endpoint(endpoint).await.unwrap();
                CancelReason::EndpointDeleted
            }
        };
        has_it.until(|engine| matches!(engine.endpoint(endpoint), Err(EngineError::NotFound))).await;
        has_it.until_each(&second, |delivery| delivery.cancel_reason == Some(reason)).await;
    }
    database.release();
    let account = has_it.account().await;
    has_it.endpoint(account, "other.example", |_| {}).await;
    let other = has_it.send(account).await;
    has_it.until_ended(&other).await;
    assert_eq!(database.seen().len(), 2, "the first one, and the one for another endpoint");
}

/// What it has waits until the endpoint is sent to again.
#[tokio::test]
async fn what_a_node_has_for_an_endpoint_disabled_elsewhere_waits() {
    let database = Database::new();
    let has_it = database.node(first_is_held(200)).await;
    let disables = database.node(|_, _| Reply::Status(200)).await;
    let account = has_it.account().await;
    let endpoint = has_it.endpoint(account, "one.example", |settings| settings.max_in_flight = 1).await;
    let (first, second) = (has_it.send(account).await, has_it.send(account).await);
    database.until_seen(1).await;
    disables.until(|engine| engine.endpoint(endpoint).is_ok()).await;
    disables.hand().change_state(endpoint, StateChange::Disable).await.unwrap();
    let is = |state: &'static str| {
        move |engine: &Engine| engine.endpoint(endpoint).is_ok_and(|view| view.state.as_str() == state)
    };
    has_it.until(is("disabled")).await;
    database.release();
    has_it.until_ended(&first).await;
    assert_eq!(database.seen().len(), 1);
    disables.hand().change_state(endpoint, StateChange::Enable).await.unwrap();
    has_it.until_ended(&second).await;
}

/// Its statement was on its way when the endpoint was deleted, and commits when everything else there was is cancelled.
#[tokio::test]
async fn what_is_committed_late_for_a_deleted_endpoint_is_cancelled_too() {
    let database = Database::new();
    let late = database.node(|_, _| Reply::Never).await;
    let deletes = database.node(|_, _| Reply::Never).await;
    let account = deletes.account().await;
    let endpoint = deletes.endpoint(account, "one.example", |_| {}).await;
    let early = deletes.send(account).await;
    late.until(|engine| engine.endpoint(endpoint).is_ok()).await;
    // Whoever accepts locks its node's row: its statement stands still once it has looked at the configuration.
    let locking = database.sql(
        "DO $$ BEGIN
            PERFORM FROM nodes WHERE no = (SELECT min(no) FROM nodes) FOR UPDATE;
            WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'go_on') LOOP PERFORM pg_sleep(0.005); END LOOP;
        END $$",
    );
    let deleting = async {
        until_some(&database, "wait_event = 'PgSleep'").await;
        until_some(&database, "wait_event_type = 'Lock'").await;
        deletes.hand().delete_endpoint(endpoint).await.unwrap();
        deletes.until_each(&early, |delivery| delivery.status == Status::Cancelled).await;
        late.until(|engine| matches!(engine.endpoint(endpoint), Err(EngineError::NotFound))).await;
        database.sql("CREATE TABLE go_on ()").await;
    };
    let sending = async {
        until_some(&database, "wait_event = 'PgSleep'").await;
        late.send(account).await
    };
    let (_, accepted, ()) = tokio::join!(locking, sending, deleting);
    late.until_each(&accepted, |delivery| delivery.status == Status::Cancelled).await;
}

/// Waits until a session of the database is in such a state.
async fn until_some(database: &Database, state: &'static str) {
    let statement =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {state}");
    while database.sql(&statement).await == "0" {}
}
