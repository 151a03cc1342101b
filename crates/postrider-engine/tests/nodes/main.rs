//! Several engines on one PostgreSQL database, each a node of its own, with receivers that answer by script. Time is real
//! here: the database's can't be paused.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

mod cancelling;
mod commits;
mod cut_off;
mod harness;
mod health;
mod settings;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use postrider_core::catalogue::TypePatch;
use postrider_core::delivery::Status;
use postrider_core::endpoint::{RateLimit, State};
use postrider_engine::model::{EndpointPatch, EventTypeDraft, StateChange};
use postrider_engine::{Engine, EngineError};

use crate::harness::{Database, Reply, SOON, in_order_of_first};

/// The account is known everywhere; the endpoint is made at one node, and the next event at another meets it.
#[tokio::test]
async fn an_endpoint_made_at_one_node_is_met_by_the_next_event_at_another() {
    let database = Database::new();
    let (first, second) =
        (database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await);
    let account = first.account().await;
    second.until_known(account).await;
    for count in 1..=5 {
        let endpoint = first.endpoint(account, "one.example", |_| {}).await;
        let accepted = second.send(account).await;
        assert_eq!(accepted.deliveries.len(), count);
        assert!(accepted.deliveries.iter().any(|(_, to)| *to == endpoint));
    }
}

/// Whatever is changed at one node holds at the others before long: a secret's endpoint, its state, its deletion.
#[tokio::test]
async fn what_is_changed_at_one_node_holds_at_the_others() {
    let database = Database::new();
    let (first, second) =
        (database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await);
    let account = first.account().await;
    second.until_known(account).await;
    let endpoint = first.endpoint(account, "one.example", |_| {}).await;
    let patch = EndpointPatch { description: Some("changed".to_owned()), ..EndpointPatch::default() };
    first.engine.by(postrider_core::audit::Who::SERVICE).update_endpoint(endpoint, patch).await.unwrap();
    second
        .until(|engine| engine.endpoint(endpoint).is_ok_and(|e| e.endpoint.settings.description == "changed"))
        .await;
    first
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Pause)
        .await
        .unwrap();
    second.until(|engine| engine.endpoint(endpoint).is_ok_and(|e| e.state == State::Paused)).await;
    let held = second.send(account).await;
    first
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Resume)
        .await
        .unwrap();
    second.until_ended(&held).await;
    first.engine.by(postrider_core::audit::Who::SERVICE).delete_endpoint(endpoint).await.unwrap();
    second.until(|engine| matches!(engine.endpoint(endpoint), Err(EngineError::NotFound))).await;
    assert!(second.send(account).await.deliveries.is_empty());
}

