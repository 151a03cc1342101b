//! Tells whether the files that the store has open are still the ones at their paths.
//!
//! A database that is deleted, moved or replaced under a running service stays writable, but what is written is lost, or
//! ends up where nobody looks for it. SQLite doesn't notice. One `stat` per file does, at about a microsecond each.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file_lock::FileLock;
use super::open::with_ending;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(found: &Metadata) -> Self {
        Self(found.dev(), found.ino())
    }

    pub(super) fn inode(self) -> u64 {
        self.1
    }
}

/// What happened to a file that the store has open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// The database isn't at its path any more.
    #[error(
        "the database {0} was deleted or moved away while the service runs; put it back, or stop the service"
    )]
    DatabaseMissing(Arc<Path>),
    /// Another file is at the database's path.
    #[error(
        "the database {0} was replaced while the service runs; restart the service to use the new file, or put the old \
         one back"
    )]
    DatabaseReplaced(Arc<Path>),
    /// The write-ahead log or its index isn't at its path any more. The database itself is whole.
    #[error("{0} was deleted or moved away while the service runs; nothing is lost, restart the service")]
    LogMissing(Arc<Path>),
    /// Another file is at the path of the write-ahead log or its index.
    #[error("{0} was replaced while the service runs; restart the service")]
    LogReplaced(Arc<Path>),
    /// The lock isn't at its path any more and can't be made again there.
    #[error(
        "the lock {0} was deleted or moved away while the service runs, and can't be made again; make its folder writable, \
         or restart the service"
    )]
    LockMissing(Arc<Path>),
    /// Another process has locked the file at the path of the lock.
    #[error(
        "another process holds the lock {0}, so a second service may run on the database; stop one of them"
    )]
    LockTaken(Arc<Path>),
}

impl FileFault {
    /// Whether a file of somebody else may be at the path.
    fn is_replaced(&self) -> bool {
        matches!(self, Self::DatabaseReplaced(_) | Self::LogReplaced(_))
    }
}

#[derive(Debug)]
struct OpenFile {
    path: Arc<Path>,
    identity: Identity,
    is_database: bool,
}

impl OpenFile {
    fn check(&self) -> Result<(), FileFault> {
        let path = || Arc::clone(&self.path);
        match std::fs::metadata(&self.path) {
            Ok(found) if Identity::of(&found) == self.identity => Ok(()),
            Ok(_) if self.is_database => Err(FileFault::DatabaseReplaced(path())),
            Ok(_) => Err(FileFault::LogReplaced(path())),
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                // A folder that can't be searched any more proves nothing.
                Ok(())
            }
            Err(_) if self.is_database => Err(FileFault::DatabaseMissing(path())),
            Err(_) => Err(FileFault::LogMissing(path())),
        }
    }
}

/// The database, its write-ahead log and the log's index, as they were when the store opened them, and the lock.
#[derive(Debug)]
pub(super) struct OpenFiles<'l> {
    files: Vec<OpenFile>,
    lock: &'l FileLock,
    fault: Option<FileFault>,
}

impl<'l> OpenFiles<'l> {
    /// Remembers the files of a database that is open. A file that can't be examined isn't checked later.
    pub(super) fn remember(path: &Path, lock: &'l FileLock) -> Self {
        let remember = |path: PathBuf, is_database: bool| {
            let identity = Identity::of(&std::fs::metadata(&path).ok()?);
            Some(OpenFile { path: path.into(), identity, is_database })
        };
        let files = [
            remember(path.to_owned(), true),
            remember(with_ending(path, "-wal"), false),
            remember(with_ending(path, "-shm"), false),
        ];
        Self { files: files.into_iter().flatten().collect(), lock, fault: None }
    }

    /// Checks the files, and logs a fault and its end. A lock that is not in place is restored.
    pub(super) fn check(&mut self) -> Result<(), FileFault> {
        // The lock comes last: beside another database none is made.
        let checked = self.files.iter().try_for_each(OpenFile::check).and_then(|()| self.lock.check());
        let fault = checked.err();
        match (&self.fault, &fault) {
            (before, Some(fault)) if before.as_ref() != Some(fault) => {
                tracing::error!(%fault, "the store's files have changed under the running service; refusing events");
            }
            (Some(_), None) => tracing::info!("the store's files are back; accepting events"),
            _ => {}
        }
        self.fault = fault;
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Whether the last check found a fault.
    pub(super) fn is_faulty(&self) -> bool {
        self.fault.is_some()
    }

    /// Whether somebody else's files may be at the paths. SQLite deletes the log by its name when it closes the last
    /// connection, and must not do so then.
    pub(super) fn are_replaced(&self) -> bool {
        self.files.iter().any(|file| file.check().is_err_and(|fault| fault.is_replaced()))
    }
}
