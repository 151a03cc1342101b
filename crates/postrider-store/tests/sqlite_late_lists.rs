//! The lists of accounts and endpoints are written behind the log: what they show does not depend on how far behind,
//! also after a restart, a pruning, and in a file that was made before there were any.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

#[path = "support/place.rs"]
mod place;

use std::time::Duration;

use place::{Lane, Place};
use postrider_core::delivery::{Next, Progress};
use postrider_core::replay::Selection;
use postrider_store::Store as _;
use postrider_store::model::{DeliveryFilter, EventFilter, PageRequest, Record, RecordBatch};
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

const PAGE: PageRequest = PageRequest { limit: 7, before: None };

fn listing_after(count: u32) -> SqliteOptions {
    SqliteOptions { list_after: count, ..SqliteOptions::default() }
}

/// The sequence numbers of an endpoint's deliveries as its list shows them, and how many events its account's list has.
async fn listed(store: &SqliteStore, lane: &Lane) -> (Vec<i64>, usize) {
    let of_endpoint = DeliveryFilter { endpoint: Some(lane.endpoint.id), ..DeliveryFilter::default() };
    let of_account = EventFilter { account: Some(lane.account.id), ..EventFilter::default() };
    let (mut seqs, mut events) = (Vec::new(), 0);
    let mut page = PAGE;
    loop {
        let found = store.deliveries(of_endpoint.clone(), page).await.unwrap();
        seqs.extend(found.rows.iter().map(|delivery| delivery.seq.0));
        page.before = found.next;
        if found.next.is_none() {
            break;
        }
    }
    page.before = None;
    loop {
        let found = store.events(of_account.clone(), page).await.unwrap();
        events += found.rows.len();
        page.before = found.next;
        if found.next.is_none() {
            return (seqs, events);
        }
    }
}

