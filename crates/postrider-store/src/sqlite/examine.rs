//! A look at a file from outside, for a diagnosis: it changes nothing and disturbs no service that runs on it.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider_core::catalogue::Definition;
use postrider_core::service_clock::ClockRecord;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::clock;
use super::endpoint_row::{ENDPOINTS, endpoint};
use super::file_users::{self, FileUser};
use super::open::{self, check_ours, sqlite_error, with_ending};
use super::open_files::FileFault;
use super::{BUSY_PATIENCE, SqliteStore, changes, migrations, preflight};
use crate::error::OpenError;
use crate::seal::meta_values;
use crate::seal::{MasterKey, Scheme, Sealer};

/// What a file is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Examined {
    /// The version of its schema; 0 for an empty file.
    pub schema: i64,
    /// The version that this build brings it to.
    pub newest_schema: i64,
    /// Whether a process serves it just now.
    pub is_served: bool,
    /// How many endpoints have a secret or headers that do not open; nothing is sent to those. 0 where no key is given, and in
    /// an older schema.
    pub unreadable_endpoints: u64,
    /// What it keeps of the service's time; nothing before the first start of this release.
    pub clock: Option<ClockRecord>,
}

impl SqliteStore {
    /// Looks at the file at `path`, which must be there, and whether `key`, where one is given, fits it.
    pub fn examine(path: &Path, key: Option<&MasterKey>) -> Result<Examined, OpenError> {
        let path = &open::resolved(path);
        preflight::check_place(path)?;
        // The operating system's own word on whether it could be written.
        drop(OpenOptions::new().write(true).open(path).map_err(|error| open::io_error(path, &error))?);
        let is_served = is_served(path)?;
        let connection = connect(path, is_served).map_err(|error| sqlite_error(path, error))?;
        let schema = check_ours(path, &connection)?;
        let mut unreadable_endpoints = 0;
        if let Some(key) = key.filter(|_| schema > 0) {
            let sealer = fits(path, &connection, key)?;
            if schema == migrations::NEWEST {
                unreadable_endpoints =
                    unreadable(&connection, &sealer).map_err(|error| sqlite_error(path, error))?;
            }
        }
        let clock = if schema > 0 { clock::find(&connection) } else { Ok(None) };
        let clock = clock.map_err(|error| sqlite_error(path, error))?;
        Ok(Examined { schema, newest_schema: migrations::NEWEST, is_served, unreadable_endpoints, clock })
    }
}

impl SqliteStore {
    /// Reads the event types of the file at `path`, which must be there; none where it has none yet.
    pub fn examine_event_types(path: &Path) -> Result<Vec<Definition>, OpenError> {
        let path = &open::resolved(path);
        let read = |connection: Connection| {
            let is_there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'event_types'";
            match connection.query_row(is_there, [], |row| row.get::<_, i64>(0))? {
                0 => Ok(Vec::new()),
                _ => changes::event_types::all(&connection),
            }
        };
        let connection = connect(path, is_served(path)?);
        connection.and_then(read).map_err(|error| sqlite_error(path, error))
    }
}

/// A database's files beside a running service, and who uses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// What happened to the files since the service opened them; `None` if nothing, or nobody can tell.
    pub fault: Option<FileFault>,
    /// The path of the service's lock, if the lock was deleted. The service makes it again with its next commit.
    pub deleted_lock: Option<PathBuf>,
    /// The size of the write-ahead log.
    pub log_bytes: u64,
    /// How long the log has been ahead of the database, as their times of change say it; zero if it is not.
    pub log_ahead: Duration,
    /// Processes other than the service that read the database at this moment.
    pub readers: Vec<FileUser>,
    /// Processes other than the service that have the database open.
    pub having_open: Vec<FileUser>,
}

