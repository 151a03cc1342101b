//! How many streams are open: a bounded number, and of each account only a part of it, so that none takes all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_core::id::AccountId;

use crate::problem::{Code, Problem};

/// One account has at most one part in so many.
const PARTS: usize = 4;

/// The streams that are open.
pub(crate) struct StreamSlots {
    max: usize,
    /// By account; the operator's under none.
    open: Arc<Mutex<HashMap<Option<AccountId>, usize>>>,
}

/// One open stream; its slot is free again when it is dropped.
pub(super) struct Slot {
    of: Option<AccountId>,
    open: Arc<Mutex<HashMap<Option<AccountId>, usize>>>,
}

impl StreamSlots {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), open: Arc::default() }
    }

    /// A slot for a stream of this account, or of the operator.
    pub(super) fn take(&self, of: Option<AccountId>) -> Result<Slot, Problem> {
        let mut open = lock(&self.open);
        let own = open.get(&of).copied().unwrap_or(0);
        let share = if of.is_some() { self.max.div_ceil(PARTS) } else { self.max };
        if own >= share || open.values().sum::<usize>() >= self.max {
            return Err(Problem::new(
                Code::Overloaded,
                "as many streams are open as may be; close one of them",
            ));
        }
        open.insert(of, own + 1);
        Ok(Slot { of, open: Arc::clone(&self.open) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        match open.get_mut(&self.of) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                open.remove(&self.of);
            }
        }
    }
}

/// A count is right whatever happened to whoever held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::time::Timestamp;

    #[test]
    fn an_account_gets_a_part_of_the_slots_and_each_is_given_back() {
        let slots = StreamSlots::new(4);
        let [a, b] = [1, 2].map(|n| Some(AccountId::new(Timestamp::from_ms(n), 0)));
        let first = slots.take(a).unwrap();
        assert!(slots.take(a).is_err(), "one of four");
        let others = [slots.take(b).unwrap(), slots.take(None).unwrap(), slots.take(None).unwrap()];
        assert!(slots.take(None).is_err(), "four are open");
        drop(first);
        assert!(slots.take(a).is_ok());
        drop(others);
        assert!(lock(&slots.open).is_empty(), "what is closed leaves nothing behind");
    }
}
