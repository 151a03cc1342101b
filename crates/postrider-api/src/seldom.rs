//! A line for the log that is said now and then, however often there is reason to: an outage refuses thousands of
//! requests a second, and each of them has been told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often it is said.
const EVERY: Duration = Duration::from_secs(10);

/// When it was said last, and how often it was not.
#[derive(Debug)]
pub(crate) struct Seldom {
    /// In milliseconds, 0 for never.
    said_at: AtomicU64,
    unsaid: AtomicU64,
}

impl Seldom {
    /// Never said so far.
    pub(crate) const fn new() -> Self {
        Self { said_at: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Whether to say it `since_start`: then how often it was not since the last time.
    pub(crate) fn turn(&self, since_start: Duration) -> Option<u64> {
        let now = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let said_at = self.said_at.load(Ordering::Relaxed);
        let is_due = said_at == 0 || Duration::from_millis(now.saturating_sub(said_at)) >= EVERY;
        let order = Ordering::Relaxed;
        if is_due && self.said_at.compare_exchange(said_at, now, order, order).is_ok() {
            return Some(self.unsaid.swap(0, order));
        }
        self.unsaid.fetch_add(1, order);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_one_in_ten_seconds_with_the_number_of_the_others() {
        let seldom = Seldom::new();
        let at = |ms| seldom.turn(Duration::from_millis(ms));
        assert_eq!(at(0), Some(0));
        assert_eq!([at(0), at(5_000), at(9_999)], [None; 3]);
        assert_eq!(at(10_000), Some(3));
        assert_eq!(at(10_001), None);
        assert_eq!(at(99_999), Some(1));
    }
}
