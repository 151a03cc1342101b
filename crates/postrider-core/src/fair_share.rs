//! A pool of capacity that many holders share, so that none of them can take it all. Pure bookkeeping: the caller locks,
//! waits and releases.
//!
//! Three rules decide whether a holder may take more. The pool has a total. A holder has a largest share of it. And past its
//! guaranteed share a holder may have at most as much as it leaves free (a dynamic threshold, as in shared-buffer switches):
//! each further greedy holder then gets half of what the one before left, and something is always left for a newcomer.

use std::collections::HashMap;
use std::hash::Hash;

/// How a pool is divided, in units of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Everything there is.
    pub total: usize,
    /// The part of it that only the operator can take.
    pub reserved: usize,
    /// The most that one holder can have.
    pub largest: usize,
    /// What a holder can have without leaving as much free.
    pub guaranteed: usize,
}

/// Why a holder can't take more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// This holder has its share; others still get theirs.
    Share,
    /// The whole pool is in use.
    Pool,
}

/// Who has how much of a pool. Holders without any are not remembered.
#[derive(Debug)]
pub struct FairPool<K> {
    shares: Shares,
    held: HashMap<K, usize>,
    /// What the holders have together.
    taken: usize,
    /// What the operator has.
    by_operator: usize,
}

impl<K: Eq + Hash + Copy> FairPool<K> {
    /// A pool from which nothing is taken.
    pub fn new(shares: Shares) -> Self {
        Self { shares, held: HashMap::new(), taken: 0, by_operator: 0 }
    }

    /// Takes `amount` for this holder, or for the operator if there is none.
    pub fn take(&mut self, holder: Option<K>, amount: usize) -> Result<(), Exhausted> {
        let Shares { total, reserved, largest, guaranteed } = self.shares;
        let Some(holder) = holder else {
            if self.taken + self.by_operator + amount > total {
                return Err(Exhausted::Pool);
            }
            self.by_operator += amount;
            return Ok(());
        };
        let own = self.held.get(&holder).copied().unwrap_or(0) + amount;
        if own > largest {
            return Err(Exhausted::Share);
        }
        // What the operator has comes out of its reserve first.
        let used = self.taken + self.by_operator.max(reserved) + amount;
        let Some(free) = total.checked_sub(used) else { return Err(Exhausted::Pool) };
        if own > guaranteed && own > free {
            return Err(Exhausted::Share);
        }
        self.taken += amount;
        self.held.insert(holder, own);
        Ok(())
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, holder: Option<K>, amount: usize) {
        let Some(holder) = holder else {
            self.by_operator = self.by_operator.saturating_sub(amount);
            return;
        };
        self.taken = self.taken.saturating_sub(amount);
        match self.held.get_mut(&holder) {
            Some(own) if *own > amount => *own -= amount,
            _ => {
                self.held.remove(&holder);
            }
        }
    }

    /// Whether nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.by_operator == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARES: Shares = Shares { total: 128, reserved: 16, largest: 32, guaranteed: 1 };

    /// Takes one at a time until no more is given; returns how many were.
    fn take_all(pool: &mut FairPool<u32>, holder: Option<u32>) -> usize {
        std::iter::repeat_with(|| pool.take(holder, 1)).take_while(Result::is_ok).count()
    }

    #[test]
    fn one_holder_gets_its_share_and_the_next_ones_half_of_what_is_left() {
        let mut pool = FairPool::new(SHARES);
        let taken: Vec<usize> = (0..8).map(|holder| take_all(&mut pool, Some(holder))).collect();
        assert_eq!(taken, [32, 32, 24, 12, 6, 3, 1, 1]);
        assert_eq!(pool.take(Some(0), 1), Err(Exhausted::Share));
        assert_eq!(pool.take(Some(99), 1), Ok(()), "the last of it goes to one that has none");
        assert_eq!(pool.take(Some(100), 1), Err(Exhausted::Pool));
        assert_eq!(take_all(&mut pool, None), 16, "the operator's part is there all the same");
    }

    #[test]
    fn the_operator_takes_all_that_is_free_and_its_reserve_first() {
        let mut pool = FairPool::new(SHARES);
        assert_eq!(take_all(&mut pool, None), 128);
        assert_eq!(pool.take(Some(1), 1), Err(Exhausted::Pool));
        pool.give_back(None, 112);
        assert_eq!(take_all(&mut pool, Some(1)), 32);
        pool.give_back(Some(1), 32);
        pool.give_back(None, 16);
        assert!(pool.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_taken_and_given_back_the_rules_hold(
            steps in prop::collection::vec((0u32..6, 1usize..40, any::<bool>()), 1..200)
        ) {
            let mut pool = FairPool::new(SHARES);
            let mut taken: Vec<(Option<u32>, usize)> = Vec::new();
            for (who, amount, gives_back) in steps {
                let holder = (who > 0).then_some(who);
                if gives_back && !taken.is_empty() {
                    let (holder, amount) = taken.swap_remove(amount % taken.len());
                    pool.give_back(holder, amount);
                } else if pool.take(holder, amount).is_ok() {
                    taken.push((holder, amount));
                }
                let of = |wanted: Option<u32>| -> usize {
                    taken.iter().filter(|(holder, _)| *holder == wanted).map(|(_, amount)| amount).sum()
                };
                let customers: usize = (1..6).map(|holder| of(Some(holder))).sum();
                prop_assert!((1..6).all(|holder| of(Some(holder)) <= SHARES.largest));
                prop_assert!(customers + of(None) <= SHARES.total);
                prop_assert!(customers <= SHARES.total - SHARES.reserved);
            }
            for (holder, amount) in taken.drain(..) {
                pool.give_back(holder, amount);
            }
            prop_assert!(pool.is_empty());
        }
    }
}