/// How many rows the lists themselves have.
fn rows_of_lists(place: &Place) -> (i64, i64) {
    let count = "SELECT (SELECT count(*) FROM events_listed), (SELECT count(*) FROM deliveries_listed)";
    let connection = Connection::open(place.folder.path().join("postrider.db")).unwrap();
    connection.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[tokio::test]
async fn a_list_shows_the_same_however_far_behind_it_is_written() {
    let place = Place::new();
    let store = place.open_with(listing_after(10));
    let (lane, other) = (place.lane(&store).await, place.lane(&store).await);
    let mut accepted = Vec::new();
    for number in 0..35_usize {
        accepted.extend(store.accept(vec![place.event(&lane, "{}")]).await.unwrap().iter().map(|seq| seq.0));
        store.accept(vec![place.event(&other, "{}")]).await.unwrap();
        let newest_first: Vec<i64> = accepted.iter().rev().copied().collect();
        assert_eq!(listed(&store, &lane).await, (newest_first, number + 1));
    }
    let (events, deliveries) = rows_of_lists(&place);
    assert_eq!(events, deliveries);
    assert!(
        (60..70).contains(&events),
        "ten rows lie behind at most, and a part of them is listed: {events}"
    );

    store.accept(vec![place.event(&other, "{}")]).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(
        listed(&store, &lane).await.0.len(),
        35,
        "a restart finds the lists and what lies behind them"
    );
    assert!((events..=events + 2).contains(&rows_of_lists(&place).0), "opening lists nothing");
}

#[tokio::test]
async fn one_commit_lists_a_part_and_lists_that_fell_far_behind_catch_up_at_once() {
    let place = Place::new();
    let store = place.open_with(listing_after(40));
    let lane = place.lane(&store).await;
    let events = |count: usize| (0..count).map(|_| place.event(&lane, "{}")).collect::<Vec<_>>();
    store.accept(events(100)).await.unwrap();
    assert_eq!(rows_of_lists(&place), (10, 10), "a quarter of the usual");
    store.accept(events(100)).await.unwrap();
    assert_eq!(rows_of_lists(&place), (200, 200), "more than four times the usual lay behind");
    assert_eq!(listed(&store, &lane).await.1, 200);
}

/// An event that comes alone does not wait for hundreds of rows of others.
#[tokio::test]
async fn a_small_commit_lists_a_small_part() {
    let place = Place::new();
    let store = place.open_with(listing_after(640));
    let lane = place.lane(&store).await;
    let events = |count: usize| (0..count).map(|_| place.event(&lane, "{}")).collect::<Vec<_>>();
    store.accept(events(500)).await.unwrap();
    assert_eq!(rows_of_lists(&place), (0, 0), "too few to be worth it");
    store.accept(events(400)).await.unwrap();
    assert_eq!(
        rows_of_lists(&place),
        (160, 160),
        "a quarter of the usual, with a commit that is large itself"
    );
    store.accept(events(1)).await.unwrap();
    assert_eq!(rows_of_lists(&place), (176, 176), "sixteen for the one that came");
    for _ in 0..20 {
        store.accept(events(1)).await.unwrap();
    }
    let (listed_events, _) = rows_of_lists(&place);
    assert!((282..640).contains(&listed_events), "it catches up, and rests then: {listed_events}");
    assert_eq!(listed(&store, &lane).await.1, 921);
}

/// Whoever comes behind an event for hundreds of endpoints waits for their rows, and for no others.
#[tokio::test]
async fn a_long_commit_lists_nothing_unless_the_lists_fall_far_behind() {
    let place = Place::new();
    let store = place.open_with(listing_after(200));
    let lane = place.lane(&store).await;
    let events = |count: usize| (0..count).map(|_| place.event(&lane, "{}")).collect::<Vec<_>>();
    store.accept(events(600)).await.unwrap();
    assert_eq!(rows_of_lists(&place), (0, 0));
    store.accept(events(1)).await.unwrap();
    assert_eq!(rows_of_lists(&place), (16, 16));
    store.accept(events(600)).await.unwrap();
    assert_eq!(rows_of_lists(&place), (1_201, 1_201), "more than four times the usual lay behind");
    assert_eq!(listed(&store, &lane).await.1, 1_201);
}

#[tokio::test]
async fn what_is_pruned_leaves_the_lists_and_its_numbers_are_not_given_again() {
    let place = Place::new();
    let store = place.open_with(listing_after(1));
    let lane = place.lane(&store).await;
    let mut seqs = Vec::new();
    for _ in 0..5 {
        seqs.extend(store.accept(vec![place.event(&lane, "{}")]).await.unwrap());
    }
    let delivered = |&seq| Record {
        seq,
        attempt: None,
        next: Next::Delivered,
        progress: Progress { attempts: 1, used: 1 },
        at: place.now(),
    };
    let records = seqs.iter().map(delivered).collect();
    store.record(RecordBatch { records, health: Vec::new() }.into()).await.unwrap();
    // The newest event stays, because numbering goes on from it; it has no delivery.
    let mut last = place.event(&lane, "{}");
    last.deliveries.clear();
    store.accept(vec![last]).await.unwrap();
    let later = place.now().plus(Duration::from_secs(3600));
    assert_eq!(store.prune(later, 0, later, 100).await.unwrap().deleted_events, 5);
    assert_eq!(rows_of_lists(&place), (1, 0));
    assert_eq!(listed(&store, &lane).await, (Vec::new(), 1));

    drop(store);
    let store = place.open();
    let next = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    assert!(next > seqs[4], "{next:?} would be taken for listed");
    assert_eq!(listed(&store, &lane).await, (vec![next.0], 2));
}

#[tokio::test]
async fn a_replay_finds_a_long_range_part_by_part_however_far_behind_the_lists_are() {
    for list_after in [1, 700, 100_000] {
        let place = Place::new();
        let store = place.open_with(listing_after(list_after));
        let (lane, other) = (place.lane(&store).await, place.lane(&store).await);
        let mut seqs = Vec::new();
        for _ in 0..25 {
            seqs.extend(store.accept((0..100).map(|_| place.event(&lane, "{}")).collect()).await.unwrap());
            store.accept((0..10).map(|_| place.event(&other, "{}")).collect()).await.unwrap();
        }
        let delivered = |&seq| Record {
            seq,
            attempt: None,
            next: Next::Delivered,
            progress: Progress { attempts: 1, used: 1 },
            at: place.now(),
        };
        let records = seqs.iter().map(delivered).collect();
        store.record(RecordBatch { records, health: Vec::new() }.into()).await.unwrap();
        let all = Selection::default();
        let mut range = store.replay_range(lane.endpoint.no, all.clone()).await.unwrap();
        let (mut found, mut parts) = (Vec::new(), 0);
        loop {
            let part = store.look_through(range, all.clone(), 10_000).await.unwrap();
            assert!(part.chosen.len() <= 1_000, "a look is short");
            found.extend(part.chosen);
            parts += 1;
            match part.reached {
                Some(reached) => range.above = reached,
                None => break,
            }
        }
        assert_eq!((found, parts), (seqs, 3), "listed every {list_after}");
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_gets_its_lists() {
    let place = Place::new();
    let store = place.open_with(listing_after(1_000));
    let lane = place.lane(&store).await;
    let seqs = store.accept((0..20).map(|_| place.event(&lane, "{}")).collect()).await.unwrap();
    drop(store);
    // Back to what the first version made: indexes, and no lists.
    let connection = Connection::open(&place.path).unwrap();
    let back =
        "DROP TABLE replays; DROP TABLE listed; DROP TABLE events_listed; DROP TABLE deliveries_listed;
        CREATE INDEX events_account ON events (account_no, livemode, seq);
        CREATE INDEX deliveries_log ON deliveries (endpoint_no, seq);
        DROP INDEX attempts_ended; ALTER TABLE attempts DROP COLUMN ended_at;
        ALTER TABLE endpoints DROP COLUMN filter; ALTER TABLE endpoints DROP COLUMN header_names_as_typed;
        DROP INDEX account_keys_account; ALTER TABLE account_keys DROP COLUMN last_used_at;
        DROP TABLE portal_links; DROP TABLE kept_answers; DROP TABLE audit; DROP TABLE ready_listed; DROP TABLE event_types;
        CREATE INDEX deliveries_ready ON deliveries (endpoint_no, seq)
            WHERE status = 0 AND next_attempt_at IS NULL;
        ALTER TABLE endpoints DROP COLUMN next_secret_at; ALTER TABLE endpoints DROP COLUMN next_secret;
        PRAGMA user_version = 1;";
    connection.execute_batch(back).unwrap();
    drop(connection);

    let migrated = SqliteStore::migrate(&place.path).unwrap();
    assert_eq!(migrated.from, 1);
    assert_eq!(rows_of_lists(&place), (20, 20));
    let store = place.open();
    let next = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    let newest_first = [next].iter().chain(seqs.iter().rev()).map(|seq| seq.0).collect();
    assert_eq!(listed(&store, &lane).await, (newest_first, 21));
    let ready = store.ready(lane.endpoint.no, 100).await.unwrap();
    assert_eq!(ready.iter().map(|row| row.seq).collect::<Vec<_>>(), [&seqs[..], &[next]].concat());
}
