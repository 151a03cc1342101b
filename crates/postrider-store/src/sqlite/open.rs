//! From a path to a database that is ours alone: the lock, the checks, the settings of a connection.
//!
//! Every refusal is a distinct [`OpenError`]. A file of another program is looked at, never changed.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};

use super::SqliteStore;
use super::file_lock::{FileLock, open_private};
use super::migrations::{self, Migrated};
use crate::error::OpenError;
use crate::figures::StoreFigures;
use crate::seal::meta_values;
use crate::seal::{MasterKey, Scheme, Sealer};

/// Marks a file as one of ours (`PRAGMA application_id`): "PSTR".
pub(super) const APPLICATION_ID: i64 = 0x5053_5452;
/// Bytes per page of a new file.
const PAGE_BYTES: i64 = 4_096;
/// How many steps of SQLite's machine are counted at a time.
const COUNTED_STEPS: i32 = 1_000;
/// An opened file: locked, checked and migrated.
pub(super) struct Opened {
    /// The file itself, where the path is a symbolic link. SQLite puts the write-ahead log beside that.
    pub(super) path: PathBuf,
    pub(super) lock: FileLock,
    pub(super) connection: Connection,
    pub(super) migrated: Migrated,
}

/// Takes the lock, opens the file, refuses what is not ours and brings the schema up to date. Another program
/// that holds the file is waited for as long as `patience`, now and for every later write.
pub(super) fn open(path: &Path, patience: Duration) -> Result<Opened, OpenError> {
    SqliteStore::check_path(path)?;
    let path = &resolved(path);
    let lock = FileLock::take(path)?;
    touch(path)?;
    let connection = connect(path, patience).map_err(|e| sqlite_error(path, e))?;
    if connection.is_readonly("main").unwrap_or(false) {
        return Err(not_writable(path, "it is read-only"));
    }
    let version = check_ours(path, &connection)?;
    let prepared =
        prepare_file(&connection).and_then(|()| migrations::run(&connection, version, APPLICATION_ID));
    let migrated = prepared.map_err(|e| sqlite_error(path, e))?;
    Ok(Opened { path: path.clone(), lock, connection, migrated })
}

/// Makes sure that the sealed values of this file open under `key`; a new file remembers the key's check value.
pub(super) fn check_key(path: &Path, connection: &Connection, key: &MasterKey) -> Result<Sealer, OpenError> {
    let sealer = Sealer::new(key);
    let failed = |error| sqlite_error(path, error);
    let found: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM meta WHERE name = 'key_check'", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let scheme = match found {
        Some(found) => meta_values::scheme_of_store(&sealer, &found),
        None => {
            let check = "INSERT INTO meta (name, value) SELECT 'key_check', ?1
                WHERE NOT EXISTS (SELECT 1 FROM accounts)";
            let value = meta_values::key_check(&sealer, Scheme::Bound);
            // The check value is written before anything else: a file that has lost it is not to be trusted with another.
            (connection.execute(check, [value]).map_err(failed)? == 1).then_some(Scheme::Bound)
        }
    };
    match scheme {
        Some(Scheme::Bound) => sealer.refuse_unbound(),
        Some(Scheme::Unbound) => {}
        None => return Err(OpenError::WrongKey { path: path.to_owned() }),
    }
    Ok(sealer)
}

/// A connection that only reads, for the pool.
pub(super) fn connect_reader(
    path: &Path,
    patience: Duration,
    cache_kib: u32,
    figures: &Arc<StoreFigures>,
) -> Result<Connection, OpenError> {
    let open = || {
        // Opened for writing all the same: without a writer's rights SQLite can't share the WAL's index.
        let connection = connect(path, patience)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(48);
        let figures = Arc::clone(figures);
        let count = move || {
            figures.read_steps.fetch_add(COUNTED_STEPS.unsigned_abs().into(), Ordering::Relaxed);
            // It goes on.
            false
        };
        connection.progress_handler(COUNTED_STEPS, Some(count))?;
        Ok(connection)
    };
    open().map_err(|e| sqlite_error(path, e))
}

/// A connection that copies the write-ahead log into the file and does nothing else.
pub(super) fn connect_copier(path: &Path, patience: Duration) -> Result<Connection, OpenError> {
    let open = || {
        let connection = connect(path, patience)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(connection)
    };
    open().map_err(|e| sqlite_error(path, e))
}