impl SqliteStore {
    /// Reports on the files of a database that a service runs on; `None` if none does. Opens nothing.
    pub fn report_files(path: &Path) -> Result<Option<FileReport>, OpenError> {
        let path = &open::resolved(path);
        if !is_served(path)? {
            return Ok(None);
        }
        let lock = with_ending(path, ".lock");
        let deleted_lock = if lock.exists() { None } else { Some(lock) };
        let service = file_users::service(path).or_else(|| file_users::holder_of_deleted_lock(path));
        let others = |users: Vec<FileUser>| {
            users.into_iter().filter(|user| Some(user.pid) != service).collect::<Vec<_>>()
        };
        let log = std::fs::metadata(with_ending(path, "-wal")).ok();
        let changed = |found: &Metadata| found.modified().ok();
        let log_changed = log.as_ref().filter(|log| log.len() > 0).and_then(changed);
        let database_changed = std::fs::metadata(path).ok().as_ref().and_then(changed);
        let ahead = log_changed.zip(database_changed).map(|(log, database)| log.duration_since(database));
        Ok(Some(FileReport {
            fault: fault(path, service),
            deleted_lock,
            log_bytes: log.map_or(0, |log| log.len()),
            log_ahead: ahead.and_then(Result::ok).unwrap_or_default(),
            readers: others(file_users::readers(path)),
            having_open: others(file_users::having_open(path)),
        }))
    }
}

/// Compares what the service has open with what is at the paths, as far as the system lets us see it.
fn fault(path: &Path, service: Option<u32>) -> Option<FileFault> {
    let service = service.filter(|pid| file_users::can_be_examined(*pid));
    let is_other = |path: &Path| service.is_some_and(|pid| !file_users::has_open(pid, path));
    if !path.exists() {
        return Some(FileFault::DatabaseMissing(path.into()));
    }
    if is_other(path) {
        return Some(FileFault::DatabaseReplaced(path.into()));
    }
    let of_log = [with_ending(path, "-wal"), with_ending(path, "-shm")].into_iter().find_map(|path| {
        if !path.exists() {
            return Some(FileFault::LogMissing(path.into()));
        }
        is_other(&path).then(|| FileFault::LogReplaced(path.into()))
    });
    let is_second = || file_users::holder_of_deleted_lock(path).is_some_and(|pid| Some(pid) != service);
    of_log.or_else(|| is_second().then(|| FileFault::LockTaken(with_ending(path, ".lock").into())))
}

/// The version of the schema; 0 where the database has no table. Refuses a database of another program.
pub(super) fn schema(path: &Path) -> Result<i64, OpenError> {
    let connection = connect(path, is_served(path)?).map_err(|error| sqlite_error(path, error))?;
    check_ours(path, &connection)
}

/// A connection that only reads.
fn connect(path: &Path, is_served: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if is_served || with_ending(path, "-wal").exists() {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_PATIENCE)?;
        return Ok(connection);
    }
    // Nobody writes, and no log waits. Told so, SQLite makes no log and no index of its own beside the file, which a
    // reader could not take away again.
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    Connection::open_with_flags(uri + "?immutable=1", flags | OpenFlags::SQLITE_OPEN_URI)
}

/// Returns a sealer that goes by the scheme of the file, where the key is the one that it was made with.
fn fits(path: &Path, connection: &Connection, key: &MasterKey) -> Result<Sealer, OpenError> {
    let sealed: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM meta WHERE name = 'key_check'", [], |row| row.get(0))
        .optional()
        .map_err(|error| sqlite_error(path, error))?;
    let sealer = Sealer::new(key);
    match sealed.map(|sealed| meta_values::scheme_of_store(&sealer, &sealed)) {
        Some(None) => return Err(OpenError::WrongKey { path: path.to_owned() }),
        Some(Some(Scheme::Bound)) => sealer.refuse_unbound(),
        Some(Some(Scheme::Unbound)) | None => {}
    }
    Ok(sealer)
}

/// Counts the endpoints whose sealed values do not open.
fn unreadable(connection: &Connection, sealer: &Sealer) -> rusqlite::Result<u64> {
    let mut find = connection.prepare(&format!("{ENDPOINTS} ORDER BY ep.no"))?;
    let mut rows = find.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += u64::from(!endpoint(sealer, row)?.is_readable());
    }
    Ok(count)
}

/// Whether somebody holds the lock beside the file, or held it when it was deleted. A shared lock, and for a moment only.
pub(super) fn is_served(path: &Path) -> Result<bool, OpenError> {
    let file = match File::open(with_ending(path, ".lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(file_users::holder_of_deleted_lock(path).is_some());
        }
        Err(error) => return Err(open::io_error(path, &error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(open::io_error(path, &error)),
    }
}
