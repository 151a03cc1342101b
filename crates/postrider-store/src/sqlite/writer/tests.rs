//! Commits that fail before and after they take place, and a writer that panics: what the callers are told is true.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use postrider_core::delivery::{DeliverySeq, Next, Progress};
use postrider_core::endpoint::EndpointNo;
use postrider_core::event::Event;
use postrider_core::id::{AccountId, DeliveryId, EventId};
use postrider_core::time::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use super::super::checkpoint::{CheckpointOptions, CheckpointStatus, Copier};
use super::super::inbox::{ChangeJob, RecordJob};
use super::super::{SqliteOptions, SqliteStore, open, pending};
use super::*;
use crate::Store as _;
use crate::accept_queue::Size;
use crate::model::{NewDelivery, Record, RecordBatch};
use crate::seal::MasterKey;
use crate::sqlite::changes::{self, NotMade};
use crate::sqlite::checkpoint::Checkpoints;

/// A database with one account, and what its writer needs.
struct Fixture {
    folder: tempfile::TempDir,
    opened: open::Opened,
    status: Arc<CheckpointStatus>,
    ids: AtomicI32,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = open::open(&folder.path().join("postrider.db"), Duration::ZERO).unwrap();
        let account = "INSERT INTO accounts (no, id, name, created_at, config_version)
            VALUES (1, randomblob(16), 'Acme', 0, 1)";
        opened.connection.execute(account, []).unwrap();
        Self { folder, opened, status: Arc::default(), ids: AtomicI32::new(1) }
    }

    fn writer(&self) -> Writer<'_> {
        let (path, connection) = (&self.opened.path, &self.opened.connection);
        let limits = Size { rows: 100, bytes: 1_000_000 };
        let copier = Copier::start(path, Duration::ZERO, 1, Inbox::new(limits)).unwrap();
        let options = CheckpointOptions {
            pages: 4_000,
            longest_wait: Duration::from_secs(3_600),
            rescue_every: Duration::from_secs(600),
            patience: Duration::ZERO,
            status: Arc::clone(&self.status),
        };
        let checkpoints = Checkpoints::new(connection, path, copier, options).unwrap();
        let sealer = Arc::new(Sealer::new(&MasterKey::generate()));
        Writer::new(
            connection,
            sealer,
            checkpoints,
            OpenFiles::remember(path, &self.opened.lock),
            (100, 100),
            Arc::default(),
        )
        .unwrap()
    }

    fn event(&self) -> NewEvent {
        let id = u128::from(self.ids.fetch_add(1, Ordering::Relaxed).unsigned_abs());
        let now = Timestamp::from_ms(1);
        NewEvent {
            event: Event {
                id: EventId::new(now, id),
                account_no: AccountNo(1),
                account: AccountId::new(now, 1),
                event_type: "policy.created".to_owned(),
                livemode: false,
                payload: Bytes::from_static(b"{}"),
                created_at: now,
            },
            config_version: 1,
            deliveries: vec![NewDelivery {
                id: DeliveryId::new(now, id),
                endpoint_no: EndpointNo(7),
                is_own: true,
            }],
        }
    }

    /// Runs a batch and answers it.
    fn run(&self, writer: &mut Writer<'_>, batch: Batch) {
        if let Some(committed) = writer.process(batch) {
            committed.answer();
        }
        writer.checkpoints.after_batch();
    }

    fn accept(&self, writer: &mut Writer<'_>) -> Accepted {
        let (reply, mut answer) = oneshot::channel();
        let accepts = vec![AcceptJob { events: vec![self.event()], keep: None, reply }];
        self.run(writer, Batch { accepts, ..Batch::default() });
        answer.try_recv().unwrap().take()
    }

    fn record(&self, writer: &mut Writer<'_>, seq: DeliverySeq) -> Recorded {
        let (reply, mut answer) = oneshot::channel();
        let progress = Progress { attempts: 1, used: 1 };
        let record =
            Record { seq, attempt: None, next: Next::Delivered, progress, at: Timestamp::from_ms(2) };
        let batch = Arc::new(RecordBatch { records: vec![record], health: Vec::new() });
        let records = vec![RecordJob { batch, reply, _space: space() }];
        self.run(writer, Batch { records, ..Batch::default() });
        answer.try_recv().unwrap().take()
    }

    /// The number of pages that only the write-ahead log holds.
    fn uncopied(&self) -> i64 {
        let pages = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?);
        self.opened.connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], pages).unwrap()
    }

    fn ready(&self) -> Vec<DeliverySeq> {
        let ready = pending::ready(&self.opened.connection, EndpointNo(7), 100).unwrap();
        ready.iter().map(|row| row.seq).collect()
    }
}

fn space() -> tokio::sync::OwnedSemaphorePermit {
    Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
}

#[test]
fn what_a_commit_that_fails_was_about_is_not_there_and_later_ones_have_other_numbers() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    let first = fixture.accept(&mut writer).unwrap()[0];
    let fails = Arc::new(AtomicBool::new(true));
    let hook = Arc::clone(&fails);
    fixture.opened.connection.commit_hook(Some(move || hook.load(Ordering::Relaxed))).unwrap();
    assert!(matches!(fixture.accept(&mut writer), Err(AcceptError::Unavailable(_))));
    assert!(matches!(fixture.record(&mut writer, first), Err(StoreError::Unavailable(_))));
    assert_eq!(fixture.ready(), [first], "neither took place");
    fails.store(false, Ordering::Relaxed);
    let second = fixture.accept(&mut writer).unwrap()[0];
    assert!(second.0 > first.0 + 1, "the numbers of the one that failed are not given again");
    fixture.record(&mut writer, first).unwrap();
    assert_eq!(fixture.ready(), [second]);
}

