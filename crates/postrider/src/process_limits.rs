//! Limits of this process: how many files it may have open, and that it leaves no core dump.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The highest limit on open files that is ever needed.
const MAX_FILES: u64 = 65_536;
/// The largest core dump, in bytes. One byte is too small for a file, and the kernel also hands nothing to a collector then
/// (it would with 0).
const CORE_BYTES: u64 = 1;

/// Raises the limit on open files as far as the system lets it, because every connection is one. Returns the limit.
pub(crate) fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MAX_FILES).min(MAX_FILES);
    let now = current.unwrap_or(MAX_FILES);
    if wanted > now && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return usize::try_from(wanted).unwrap_or(usize::MAX);
    }
    usize::try_from(now).unwrap_or(usize::MAX)
}

/// Keeps this process from leaving a core dump, which would hold every secret that it has in memory.
pub(crate) fn forbid_core_dumps() {
    let maximum = getrlimit(Resource::Core).maximum.map_or(CORE_BYTES, |maximum| maximum.min(CORE_BYTES));
    // A limit can always be lowered.
    setrlimit(Resource::Core, Rlimit { current: Some(maximum), maximum: Some(maximum) }).unwrap_or_default();
}
