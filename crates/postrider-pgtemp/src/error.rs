//! What can go wrong with a throwaway cluster.

use std::path::PathBuf;

/// Why there is no cluster, or why it did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server is installed, or only one that is too old.
    #[error(
        "PostgreSQL {oldest} or later is not installed: `apt-get install postgresql` (its programs are looked for in \
         /usr/lib/postgresql/*/bin and in PATH)"
    )]
    NotInstalled {
        /// The oldest version that would do.
        oldest: u32,
    },
    /// Started by root, who may not run a server, and there is no other user to run it as.
    #[error("PostgreSQL does not run as root, and there is neither a user `postgres` nor a user `nobody`")]
    NoUser,
    /// A folder or process could not be made.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// One of PostgreSQL's programs failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Which one.
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// The server ended, or did not answer in time.
    #[error("the PostgreSQL server did not start: {said}")]
    NotStarted {
        /// The end of its log.
        said: String,
    },
    /// It is running already, or it isn't.
    #[error("the PostgreSQL server {0}")]
    Wrong(&'static str),
}

impl ClusterError {
    /// For `map_err`: what was being done when the system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}
