//! What becomes of statements whose answer does not come: each is found out before anything is concluded from it.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::delivery::{Next, Status};
use postrider_pgtemp::Way;

use super::outages::proxy;
use super::{Database, SOON, hear, until, world};
use crate::conformance::world::batch;
use crate::postgres::{PostgresOptions, PostgresStore, connect};
use crate::{AcceptError, Store as _, StoreError};

/// How many of the nodes' statements wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    AND application_name = 'postrider' AND datname = current_database()";

/// Lets what puts deliveries into the queue take some seconds between its last statement and its commit.
const SLOW_COMMITS: &str = "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep(3); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON queue DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle()";
/// How many are at it.
const COMMITTING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
    AND application_name = 'postrider' AND datname = current_database()";

/// A lock on a table, held by an administrator until it is released.
struct Lock(tokio_postgres::Client);

impl Lock {
    async fn release(self) {
        self.0.batch_execute("COMMIT").await.unwrap();
    }
}

impl Database {
    async fn lock(&self, table: &str) -> Lock {
        let url = self.url.replace("postrider@", "postgres@");
        let url = format!("{url}?application_name=maintenance");
        let connector = connect::connector(&url, &PostgresOptions::default()).unwrap();
        let administrator = connect::plain(&connector).await.unwrap();
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        administrator.batch_execute(&lock).await.unwrap();
        Lock(administrator)
    }

    fn count(&self, table: &str) -> i64 {
        self.sql(&format!("SELECT count(*) FROM {table}")).parse().unwrap()
    }
}

/// The numbers that the store has ready for a node.
async fn ready(node: &PostgresStore, endpoint: postrider_core::endpoint::EndpointNo) -> usize {
    node.ready_numbers(vec![(endpoint, 10)]).await.unwrap().len()
}

/// Case 54: before, the statement went on at the server, and committed when the lock went.
#[tokio::test]
async fn an_event_refused_because_of_a_lock_is_not_stored_when_the_lock_goes() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    world.accept(&lane).await;
    for table in ["events", "deliveries", "queue", "accounts"] {
        let before = database.count("events");
        let lock = database.lock(table).await;
        let refused = world.try_accept(world.event(&lane, "{}")).await;
        assert!(matches!(refused, Err(AcceptError::Unavailable(_))), "{table}: {refused:?}");
        lock.release().await;
        world.accept(&lane).await;
        assert_eq!(database.count("events"), before + 1, "{table}: the refused one is not there");
    }
}

/// The commit took place, and only the answer was lost: the caller is told that it is accepted, with its numbers.
#[tokio::test]
async fn an_event_whose_commit_lost_its_answer_is_found_and_accepted() {
    let database = Database::new();
    let proxy = proxy(&database);
    let patience = Duration::from_secs(30);
    let node = database.node_of_patience(&proxy.url(&database.url), patience, patience).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    world.accept(&lane).await;
    database.sql(SLOW_COMMITS);
    let accepting = world.try_accept(world.event(&lane, "{}"));
    let cutting = async {
        until(async || database.sql(COMMITTING) != "0").await;
        proxy.freeze(Way::ToNode);
        until(async || database.count("events") == 2).await;
        proxy.cut();
        proxy.thaw();
    };
    let (accepted, ()) = tokio::join!(accepting, cutting);
    let accepted = accepted.expect("it is found");
    let number = accepted[0];
    assert_eq!(database.sql("SELECT max(seq) FROM queue"), number.seq.0.to_string());
}

/// Nobody can say for a while: the caller is refused, and the node looks for what it does not know once it can be said.
#[tokio::test]
async fn what_is_committed_while_nobody_can_be_asked_is_looked_for_afterwards() {
    let database = Database::new();
    let proxy = proxy(&database);
    let patience = Duration::from_secs(6);
    let node = database.node_of_patience(&proxy.url(&database.url), patience, patience).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    world.accept(&lane).await;
    assert_eq!(ready(&node, lane.endpoint.no).await, 1);
    database.sql(SLOW_COMMITS);
    let accepting = world.try_accept(world.event(&lane, "{}"));
    let freezing = async {
        until(async || database.sql(COMMITTING) != "0").await;
        proxy.freeze(Way::ToNode);
    };
    let (refused, ()) = tokio::join!(accepting, freezing);
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))), "{refused:?}");
    database.sql("DROP TRIGGER dawdle ON queue");
    until(async || database.count("events") == 2).await;
    // Until that is known nothing else is begun: a later number must not be read before an earlier one is there.
    let next = world.try_accept(world.event(&lane, "{}")).await;
    assert!(matches!(next, Err(AcceptError::Unavailable(_))), "{next:?}");
    proxy.cut();
    proxy.thaw();
    hear(&node, |news| news.may_be_stranded).await;
    assert_eq!(ready(&node, lane.endpoint.no).await, usize::try_from(database.count("queue")).unwrap());
    assert!(node.figures().unwrap().unknown_outcomes.load(std::sync::atomic::Ordering::Relaxed) > 0);
    world.accept(&lane).await;
}

