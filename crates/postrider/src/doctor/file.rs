//! A SQLite store: whether it can be written, is ours, and opens with the key.

use std::path::Path;

use postrider_store::seal::MasterKey;
use postrider_store::sqlite::SqliteStore;

use super::findings::Findings;

/// Less room than this on the disk is soon full.
const LITTLE_SPACE_MIB: u64 = 1_024;

/// Looks at the file without a change.
pub(super) fn examine(path: &Path, key: Option<&MasterKey>, findings: &mut Findings) {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The write-ahead log and the lock are files of their own, so the folder must be writable too.
    if let Err(why) = tempfile::tempfile_in(folder) {
        let found = format!("{} can't be written to ({why})", folder.display());
        return findings.problem(
            "store",
            found,
            "the service's user must be able to make files in that folder",
        );
    }
    space(folder, findings);
    let shown = path.display();
    if !path.exists() {
        return findings.good("store", format!("there is no {shown} yet; the first start makes it"));
    }
    match SqliteStore::examine(path, key) {
        Err(error) => findings.problem("store", error.to_string(), "the line above says what would be right"),
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
        }
    }
}

/// How much room the disk has.
fn space(folder: &Path, findings: &mut Findings) {
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
