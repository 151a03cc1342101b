//! Which processes use a database's files, as far as Linux tells it under `/proc`. Elsewhere nobody is found. Best effort:
//! processes of other users can be found by their locks, but not by what they have open.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::open::with_ending;
use super::open_files::Identity;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUser {
    /// Its number.
    pub pid: u32,
    /// The name of its command; empty if it is not known.
    pub command: String,
}

impl fmt::Display for FileUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.command.is_empty() { self.pid.fmt(f) } else { write!(f, "{} ({})", self.pid, self.command) }
    }
}

impl FileUser {
    fn of(pid: u32) -> Self {
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, command: command.trim().to_owned() }
    }
}

/// The bytes of the log's index that readers lock while they need the log or the database as it is (SQLite's file format,
/// section 4.4, "WAL locks").
const READER_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

/// The processes that read the database at this moment, this one included.
pub(super) fn readers(path: &Path) -> Vec<FileUser> {
    let Ok(index) = std::fs::metadata(with_ending(path, "-shm")) else { return Vec::new() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = Identity::of(&index).inode();
    let pids: BTreeSet<u32> = locks.lines().filter_map(|line| reader(line, inode)).collect();
    pids.into_iter().map(FileUser::of).collect()
}

/// The process that a line of `/proc/locks` shows as a reader of the database with this index. A lock that is waited for
/// has an arrow in front. The device is not compared: file systems such as overlayfs and btrfs show another one here.
fn reader(line: &str, index: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, _, pid, file, first, last] = fields.as_slice() else { return None };
    let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let is_reader = first <= *READER_LOCKS.end() && last >= *READER_LOCKS.start();
    if inode == index && is_reader { pid.parse().ok() } else { None }
}

/// The other processes that have the database, its log or the log's index open.
pub(super) fn having_open(path: &Path) -> Vec<FileUser> {
    let files = [path.to_owned(), with_ending(path, "-wal"), with_ending(path, "-shm")];
    let has_one = |pid: u32| files.iter().any(|file| has_open(pid, file));
    pids().filter(|pid| *pid != std::process::id() && has_one(*pid)).map(FileUser::of).collect()
}

/// The process that serves the database: it holds the lock beside it.
pub(super) fn service(path: &Path) -> Option<u32> {
    let lock = std::fs::metadata(with_ending(path, ".lock")).ok()?;
    let inode = Identity::of(&lock).inode();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields.as_slice() else { return None };
        let is_same = file.rsplit(':').next()?.parse() == Ok(inode);
        if is_same { pid.parse().ok() } else { None }
    })
}

/// A process that has the database open and holds the lock beside it, which was deleted.
pub(super) fn holder_of_deleted_lock(path: &Path) -> Option<u32> {
    let mut deleted = with_ending(path, ".lock").file_name()?.to_os_string();
    deleted.push(" (deleted)");
    let has_deleted_lock = |pid: u32| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        names.into_iter().any(|name| name.file_name() == Some(deleted.as_os_str()))
    };
    pids().find(|pid| has_deleted_lock(*pid) && has_open(*pid, path))
}

/// Whether the files that a process has open can be listed.
pub(super) fn can_be_examined(pid: u32) -> bool {
    std::fs::read_dir(format!("/proc/{pid}/fd")).is_ok()
}

/// Whether a process has the file open that is at this path now; false where it can't be examined.
pub(super) fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(wanted) = std::fs::metadata(path) else { return false };
    let is_same = |open: PathBuf| {
        // By its name first: a file on a dead network share could not be examined without waiting for it.
        let name = std::fs::read_link(&open).ok()?.file_name()?.to_os_string();
        let is_named = Some(name.as_os_str()) == path.file_name();
        let found = is_named.then(|| std::fs::metadata(&open).ok()).flatten()?;
        Some(Identity::of(&found) == Identity::of(&wanted))
    };
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten().any(|entry| is_same(entry.path()) == Some(true))
}

fn pids() -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_found_by_its_lock_in_the_index() {
        for (line, expected) in [
            ("12: POSIX  ADVISORY  READ 4711 08:02:131090 124 124", Some(4711)),
            ("12: POSIX  ADVISORY  READ 4711 00:2f:131090 123 123", Some(4711)),
            ("12: -> POSIX  ADVISORY  READ 4711 08:02:131090 124 124", None),
            ("13: POSIX  ADVISORY  READ 4711 08:02:131090 128 128", None),
            ("13: POSIX  ADVISORY  WRITE 4711 08:02:131090 120 120", None),
            ("14: POSIX  ADVISORY  READ 4711 08:02:131091 124 124", None),
            ("15: FLOCK  ADVISORY  WRITE 4711 08:02:131090 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(reader(line, 131_090), expected, "{line}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_another_process_has_open_is_found_with_its_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postrider.db");
        let file = std::fs::File::create(&path).unwrap();
        assert_eq!(having_open(&path), []);
        let mut other = std::process::Command::new("sleep").arg("600").stdin(file).spawn().unwrap();
        // Between fork and exec it is still named as we are.
        let found = loop {
            match having_open(&path).as_slice() {
                [one] if one.command == "sleep" => break one.clone(),
                _ => std::thread::yield_now(),
            }
        };
        assert_eq!(found, FileUser { pid: other.id(), command: "sleep".to_owned() });
        assert_eq!(found.to_string(), format!("{} (sleep)", other.id()));
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
