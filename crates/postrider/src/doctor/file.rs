//! A SQLite store: whether it can be written, is ours, and opens with the key.

use std::path::Path;
use std::time::Duration;

use postrider_store::error::OpenError;
use postrider_store::sqlite::{FileReport, FileUser, PathState, SqliteStore};

use super::findings::Findings;
use super::sealed_values::unreadable_endpoints;
use super::{event_types, here};
use crate::config::Config;

/// A write-ahead log that is longer than this was not reset for a while; usually it has 16 MiB, and 64 at most.
const LONG_LOG_BYTES: u64 = 80 << 20;
/// Commits are copied into the database after five minutes at the latest.
const LONG_AHEAD: Duration = Duration::from_secs(900);
/// Less room than this on the disk is soon full.
const LITTLE_SPACE_MIB: u64 = 1_024;

/// Examines the file without a change.
pub(super) fn examine(config: &Config, path: &Path, findings: &mut Findings) {
    let state = match SqliteStore::check_path(path) {
        Ok(state) => state,
        // Beside a wrong path there is no key either, which would only be a consequence.
        Err(error) => return findings.problem("store", error.to_string(), advice(&error)),
    };
    match SqliteStore::report_files(path) {
        Ok(Some(report)) => {
            if let Some(fault) = report.fault {
                let advice = "events are refused with 503 until then";
                return findings.problem("store", fault.to_string(), advice);
            }
            if let Some(lock) = &report.deleted_lock {
                findings.warning(
                    "store",
                    format!("the lock {} was deleted while the service runs", lock.display()),
                    "the service makes it again with its next commit; nothing may delete it",
                );
            }
            write_ahead_log(&report, findings);
        }
        Ok(None) => {}
        Err(error) => return findings.problem("store", error.to_string(), advice(&error)),
    }
    let key = here::master_key(config, findings);
    let key = key.as_ref();
    space(path, findings);
    let shown = path.display();
    if state == PathState::New {
        return new_database(config, path, key.is_some(), findings);
    }
    match SqliteStore::examine(path, key) {
        Err(error) => findings.problem("store", error.to_string(), advice(&error)),
        Ok(_) if key.is_none() => findings.problem(
            "store",
            format!("{shown} is there, but not the key that its secrets were encrypted with"),
            "put the key file back, or name it with --master-key-file",
        ),
        Ok(examined) => {
            let served = if examined.is_served { ", a service runs on it" } else { "" };
            let schema = match (examined.schema, examined.newest_schema) {
                (found, newest) if found == newest => format!("schema version {found}"),
                (found, newest) => format!("schema version {found}, the next start makes it {newest}"),
            };
            findings.good("store", format!("{shown}: {schema}{served}"));
            unreadable_endpoints(examined.unreadable_endpoints, findings);
            here::clock_of_store(examined.clock, findings);
            match SqliteStore::examine_event_types(path) {
                Ok(definitions) => event_types::examine(definitions, findings),
                Err(error) => findings.warning("event types", error.to_string(), advice(&error)),
            }
        }
    }
}

/// What to do about a path that can't hold a store.
fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::FolderNotWritable { .. } => "the service's user must be able to make files in that folder",
        _ => "the line above says what would be right",
    }
}

/// Reports that there is no database yet. A master key without one is a trace of a database that is elsewhere or lost,
/// unless a setting names the key: then it was made first, as packages do.
fn new_database(config: &Config, path: &Path, has_key: bool, findings: &mut Findings) {
    let found = format!("there is no {} yet; the first start makes it", path.display());
    if has_key && !config.is_master_key_named {
        let key_file = config.master_key_file.display();
        return findings.warning(
            "store",
            format!("{found}. But its master key {key_file} exists"),
            "if there was a database, name it with --store or restore it from a backup: the next start creates a new one",
        );
    }
    findings.good("store", found);
}

/// How long the write-ahead log of a running service is, and who may keep it from starting over.
fn write_ahead_log(report: &FileReport, findings: &mut Findings) {
    let names = |users: &[FileUser]| users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut found = format!("{} MiB", report.log_bytes >> 20);
    if report.log_ahead > LONG_AHEAD {
        let minutes = report.log_ahead.as_secs() / 60;
        found.push_str(&format!(", copied into the database {minutes} minutes before the last commit"));
    }
    match (report.readers.as_slice(), report.having_open.as_slice()) {
        ([], []) => {}
        ([], users) => found.push_str(&format!("; other processes have the database open: {}", names(users))),
        (users, _) => found.push_str(&format!("; other processes read the database now: {}", names(users))),
    }
    if report.log_bytes > LONG_LOG_BYTES || report.log_ahead > LONG_AHEAD {
        let advice = "a reader keeps it from being reset, and it grows until the reader ends: end that program, or its transaction";
        return findings.warning("write-ahead log", found, advice);
    }
    findings.good("write-ahead log", found);
}

/// How much room the disk has.
fn space(path: &Path, findings: &mut Findings) {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(disk) = rustix::fs::statvfs(folder) else { return };
    let free_mib = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    let found = format!("{free_mib} MiB free beside the store");
    match free_mib {
        ..LITTLE_SPACE_MIB => {
            findings.warning(
                "disk",
                found,
                "a full disk refuses events: make room, or keep them for fewer days",
            );
        }
        _ => findings.good("disk", found),
    }
}
