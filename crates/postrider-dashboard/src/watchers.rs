//! Who watches: how many live feeds are open, for each visitor and over all, so that nobody takes them from everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_core::id::AccountId;

use crate::session::SessionKey;

/// How many feeds one session of the operator, or one account's customers, may have open.
pub(crate) const WATCHERS_EACH: usize = 16;
/// How many all of the operator's sessions may have open, and as many all customers together.
const WATCHERS_AT_ONCE: usize = 128;

/// Who a feed belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A session of the operator.
    Session(SessionKey),
    /// An account, whichever of its links it came by.
    Account(AccountId),
}

/// How many feeds each holder has open; who has none is not in it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Watchers(Arc<Mutex<HashMap<Holder, usize>>>);

/// One open feed. Its place is free again when this goes.
#[derive(Debug)]
pub(crate) struct Place {
    watchers: Watchers,
    holder: Holder,
}

impl Watchers {
    /// A place for one more feed; none where there is no room.
    pub(crate) fn take(&self, holder: Holder) -> Option<Place> {
        let mut open = self.open();
        let is_alike =
            |other: &Holder| matches!(other, Holder::Session(_)) == matches!(holder, Holder::Session(_));
        let of_all: usize = open.iter().filter(|(other, _)| is_alike(other)).map(|(_, count)| count).sum();
        if of_all >= WATCHERS_AT_ONCE || open.get(&holder).is_some_and(|count| *count >= WATCHERS_EACH) {
            return None;
        }
        *open.entry(holder).or_default() += 1;
        Some(Place { watchers: self.clone(), holder })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.watchers.open();
        let left = open.get(&self.holder).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            open.remove(&self.holder);
        } else {
            open.insert(self.holder, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_places_and_gets_one_back_when_a_feed_ends() {
        let watchers = Watchers::default();
        let (one, other) = (Holder::Session([1; 32]), Holder::Session([2; 32]));
        let mut places: Vec<_> = (0..WATCHERS_EACH).map(|_| watchers.take(one).unwrap()).collect();
        assert!(watchers.take(one).is_none());
        assert!(watchers.take(other).is_some(), "another session has its own");
        places.pop();
        let again = watchers.take(one);
        assert!(again.is_some() && watchers.take(one).is_none());
        drop((places, again));
        assert!(watchers.open().is_empty(), "nobody who is gone is remembered");
    }

    #[test]
    fn all_customers_together_take_no_place_of_the_operator() {
        let watchers = Watchers::default();
        let account = |number: usize| {
            Holder::Account(AccountId::from_bytes([u8::try_from(number / WATCHERS_EACH).unwrap(); 16]))
        };
        let places: Vec<_> =
            (0..WATCHERS_AT_ONCE).map(|number| watchers.take(account(number)).unwrap()).collect();
        assert!(watchers.take(Holder::Account(AccountId::from_bytes([99; 16]))).is_none());
        assert!(watchers.take(Holder::Session([1; 32])).is_some());
        drop(places);
    }
}
