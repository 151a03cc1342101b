//! The embedded store: one SQLite file, one thread that writes, a few connections that read.
//!
//! This file opens it and hands each call to the writer or to a reader; SQL stands below.

mod answers;
mod audit;
mod binding;
mod changes;
mod checkpoint;
mod clock;
mod endpoint_row;
mod examine;
mod file_lock;
mod file_users;
mod hot;
mod inbox;
mod kept;
mod late_lists;
mod log;
mod migrations;
mod open;
mod open_files;
mod pending;
#[cfg(test)]
mod plans;
mod preflight;
mod readers;
mod ready_list;
mod replaying;
mod rows;
mod size;
mod store;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

pub use self::examine::{Examined, FileReport};
pub use self::file_users::FileUser;
pub use self::migrations::Migrated;
pub use self::preflight::PathState;

use self::checkpoint::{CheckpointOptions, CheckpointStatus, Checkpoints, Copier};
use self::file_lock::FileLock;
use self::inbox::Inbox;
use self::open::Opened;
pub use self::open_files::FileFault;
use self::open_files::OpenFiles;
use self::readers::Readers;
use self::writer::Writer;
use crate::accept_queue::Size;
use crate::error::OpenError;
use crate::figures::StoreFigures;
use crate::seal::{MasterKey, Sealer};

/// How long another program may hold the file before a write is refused, unless the options say otherwise.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);

/// How long commits wait for a checkpoint at most, unless the options say otherwise.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(300);

/// How often commits are copied into the database while its files are faulty.
const RESCUE_EVERY: Duration = Duration::from_secs(1);

/// How a SQLite store is run. The defaults suit one service on one machine.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// How many connections read.
    pub readers: usize,
    /// How many events and deliveries may wait to be accepted; more are refused as `Overloaded`.
    pub accept_queue_rows: usize,
    /// How many bytes of payload may wait to be accepted.
    pub accept_queue_bytes: usize,
    /// How many outcomes may wait to be recorded; more wait for space.
    pub record_queue: usize,
    /// How many configuration changes may wait; more wait for space.
    pub change_queue: usize,
    /// The writer's page cache, in KiB.
    pub writer_cache_kib: u32,
    /// Each reader's page cache, in KiB.
    pub reader_cache_kib: u32,
    /// How many pages of 4 KiB the write-ahead log collects before they are copied into the file.
    pub checkpoint_pages: u32,
    /// How long a commit waits in the write-ahead log at most before it is copied into the file, however few there are.
    pub checkpoint_wait: Duration,
    /// How many events or deliveries the log may be ahead of the lists of accounts and endpoints.
    pub list_after: u32,
    /// How many deliveries the log may be ahead of the list of what is ready. More leave more of them out of it, since they
    /// have ended by then, and a refill looks through as many rows of the log.
    pub list_ready_after: u32,
    /// How long a write waits for another program that holds the file (a backup, a shell) before it is refused.
    pub busy_patience: Duration,
    /// The most pages of 4 KiB that the file may have, where it is limited. A full file refuses writes.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            accept_queue_rows: 8_192,
            accept_queue_bytes: 32 * 1024 * 1024,
            record_queue: 4_096,
            change_queue: 256,
            writer_cache_kib: 8 * 1024,
            reader_cache_kib: 1024,
            checkpoint_pages: 4_000,
            checkpoint_wait: CHECKPOINT_WAIT,
            list_after: 2_048,
            list_ready_after: 8_192,
            busy_patience: BUSY_PATIENCE,
            max_pages: None,
        }
    }
}

/// A store in one SQLite file. While it lives no other process can open the file through Postrider.
pub struct SqliteStore {
    inbox: Arc<Inbox>,
    record_space: Arc<Semaphore>,
    record_queue: u32,
    change_space: Arc<Semaphore>,
    readers: Arc<Readers>,
    sealer: Arc<Sealer>,
    figures: Arc<StoreFigures>,
    path: Arc<Path>,
    checkpoints: Arc<CheckpointStatus>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Notified when the writer has closed its connection and let go of the file.
    writer_is_gone: Arc<Semaphore>,
}

