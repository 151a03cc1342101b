//! Reads beside the checkpoints: short ones that follow each other, and long ones.

use super::*;
use crate::accept_queue::Size;
use crate::sqlite::inbox::Inbox;
use crate::sqlite::open;

/// Pages that are left to the writer.
const SMALL: u32 = 50;

/// A database whose log is empty.
struct Fixture {
    _folder: tempfile::TempDir,
    opened: open::Opened,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = open::open(&folder.path().join("postrider.db"), Duration::ZERO).unwrap();
        open::configure_writer(&opened.connection, 1_024, None, log_limit(200)).unwrap();
        checkpoint(&opened.connection, TRUNCATE).unwrap();
        Self { _folder: folder, opened }
    }

    fn commit(&self, count: u32) {
        let write = "INSERT INTO meta (name, value) VALUES ('x', randomblob(3000))
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        for _ in 0..count {
            self.opened.connection.execute(write, []).unwrap();
        }
    }

    /// A read that has begun.
    fn read(&self) -> Connection {
        let reader = open::connect_reader(&self.opened.path, Duration::ZERO, 64, &Arc::default()).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        reader.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0)).unwrap();
        reader
    }

    fn checkpoints(&self) -> Checkpoints<'_> {
        let copier = self.copier();
        let options = CheckpointOptions {
            pages: 200,
            longest_wait: Duration::from_secs(600),
            rescue_every: Duration::from_secs(600),
            patience: Duration::ZERO,
            status: Arc::default(),
        };
        Checkpoints::new(&self.opened.connection, &self.opened.path, copier, options).unwrap()
    }

    fn copier(&self) -> Copier {
        let inbox = Inbox::new(Size { rows: 100, bytes: 1_000_000 });
        Copier::start(&self.opened.path, Duration::ZERO, SMALL, inbox).unwrap()
    }

    /// What one run of the copier comes to.
    fn copied(&self) -> Copied {
        let copier = self.copier();
        assert!(copier.begin());
        loop {
            match copier.take_result() {
                Some(result) => return result,
                None => std::thread::yield_now(),
            }
        }
    }
}

#[test]
fn a_read_that_began_a_few_commits_ago_leaves_the_rest_to_the_writer_and_one_that_began_long_ago_does_not() {
    let fixture = Fixture::new();
    fixture.commit(100);
    let reader = fixture.read();
    fixture.commit(10);
    assert_eq!(fixture.copied(), Copied::Nearly);
    fixture.commit(100);
    assert_eq!(fixture.copied(), Copied::Blocked);
    drop(reader);
    assert_eq!(fixture.copied(), Copied::Nearly);
}

#[test]
fn the_time_for_which_checkpoints_are_blocked_begins_again_whenever_something_was_copied() {
    let fixture = Fixture::new();
    let mut checkpoints = fixture.checkpoints();
    fixture.commit(10);
    let mut reader = fixture.read();
    let mut since = None;
    for _ in 0..3 {
        fixture.commit(10);
        // Another read has begun before this one ends.
        let next = fixture.read();
        checkpoints.go_on(Some(Copied::Nearly)).unwrap();
        let blocked = checkpoints.blocked.unwrap();
        assert!(since.is_none_or(|before| before < blocked.since), "short reads follow each other");
        assert_eq!(blocked.retry_at - blocked.since, RETRY.1);
        since = Some(blocked.since);
        reader = next;
    }
    checkpoints.go_on(Some(Copied::Nearly)).unwrap();
    let began = checkpoints.blocked.unwrap().since;
    for result in [Copied::Blocked, Copied::Failed, Copied::Nearly] {
        checkpoints.go_on(Some(result)).unwrap();
        assert_eq!(checkpoints.blocked.unwrap().since, began, "a read that stays: {result:?}");
    }
    drop(reader);
    checkpoints.go_on(Some(Copied::Nearly)).unwrap();
    assert!(checkpoints.blocked.is_none());
}
