//! Ranges of replays that are being counted: so many at once for each account, and all of them read in turn.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postrider_core::account::AccountNo;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::{MAX_REPLAY_COUNTS, MAX_REPLAY_COUNTS_PER_ACCOUNT, REPLAY_COUNT_READS};

/// The counts that run.
#[derive(Debug)]
pub(crate) struct ReplayCounts {
    running: Mutex<HashMap<AccountNo, usize>>,
    /// Each read of a range takes one, first come, first served: so counts take turns, however long their ranges are.
    reads: Semaphore,
}

/// A count that runs, until this is dropped.
#[derive(Debug)]
pub(crate) struct RunningCount<'a> {
    counts: &'a ReplayCounts,
    account: AccountNo,
}

impl Drop for RunningCount<'_> {
    fn drop(&mut self) {
        let mut running = self.counts.lock();
        if let Some(own) = running.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.account);
            }
        }
    }
}

impl ReplayCounts {
    pub(crate) fn new() -> Self {
        Self { running: Mutex::default(), reads: Semaphore::new(REPLAY_COUNT_READS) }
    }

    /// Begins a count; none where as many run as may, of the account or over all.
    pub(crate) fn begin(&self, account: AccountNo) -> Option<RunningCount<'_>> {
        let mut running = self.lock();
        let own = running.get(&account).copied().unwrap_or(0);
        let all: usize = running.values().sum();
        if own >= MAX_REPLAY_COUNTS_PER_ACCOUNT || all >= MAX_REPLAY_COUNTS {
            return None;
        }
        running.insert(account, own + 1);
        Some(RunningCount { counts: self, account })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountNo, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningCount<'_> {
    /// Waits for this count's turn to read a part of its range.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        self.counts.reads.acquire().await.expect("this semaphore is never closed")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn whatever_one_account_counts_another_counts_at_once_and_has_its_turn() {
        let counts = ReplayCounts::new();
        let own: Vec<RunningCount<'_>> = std::iter::from_fn(|| counts.begin(AccountNo(1))).collect();
        assert_eq!(own.len(), MAX_REPLAY_COUNTS_PER_ACCOUNT);
        let other = counts.begin(AccountNo(2)).expect("another account's is begun");
        let mut reads: Vec<_> = own.iter().filter_map(|count| count.turn().now_or_never()).collect();
        assert_eq!(reads.len(), REPLAY_COUNT_READS.min(own.len()));
        let mut turn = Box::pin(other.turn());
        let mut again = Box::pin(own[0].turn());
        assert!(
            (&mut turn).now_or_never().is_none() && (&mut again).now_or_never().is_none(),
            "all are taken"
        );
        reads.pop();
        assert!((&mut again).now_or_never().is_none(), "whoever came first reads next");
        assert!((&mut turn).now_or_never().is_some());
        drop((reads, again));
        drop(own);
        assert!(counts.begin(AccountNo(1)).is_some());
    }
}
