//! Limits on open live feeds: for each visitor, for all sessions of the operator, and for all customers, so that nobody takes
//! them from everybody.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_core::fair_share::{FairPool, Shares};
use postrider_core::id::AccountId;

use crate::session::SessionKey;

/// How many feeds one session of the operator, or one account's customers, may have open.
pub(crate) const FEEDS_EACH: usize = 16;
/// How many all of the operator's sessions may have open, and as many all customers together.
const FEEDS_AT_ONCE: usize = 128;

const SHARES: Shares = Shares { total: FEEDS_AT_ONCE, reserved: 0, largest: FEEDS_EACH, guaranteed: 1 };

/// Who a feed belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A session of the operator.
    Session(SessionKey),
    /// An account, whichever of its links it came by.
    Account(AccountId),
}

/// The open feeds.
#[derive(Debug, Clone)]
pub(crate) struct LiveLimits {
    sessions: Arc<Mutex<FairPool<SessionKey>>>,
    accounts: Arc<Mutex<FairPool<AccountId>>>,
}

/// One open feed; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct LiveSlot {
    limits: LiveLimits,
    holder: Holder,
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self {
            sessions: Arc::new(Mutex::new(FairPool::new(SHARES))),
            accounts: Arc::new(Mutex::new(FairPool::new(SHARES))),
        }
    }
}

impl LiveLimits {
    /// A slot for one more feed; `None` if there is none for this holder.
    pub(crate) fn take(&self, holder: Holder) -> Option<LiveSlot> {
        let taken = match holder {
            Holder::Session(session) => lock(&self.sessions).take(Some(session), 1),
            Holder::Account(account) => lock(&self.accounts).take(Some(account), 1),
        };
        taken.ok().map(|()| LiveSlot { limits: self.clone(), holder })
    }
}

impl Drop for LiveSlot {
    fn drop(&mut self) {
        match self.holder {
            Holder::Session(session) => lock(&self.limits.sessions).give_back(Some(session), 1),
            Holder::Account(account) => lock(&self.limits.accounts).give_back(Some(account), 1),
        }
    }
}

fn lock<K: Eq + Hash>(pool: &Mutex<FairPool<K>>) -> MutexGuard<'_, FairPool<K>> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> Holder {
        Holder::Account(AccountId::from_bytes([number; 16]))
    }

    #[test]
    fn each_has_so_many_feeds_and_gets_one_back_when_it_ends() {
        let limits = LiveLimits::default();
        let (one, other) = (Holder::Session([1; 32]), Holder::Session([2; 32]));
        let mut slots: Vec<_> = std::iter::from_fn(|| limits.take(one)).collect();
        assert_eq!(slots.len(), FEEDS_EACH);
        assert!(limits.take(other).is_some(), "another session has its own");
        slots.pop();
        let again = limits.take(one);
        assert!(again.is_some() && limits.take(one).is_none());
        drop((slots, again));
        assert!(lock(&limits.sessions).is_empty(), "nobody who is gone is remembered");
    }

    #[test]
    fn a_crowd_of_customers_leaves_a_feed_to_the_next_one_and_all_to_the_operator() {
        let limits = LiveLimits::default();
        let mut slots = Vec::new();
        for number in 0..9 {
            slots.extend(std::iter::from_fn(|| limits.take(account(number))));
        }
        assert!(slots.len() > 110, "{}", slots.len());
        assert!(limits.take(account(99)).is_some());
        assert!(limits.take(Holder::Session([1; 32])).is_some());
    }
}
