//! The warning that something keeps the write-ahead log from starting over, with its cause: at once where the log has grown
//! long, later where it has not, and then once in ten minutes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use postrider_core::time::Timestamp;

use crate::sqlite::file_users::{self, FileUser};
use crate::sqlite::open::with_ending;

/// The pause between two warnings.
const EVERY: Duration = Duration::from_secs(600);
/// How long a short log may be kept from starting over before that is worth a line.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) struct Warning {
    path: PathBuf,
    warned_at: Option<Instant>,
}

impl Warning {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), warned_at: None }
    }

    /// Warns if it is time to. Finding the processes takes a while, so a thread of its own does it.
    pub(super) fn consider(&mut self, blocked_since: Instant, is_too_long: bool) {
        let now = Instant::now();
        let is_worth_it = is_too_long || now.duration_since(blocked_since) >= PATIENCE;
        let is_too_soon = self.warned_at.is_some_and(|at| now.duration_since(at) < EVERY);
        if !is_worth_it || is_too_soon {
            return;
        }
        self.warned_at = Some(now);
        let path = self.path.clone();
        let blocked_for = now.duration_since(blocked_since);
        let named = std::thread::Builder::new().name("store-warning".to_owned());
        if let Err(error) = named.spawn(move || warn(&path, blocked_for)) {
            tracing::warn!(%error, "a reader keeps the write-ahead log from being reset");
        }
    }

    /// The log starts over.
    pub(super) fn end(&mut self) {
        if self.warned_at.take().is_some() {
            tracing::info!("the write-ahead log was reset");
        }
    }
}

fn warn(path: &Path, blocked_for: Duration) {
    let since = SystemTime::now().checked_sub(blocked_for).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let since = Timestamp::from_ms(i64::try_from(since).unwrap_or(i64::MAX));
    let log_mib = std::fs::metadata(with_ending(path, "-wal")).map_or(0, |log| log.len()) >> 20;
    let cause = cause(&file_users::readers(path), &file_users::having_open(path));
    tracing::warn!(
        %since,
        log_mib,
        cause,
        "a reader keeps the write-ahead log from being reset, so it grows with every commit"
    );
}

/// Who it is, as far as the system tells.
fn cause(readers: &[FileUser], having_open: &[FileUser]) -> String {
    let own = std::process::id();
    let names = |users: &[FileUser]| users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let others: Vec<FileUser> = readers.iter().filter(|user| user.pid != own).cloned().collect();
    match (readers, others.as_slice(), having_open) {
        (_, [_, ..], _) => format!("another process reads the database: {}", names(&others)),
        ([_, ..], [], _) => "a read of this service takes long".to_owned(),
        ([], [], [_, ..]) => format!("other processes have the database open: {}", names(having_open)),
        ([], [], []) => "another process or a long read of this service".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(pid: u32, command: &str) -> FileUser {
        FileUser { pid, command: command.to_owned() }
    }

    #[test]
    fn the_cause_names_another_process_before_ourselves_and_both_before_whoever_only_has_the_file_open() {
        let (own, shell, backup) =
            (user(std::process::id(), "postrider"), user(0, "sqlite3"), user(1, "backup"));
        for (readers, having_open, expected) in [
            (vec![own.clone(), shell.clone()], vec![], "another process reads the database: 0 (sqlite3)"),
            (vec![own], vec![shell.clone()], "a read of this service takes long"),
            (vec![], vec![shell, backup], "other processes have the database open: 0 (sqlite3), 1 (backup)"),
            (vec![], vec![], "another process or a long read of this service"),
        ] {
            assert_eq!(cause(&readers, &having_open), expected);
        }
    }
}
