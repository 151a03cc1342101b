//! The lock beside the database, which keeps a second service from the same file.
//!
//! A lock file that is deleted keeps nobody out: a second service makes a new one. So a service restores its lock as soon as
//! it notices, and a start looks for a process that still holds a deleted one.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::file_users;
use super::open::{io_error, with_ending};
use super::open_files::{FileFault, Identity};
use crate::error::OpenError;

/// The number of times that a file which is deleted before it is locked is made again.
const TRIES: u32 = 3;

/// The operating system's lock on `<database>.lock`; it falls with the process, however that ends.
#[derive(Debug)]
pub(super) struct FileLock {
    path: Arc<Path>,
    held: RefCell<Held>,
}

#[derive(Debug)]
struct Held {
    identity: Identity,
    _file: File,
}

impl FileLock {
    /// Takes the lock of a database. `InUse` if another process holds it, or holds one that was deleted.
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        // A file of its own, since SQLite's own locks would fall with it.
        let path = with_ending(database, ".lock");
        let held = Held::take(&path).map_err(|error| io_error(database, &error))?;
        match held {
            Some(held) if file_users::holder_of_deleted_lock(database).is_none() => {
                Ok(Self { path: path.into(), held: RefCell::new(held) })
            }
            _ => Err(OpenError::InUse { path: database.to_owned() }),
        }
    }

    /// Checks that the lock is the file at its path, and otherwise takes the lock of that file, making it if there is none.
    pub(super) fn check(&self) -> Result<(), FileFault> {
        let mut held = self.held.borrow_mut();
        match std::fs::metadata(&self.path) {
            Ok(found) if Identity::of(&found) == held.identity => return Ok(()),
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                // A folder that can't be searched any more proves nothing.
                return Ok(());
            }
            _ => {}
        }
        match Held::take(&self.path) {
            Ok(Some(taken)) => {
                *held = taken;
                tracing::warn!(path = %self.path.display(), "the lock file was deleted or replaced; restored");
                Ok(())
            }
            Ok(None) => Err(FileFault::LockTaken(Arc::clone(&self.path))),
            Err(_) => Err(FileFault::LockMissing(Arc::clone(&self.path))),
        }
    }
}

impl Held {
    /// Locks the file at `path`, which is made if there is none. `None` if another process holds the lock.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let file = open_private(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let identity = Identity::of(&file.metadata()?);
            let is_in_place = std::fs::metadata(path).is_ok_and(|found| Identity::of(&found) == identity);
            if is_in_place || tries == TRIES {
                return Ok(Some(Self { identity, _file: file }));
            }
        }
    }
}

/// Opens a file, which is made for its owner only if there is none.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
