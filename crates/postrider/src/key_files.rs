//! The files that hold keys: who else can read them.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The permission bits of everyone but a file's owner.
const OF_OTHERS: u32 = 0o077;

/// A key file that users other than its owner can read, write or run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exposed {
    mode: u32,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {:03o}", self.mode)
    }
}

/// Returns how a key file is exposed; `None` if only its owner has rights on it, or there is no such file.
pub(crate) fn exposure(path: &Path) -> Option<Exposed> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & OF_OTHERS != 0).then_some(Exposed { mode })
}

/// Logs a warning if a key file is exposed.
pub(crate) fn warn_if_exposed(path: &Path) {
    if let Some(exposed) = exposure(path) {
        tracing::warn!(file = %path.display(), %exposed, "key file is readable by others; run `chmod 600` on it");
    }
}