/// An outcome that was given up while it waited for a lock must not be written after a later one.
#[tokio::test]
async fn an_outcome_given_up_because_of_a_lock_is_not_written_when_the_lock_goes() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    for table in ["queue", "attempts"] {
        let lock = database.lock(table).await;
        let outcome = batch(vec![world.outcome(accepted, 1, Next::Delivered, world.now())]);
        let given_up = node.record(outcome.into()).await;
        assert!(matches!(given_up, Err(StoreError::Unavailable(_))), "{table}: {given_up:?}");
        lock.release().await;
        assert_eq!(node.delivery(accepted.id).await.unwrap().status, Status::Pending, "{table}");
    }
}

/// The same for what is cancelled, resent, leased and given away.
#[tokio::test]
async fn a_change_given_up_because_of_a_lock_is_not_made_when_the_lock_goes() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    let deed = || crate::conformance::world::deed_at(world.now());
    let queue = database.lock("queue").await;
    let cancelled = node.cancel_delivery(accepted.id, deed()).await;
    assert!(matches!(cancelled, Err(StoreError::Unavailable(_))), "{cancelled:?}");
    let given = node.hand_over(lane.endpoint.no, Vec::new()).await;
    assert!(matches!(given, Err(StoreError::Unavailable(_))), "{given:?}");
    queue.release().await;
    assert_eq!(node.delivery(accepted.id).await.unwrap().status, Status::Pending);
    assert_eq!(ready(&node, lane.endpoint.no).await, 1, "it is still this node's");
    let leases = database.lock("leases").await;
    let held = node.hold(lane.endpoint.no).await;
    assert!(matches!(held, Err(StoreError::Unavailable(_))), "{held:?}");
    leases.release().await;
    assert_eq!(database.count("leases"), 0);
}

/// All connections wait for the lock at once, and each is still asked after: that has a connection of its own.
#[tokio::test]
async fn a_lock_that_holds_every_connection_keeps_none_of_them() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let world = Arc::new(world(&database, &node));
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    let lock = database.lock("deliveries").await;
    let reads = (0..12).map(|_| node.delivery(accepted.id));
    for read in futures_util::future::join_all(reads).await {
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    }
    tokio::time::timeout(Duration::from_secs(4), until(async || database.sql(WAITING) == "0"))
        .await
        .expect("nothing of it waits at the server any more");
    lock.release().await;
    assert_eq!(node.delivery(accepted.id).await.unwrap().status, Status::Pending);
}

/// What a node cancels of its own is told to it as well: should the answer to the commit be lost, nothing else would.
#[tokio::test]
async fn a_cancellation_is_told_to_the_node_that_made_it() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    node.cancel_delivery(accepted.id, crate::conformance::world::deed_at(world.now())).await.unwrap();
    let told = hear(&node, |news| !news.cancelled.is_empty()).await.cancelled;
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [(lane.endpoint.no, accepted.seq)]);
}

/// The barrier runs on the connection that asks about all others: a lock must not take that away.
#[tokio::test]
async fn the_barrier_waits_for_no_lock_on_any_table() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let lock = database.lock("meta").await;
    node.shared.resolver.barrier().await.unwrap();
    lock.release().await;
}

/// A read changes nothing, and so it waits for no outcome of a write.
#[tokio::test]
async fn an_unknown_outcome_holds_up_writes_and_no_read() {
    let database = Database::new();
    let node = database.node(SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    node.shared.resolver.leave_one_unresolved();
    assert_eq!(node.delivery(accepted.id).await.unwrap().status, Status::Pending);
    let refused = world.try_accept(world.event(&lane, "{}")).await;
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))), "writes wait: {refused:?}");
}