/// Settings of the one connection that writes.
pub(super) fn configure_writer(
    connection: &Connection,
    cache_kib: u32,
    max_pages: Option<u32>,
    log_limit: i64,
) -> rusqlite::Result<()> {
    if let Some(pages) = max_pages {
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    // FULL: a commit has reached the disk when it returns. Checkpoints are made between batches by the writer itself. The
    // log is reused, which spares the file system its own journal, and gets shorter only if it had become very long.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", log_limit)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// One connection to one file: used by one thread at a time, never through a URI.
fn connect(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    Ok(connection)
}

/// What a new file begins with; an existing one keeps its pages.
fn prepare_file(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    // `journal_mode` answers with the mode that holds; a file system without shared memory refuses WAL.
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let why = "this file system can't keep a write-ahead log; put the file on a local disk";
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
        Some(why.into()),
    ))
}

/// The schema's version: 0 for a new file. Refuses files of other programs and of newer versions.
pub(super) fn check_ours(path: &Path, connection: &Connection) -> Result<i64, OpenError> {
    let number = |sql: &str| -> Result<i64, OpenError> {
        connection.query_row(sql, [], |row| row.get(0)).map_err(|e| sqlite_error(path, e))
    };
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return if tables == 0 { Ok(0) } else { Err(OpenError::Foreign { path: path.to_owned() }) };
    }
    let found = number("PRAGMA user_version")?;
    if found > migrations::NEWEST {
        return Err(OpenError::TooNew { path: path.to_owned(), found, known: migrations::NEWEST });
    }
    Ok(found)
}

/// The file that a path names, through symbolic links, so that each name of a file leads to one lock and one log.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let target = is_link.then(|| std::fs::canonicalize(path).ok()).flatten();
    target.unwrap_or_else(|| path.to_owned())
}

/// A file beside the database, such as `postrider.db.lock` beside `postrider.db`.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Makes the file where there is none. Done here and not by SQLite, for the operating system's own word on
/// why it can't be written, and so that customers' data is for the owner's eyes only.
fn touch(path: &Path) -> Result<(), OpenError> {
    open_private(path).map(drop).map_err(|e| io_error(path, &e))
}

fn not_writable(path: &Path, reason: impl ToString) -> OpenError {
    OpenError::NotWritable { path: path.to_owned(), reason: reason.to_string() }
}

pub(super) fn io_error(path: &Path, error: &io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull => {
            not_writable(path, error)
        }
        _ => OpenError::Other { path: path.to_owned(), reason: error.to_string() },
    }
}

/// What SQLite's word about opening means to the operator.
pub(super) fn sqlite_error(path: &Path, error: rusqlite::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Corrupt { path, reason },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::DiskFull) => {
            OpenError::NotWritable { path, reason }
        }
        _ => OpenError::Other { path, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_synced_and_only_a_very_long_log_is_cut_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postrider.db");
        let opened = open(&path, Duration::ZERO).unwrap();
        configure_writer(&opened.connection, 64, None, 1_000_000).unwrap();
        let reader = connect_reader(&path, Duration::ZERO, 64, &Arc::default()).unwrap();
        let number = |connection: &Connection, name: &str| -> i64 {
            connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!(number(&opened.connection, "synchronous"), 2, "FULL");
        assert_eq!(number(&opened.connection, "wal_autocheckpoint"), 0);
        assert_eq!(number(&opened.connection, "journal_size_limit"), 1_000_000);
        assert_eq!(number(&opened.connection, "cache_size"), -64);
        assert_eq!(number(&reader, "cache_size"), -64);
        for connection in [&opened.connection, &reader] {
            let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
        }
        assert!(reader.execute("DELETE FROM meta", []).is_err(), "a reader can't write");
    }

    #[test]
    fn each_word_of_the_operating_system_has_its_error() {
        let path = Path::new("/data/postrider.db");
        for (kind, is_not_writable) in [
            (ErrorKind::PermissionDenied, true),
            (ErrorKind::ReadOnlyFilesystem, true),
            (ErrorKind::StorageFull, true),
            (ErrorKind::NotFound, false),
            (ErrorKind::IsADirectory, false),
        ] {
            let error = io_error(path, &io::Error::from(kind));
            assert_eq!(matches!(error, OpenError::NotWritable { .. }), is_not_writable, "{kind:?}: {error}");
        }
    }
}
