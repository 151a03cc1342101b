//! Limits on open streams: a bounded number, of which each account has a part and the operator a reserve.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_core::fair_share::{Exhausted, FairPool, Shares};
use postrider_core::id::AccountId;

use crate::problem::{Code, Problem};

/// One account has at most one part in so many.
const PARTS_PER_ACCOUNT: usize = 4;
/// The operator's part that accounts can't take: one in so many.
const PARTS_PER_RESERVE: usize = 8;

/// The open streams.
pub(crate) struct StreamLimits(Arc<Mutex<FairPool<AccountId>>>);

/// One open stream; it counts until this is dropped.
pub(super) struct StreamSlot {
    holder: Option<AccountId>,
    pool: Arc<Mutex<FairPool<AccountId>>>,
}

impl StreamLimits {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(2);
        let shares = Shares {
            total: max,
            reserved: max.div_ceil(PARTS_PER_RESERVE),
            largest: max.div_ceil(PARTS_PER_ACCOUNT),
            guaranteed: 1,
        };
        Self(Arc::new(Mutex::new(FairPool::new(shares))))
    }

    /// A slot for a stream of this account, or of the operator.
    pub(super) fn take(&self, holder: Option<AccountId>) -> Result<StreamSlot, Problem> {
        match lock(&self.0).take(holder, 1) {
            Ok(()) => Ok(StreamSlot { holder, pool: Arc::clone(&self.0) }),
            Err(Exhausted::Share) => {
                Err(Problem::new(Code::Overloaded, "this account has too many open streams; close one first"))
            }
            Err(Exhausted::Pool) => Err(Problem::new(
                Code::Overloaded,
                "too many open streams; close one first, or try again later",
            )),
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        lock(&self.pool).give_back(self.holder, 1);
    }
}

/// Ignores poisoning: a panic while the lock was held leaves the count correct.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> Option<AccountId> {
        Some(AccountId::from_bytes([number; 16]))
    }

    #[test]
    fn one_account_takes_its_part_and_others_and_the_operator_still_get_streams() {
        let limits = StreamLimits::new(128);
        let held: Vec<_> = std::iter::from_fn(|| limits.take(account(1)).ok()).collect();
        assert_eq!(held.len(), 32);
        assert!(limits.take(account(2)).is_ok() && limits.take(None).is_ok());
        let crowd: Vec<_> = (2..7)
            .flat_map(|number| std::iter::from_fn(move || Some(number)).take(128))
            .filter_map(|number| limits.take(account(number)).ok())
            .collect();
        assert!(limits.take(account(99)).is_ok(), "a newcomer gets one");
        let operators: Vec<_> = std::iter::from_fn(|| limits.take(None).ok()).collect();
        assert!(operators.len() >= 16);
        drop((held, crowd, operators));
        assert!(lock(&limits.0).is_empty(), "what is closed leaves nothing behind");
    }
}
