//! What one node finds of a receiver, and what the others know.

use postrider_core::endpoint::State;
use postrider_engine::model::StateChange;

use crate::harness::{Database, Node, Reply};

/// An endpoint that the first node never reaches, and the second always; none is tried again by itself.
async fn reached_by_one(database: &Database) -> (Node, Node) {
    let fails = database.hasty_node(|_, _| Reply::Status(500)).await;
    let reaches = database.hasty_node(|_, _| Reply::Status(200)).await;
    (fails, reaches)
}

/// Hands in an event at a node, and waits until its attempt is written down.
async fn attempt(node: &Node, account: postrider_core::id::AccountId) {
    let accepted = node.send(account).await;
    node.until_each(&accepted, |delivery| delivery.attempt_count == 1).await;
}

/// Only the failures since the last success count, whichever node had that.
#[tokio::test]
async fn an_endpoint_that_another_node_reaches_is_not_disabled() {
    let database = Database::new();
    let (fails, reaches) = reached_by_one(&database).await;
    let account = fails.account().await;
    let endpoint = fails
        .endpoint(account, "one.example", |settings| settings.retry_schedule = Some("1h".parse().unwrap()));
    let endpoint = endpoint.await;
    reaches.until(|engine| engine.endpoint(endpoint).is_ok()).await;
    let state = |node: &Node| node.engine.endpoint(endpoint).unwrap().state;
    attempt(&fails, account).await;
    attempt(&reaches, account).await;
    attempt(&fails, account).await;
    assert_eq!(state(&fails), State::Enabled, "the other node reached it between the two failures");
    attempt(&fails, account).await;
    assert!(matches!(state(&fails), State::Disabled(_)), "nobody reached it between these two");
    reaches.until(|engine| engine.endpoint(endpoint).unwrap().state != State::Enabled).await;
}

/// Whoever enables it by hand begins anew, and not at one node alone.
#[tokio::test]
async fn an_endpoint_that_is_enabled_elsewhere_begins_anew_here() {
    let database = Database::new();
    let (fails, enables) = reached_by_one(&database).await;
    let account = fails.account().await;
    let endpoint = fails
        .endpoint(account, "one.example", |settings| settings.retry_schedule = Some("1h".parse().unwrap()))
        .await;
    attempt(&fails, account).await;
    attempt(&fails, account).await;
    enables.until(|engine| engine.endpoint(endpoint).is_ok_and(|view| view.state != State::Enabled)).await;
    enables.hand().change_state(endpoint, StateChange::Enable).await.unwrap();
    fails.until(|engine| engine.endpoint(endpoint).unwrap().state == State::Enabled).await;
    attempt(&fails, account).await;
    assert_eq!(fails.engine.endpoint(endpoint).unwrap().state, State::Enabled, "this is the first failure");
}
