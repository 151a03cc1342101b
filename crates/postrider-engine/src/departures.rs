//! How many attempts may be on their way out at once: begun, and not yet waiting for their receiver.
//!
//! Slots and lanes are shared out fairly, processor time is not: a thousand attempts begun at once stand in the
//! runtime's queue, and whoever comes next stands behind them. So they are begun a few at a time, and who comes next
//! takes its turn in the lanes, where turns are by account.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Inner;

/// Attempts that may be on their way out at once.
pub(crate) const MAX_DEPARTING: usize = 64;

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    departing: AtomicUsize,
    /// More could be sent than may depart.
    held_back: AtomicBool,
}

impl Departures {
    /// Takes a place for an attempt; it is given back by [`Departing`].
    pub(crate) fn begin(&self) -> bool {
        loop {
            let departing = self.departing.load(Ordering::SeqCst);
            if departing < MAX_DEPARTING {
                let next = departing + 1;
                let took =
                    self.departing.compare_exchange(departing, next, Ordering::SeqCst, Ordering::SeqCst);
                if took.is_ok() {
                    return true;
                }
                continue;
            }
            // Whoever leaves from now on sees this; whoever has left meanwhile is seen here.
            self.held_back.store(true, Ordering::SeqCst);
            if self.departing.load(Ordering::SeqCst) >= MAX_DEPARTING {
                return false;
            }
        }
    }

    /// Gives back the place of [`Self::begin`]. Whether there is room again for those that were held back.
    pub(crate) fn end(&self) -> bool {
        let before = self.departing.fetch_sub(1, Ordering::SeqCst);
        before <= MAX_DEPARTING / 2 + 1
            && self.held_back.load(Ordering::SeqCst)
            && self.held_back.swap(false, Ordering::SeqCst)
    }
}

/// An attempt on its way out; dropped when it is out.
pub(crate) struct Departing<'a>(&'a Arc<Inner>);

impl<'a> Departing<'a> {
    /// Of an attempt for which [`Departures::begin`] took a place.
    pub(crate) fn of(inner: &'a Arc<Inner>) -> Self {
        Self(inner)
    }
}

impl Drop for Departing<'_> {
    fn drop(&mut self) {
        if self.0.departures.end() {
            self.0.pump();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_depart_and_the_others_go_on_once_half_of_them_are_out() {
        let departures = Departures::default();
        assert!((0..MAX_DEPARTING).all(|_| departures.begin()));
        assert!(!departures.begin());
        let out: Vec<bool> = (0..MAX_DEPARTING).map(|_| departures.end()).collect();
        assert_eq!(out.iter().filter(|go_on| **go_on).count(), 1, "told once: {out:?}");
        assert_eq!(out.iter().position(|go_on| *go_on), Some(MAX_DEPARTING / 2 - 1));
        assert!(departures.begin() && !departures.end(), "nobody is held back any more");
    }
}
