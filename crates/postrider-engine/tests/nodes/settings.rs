//! Settings that several nodes change, and what was made elsewhere a moment ago.

use postrider_core::endpoint::State;
use postrider_core::id::EndpointId;
use postrider_engine::model::{EndpointPatch, StateChange};

use crate::harness::{Database, Node, Reply};

/// Two nodes whose receivers take everything.
async fn two_nodes(database: &Database) -> (Node, Node) {
    (database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await)
}

/// An endpoint that was made at the first and that the second has heard of.
async fn known_to_both(first: &Node, second: &Node) -> EndpointId {
    let account = first.account().await;
    let endpoint = first.endpoint(account, "one.example", |_| {}).await;
    second.until(|engine| engine.endpoint(endpoint).is_ok()).await;
    endpoint
}

/// Each patch names one field, and leaves what another node writes into others.
#[tokio::test]
async fn patches_of_two_nodes_at_once_lose_nothing_of_each_other() {
    let database = Database::new();
    let (first, second) = two_nodes(&database).await;
    let endpoint = known_to_both(&first, &second).await;
    for round in 1..=10 {
        let description = EndpointPatch { description: Some(round.to_string()), ..EndpointPatch::default() };
        let in_flight = EndpointPatch { max_in_flight: Some(round), ..EndpointPatch::default() };
        let (first_hand, second_hand) = (first.hand(), second.hand());
        let (one, two) = tokio::join!(
            first_hand.update_endpoint(endpoint, description),
            second_hand.update_endpoint(endpoint, in_flight)
        );
        one.unwrap();
        two.unwrap();
        let written = database.sql("SELECT description, max_in_flight FROM endpoints").await;
        assert_eq!(written, format!("{round}|{round}"));
    }
}

/// Pausing writes the state, and no setting that another node has changed a moment ago.
#[tokio::test]
async fn a_pause_at_one_node_keeps_what_another_has_just_set() {
    let database = Database::new();
    let (first, second) = two_nodes(&database).await;
    let endpoint = known_to_both(&first, &second).await;
    for round in 1..=10 {
        let description = EndpointPatch { description: Some(round.to_string()), ..EndpointPatch::default() };
        let (change, state) = match round % 2 {
            1 => (StateChange::Pause, State::Paused),
            _ => (StateChange::Resume, State::Enabled),
        };
        let (first_hand, second_hand) = (first.hand(), second.hand());
        let (one, two) = tokio::join!(
            first_hand.update_endpoint(endpoint, description),
            second_hand.change_state(endpoint, change)
        );
        one.unwrap();
        assert_eq!(two.unwrap().state, state);
        let written = database.sql("SELECT description, state FROM endpoints").await;
        assert_eq!(written, format!("{round}|{}", state.as_str()));
    }
}

/// Nobody has to wait until a node has heard of it.
#[tokio::test]
async fn what_was_made_at_one_node_is_known_to_whoever_asks_another_at_once() {
    let database = Database::new();
    let (first, second) = two_nodes(&database).await;
    for _ in 0..5 {
        let account = first.account().await;
        assert!(second.engine.account_anywhere(account).await.is_ok());
        assert_eq!(second.send(account).await.deliveries.len(), 0);
        let endpoint = first.endpoint(account, "one.example", |_| {}).await;
        assert!(second.engine.endpoint_anywhere(endpoint).await.is_ok());
        let (_, text) = first.hand().create_key(account, true, None).await.unwrap();
        assert!(second.engine.authenticate_anywhere(&text).await.is_some());
    }
}
