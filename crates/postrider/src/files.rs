//! How many files the process may have open: raised as far as the system lets it, because every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is never needed.
const MOST: u64 = 65_536;

/// Raises the limit on open files as far as it may be raised, and gives it.
pub(crate) fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST).min(MOST);
    let now = current.unwrap_or(MOST);
    if wanted > now && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return usize::try_from(wanted).unwrap_or(usize::MAX);
    }
    usize::try_from(now).unwrap_or(usize::MAX)
}
