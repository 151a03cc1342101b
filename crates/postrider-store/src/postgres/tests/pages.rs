//! Pages of the log: time turns them, and what is over goes whole.

use std::time::Duration;

use postrider_core::delivery::Next;
use postrider_core::time::Timestamp;

use super::{Database, NEVER, world};
use crate::conformance::world::{Accepted, Lane, World, batch, deed_at};
use crate::model::{DeliveryFilter, EventFilter, NewResend, PageRequest};
use crate::{Store as _, StoreError};

const DAY: Duration = Duration::from_secs(24 * 3600);
const PAGE: PageRequest = PageRequest { limit: 250, before: None };

/// Prunes with a retention of three days, as of so many days after the beginning; says how many pages went whole.
async fn prune(world: &World<'_>, begin: Timestamp, days: u32) -> usize {
    let now = begin.plus(DAY * days);
    let (mut after, mut dropped) = (Some(0), 0);
    while let Some(from) = after {
        let pruned = world.store.prune(now.minus(DAY * 3), from, now, 1_000).await.unwrap();
        after = pruned.next;
        dropped += pruned.dropped_pages;
    }
    dropped
}

fn pages(database: &Database) -> String {
    database.sql("SELECT string_agg(page::text, ' ' ORDER BY page) FROM pages")
}

/// The clock of these tests is the suite's, years before that of the database.
fn begin(database: &Database, world: &World<'_>) -> Timestamp {
    let now = world.now();
    database.sql(&format!("UPDATE pages SET opened_at = {}", now.as_ms()));
    now
}

/// Accepts an event and delivers it at a time.
async fn delivered(world: &World<'_>, lane: &Lane, at: Timestamp) -> Accepted {
    let mut new = world.event(lane, "{}");
    new.event.created_at = at;
    let accepted = world.try_accept(new).await.unwrap()[0];
    end(world, accepted, at).await;
    accepted
}

async fn end(world: &World<'_>, accepted: Accepted, at: Timestamp) {
    let ended = world.outcome(accepted, 1, Next::Delivered, at);
    world.store.record(batch(vec![ended]).into()).await.unwrap();
}

#[tokio::test]
async fn a_page_is_turned_each_day_and_dropped_once_all_in_it_is_over() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let begin = begin(&database, &world);
    let first = delivered(&world, &lane, begin).await;
    prune(&world, begin, 0).await;
    assert_eq!(pages(&database), "1");
    prune(&world, begin, 1).await;
    assert_eq!(pages(&database), "1 2");
    let second = delivered(&world, &lane, begin.plus(DAY * 2)).await;
    assert!(second.seq.0 >> 32 == 2 && second.seq > first.seq);
    let listed = node.deliveries(DeliveryFilter::default(), PAGE).await.unwrap().rows;
    assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!(prune(&world, begin, 2).await, 0);
    assert_eq!(prune(&world, begin, 4).await, 1);
    assert_eq!(pages(&database), "2 3 4");
    assert!(matches!(node.delivery(first.id).await, Err(StoreError::NotFound)));
    assert!(matches!(node.event(first.event).await, Err(StoreError::NotFound)));
    assert!(node.attempts(first.seq).await.unwrap().is_empty());
    assert_eq!(database.sql("SELECT count(*) FROM pg_class WHERE relname = 'events_1'"), "0");
    assert_eq!(node.events(EventFilter::default(), PAGE).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_page_stays_while_something_in_it_is_pending_and_the_rest_goes_by_itself() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let begin = begin(&database, &world);
    let (pending, over) = (world.accept(&lane).await, delivered(&world, &lane, begin).await);
    prune(&world, begin, 1).await;
    delivered(&world, &lane, begin.plus(DAY * 9)).await;
    for days in 2..=6 {
        prune(&world, begin, days).await;
    }
    assert!(pages(&database).starts_with("1 "));
    assert!(node.delivery(pending.id).await.is_ok());
    assert!(matches!(node.delivery(over.id).await, Err(StoreError::NotFound)));
    end(&world, pending, begin.plus(DAY * 6)).await;
    prune(&world, begin, 8).await;
    assert!(node.delivery(pending.id).await.is_ok(), "it ended within the retention");
    prune(&world, begin, 10).await;
    assert!(!pages(&database).starts_with("1 "));
    assert!(matches!(node.delivery(pending.id).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_page_stays_while_a_later_resend_refers_to_it() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let begin = begin(&database, &world);
    let old = delivered(&world, &lane, begin).await;
    prune(&world, begin, 1).await;
    prune(&world, begin, 2).await;
    let id = world.delivery_id();
    let at = begin.plus(DAY * 2);
    let resent = node
        .resend(NewResend { id, of: old.id, created_at: at, deed: deed_at(world.now()), keep: None })
        .await
        .unwrap();
    let resent = Accepted { seq: resent.seq, id, event: old.event };
    end(&world, resent, at).await;
    prune(&world, begin, 4).await;
    assert!(pages(&database).starts_with("1 "));
    assert_eq!(node.event(old.event).await.unwrap().id, old.event);
    assert_eq!(node.delivery(id).await.unwrap().event, old.event);
    for days in [6, 7, 8] {
        prune(&world, begin, days).await;
    }
    assert!(matches!(node.delivery(id).await, Err(StoreError::NotFound)));
    prune(&world, begin, 9).await;
    assert!(!pages(&database).starts_with("1 "));
}
