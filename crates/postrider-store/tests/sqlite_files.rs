//! The files of a SQLite store are deleted, moved away or replaced while it runs: nothing is accepted into a file that
//! nobody will find, and everything goes on when the files are back.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

#[path = "support/place.rs"]
mod place;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use place::{Lane, Place};
use postrider_core::delivery::{DeliverySeq, Next, Progress};
use postrider_store::Store as _;
use postrider_store::error::{AcceptError, OpenError, StoreError};
use postrider_store::model::{Record, RecordBatch};
use postrider_store::sqlite::{FileFault, SqliteStore};
use rusqlite::Connection;

const PATIENCE: Duration = Duration::from_secs(60);

fn beside(place: &Place, ending: &str) -> PathBuf {
    let mut name = place.path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn delivered(place: &Place, seq: DeliverySeq) -> RecordBatch {
    let progress = Progress { attempts: 1, used: 1 };
    let record = Record { seq, attempt: None, next: Next::Delivered, progress, at: place.now() };
    RecordBatch { records: vec![record], health: Vec::new() }
}

/// Nothing is accepted or changed, and the answer says why; outcomes are still recorded.
async fn assert_refuses(place: &Place, store: &SqliteStore, lane: &Lane, recorded: DeliverySeq) {
    for _ in 0..2 {
        let refused = store.accept(vec![place.event(lane, "{}")]).await;
        let Err(AcceptError::Unavailable(why)) = refused else { panic!("{refused:?}") };
        assert!(why.downcast_ref::<FileFault>().is_some(), "{why}");
        assert!(matches!(store.check_writable().await, Err(StoreError::Unavailable(_))));
    }
    let renamed = store.rename_account(lane.account.no, "Renamed", place.deed()).await;
    assert!(matches!(renamed, Err(StoreError::Unavailable(_))), "{renamed:?}");
    store.record(delivered(place, recorded).into()).await.unwrap();
}

/// Asks a copy of the database file, without its log, until the delivery has this status: commits are copied from time to time.
fn wait_until_copied(database: &Path, seq: DeliverySeq, wanted: i64) {
    let (folder, began) = (tempfile::tempdir().unwrap(), Instant::now());
    loop {
        let copy = folder.path().join("copy.db");
        std::fs::copy(database, &copy).unwrap();
        let read = Connection::open(&copy).unwrap();
        let status = "SELECT status FROM deliveries WHERE seq = ?1";
        // A copy that was made while the database is written may be torn.
        let found = read.query_row(status, [seq.0], |row| row.get::<_, i64>(0));
        if found.as_ref().ok() == Some(&wanted) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{found:?}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn while_the_database_is_moved_away_events_are_refused_and_they_are_accepted_when_it_is_back() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let first = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    let second = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    let elsewhere = place.folder.path().join("elsewhere.db");
    std::fs::rename(&place.path, &elsewhere).unwrap();
    assert_refuses(&place, &store, &lane, first).await;
    let report = SqliteStore::report_files(&place.path).unwrap().unwrap();
    assert!(matches!(report.fault, Some(FileFault::DatabaseMissing(_))), "{report:?}");
    std::fs::rename(&elsewhere, &place.path).unwrap();
    store.check_writable().await.unwrap();
    let third = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    drop(store);
    let store = place.open();
    let pending: Vec<_> =
        store.ready(lane.endpoint.no, 10).await.unwrap().iter().map(|row| row.seq).collect();
    // The first event that was refused had been committed when the move was noticed: its outcome was unknown.
    assert_eq!((pending[0], pending.last(), pending.len()), (second, Some(&third), 3));
}

#[tokio::test]
async fn what_was_accepted_before_the_database_was_moved_is_whole_in_the_moved_file() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let seq = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    let elsewhere = place.folder.path().join("elsewhere.db");
    std::fs::rename(&place.path, &elsewhere).unwrap();
    assert_refuses(&place, &store, &lane, seq).await;
    // Without the log, which is still at the old place; and its outcome, although nothing is written any more.
    wait_until_copied(&elsewhere, seq, 1);
}

#[tokio::test]
async fn events_are_refused_while_another_file_is_at_the_path_of_the_database() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let seq = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    let (old, backup) = (place.folder.path().join("old.db"), "a backup that somebody restored");
    std::fs::rename(&place.path, &old).unwrap();
    std::fs::write(&place.path, backup).unwrap();
    std::fs::rename(beside(&place, "-wal"), place.folder.path().join("old.db-wal")).unwrap();
    std::fs::write(beside(&place, "-wal"), "and its log").unwrap();
    assert_refuses(&place, &store, &lane, seq).await;
    drop(store);
    assert_eq!(std::fs::read_to_string(&place.path).unwrap(), backup);
    assert_eq!(
        std::fs::read_to_string(beside(&place, "-wal")).unwrap(),
        "and its log",
        "it is not ours to delete"
    );
}

