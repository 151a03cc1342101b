//! A node that was declared dead, or that lost a delivery to another one, changes nothing any more.

use std::time::{Duration, Instant};

use postrider_core::delivery::{Next, Status};

use super::{Database, NEVER, SOON, hear, until, world};
use crate::conformance::world::{batch, deed_at};
use crate::model::NewResend;
use crate::postgres::keeper::Keeper;
use crate::postgres::{accept, nodes};
use crate::{AcceptError, Store as _, StoreError};

/// Whether a statement in this database waits for a lock.
fn somebody_waits(database: &Database) -> bool {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.sql(waiting) != "0"
}

/// Accepting and recording ask the node to be alive, whoever else has or has not taken anything over.
#[tokio::test]
async fn a_node_that_was_declared_dead_accepts_records_and_resends_nothing() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let (before, ended) = (world.accept(&lane).await, world.accept(&lane).await);
    world.record(ended, 1, Next::Delivered).await;
    database.bury(&node);

    let new = world.event(&lane, "{}");
    let id = new.event.id;
    assert!(matches!(world.try_accept(new).await, Err(AcceptError::LeaseLost)));
    assert!(matches!(node.event(id).await, Err(StoreError::NotFound)));
    let late = batch(vec![world.outcome(before, 1, Next::Delivered, world.now())]);
    assert!(matches!(node.record(late.into()).await, Err(StoreError::LeaseLost)));
    let delivery = node.delivery(before.id).await.unwrap();
    assert_eq!((delivery.status, delivery.attempt_count), (Status::Pending, 0));
    assert!(node.attempts(before.seq).await.unwrap().is_empty());
    let resend = NewResend {
        id: world.delivery_id(),
        of: ended.id,
        created_at: world.now(),
        deed: deed_at(world.now()),
        keep: None,
    };
    assert!(matches!(node.resend(resend).await, Err(StoreError::LeaseLost)));
    assert!(!node.hold(lane.endpoint.no).await.unwrap());
}

/// The frozen node's own statement is on its way when the other one takes over: the takeover waits for it and finds what
/// it committed.
#[tokio::test]
async fn a_takeover_waits_for_what_the_node_is_committing_and_misses_nothing() {
    let database = Database::new();
    let (frozen, other) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &frozen);
    let lane = world.lane().await;
    let new = world.event(&lane, "{}");
    database.age(&frozen);

    let mut client = frozen.shared.pool.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let me = frozen.shared.me();
    let request = accept::Request { events: std::slice::from_ref(&new), keep: None };
    let accepted = accept::accept_in(&transaction, me, &[request]).await.unwrap();
    let seq = accepted[0].as_ref().unwrap()[0];
    let taking = {
        let other = other.clone();
        tokio::spawn(async move { nodes::take_over(&other.shared, me, NEVER).await })
    };
    until(async || somebody_waits(&database)).await;
    assert!(!taking.is_finished());
    transaction.commit().await.unwrap();
    assert!(taking.await.unwrap().unwrap());
    nodes::beat(&other.shared, NEVER).await.unwrap();
    let taken = other.ready(lane.endpoint.no, 10).await.unwrap();
    assert_eq!(taken.iter().map(|delivery| delivery.seq).collect::<Vec<_>>(), [seq]);
}

/// And the other way round: what begins while it is taken over commits nothing.
#[tokio::test]
async fn what_waits_for_a_takeover_accepts_nothing_after_it() {
    let database = Database::new();
    let (frozen, other) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &frozen);
    let lane = world.lane().await;
    let new = world.event(&lane, "{}");
    let (id, me) = (new.event.id, frozen.shared.me());
    let mut client = other.shared.pool.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let lock = "SELECT FROM nodes WHERE no = $1 FOR UPDATE";
    transaction.execute(lock, &[&me]).await.unwrap();
    transaction.execute("UPDATE nodes SET state = 'dead' WHERE no = $1", &[&me]).await.unwrap();
    let accepting = {
        let frozen = frozen.clone();
        tokio::spawn(async move { frozen.accept(vec![new]).await })
    };
    until(async || somebody_waits(&database)).await;
    transaction.commit().await.unwrap();
    assert!(matches!(accepting.await.unwrap(), Err(AcceptError::LeaseLost)));
    assert!(matches!(other.event(id).await, Err(StoreError::NotFound)));
}

