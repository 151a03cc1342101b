//! A token bucket: at most so many requests per second, with a burst. The time is an argument.

use std::time::Duration;

use postrider_core::endpoint::RateLimit;
use postrider_core::time::Timestamp;

/// Tokens of one lane. A request takes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    limit: RateLimit,
    tokens: f64,
    filled_at: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(limit: RateLimit, now: Timestamp) -> Self {
        Self { limit, tokens: f64::from(limit.burst), filled_at: now }
    }

    /// The limit it keeps.
    pub(super) fn limit(&self) -> RateLimit {
        self.limit
    }

    /// None when a token is there, else when the next one will be.
    pub(crate) fn wait_until(&mut self, now: Timestamp) -> Option<Timestamp> {
        let per_second = f64::from(self.limit.per_second);
        let fresh = now.since(self.filled_at).as_secs_f64() * per_second;
        self.tokens = (self.tokens + fresh).min(f64::from(self.limit.burst));
        self.filled_at = now;
        // A hair less than one counts as one, so that rounding never costs a token.
        let missing = 1.0 - self.tokens - 1e-6;
        (missing > 0.0)
            .then(|| now.plus(Duration::from_secs_f64(missing / per_second) + Duration::from_millis(1)))
    }

    /// Takes a token; call only after [`Self::wait_until`] gave none.
    pub(crate) fn take(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(RateLimit { per_second: 10, burst: 5 }, Timestamp::from_ms(0));
        let mut sent = 0;
        for ms in 0..2_000 {
            while bucket.wait_until(Timestamp::from_ms(ms)).is_none() {
                bucket.take();
                sent += 1;
            }
        }
        assert!((24..=25).contains(&sent), "5 at once and 10 a second for 2 s, not {sent}");
    }

    #[test]
    fn the_promised_time_has_a_token() {
        let mut bucket = Bucket::new(RateLimit { per_second: 3, burst: 1 }, Timestamp::from_ms(0));
        assert_eq!(bucket.wait_until(Timestamp::from_ms(0)), None);
        bucket.take();
        let then = bucket.wait_until(Timestamp::from_ms(0)).expect("the bucket is empty");
        assert!((333..=340).contains(&then.as_ms()));
        assert_eq!(bucket.wait_until(then), None);
    }
}
