//! Checks a path before anything is created: whether it can hold a database, and if not, for which reason.
//!
//! Each reason has its own [`OpenError`], so that an operator reads the cause and not one of its consequences. Creates
//! and changes no file.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::open::{self, io_error, with_ending};
use super::{SqliteStore, examine};
use crate::error::OpenError;

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Length of the database header.
const HEADER_BYTES: usize = 100;
/// Position of the application id in the header.
const APPLICATION_ID_AT: std::ops::Range<usize> = 68..72;

/// What is at a path that can hold a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathState {
    /// Nothing, or an empty file: the next start creates the database.
    New,
    /// A database of Postrider.
    Database,
}

impl SqliteStore {
    /// Checks that `path` holds a database of Postrider, or that one can be created there. Creates and changes nothing.
    pub fn check_path(path: &Path) -> Result<PathState, OpenError> {
        check_place(path)?;
        // The service that holds the lock has checked the content. Closing the file here would drop its locks, if the
        // service is this process.
        if examine::is_served(&open::resolved(path))? { Ok(PathState::Database) } else { check_content(path) }
    }
}

/// Checks everything that can be told without opening the file.
pub(super) fn check_place(path: &Path) -> Result<(), OpenError> {
    match std::fs::metadata(path) {
        Ok(found) => check_kind(path, &found)?,
        Err(error) if error.kind() == ErrorKind::NotFound => check_link(path)?,
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(folder_is_a_file(path)),
        Err(error) => return Err(io_error(path, &error)),
    }
    check_folder(path)
}

/// Checks what the file holds. Whoever calls this has passed [`check_place`].
fn check_content(path: &Path) -> Result<PathState, OpenError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return check_log(path),
        Err(error) => return Err(io_error(path, &error)),
    };
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let most = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut header).map_err(|error| io_error(path, &error))?;
    if header.is_empty() {
        return check_log(path);
    }
    if !header.starts_with(MAGIC) {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    // The header of ours names it, and then SQLite need not read a long log here and once more at the start.
    if header.get(APPLICATION_ID_AT) == Some(&open::APPLICATION_ID.to_be_bytes()[4..]) {
        return Ok(PathState::Database);
    }
    match examine::schema(path)? {
        0 => Ok(PathState::New),
        _ => Ok(PathState::Database),
    }
}

/// The folder of a path; `.` for a bare file name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Refuses a link that leads nowhere.
fn check_link(path: &Path) -> Result<(), OpenError> {
    match std::fs::read_link(path) {
        Ok(target) => {
            Err(OpenError::DanglingLink { path: path.to_owned(), target: path.with_file_name(target) })
        }
        Err(_not_a_link) => Ok(()),
    }
}

fn check_kind(path: &Path, found: &Metadata) -> Result<(), OpenError> {
    let path = path.to_owned();
    let kind = found.file_type();
    if kind.is_dir() {
        return Err(OpenError::IsFolder { path });
    }
    let kind = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_fifo() => "FIFO",
        kind if kind.is_socket() => "socket",
        _ => "device",
    };
    Err(OpenError::NotAFile { path, kind })
}

/// The first part of a path that is not a folder although more follows it.
fn folder_is_a_file(path: &Path) -> OpenError {
    let is_file = |part: &&Path| std::fs::metadata(part).is_ok_and(|found| !found.is_dir());
    let folder = path.ancestors().skip(1).find(is_file).unwrap_or(folder_of(path));
    OpenError::FolderIsAFile { path: path.to_owned(), folder: folder.to_owned() }
}

/// The database, its log and its lock are created in the folder.
fn check_folder(path: &Path) -> Result<(), OpenError> {
    let folder: PathBuf = folder_of(path).to_owned();
    // A file without a name: nothing shows up in the folder.
    match tempfile::tempfile_in(&folder) {
        Ok(_gone) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound && !folder.exists() => {
            Err(OpenError::NoFolder { folder })
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(folder_is_a_file(path)),
        // A full disk is for the database to tell.
        Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
        Err(error) => Err(OpenError::FolderNotWritable { folder, reason: plain(&error) }),
    }
}

/// The operating system's reason, without the path that `tempfile` adds.
fn plain(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.source()).map(ToString::to_string);
    inner.unwrap_or_else(|| error.to_string())
}

/// SQLite deletes a log that it finds beside a new database.
fn check_log(path: &Path) -> Result<PathState, OpenError> {
    let log = with_ending(path, "-wal");
    match std::fs::metadata(&log) {
        Ok(found) if found.len() > 0 => Err(OpenError::LogWithoutDatabase { path: path.to_owned(), log }),
        _ => Ok(PathState::New),
    }
}