/// The rightful owner's log and outcome stand, and the late one's does not count.
#[tokio::test]
async fn an_outcome_of_what_another_node_has_taken_over_is_left_out() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &first);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    first.hand_over(lane.endpoint.no, Vec::new()).await.unwrap();
    assert_eq!(second.ready(lane.endpoint.no, 10).await.unwrap().len(), 1);
    let late = |next| batch(vec![world.outcome(accepted, 1, next, world.now())]);
    for next in [Next::Delivered, Next::Exhausted, Next::Waits] {
        first.record(late(next).into()).await.unwrap();
        let delivery = first.delivery(accepted.id).await.unwrap();
        assert_eq!((delivery.status, delivery.attempt_count), (Status::Pending, 0), "{next:?}");
    }
    assert!(first.attempts(accepted.seq).await.unwrap().is_empty());
    let rightful = world.outcome(accepted, 1, Next::Delivered, world.now());
    second.record(batch(vec![rightful.clone()]).into()).await.unwrap();
    first.record(late(Next::Exhausted).into()).await.unwrap();
    assert_eq!(first.delivery(accepted.id).await.unwrap().status, Status::Delivered);
    assert_eq!(first.attempts(accepted.seq).await.unwrap(), [rightful.attempt.unwrap()]);
}

/// After an outage of the database everybody looks old; who could not say for a while that it lives judges nobody.
#[tokio::test]
async fn only_a_node_that_was_steady_for_a_whole_lapse_declares_another_dead() {
    let database = Database::new();
    let (judge, old) = (database.node(NEVER).await, database.node(NEVER).await);
    database.age(&old);
    let lapse = Duration::from_secs(5);
    let mut keeper = Keeper::new(judge.shared.clone(), "judge".to_owned(), lapse, 0);
    keeper.beat().await.unwrap();
    let is_alive = async || judge.nodes().await.unwrap().iter().any(|node| node.no == old.shared.me());
    assert!(is_alive().await, "it has just begun");
    let long_ago = Instant::now().checked_sub(2 * lapse).unwrap();
    keeper.was_steady_since(long_ago, long_ago);
    keeper.beat().await.unwrap();
    assert!(is_alive().await, "it has not said for long that it lives itself");
    keeper.was_steady_since(long_ago, Instant::now());
    keeper.beat().await.unwrap();
    assert!(!is_alive().await);
}

/// Judged under the lock once more.
#[tokio::test]
async fn a_node_that_says_in_time_that_it_lives_is_not_taken_over() {
    let database = Database::new();
    let (judge, node) = (database.node(NEVER).await, database.node(NEVER).await);
    let no = node.shared.me();
    assert!(!nodes::take_over(&judge.shared, no, SOON).await.unwrap());
    database.age(&node);
    nodes::beat(&node.shared, NEVER).await.unwrap();
    assert!(!nodes::take_over(&judge.shared, no, SOON).await.unwrap());
    assert_eq!(judge.nodes().await.unwrap().len(), 2);
}

/// Its old number stays dead; under the new one it works as before.
#[tokio::test]
async fn a_node_that_was_taken_for_dead_starts_over_under_a_new_number() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    let before = node.shared.me();
    database.bury(&node);
    hear(&node, |news| news.started_over).await;
    assert_ne!(node.shared.me(), before);
    assert!(node.may_send());
    let taken = node.ready(lane.endpoint.no, 10).await.unwrap();
    assert_eq!(taken.iter().map(|delivery| delivery.seq).collect::<Vec<_>>(), [accepted.seq]);
    world.accept(&lane).await;
}

/// From its start on, and until a while before others may judge it.
#[tokio::test]
async fn a_node_is_certain_of_itself_for_less_than_a_lapse() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    assert!(node.may_send());
    let sent_at = Instant::now();
    nodes::beat(&node.shared, Duration::from_millis(200)).await.unwrap();
    until(async || !node.may_send()).await;
    assert!(sent_at.elapsed() >= Duration::from_millis(100));
    nodes::beat(&node.shared, NEVER).await.unwrap();
    assert!(node.may_send());
}