/// Set while commits are to be reported as failed although they took place. SQLite takes no closure for it.
static FAILS_AFTERWARDS: AtomicBool = AtomicBool::new(false);

#[test]
fn an_event_whose_commit_took_place_although_an_error_came_back_is_pending_and_delivered_once() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    fixture.opened.connection.wal_hook(Some(|_, _| match FAILS_AFTERWARDS.load(Ordering::Relaxed) {
        true => Err(rusqlite::Error::InvalidQuery),
        false => Ok(()),
    }));
    FAILS_AFTERWARDS.store(true, Ordering::Relaxed);
    assert!(matches!(fixture.accept(&mut writer), Err(AcceptError::Unavailable(_))));
    let there = fixture.ready();
    assert_eq!(there.len(), 1, "it may have been stored: then a refill or the next start finds it");
    assert!(matches!(fixture.record(&mut writer, there[0]), Err(StoreError::Unavailable(_))));
    FAILS_AFTERWARDS.store(false, Ordering::Relaxed);
    fixture.record(&mut writer, there[0]).unwrap();
    let next = fixture.accept(&mut writer).unwrap()[0];
    assert_eq!(fixture.ready(), [next], "an outcome that is recorded again changes nothing");
}

#[test]
fn a_change_that_was_undone_with_others_that_failed_is_not_reported_as_made() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    // The first commit fails in a way that makes the writer run every job once more by itself.
    let fails = AtomicBool::new(true);
    let hook = move || fails.swap(false, Ordering::Relaxed);
    fixture.opened.connection.commit_hook(Some(hook)).unwrap();
    let (change, mut answer) = changes::ask(|context| {
        context.connection.execute("UPDATE accounts SET name = 'Renamed'", [])?;
        Ok::<_, NotMade>(())
    });
    let changes = vec![ChangeJob { change, _space: space() }];
    fixture.run(&mut writer, Batch { changes, ..Batch::default() });
    let told = answer.try_recv().unwrap();
    let name: String =
        fixture.opened.connection.query_row("SELECT name FROM accounts", [], |row| row.get(0)).unwrap();
    assert_eq!(told.is_ok(), name == "Renamed", "{told:?}, {name}");
}

#[test]
fn only_commits_that_wait_in_the_log_have_an_age() {
    let fixture = Fixture::new();
    fixture.opened.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let mut writer = fixture.writer();
    assert!(fixture.status.age().is_zero());
    let fails = Arc::new(AtomicBool::new(true));
    let hook = Arc::clone(&fails);
    fixture.opened.connection.commit_hook(Some(move || hook.load(Ordering::Relaxed))).unwrap();
    fixture.accept(&mut writer).unwrap_err();
    assert!(fixture.status.age().is_zero(), "a commit that failed does not wait");
    fails.store(false, Ordering::Relaxed);
    fixture.accept(&mut writer).unwrap();
    assert!(!fixture.status.age().is_zero());
}

#[test]
fn while_the_files_are_faulty_the_log_is_copied_at_once_and_then_from_time_to_time() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    let seqs = [(); 2].map(|()| fixture.accept(&mut writer).unwrap()[0]);
    assert!(fixture.uncopied() > 0);
    let away = fixture.folder.path().join("away.db");
    std::fs::rename(&fixture.opened.path, &away).unwrap();
    fixture.accept(&mut writer).unwrap_err();
    assert_eq!(fixture.uncopied(), 0, "what was accepted is copied at once");
    fixture.record(&mut writer, seqs[0]).unwrap();
    assert!(fixture.uncopied() > 0, "not with every commit");
    let wakes_in = writer.checkpoints.wake_at().unwrap().saturating_duration_since(Instant::now());
    assert!(wakes_in <= Duration::from_secs(600), "also if no other batch comes: {wakes_in:?}");
    writer.checkpoints.before_close();
    assert_eq!(fixture.uncopied(), 0);
    std::fs::rename(&away, &fixture.opened.path).unwrap();
    fixture.accept(&mut writer).unwrap();
    std::fs::rename(&fixture.opened.path, &away).unwrap();
    fixture.accept(&mut writer).unwrap_err();
    assert_eq!(fixture.uncopied(), 0, "each fault begins with a copy");
}

#[tokio::test]
async fn when_the_writer_panics_everyone_is_told_and_the_store_is_not_ready_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postrider.db");
    let key = MasterKey::generate();
    let store = SqliteStore::open(&path, key.clone(), SqliteOptions::default()).unwrap();
    store.check_writable().await.unwrap();
    let panics = |_: &mut Context<'_>| -> Result<(), NotMade> { panic!("a bug in a change") };
    assert!(matches!(store.change(panics).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.check_writable().await, Err(StoreError::Unavailable(_))));
    let event = Fixture::new().event();
    assert!(matches!(store.accept(vec![event]).await, Err(AcceptError::Unavailable(_))));
    assert!(store.load().await.is_ok(), "reading goes on");
    store.close().await;
    drop(store);
    SqliteStore::open(&path, key, SqliteOptions::default()).unwrap();
}
