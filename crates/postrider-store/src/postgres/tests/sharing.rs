//! Work goes from node to node: from those that are gone, to whoever is free, one place for what needs one.

use std::collections::BTreeSet;
use std::time::Duration;

use postrider_core::delivery::{DeliverySeq, Next};
use postrider_core::endpoint::{Endpoint, EndpointSettings, State};
use postrider_core::time::Timestamp;

use super::{Database, NEVER, SOON, hear, until, world};
use crate::Store as _;
use crate::conformance::world::{Lane, World, deed_at};
use crate::model::{EndpointUpdate, NewEndpoint, NewEvent, News, PendingDelivery};
use crate::postgres::keeper::Keeper;
use crate::postgres::nodes;

fn seqs(deliveries: &[PendingDelivery]) -> Vec<DeliverySeq> {
    deliveries.iter().map(|delivery| delivery.seq).collect()
}

/// A lane whose endpoint needs one place.
async fn ordered(world: &World<'_>) -> Lane {
    let account = world.account("Ordered").await;
    let new = world.new_endpoint(&account, false);
    let settings = EndpointSettings { ordered: true, ..new.settings.clone() };
    let (endpoint, version) = world.store.create_endpoint(NewEndpoint { settings, ..new }).await.unwrap();
    Lane { account, endpoint, version }
}

/// An event that is left to whichever node may send to its endpoint.
fn left(world: &World<'_>, lane: &Lane) -> NewEvent {
    let mut new = world.event(lane, "{}");
    new.deliveries.iter_mut().for_each(|delivery| delivery.is_own = false);
    new
}

#[tokio::test]
async fn each_node_reads_its_own_and_takes_what_is_nobodys() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &first);
    let lane = world.lane().await;
    let own = world.accept_many(&lane, 2).await;
    let free = world.try_accept(left(&world, &lane)).await.unwrap();
    assert_eq!(seqs(&second.ready(lane.endpoint.no, 10).await.unwrap()), [free[0].seq]);
    assert_eq!(seqs(&first.ready(lane.endpoint.no, 10).await.unwrap()), [own[0].seq, own[1].seq]);
    assert!(first.hold(lane.endpoint.no).await.unwrap());
}

/// Without a look at its deliveries one by one, and at once.
#[tokio::test]
async fn what_a_node_leaves_behind_is_for_the_others_at_once() {
    let database = Database::new();
    let (leaves, stays) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &leaves);
    let (lane, one_place) = (world.lane().await, ordered(&world).await);
    let accepted = world.accept_many(&lane, 3).await;
    world.record(accepted[2], 1, Next::RetryAt(world.now().plus(Duration::from_secs(5)))).await;
    assert!(leaves.hold(one_place.endpoint.no).await.unwrap());
    assert!(!stays.hold(one_place.endpoint.no).await.unwrap());
    leaves.close().await;
    nodes::beat(&stays.shared, NEVER).await.unwrap();
    let taken = stays.ready(lane.endpoint.no, 10).await.unwrap();
    assert_eq!(seqs(&taken), [accepted[0].seq, accepted[1].seq]);
    let due = stays.due(world.now().plus(Duration::from_secs(3600)), None, 10).await.unwrap();
    assert_eq!(seqs(&due), [accepted[2].seq]);
    assert!(stays.hold(one_place.endpoint.no).await.unwrap());
}

/// Nobody has to say so: the heartbeat is missing, and others find it out, take over and tell their engine.
#[tokio::test]
async fn what_a_dead_node_had_is_found_by_the_others() {
    let database = Database::new();
    let (dies, stays) = (database.node(SOON).await, database.node(SOON).await);
    let lane = {
        let world = world(&database, &dies);
        let lane = world.lane().await;
        world.accept_many(&lane, 3).await;
        lane
    };
    let began = std::time::Instant::now();
    drop(dies);
    hear(&stays, |news| news.free.contains(&lane.endpoint.no)).await;
    assert!(began.elapsed() > SOON / 2, "not before its time");
    assert_eq!(stays.ready(lane.endpoint.no, 10).await.unwrap().len(), 3);
    assert_eq!(stays.nodes().await.unwrap().len(), 1);
}

