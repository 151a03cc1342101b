//! How fast a request's body must arrive: who holds memory must use it. Time is passed in.

use std::time::Duration;

/// Bodies up to this length may take all the time that a body has; they hold next to nothing.
pub const MAX_SLOW_BODY_BYTES: usize = 64 * 1024;
/// A longer body must grow by one part in so many …
const LEAST_GROWTH: usize = 8;
/// … within this time, or it is given up.
pub const BODY_GROWS_WITHIN: Duration = Duration::from_secs(5);

/// How fast one body arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodyPace {
    /// When it had last grown enough.
    grown_at: Duration,
    /// How long it was then.
    length: usize,
}

impl BodyPace {
    /// Returns until when the next bytes of a body must arrive that is `length` bytes long at `now`; `None` if it may take its
    /// time. Times are counted from any one moment.
    pub fn next_within(&mut self, length: usize, now: Duration) -> Option<Duration> {
        if length <= MAX_SLOW_BODY_BYTES || length >= self.length + self.length / LEAST_GROWTH {
            *self = Self { grown_at: now, length };
        }
        (length > MAX_SLOW_BODY_BYTES).then(|| self.grown_at + BODY_GROWS_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_body_that_holds_memory_must_grow_by_an_eighth_every_five_seconds() {
        let mut pace = BodyPace::default();
        assert_eq!(pace.next_within(1_000, s(0)), None);
        assert_eq!(pace.next_within(MAX_SLOW_BODY_BYTES, s(20)), None, "a small one may take its time");
        assert_eq!(pace.next_within(80_000, s(21)), Some(s(26)));
        assert_eq!(pace.next_within(80_001, s(25)), Some(s(26)), "a byte is no growth");
        assert_eq!(pace.next_within(90_000, s(25)), Some(s(30)));
    }
}
