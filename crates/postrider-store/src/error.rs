//! What can go wrong, one variant per decision that a caller makes.

use std::error::Error;
use std::path::PathBuf;

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such row (any more).
    #[error("not there")]
    NotFound,
    /// It contradicts what is there; the text says what.
    #[error("{0}")]
    Conflict(&'static str),
    /// An earlier call with the same idempotency key was answered, so that nothing was made now:
    /// [`crate::Store::answered_before`] tells what it was.
    #[error("a call with this idempotency key was answered before")]
    AnsweredBefore,
    /// The database refuses these values, now and later: a caller failed to check them. Nothing was stored, and no other
    /// work is affected. Never an outage.
    #[error("the store refuses this value")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// This node was taken for dead, and others have taken over what was its; it starts over under a new number.
    #[error("this node was taken for dead; it starts over")]
    LeaseLost,
    /// The database did not do it; it may work later. Whether a commit took place may be unknown.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Why events were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// An account's configuration is newer than the one that the events were matched by.
    #[error("the configuration changed meanwhile")]
    ConfigChanged,
    /// This node was taken for dead; it starts over, and nothing was accepted.
    #[error("this node was taken for dead; it starts over")]
    LeaseLost,
    /// An earlier call with the same idempotency key was answered, so that nothing was made now:
    /// [`crate::Store::answered_before`] tells what it was.
    #[error("a call with this idempotency key was answered before")]
    AnsweredBefore,
    /// The queue is full; try again in a moment.
    #[error("the store's queue is full")]
    Overloaded,
    /// The database refuses these values, now and later: a caller failed to check them. Nothing was stored, and no other
    /// work is affected. Never an outage.
    #[error("the store refuses this value")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// The database did not do it. Whether a commit took place may be unknown.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Why a store can't be opened. Each is shown to the operator as one line.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves this file.
    #[error("{path} is in use by another postrider process; stop it, or name another file with --store")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is locked by a program that is not Postrider.
    #[error("{path} is locked by another program; close it and start again")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The path names a folder.
    #[error("{path} is a folder; name a file in it, such as {}", .path.join("postrider.db").display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The path names a FIFO, a socket or a device.
    #[error("{path} is a {kind}, not a file; name another with --store")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The path is a symbolic link to a file that doesn't exist.
    #[error(
        "{path} is a symbolic link to {target}, which doesn't exist; restore that file, or name it with --store to create it"
    )]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// The file that it names.
        target: PathBuf,
    },
    /// The file's folder doesn't exist.
    #[error("the folder {folder} doesn't exist; create it, or name another file with --store")]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A part of the path that must be a folder is none.
    #[error("{folder} is not a folder, so {path} can't be in it; name another file with --store")]
    FolderIsAFile {
        /// The file.
        path: PathBuf,
        /// The part that must be a folder.
        folder: PathBuf,
    },
    /// No file can be created in the folder, where the write-ahead log and the lock must be.
    #[error(
        "the folder {folder} can't be written ({reason}); the database, its write-ahead log and its lock are created in it"
    )]
    FolderNotWritable {
        /// The folder.
        folder: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// The database is missing although its write-ahead log is there. Creating a database would delete that log, and
    /// with it the commits that only it holds.
    #[error(
        "{path} is missing, but its write-ahead log {log} is there and may hold events; put the database back beside it, or \
         move the log away to start with a new one"
    )]
    LogWithoutDatabase {
        /// The database.
        path: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// The file can't be written.
    #[error("{path} can't be written ({reason}); check its owner and mode")]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        reason: String,
    },
    /// The file is not a SQLite database: its first bytes say so.
    #[error("{path} is not a SQLite database; name another file with --store")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a damaged SQLite database.
    #[error(
        "{path} is damaged or not a SQLite database ({reason}); restore it from a backup or name another file"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// SQLite's word.
        reason: String,
    },
    /// A SQLite database of another program.
    #[error("{path} is a SQLite database, but not one of Postrider; name another file with --store")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer Postrider.
    #[error("{path} has schema version {found}, this postrider knows up to {known}; use the newer postrider")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// The master key is not the one that the secrets in the file were encrypted with.
    #[error(
        "the master key does not fit {path}; give the key file that it was made with (--master-key-file)"
    )]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{path} can't be opened ({reason})")]
    Other {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}
