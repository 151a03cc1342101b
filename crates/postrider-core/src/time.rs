//! A point in time as the service keeps it: milliseconds since 1970 in UTC.
//!
//! This file reads no clock; the engine passes the time in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time such as 2017-07-18T12:37:56Z")]
pub struct NotATime;

impl Timestamp {
    /// The latest time that is shown as it is; later ones are shown as this one, the end of the year 9999.
    const LAST_SHOWN_MS: i64 = 253_402_207_199_999;

    /// The time `ms` milliseconds after 1970 began.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970 began.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 began, as Standard Webhooks wants them.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time and `by` more; stays at the last representable time instead of overflowing.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This time and `by` less; stays at the first representable time instead of overflowing.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it (a clock may jump back).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = jiff::Timestamp::from_millisecond(self.0.clamp(0, Self::LAST_SHOWN_MS))
            .expect("a clamped time lies in jiff's range");
        write!(f, "{shown:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Self(time.as_millisecond())),
            Err(_) => Err(NotATime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc_with_milliseconds_and_read_back() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_500_381_476_000, "2017-07-18T12:37:56.000Z"),
            (1_500_381_476_007, "2017-07-18T12:37:56.007Z"),
        ] {
            assert_eq!(Timestamp::from_ms(ms).to_string(), shown);
            assert_eq!(shown.parse(), Ok(Timestamp::from_ms(ms)));
        }
    }

    #[test]
    fn an_offset_is_understood_and_nonsense_is_refused() {
        assert_eq!("2017-07-18T14:37:56+02:00".parse(), Ok(Timestamp::from_ms(1_500_381_476_000)));
        for wrong in ["", "yesterday", "2017-07-18", "2017-07-18T12:37:56", "1500381476"] {
            assert_eq!(wrong.parse::<Timestamp>(), Err(NotATime), "{wrong}");
        }
    }

    #[test]
    fn absurd_times_neither_overflow_nor_panic() {
        let last = Timestamp::from_ms(i64::MAX);
        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(Timestamp::from_ms(i64::MIN).minus(Duration::MAX), Timestamp::from_ms(i64::MIN));
        assert_eq!(Timestamp::from_ms(500).minus(Duration::from_secs(1)), Timestamp::from_ms(-500));
        assert_eq!(Timestamp::from_ms(0).since(last), Duration::ZERO);
        assert_eq!(last.to_string(), "9999-12-30T21:59:59.999Z");
        assert_eq!(Timestamp::from_ms(i64::MIN).to_string(), "1970-01-01T00:00:00.000Z");
    }
}