impl SqliteStore {
    /// Opens the file at `path`, makes it where there is none, and brings its schema up to date. The file that
    /// `<path>.lock` names is locked for as long as the store lives.
    pub fn open(path: &Path, key: MasterKey, options: SqliteOptions) -> Result<Self, OpenError> {
        let Opened { path, lock, connection, .. } = open::open(path, options.busy_patience)?;
        let path = path.as_path();
        let sealer = Arc::new(open::check_key(path, &connection, &key)?);
        let log_limit = checkpoint::log_limit(options.checkpoint_pages);
        let configured =
            open::configure_writer(&connection, options.writer_cache_kib, options.max_pages, log_limit);
        configured.map_err(|e| open::sqlite_error(path, e))?;
        let figures = Arc::new(StoreFigures::default());
        let connect =
            |_| open::connect_reader(path, options.busy_patience, options.reader_cache_kib, &figures);
        let readers = (0..options.readers.max(1)).map(connect).collect::<Result<Vec<_>, _>>()?;
        let inbox = Inbox::new(Size { rows: options.accept_queue_rows, bytes: options.accept_queue_bytes });
        let writer_is_gone = Arc::new(Semaphore::new(0));
        let status = Arc::<CheckpointStatus>::default();
        let checkpoints = CheckpointOptions {
            pages: options.checkpoint_pages,
            longest_wait: options.checkpoint_wait,
            rescue_every: RESCUE_EVERY,
            patience: options.busy_patience,
            status: Arc::clone(&status),
        };
        let left = checkpoints.left_to_writer();
        let copier = Copier::start(path, options.busy_patience, left, Arc::clone(&inbox))?;
        let thread = Thread {
            inbox: Arc::clone(&inbox),
            sealer: Arc::clone(&sealer),
            is_gone: Arc::clone(&writer_is_gone),
            path: path.to_owned(),
            checkpoints: (copier, checkpoints),
            list_after: (options.list_after, options.list_ready_after),
            figures: Arc::clone(&figures),
        };
        let writer = thread.start(path, connection, lock)?;
        binding::start(path, &inbox, &sealer)?;
        let record_queue = u32::try_from(options.record_queue.max(1)).unwrap_or(u32::MAX);
        Ok(Self {
            figures,
            inbox,
            record_space: Arc::new(Semaphore::new(options.record_queue.max(1))),
            record_queue,
            change_space: Arc::new(Semaphore::new(options.change_queue.max(1))),
            readers: Readers::new(readers),
            sealer,
            path: path.into(),
            checkpoints: status,
            writer: Mutex::new(Some(writer)),
            writer_is_gone,
        })
    }

    /// Brings the schema of the file at `path` up to date and closes it. Needs no key, since what is sealed
    /// stays as it is.
    pub fn migrate(path: &Path) -> Result<Migrated, OpenError> {
        open::open(path, BUSY_PATIENCE).map(|opened| opened.migrated)
    }
}

impl Drop for SqliteStore {
    /// What was handed in is still committed, and the file is free when this returns.
    fn drop(&mut self) {
        self.inbox.close();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the store's writer had panicked");
        }
    }
}

/// What the writer's thread takes with it.
struct Thread {
    inbox: Arc<Inbox>,
    sealer: Arc<Sealer>,
    is_gone: Arc<Semaphore>,
    path: PathBuf,
    checkpoints: (Copier, CheckpointOptions),
    list_after: (u32, u32),
    figures: Arc<StoreFigures>,
}

impl Thread {
    fn start(self, path: &Path, connection: Connection, lock: FileLock) -> Result<JoinHandle<()>, OpenError> {
        let other = |reason: String| OpenError::Other { path: path.to_owned(), reason };
        let (tell, hear) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            // The guard goes last, when connection and lock are gone, also where the writer panics.
            let inbox = Arc::clone(&self.inbox);
            let _gone = Gone { inbox: Arc::clone(&inbox), is_gone: Arc::clone(&self.is_gone) };
            let lock = lock;
            let connection = connection;
            let mut is_replaced = false;
            match self.writer(&connection, &lock) {
                Ok(mut writer) => {
                    drop(tell.send(Ok(())));
                    writer.run(&inbox);
                    is_replaced = writer.files_are_replaced();
                }
                Err(error) => drop(tell.send(Err(error))),
            }
            if is_replaced {
                // Closed, it would delete the log at its path, which is not ours any more.
                std::mem::forget(connection);
            }
        };
        let named = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = named.spawn(run).map_err(|e| other(e.to_string()))?;
        match hear.recv() {
            Ok(Ok(())) => Ok(thread),
            Ok(Err(error)) => Err(open::sqlite_error(path, error)),
            Err(_gone) => Err(other("the store's writer did not start".to_owned())),
        }
    }

    fn writer<'c>(self, connection: &'c Connection, lock: &'c FileLock) -> rusqlite::Result<Writer<'c>> {
        let (copier, options) = self.checkpoints;
        let checkpoints = Checkpoints::new(connection, &self.path, copier, options)?;
        let files = OpenFiles::remember(&self.path, lock);
        Writer::new(connection, self.sealer, checkpoints, files, self.list_after, self.figures)
    }
}

/// Tells that the writer is gone, and leaves nobody waiting for it.
struct Gone {
    inbox: Arc<Inbox>,
    is_gone: Arc<Semaphore>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the store's writer panicked; refusing events until the service is restarted");
        }
        self.inbox.abandon();
        self.is_gone.close();
    }
}
