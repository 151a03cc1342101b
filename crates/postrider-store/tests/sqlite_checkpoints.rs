//! The write-ahead log of a SQLite store: what a foreign reader does to it is told, and undone once the reader has gone.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

#[path = "support/place.rs"]
mod place;

use std::time::{Duration, Instant};

use place::{Lane, Place};
use postrider_store::Store as _;
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

const PAGES: u32 = 50;
/// Bytes of a page in the log.
const FRAME_BYTES: u64 = 4_096 + 24;
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> SqliteOptions {
    SqliteOptions { checkpoint_pages: PAGES, ..SqliteOptions::default() }
}

/// A transaction that reads, as a forgotten shell has it.
fn reader(place: &Place) -> Connection {
    let reader = Connection::open(&place.path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM events";
    reader.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap();
    reader
}

async fn accept(place: &Place, store: &SqliteStore, lane: &Lane, count: usize) {
    for _ in 0..count {
        store.accept(vec![place.event(lane, &"x".repeat(3_000))]).await.unwrap();
    }
}

async fn log_bytes(store: &SqliteStore) -> u64 {
    store.size().await.unwrap().write_ahead_bytes.unwrap()
}

async fn age(store: &SqliteStore) -> Duration {
    store.size().await.unwrap().checkpoint_age.unwrap()
}

/// Asks until the log is as short as it usually is and nothing waits in it.
async fn wait_until_cut_back(store: &SqliteStore) {
    let began = Instant::now();
    while log_bytes(store).await > 4 * u64::from(PAGES) * FRAME_BYTES || !age(store).await.is_zero() {
        assert!(began.elapsed() < PATIENCE, "{} bytes, {:?}", log_bytes(store).await, age(store).await);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_log_that_a_reader_has_made_long_is_cut_back_once_it_has_gone_although_nothing_is_written_any_more()
{
    let place = Place::new();
    let store = place.open_with(options());
    let lane = place.lane(&store).await;
    let forgotten = reader(&place);
    accept(&place, &store, &lane, 300).await;
    let grown = log_bytes(&store).await;
    assert!(grown > 8 * u64::from(PAGES) * FRAME_BYTES, "{grown} bytes");
    assert!(!age(&store).await.is_zero());
    drop(forgotten);
    wait_until_cut_back(&store).await;
}

#[tokio::test]
async fn a_log_that_a_reader_has_made_long_is_cut_back_while_events_keep_coming() {
    let place = Place::new();
    let store = place.open_with(options());
    let lane = place.lane(&store).await;
    let forgotten = reader(&place);
    accept(&place, &store, &lane, 300).await;
    let grown = log_bytes(&store).await;
    drop(forgotten);
    let began = Instant::now();
    while log_bytes(&store).await >= grown / 2 {
        assert!(began.elapsed() < PATIENCE, "{} bytes", log_bytes(&store).await);
        accept(&place, &store, &lane, 1).await;
    }
}

#[tokio::test]
async fn a_few_commits_reach_the_database_after_a_while_although_nothing_follows_them() {
    let place = Place::new();
    let soon = SqliteOptions { checkpoint_wait: Duration::from_millis(50), ..options() };
    let store = place.open_with(soon);
    let lane = place.lane(&store).await;
    accept(&place, &store, &lane, 1).await;
    wait_until_cut_back(&store).await;
    // Copied alone, without the log, the file has it.
    let copy = place.folder.path().join("copy.db");
    std::fs::copy(&place.path, &copy).unwrap();
    let count = "SELECT count(*) FROM events";
    let events: i64 = Connection::open(copy).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(events, 1);
}

#[tokio::test]
async fn without_a_reader_the_log_is_reused_at_the_length_that_it_has() {
    let place = Place::new();
    let pages = 400;
    let store = place.open_with(SqliteOptions { checkpoint_pages: pages, ..options() });
    let lane = place.lane(&store).await;
    accept(&place, &store, &lane, 150).await;
    let usual = log_bytes(&store).await;
    assert!(usual >= u64::from(pages) * FRAME_BYTES, "{usual} bytes");
    accept(&place, &store, &lane, 600).await;
    let later = log_bytes(&store).await;
    assert!(later >= usual, "it gets no shorter");
    assert!(later < 750 * 4 * FRAME_BYTES, "and starts over: {later} bytes");
}

#[tokio::test]
async fn a_long_log_that_a_crash_left_is_copied_at_the_start() {
    let place = Place::new();
    let store = place.open_with(options());
    let lane = place.lane(&store).await;
    let forgotten = reader(&place);
    accept(&place, &store, &lane, 300).await;
    // What a crash leaves: the files as they are.
    let crashed = Place::new_beside(&place);
    drop(forgotten);
    let store = crashed.open_with(options());
    wait_until_cut_back(&store).await;
    assert_eq!(store.ready(lane.endpoint.no, 1_000).await.unwrap().len(), 300);
}
