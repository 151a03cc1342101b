//! Opening a SQLite store: each file that is not ours to write is refused with its own error, and unchanged.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider_store::error::OpenError;
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{Examined, Migrated, PathState, SqliteOptions, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// The version of the newest schema.
const NEWEST: i64 = 14;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postrider.db");
    (folder, path)
}

fn open(path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, MasterKey::generate(), SqliteOptions::default())
}

/// The one line that the operator sees, without the path.
fn line(error: &OpenError, path: &Path) -> String {
    assert!(error.source().is_none(), "everything stands in the one line");
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line.replace(&path.display().to_string(), "FILE")
}

#[test]
fn a_new_file_is_made_migrated_and_opens_again_under_its_key() {
    let (_folder, path) = folder();
    let key = MasterKey::generate();
    drop(SqliteStore::open(&path, key.clone(), SqliteOptions::default()).unwrap());
    assert_eq!(SqliteStore::migrate(&path).unwrap(), Migrated { from: NEWEST, to: NEWEST });
    drop(SqliteStore::open(&path, key, SqliteOptions::default()).unwrap());
}

#[test]
fn migrating_says_from_where_to_where() {
    let (_folder, path) = folder();
    assert_eq!(SqliteStore::migrate(&path).unwrap(), Migrated { from: 0, to: NEWEST });
    assert_eq!(SqliteStore::migrate(&path).unwrap(), Migrated { from: NEWEST, to: NEWEST });
    drop(open(&path).unwrap());
}

#[test]
fn a_clean_close_leaves_one_file_to_copy() {
    let (folder, path) = folder();
    drop(open(&path).unwrap());
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["postrider.db", "postrider.db.lock"]);
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = folder();
    let _store = open(&path).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} {mode:o}", entry.file_name());
    }
}