#[tokio::test]
async fn events_are_refused_once_the_log_or_its_index_is_deleted_and_nothing_that_was_accepted_is_lost() {
    for ending in ["-wal", "-shm"] {
        let place = Place::new();
        let store = place.open();
        let lane = place.lane(&store).await;
        let first = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
        let second = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
        std::fs::remove_file(beside(&place, ending)).unwrap();
        assert_refuses(&place, &store, &lane, first).await;
        wait_until_copied(&place.path, first, 1);
        // As after a crash: the database alone is there.
        let crashed = Place::new_beside(&place);
        std::fs::remove_file(beside(&crashed, "-shm")).ok();
        std::fs::remove_file(beside(&crashed, "-wal")).ok();
        let reopened = crashed.open();
        let pending = reopened.ready(lane.endpoint.no, 10).await.unwrap();
        assert!(pending.iter().any(|row| row.seq == second), "{ending}: {pending:?}");
        assert!(pending.iter().all(|row| row.seq != first), "{ending}: the outcome was recorded");
    }
}

#[tokio::test]
async fn two_names_of_one_file_are_one_store() {
    let place = Place::new();
    let store = place.open();
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(&place.path, &link).unwrap();
    let error = SqliteStore::migrate(&link).unwrap_err();
    assert!(error.to_string().contains("in use by another postrider process"), "{error}");
    drop(store);
    SqliteStore::migrate(&link).unwrap();
    assert!(!beside(&place, "-wal").exists() && !place.folder.path().join("link.db.lock").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_second_service_starts_while_the_lock_is_deleted_and_the_next_commit_restores_it() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let lock = beside(&place, ".lock");
    std::fs::remove_file(&lock).unwrap();
    let report = SqliteStore::report_files(&place.path).unwrap().unwrap();
    assert_eq!((report.deleted_lock.as_ref(), report.fault), (Some(&lock), None));
    // The refused start leaves a lock file behind; it does not help the next one.
    for _ in 0..2 {
        let second = SqliteStore::migrate(&place.path).unwrap_err();
        assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    }
    std::fs::remove_file(&lock).unwrap();
    store.accept(vec![place.event(&lane, "{}")]).await.unwrap();
    assert!(std::fs::File::open(&lock).unwrap().try_lock_shared().is_err(), "it is locked again");
    assert_eq!(SqliteStore::report_files(&place.path).unwrap().unwrap().deleted_lock, None);
    drop(store);
    SqliteStore::migrate(&place.path).unwrap();
}

#[tokio::test]
async fn events_are_refused_while_another_process_holds_the_lock_or_none_can_be_made() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let seq = store.accept(vec![place.event(&lane, "{}")]).await.unwrap()[0];
    let lock = beside(&place, ".lock");
    // Moved, so that a second start can't tell that there was one.
    std::fs::rename(&lock, place.folder.path().join("moved.lock")).unwrap();
    let second = std::fs::File::create(&lock).unwrap();
    second.lock().unwrap();
    assert_refuses(&place, &store, &lane, seq).await;
    drop(second);
    store.accept(vec![place.event(&lane, "{}")]).await.unwrap();
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    assert_refuses(&place, &store, &lane, seq).await;
    std::fs::remove_dir(&lock).unwrap();
    store.accept(vec![place.event(&lane, "{}")]).await.unwrap();
    assert!(lock.is_file());
}