/// What is in flight stays until its outcome is known.
#[tokio::test]
async fn a_node_that_stops_gives_away_all_but_what_is_in_flight() {
    let database = Database::new();
    let (stops, stays) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &stops);
    let (lane, held) = (world.lane().await, ordered(&world).await);
    let accepted = world.accept_many(&lane, 3).await;
    let of_held = world.accept_many(&held, 2).await;
    assert!(stops.hold(held.endpoint.no).await.unwrap());
    stops.step_down(vec![accepted[1].seq, of_held[0].seq]).await.unwrap();
    let taken = stays.ready(lane.endpoint.no, 10).await.unwrap();
    assert_eq!(seqs(&taken), [accepted[0].seq, accepted[2].seq]);
    assert!(!stays.hold(held.endpoint.no).await.unwrap(), "one of its deliveries is still in flight");
    assert_eq!(
        seqs(&stops.ready(lane.endpoint.no, 10).await.unwrap()),
        [accepted[1].seq],
        "takes nothing back"
    );
    world.record(of_held[0], 1, Next::Delivered).await;
    stops.close().await;
    assert!(stays.hold(held.endpoint.no).await.unwrap());
    nodes::beat(&stays.shared, NEVER).await.unwrap();
    assert_eq!(seqs(&stays.ready(held.endpoint.no, 10).await.unwrap()), [of_held[1].seq]);
}

/// Whoever asks first; the others only once that one is gone.
#[tokio::test]
async fn one_node_holds_an_endpoint_until_it_is_gone() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &first);
    let lane = ordered(&world).await;
    let no = lane.endpoint.no;
    assert!(first.hold(no).await.unwrap() && first.hold(no).await.unwrap());
    assert!(!second.hold(no).await.unwrap());
    world.try_accept(left(&world, &lane)).await.unwrap();
    assert!(second.ready(no, 10).await.unwrap().is_empty(), "it is left to the one that holds it");
    database.bury(&first);
    assert!(second.hold(no).await.unwrap());
    assert_eq!(second.ready(no, 10).await.unwrap().len(), 1);
}

/// The one that holds the endpoint hears of it, and no other.
#[tokio::test]
async fn what_is_left_to_the_holder_wakes_it() {
    let database = Database::new();
    let (holder, other) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &other);
    let lane = ordered(&world).await;
    assert!(holder.hold(lane.endpoint.no).await.unwrap());
    let accepted = world.try_accept(left(&world, &lane)).await.unwrap();
    hear(&holder, |news| news.free.contains(&lane.endpoint.no)).await;
    assert_eq!(seqs(&holder.ready(lane.endpoint.no, 10).await.unwrap()), [accepted[0].seq]);
}

/// Each takes what falls to its rank, the lower number with the lower rank, and together they take all of it, once.
#[tokio::test]
async fn far_retries_belong_to_nobody_and_are_shared_evenly_when_they_fall_due() {
    let database = Database::new();
    let nodes = [database.node(NEVER).await, database.node(NEVER).await];
    let world = world(&database, &nodes[0]);
    let lane = world.lane().await;
    let until = world.now().plus(Duration::from_secs(7_200));
    let mut all = BTreeSet::new();
    for accepted in world.accept_many(&lane, 40).await {
        world.record(accepted, 1, Next::RetryAt(until)).await;
        all.insert(accepted.seq);
    }
    for node in &nodes {
        nodes::beat(&node.shared, NEVER).await.unwrap();
    }
    let due = async |node: &crate::postgres::PostgresStore, until: Timestamp| {
        seqs(&node.due(until, None, 100).await.unwrap())
    };
    let (first, second) = (due(&nodes[0], until).await, due(&nodes[1], until).await);
    assert!(first.len() >= 10 && second.len() >= 10, "{} and {}", first.len(), second.len());
    let taken: BTreeSet<DeliverySeq> = first.iter().chain(&second).copied().collect();
    assert_eq!((taken.len(), &taken), (first.len() + second.len(), &all));
}

/// A share that nobody takes in time is anyone's.
#[tokio::test]
async fn a_retry_that_nobody_took_in_time_is_anyones() {
    let database = Database::new();
    let (first, _second) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &first);
    let lane = world.lane().await;
    let at = world.now().plus(Duration::from_secs(7_200));
    for accepted in world.accept_many(&lane, 10).await {
        world.record(accepted, 1, Next::RetryAt(at)).await;
    }
    nodes::beat(&first.shared, NEVER).await.unwrap();
    let all = first.due(at.plus(Duration::from_secs(60)), None, 100).await.unwrap();
    assert_eq!(all.len(), 10);
}