#[test]
fn a_second_store_on_the_same_file_is_refused() {
    let (_folder, path) = folder();
    let store = open(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert_eq!(
        line(&error, &path),
        "FILE is in use by another postrider process; stop it, or name another file with --store"
    );
    assert!(matches!(SqliteStore::migrate(&path), Err(OpenError::InUse { .. })));
    drop(store);
}

#[test]
fn another_master_key_is_refused() {
    let (_folder, path) = folder();
    let key = MasterKey::generate();
    drop(SqliteStore::open(&path, key.clone(), SqliteOptions::default()).unwrap());
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::WrongKey { .. }));
    assert!(line(&error, &path).contains("--master-key-file"));
    SqliteStore::open(&path, key, SqliteOptions::default()).unwrap();
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_unchanged() {
    let (_folder, path) = folder();
    drop(open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 77).unwrap();
    let before = std::fs::read(&path).unwrap();
    for error in [open(&path).err().unwrap(), SqliteStore::migrate(&path).unwrap_err()] {
        assert!(matches!(error, OpenError::TooNew { found: 77, known: NEWEST, .. }));
        assert_eq!(
            line(&error, &path),
            format!(
                "FILE has schema version 77, this postrider knows up to {NEWEST}; use the newer postrider"
            )
        );
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_unchanged() {
    for application_id in [0, 42] {
        let (_folder, path) = folder();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
        other.pragma_update(None, "application_id", application_id).unwrap();
        drop(other);
        let before = std::fs::read(&path).unwrap();
        let error = open(&path).err().unwrap();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
        assert!(line(&error, &path).contains("not one of Postrider"));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn what_is_no_database_is_refused_and_unchanged() {
    let (_folder, path) = folder();
    let text = "just some notes, and nothing else\n".repeat(200);
    std::fs::write(&path, &text).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert_eq!(line(&error, &path), "FILE is not a SQLite database; name another file with --store");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_damaged_file_is_refused() {
    let (_folder, path) = folder();
    drop(open(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    // The schema's own pages overwritten, and a file cut off in the middle.
    let mut overwritten = whole.clone();
    overwritten[100..4_096].fill(0xaa);
    for damaged in [overwritten, whole[..whole.len() / 2].to_vec()] {
        std::fs::write(&path, damaged).unwrap();
        let error = open(&path).err().unwrap();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    }
}

#[test]
fn a_file_locked_by_another_program_is_refused_until_it_lets_go() {
    let (_folder, path) = folder();
    let key = MasterKey::generate();
    drop(SqliteStore::open(&path, key.clone(), SqliteOptions::default()).unwrap());
    let impatient = SqliteOptions { busy_patience: Duration::from_millis(20), ..SqliteOptions::default() };
    let other = Connection::open(&path).unwrap();
    for lock in ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"] {
        other.execute_batch(lock).unwrap();
        let error = SqliteStore::open(&path, key.clone(), impatient.clone()).err().unwrap();
        assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
        assert_eq!(line(&error, &path), "FILE is locked by another program; close it and start again");
        other.execute_batch("ROLLBACK").unwrap();
    }
    SqliteStore::open(&path, key, SqliteOptions::default()).unwrap();
}

/// A folder in which nothing can be made, whoever runs the test: permissions do not bind root, but no one makes
/// a file in the kernel's own folders.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let is_bound = std::fs::write(folder.path().join("probe"), "").is_err();
    let path = if is_bound { path } else { PathBuf::from("/sys/kernel/postrider.db") };
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::FolderNotWritable { .. }), "{error:?}");
    assert!(line(&error, &path).contains("can't be written"));
}

/// What each path that can't hold a database is refused with, `DIR` standing for the folder.
#[cfg(unix)]
#[test]
fn a_path_that_can_not_hold_a_database_is_refused_for_its_own_reason_and_nothing_is_made() {
    let (folder, _) = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("sub")).unwrap();
    std::fs::write(at("notes.txt"), "just some notes\n").unwrap();
    std::os::unix::fs::symlink("gone.db", at("link.db")).unwrap();
    std::os::unix::fs::symlink(at("sub"), at("link-to-sub")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    std::fs::write(at("lost.db-wal"), "a log of another life").unwrap();
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    for (name, expected) in [
        ("sub", "FILE is a folder; name a file in it, such as FILE/postrider.db"),
        ("link-to-sub", "FILE is a folder; name a file in it, such as FILE/postrider.db"),
        (".", "FILE is a folder; name a file in it, such as FILE/postrider.db"),
        ("notes.txt", "FILE is not a SQLite database; name another file with --store"),
        (
            "missing/x.db",
            "the folder DIR/missing doesn't exist; create it, or name another file with --store",
        ),
        ("a/b/x.db", "the folder DIR/a/b doesn't exist; create it, or name another file with --store"),
        (
            "notes.txt/x.db",
            "DIR/notes.txt is not a folder, so FILE can't be in it; name another file with --store",
        ),
        (
            "notes.txt/a/x.db",
            "DIR/notes.txt is not a folder, so FILE can't be in it; name another file with --store",
        ),
        (
            "link.db",
            "FILE is a symbolic link to DIR/gone.db, which doesn't exist; restore that file, or name it with --store to \
             create it",
        ),
        ("fifo", "FILE is a FIFO, not a file; name another with --store"),
        ("socket", "FILE is a socket, not a file; name another with --store"),
        (
            "lost.db",
            "FILE is missing, but its write-ahead log FILE-wal is there and may hold events; put the database back beside \
             it, or move the log away to start with a new one",
        ),
    ] {
        let path = at(name);
        for error in [
            SqliteStore::check_path(&path).unwrap_err(),
            open(&path).err().unwrap(),
            SqliteStore::migrate(&path).unwrap_err(),
        ] {
            let said = line(&error, &path).replace(&folder.path().display().to_string(), "DIR");
            assert_eq!(said, expected, "{name}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before, "nothing was made");
    let device = SqliteStore::check_path(Path::new("/dev/null")).unwrap_err();
    assert!(device.to_string().contains("is a device"), "{device}");
}

#[test]
fn a_path_that_can_hold_a_database_is_told_apart_from_one_that_does() {
    let (folder, path) = folder();
    assert_eq!(SqliteStore::check_path(&path).unwrap(), PathState::New);
    assert_eq!(SqliteStore::check_path(Path::new("postrider-nowhere.db")).unwrap(), PathState::New);
    std::fs::write(&path, "").unwrap();
    assert_eq!(SqliteStore::check_path(&path).unwrap(), PathState::New);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was made");
    let store = open(&path).unwrap();
    assert_eq!(SqliteStore::check_path(&path).unwrap(), PathState::Database);
    drop(store);
    assert_eq!(SqliteStore::check_path(&path).unwrap(), PathState::Database);
    Connection::open(&path).unwrap().pragma_update(None, "application_id", 42).unwrap();
    assert!(matches!(SqliteStore::check_path(&path), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_file_is_examined_without_a_change_while_it_is_served_and_while_it_is_not() {
    let (folder, path) = folder();
    let key = MasterKey::generate();
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    assert!(matches!(SqliteStore::examine(&path, Some(&key)), Err(OpenError::Other { .. })));
    assert_eq!(names(), 0, "nothing is made");
    let path = path.with_file_name("100% of it?#.db");
    let store = SqliteStore::open(&path, key.clone(), SqliteOptions::default()).unwrap();
    let served = Examined {
        schema: NEWEST,
        newest_schema: NEWEST,
        is_served: true,
        unreadable_endpoints: 0,
        clock: None,
    };
    assert_eq!(SqliteStore::examine(&path, Some(&key)).unwrap(), served);
    drop(store);
    let (before, content) = (names(), std::fs::read(&path).unwrap());
    assert_eq!(SqliteStore::examine(&path, None).unwrap(), Examined { is_served: false, ..served });
    let refused = SqliteStore::examine(&path, Some(&MasterKey::generate())).unwrap_err();
    assert!(matches!(refused, OpenError::WrongKey { .. }), "{refused}");
    assert!(names() == before && std::fs::read(&path).unwrap() == content, "nothing has changed");
    // Its lock was only looked at: the next service starts.
    drop(SqliteStore::open(&path, key, SqliteOptions::default()).unwrap());
}

#[test]
fn what_is_wrong_with_a_file_is_said_when_it_is_examined_too() {
    let (_folder, path) = folder();
    std::fs::write(&path, "this is no database ".repeat(500)).unwrap();
    let refused = SqliteStore::examine(&path, None).unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let refused = SqliteStore::examine(&path, None).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
}