/// Made, changed and archived at one node: known there at once, and at the other within a second.
#[tokio::test]
async fn an_event_type_made_at_one_node_is_known_at_the_others() {
    let database = Database::new();
    let (first, second) =
        (database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await);
    let who = postrider_core::audit::Who::SERVICE;
    let draft = |name: &str| EventTypeDraft {
        name: name.to_owned(),
        description: None,
        schema: Some(r#"{"required": ["claim"]}"#.to_owned()),
        example: None,
        validation: true,
    };
    first.engine.by(who).create_event_type(draft("claim.opened"), None).await.unwrap();
    assert!(first.engine.catalogue().get("claim.opened").is_some());
    let began = Instant::now();
    second.until(|engine| engine.catalogue().get("claim.opened").is_some()).await;
    assert!(began.elapsed() < Duration::from_secs(10), "within a second, on a machine that is not busy");

    // Whatever is known there: a change begins with what is stored.
    second.engine.by(who).create_event_type(draft("claim.closed"), None).await.unwrap();
    let patch = TypePatch { archived: Some(true), ..TypePatch::default() };
    first.engine.by(who).update_event_type("claim.closed", patch.clone()).await.unwrap();
    let twice = second.engine.by(who).create_event_type(draft("claim.opened"), None).await;
    assert!(matches!(twice, Err(EngineError::Conflict(_))), "{twice:?}");
    first.engine.by(who).update_event_type("policy.created", patch).await.unwrap();
    second
        .until(|engine| {
            let catalogue = engine.catalogue();
            ["claim.closed", "policy.created"]
                .iter()
                .all(|name| catalogue.get(name).is_some_and(|known| known.is_archived()))
        })
        .await;
}

/// Whoever was let in at one node must not be let in at another, and what one signs with the others sign with.
#[tokio::test]
async fn a_key_revoked_and_a_secret_rotated_at_one_node_hold_at_the_others() {
    let database = Database::new();
    let (first, second) =
        (database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await);
    let account = first.account().await;
    let hand = first.engine.by(postrider_core::audit::Who::SERVICE);
    let (key, text) = hand.create_key(account, true, None).await.unwrap();
    second.until(|engine| engine.authenticate(&text).is_some()).await;
    hand.revoke_key(key.id).await.unwrap();
    second.until(|engine| engine.authenticate(&text).is_none()).await;

    let endpoint = first.endpoint(account, "one.example", |_| {}).await;
    second.until(|engine| engine.endpoint(endpoint).is_ok()).await;
    let (_, rotated) = hand.rotate_secret(endpoint, None, Duration::ZERO).await.unwrap();
    let signs_with_it = |engine: &Engine| {
        let view = engine.endpoint(endpoint);
        view.is_ok_and(|view| *view.endpoint.secrets.signing(engine.now()) == rotated)
    };
    second.until(signs_with_it).await;
}

/// One place, whichever node the events come in at; and each once.
#[tokio::test]
async fn an_ordered_endpoint_is_sent_to_by_one_node_in_the_order_of_acceptance() {
    let database = Database::new();
    let nodes =
        [database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await];
    let account = nodes[0].account().await;
    nodes[1].until_known(account).await;
    nodes[0].endpoint(account, "one.example", |settings| settings.ordered = true).await;
    let mut accepted = Vec::new();
    for index in 0..40 {
        accepted.push(nodes[index % 2].send(account).await);
    }
    for one in &accepted {
        nodes[0].until_ended(one).await;
    }
    let expected: Vec<String> = accepted.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(database.guids(), expected);
    let senders: BTreeSet<usize> = database.seen().iter().map(|seen| seen.node).collect();
    assert_eq!(senders.len(), 1, "one node sends");
}

/// The database can't be reached by one of two nodes: the other one takes over what it had accepted, in order; and when it
/// is back it begins anew.
#[tokio::test]
async fn a_node_that_is_cut_off_is_taken_over_and_comes_back_under_a_new_number() {
    let database = Database::new();
    // The first node's requests hang, so that something is left to take over.
    let cut_off = database.node_through_proxy(SOON, |_, _| Reply::Never).await;
    let other = database.node_with(SOON, |_, _| Reply::Status(200)).await;
    let account = cut_off.account().await;
    other.until_known(account).await;
    cut_off.endpoint(account, "ordered.example", |settings| settings.ordered = true).await;
    cut_off.endpoint(account, "plain.example", |_| {}).await;
    let mut accepted = Vec::new();
    for _ in 0..20 {
        accepted.push(cut_off.send(account).await);
    }
    database.until_seen(2).await;
    let before = cut_off.number().await;
    cut_off.proxy().refuse();
    cut_off.proxy().cut();
    for one in &accepted {
        other.until_ended(one).await;
    }
    assert_eq!(
        in_order_of_first(&database.seen(), "ordered.example"),
        accepted.iter().map(|one| one.id.to_string()).collect::<Vec<_>>()
    );
    cut_off.proxy().accept();
    cut_off.until_async(async |node| node.number_if_any().await.is_some_and(|no| no != before)).await;
    let again = cut_off.send(account).await;
    assert_eq!(again.deliveries.len(), 2);
}

/// At once, and not only when the last request in flight has ended.
#[tokio::test]
async fn a_node_that_stops_leaves_to_the_others_what_is_not_in_flight() {
    let database = Database::new();
    let stops = database.node(|_, _| Reply::Never).await;
    let stays = database.node(|_, _| Reply::Status(200)).await;
    let account = stops.account().await;
    stays.until_known(account).await;
    stops.endpoint(account, "one.example", |_| {}).await;
    let mut accepted = Vec::new();
    for _ in 0..30 {
        accepted.push(stops.send(account).await);
    }
    database.until_seen(1).await;
    let in_flight = database.guids();
    let engine = stops.engine.clone();
    let stopping = tokio::spawn(async move { engine.shutdown(Duration::from_secs(600)).await });
    for one in accepted.iter().filter(|one| !in_flight.contains(&one.id.to_string())) {
        stays.until_ended(one).await;
    }
    assert!(!stopping.is_finished());
    for one in accepted.iter().filter(|one| in_flight.contains(&one.id.to_string())) {
        assert_eq!(stays.engine.delivery(one.deliveries[0].0).await.unwrap().status, Status::Pending);
    }
    stopping.abort();
}

/// Probes are one node's, and when they get an answer both send again.
#[tokio::test]
async fn a_failing_endpoint_is_probed_by_one_node_and_sent_to_by_all_once_it_recovers() {
    let database = Database::new();
    let nodes = [database.node_failing().await, database.node_failing().await];
    let account = nodes[0].account().await;
    nodes[1].until_known(account).await;
    let endpoint = nodes[0].endpoint(account, "one.example", |_| {}).await;
    let mut accepted = Vec::new();
    for index in 0..30 {
        accepted.push(nodes[index % 2].send(account).await);
    }
    for node in &nodes {
        node.until(|engine| engine.endpoint(endpoint).is_ok_and(|e| e.health.is_failing())).await;
    }
    database.recover();
    for one in &accepted {
        nodes[0].until_ended(one).await;
    }
    for node in &nodes {
        node.until(|engine| engine.endpoint(endpoint).is_ok_and(|e| !e.health.is_failing())).await;
    }
}

/// A rate is kept over all nodes, because one alone sends.
#[tokio::test]
async fn a_rate_limit_holds_over_all_nodes() {
    let database = Database::new();
    let nodes =
        [database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await];
    let account = nodes[0].account().await;
    nodes[1].until_known(account).await;
    let limit = Some(RateLimit { per_second: 20, burst: 1 });
    nodes[0].endpoint(account, "one.example", |settings| settings.rate_limit = limit).await;
    let mut accepted = Vec::new();
    for index in 0..20 {
        accepted.push(nodes[index % 2].send(account).await);
    }
    for one in &accepted {
        nodes[1].until_ended(one).await;
    }
    let senders: BTreeSet<usize> = database.seen().iter().map(|seen| seen.node).collect();
    assert_eq!((senders.len(), database.seen().len()), (1, 20));
}

/// What it shows is what there is: who is alive, and what is its own.
#[tokio::test]
async fn the_nodes_are_told_with_what_each_has() {
    let database = Database::new();
    let nodes = [database.node(|_, _| Reply::Never).await, database.node(|_, _| Reply::Never).await];
    let account = nodes[0].account().await;
    nodes[0].endpoint(account, "one.example", |settings| settings.ordered = true).await;
    nodes[0].send(account).await;
    database.until_seen(1).await;
    let told = nodes[1].engine.nodes().await.unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].is_self, told[1].is_self), (false, true));
    assert_eq!((told[0].pending, told[0].leases), (1, 1));
    assert_eq!((told[1].pending, told[1].leases), (0, 0));
}