/// Such as those of a paused endpoint that needs one place, and that nobody asks for: however many, and however old.
#[tokio::test]
async fn retries_that_a_node_may_not_send_hold_up_no_others() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let world = world(&database, &node);
    let (held, lane) = (ordered(&world).await, world.lane().await);
    let at = world.now().plus(Duration::from_secs(120));
    for of_held in world.accept_many(&held, 3).await {
        world.record(of_held, 1, Next::RetryAt(at)).await;
    }
    let other = world.accept(&lane).await;
    world.record(other, 1, Next::RetryAt(at.plus(Duration::from_secs(1)))).await;
    let due = node.due(at.plus(Duration::from_secs(60)), None, 2).await.unwrap();
    assert_eq!(seqs(&due), [other.seq]);
}

/// Those that another node holds are passed over; they must not fill the places of a look.
#[tokio::test]
async fn what_is_nobody_s_is_found_behind_many_endpoints_that_another_node_holds() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &first);
    for _ in 0..6 {
        let held = ordered(&world).await;
        assert!(first.hold(held.endpoint.no).await.unwrap());
        world.try_accept(left(&world, &held)).await.unwrap();
    }
    let behind = world.lane().await;
    world.try_accept(left(&world, &behind)).await.unwrap();
    hear(&second, |news| news.free.contains(&behind.endpoint.no)).await;
}

/// The owner has it in memory, and must hear of it, once, whichever node cancels it; nobody else is told anything.
#[tokio::test]
async fn the_node_whose_delivery_is_cancelled_elsewhere_hears_of_it() {
    let database = Database::new();
    let (owner, other) = (database.node(NEVER).await, database.node(NEVER).await);
    let (world, elsewhere) = (world(&database, &owner), world(&database, &other));
    let lane = world.lane().await;
    let accepted = world.accept_many(&lane, 2).await;
    assert_eq!(owner.ready(lane.endpoint.no, 10).await.unwrap().len(), 2);
    other.cancel_delivery(accepted[0].id, deed_at(elsewhere.now())).await.unwrap();
    let no = lane.endpoint.no;
    hear(&owner, |news| news.cancelled.contains(&(no, accepted[0].seq))).await;
    until(async || database.sql("SELECT count(*) FROM cancelled_elsewhere") == "0").await;
    owner.cancel_delivery(accepted[1].id, deed_at(world.now())).await.unwrap();
    hear(&owner, |news| news.cancelled.contains(&(no, accepted[1].seq))).await;
    until(async || database.sql("SELECT count(*) FROM cancelled_elsewhere") == "0").await;
    // Those that are nobody's are in nobody's memory.
    let free = world.try_accept(left(&world, &lane)).await.unwrap();
    other.cancel_delivery(free[0].id, deed_at(elsewhere.now())).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM cancelled_elsewhere"), "0");
}

/// What it was told goes with it.
#[tokio::test]
async fn what_a_node_was_told_before_it_went_is_forgotten_with_it() {
    let database = Database::new();
    let (owner, other) = (database.node(NEVER).await, database.node(NEVER).await);
    let (world, elsewhere) = (world(&database, &owner), world(&database, &other));
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    owner.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    other.cancel_delivery(accepted.id, deed_at(elsewhere.now())).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM cancelled_elsewhere"), "1");
    database.bury(&owner);
    database.age(&owner);
    nodes::forget_gone(&other.shared).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM cancelled_elsewhere"), "0");
}

/// The same for retries that are due: those of endpoints that another node holds, and those of paused ones, that nobody
/// asks for, must not keep what is behind them from being found.
#[tokio::test]
async fn a_due_retry_is_found_behind_many_that_this_node_may_not_send() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &first);
    let due = async |lane: &Lane, seconds: u64| {
        let accepted = world.accept(lane).await;
        let at = world.now().plus(Duration::from_secs(60 + seconds));
        world.record(accepted, 1, Next::RetryAt(at)).await;
    };
    for _ in 0..6 {
        let (held, paused) = (ordered(&world).await, ordered(&world).await);
        assert!(first.hold(held.endpoint.no).await.unwrap());
        due(&held, 1).await;
        due(&paused, 1).await;
        let after = Endpoint { state: State::Paused, ..paused.endpoint.clone() };
        let update = EndpointUpdate::State { fresh_health: false };
        first.update_endpoint(&paused.endpoint, &after, update, deed_at(world.now())).await.unwrap();
    }
    let behind = ordered(&world).await;
    due(&behind, 2).await;
    // A look finds a part, and the next one goes on behind it.
    let mut keeper = Keeper::new(second.shared.clone(), "second".to_owned(), NEVER, i64::MAX);
    let found = async {
        let is_named = |news: News| news.free.contains(&behind.endpoint.no);
        while !tokio::time::timeout(Duration::ZERO, second.news()).await.is_ok_and(is_named) {
            keeper.beat().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it is found");
}
