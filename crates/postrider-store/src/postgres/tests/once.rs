//! Calls with an idempotency key: they share commits like all others, and happen once whichever nodes they come to.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use postrider_core::limits::IDEMPOTENCY_KEPT;
use postrider_core::time::Timestamp;

use super::{Database, NEVER, world};
use crate::conformance::world::{Lane, World};
use crate::model::NewEvent;
use crate::model::once::{Claim, Keep, KeptAnswer};
use crate::postgres::PostgresStore;
use crate::{AcceptError, Store as _};

fn keep(key: u8, at: Timestamp) -> Keep {
    let claim = Claim { scope: [key; 32], body_sha256: [1; 32] };
    Keep { claim, answer: KeptAnswer { status: 202, body: Bytes::from_static(b"{}") }, at }
}

/// Calls that are made at once, each with its key.
async fn call(node: &PostgresStore, calls: Vec<(NewEvent, Keep)>) -> Vec<Result<usize, AcceptError>> {
    let calls = calls.into_iter().map(|(event, keep)| node.accept_once(vec![event], keep));
    join_all(calls).await.into_iter().map(|accepted| accepted.map(|seqs| seqs.len())).collect()
}

fn with_keys(world: &World<'_>, lane: &Lane, keys: impl Iterator<Item = u8>) -> Vec<(NewEvent, Keep)> {
    keys.map(|key| (world.event(lane, "{}"), keep(key, world.now()))).collect()
}

fn commits(node: &PostgresStore) -> u64 {
    node.shared.figures.commit_size.read().at_most.last().copied().unwrap()
}

#[tokio::test]
async fn calls_with_a_key_share_commits_like_all_others() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let before = commits(&node);
    let results = call(&node, with_keys(&world, &lane, 1..=200)).await;
    assert!(results.iter().all(|result| matches!(result, Ok(1))), "{results:?}");
    let shared = commits(&node) - before;
    assert!(shared <= 20, "{shared} commits for 200 calls");
    assert_eq!(database.sql("SELECT count(*) FROM kept_answers"), "200");
    // What was answered before holds nothing up that shares its commit, nor does what was kept so long ago that it is as
    // if it were not there.
    let mut again = with_keys(&world, &lane, 199..=202);
    let (_, old) = &mut again[1];
    old.at = old.at.plus(IDEMPOTENCY_KEPT + Duration::from_secs(1));
    let before = commits(&node);
    let results = call(&node, again).await;
    assert!(
        commits(&node) - before <= 2,
        "the first goes alone because nothing gathers yet, the others together"
    );
    assert!(matches!(results[..], [Err(AcceptError::AnsweredBefore), Ok(1), Ok(1), Ok(1)]), "{results:?}");
    assert_eq!(database.sql("SELECT count(*) FROM kept_answers"), "202");
    assert_eq!(database.sql("SELECT count(*) FROM events"), "203");
}

/// Each keeps them in another order: nobody waits for the other for ever, and nobody fails for it.
#[tokio::test]
async fn what_comes_to_two_nodes_at_once_happens_once() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let world = world(&database, &first);
    let lane = world.lane().await;
    for round in 0..10 {
        let keys = (round * 20 + 1)..=(round * 20 + 20);
        let there = with_keys(&world, &lane, keys.clone());
        let back = with_keys(&world, &lane, keys.rev());
        let (there, mut back) = tokio::join!(call(&first, there), call(&second, back));
        back.reverse();
        for pair in there.iter().zip(&back) {
            let one = matches!(pair, (Ok(1), Err(AcceptError::AnsweredBefore)))
                || matches!(pair, (Err(AcceptError::AnsweredBefore), Ok(1)));
            assert!(one, "{pair:?}");
        }
    }
    assert_eq!(database.sql("SELECT count(*) FROM events"), "200");
    for node in [first, second] {
        assert_eq!(node.shared.figures.failed.load(Ordering::Relaxed), 0, "the database can be written");
    }
}
