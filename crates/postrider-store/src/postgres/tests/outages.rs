//! The database is gone for a while.

use std::time::Duration;

use postrider_core::delivery::{Next, Status};
use postrider_pgtemp::{Proxy, Way};

use super::{Database, SOON, hear, until, world};
use crate::conformance::world::batch;
use crate::{AcceptError, Store as _, StoreError};

pub(super) fn proxy(database: &Database) -> Proxy {
    let port = database.url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    Proxy::start(port.parse().unwrap()).unwrap()
}

/// Refused and cut: everything says so at once, and works again by itself.
#[tokio::test]
async fn an_unreachable_database_is_said_at_once_and_found_again() {
    let database = Database::new();
    let proxy = proxy(&database);
    let node = database.node_at(&proxy.url(&database.url), SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    proxy.refuse();
    proxy.cut();
    let refused = world.try_accept(world.event(&lane, "{}")).await;
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))), "{refused:?}");
    let outcome = batch(vec![world.outcome(accepted, 1, Next::Delivered, world.now())]);
    let recorded = node.record(outcome.clone().into()).await;
    assert!(matches!(recorded, Err(StoreError::Unavailable(_))), "{recorded:?}");
    assert!(matches!(node.check_writable().await, Err(StoreError::Unavailable(_))));
    until(async || !node.may_send()).await;
    proxy.accept();
    hear(&node, |news| news.may_send_again).await;
    assert!(node.may_send());
    node.record(outcome.into()).await.unwrap();
    assert_eq!(node.delivery(accepted.id).await.unwrap().status, Status::Delivered);
    world.accept(&lane).await;
}

/// Silence is worse than a refusal: nothing waits for ever, and no connection is used that has been silent.
#[tokio::test]
async fn a_database_that_does_not_answer_is_given_up_in_time() {
    let database = Database::new();
    let proxy = proxy(&database);
    let node = database.node_at(&proxy.url(&database.url), SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    proxy.freeze(Way::ToNode);
    let refused = tokio::time::timeout(Duration::from_secs(30), world.try_accept(world.event(&lane, "{}")));
    assert!(matches!(refused.await.unwrap(), Err(AcceptError::Unavailable(_))));
    until(async || !node.may_send()).await;
    proxy.thaw();
    hear(&node, |news| news.may_send_again).await;
    until(async || node.may_send()).await;
    world.accept(&lane).await;
}

/// All heartbeats look old then, and that says nothing.
#[tokio::test]
async fn after_an_outage_for_all_no_node_takes_over_from_another() {
    let database = Database::new();
    let proxy = proxy(&database);
    let url = proxy.url(&database.url);
    let nodes = [database.node_at(&url, SOON).await, database.node_at(&url, SOON).await];
    let numbers = nodes.each_ref().map(|node| node.shared.me());
    proxy.refuse();
    proxy.cut();
    until(async || nodes.iter().all(|node| !node.may_send())).await;
    for node in &nodes {
        database.age(node);
    }
    proxy.accept();
    until(async || nodes.iter().all(|node| node.may_send())).await;
    assert_eq!(nodes.each_ref().map(|node| node.shared.me()), numbers);
    assert_eq!(nodes[0].nodes().await.unwrap().len(), 2);
}
