//! How far the checkpoints are, for metrics: written by the writer, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Since when commits wait in the write-ahead log.
#[derive(Debug)]
pub(in crate::sqlite) struct CheckpointStatus {
    base: Instant,
    /// Milliseconds since `base`, plus one; 0 where nothing waits.
    waiting_since: AtomicU64,
}

impl Default for CheckpointStatus {
    fn default() -> Self {
        Self { base: Instant::now(), waiting_since: AtomicU64::new(0) }
    }
}

impl CheckpointStatus {
    /// A commit has come after the last complete checkpoint.
    pub(super) fn committed(&self) {
        if self.waiting_since.load(Ordering::Relaxed) == 0 {
            let since = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.waiting_since.store(since + 1, Ordering::Relaxed);
        }
    }

    /// Everything was copied into the database, and the log starts over.
    pub(super) fn complete(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }

    /// When the first commit came after the last complete checkpoint; `None` if there is nothing to copy.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let since = self.waiting_since.load(Ordering::Relaxed).checked_sub(1)?;
        self.base.checked_add(Duration::from_millis(since))
    }

    /// How long the oldest commit that only the log holds has waited for a complete checkpoint; zero if there is none.
    pub(in crate::sqlite) fn age(&self) -> Duration {
        self.waiting_since().map_or(Duration::ZERO, |since| since.elapsed())
    }
}
