//! The service's own time: how long it has run, across restarts, and whether the machine's clock can be trusted.
//!
//! Pure: what the clock says and how long the service has run are arguments. A clock that is ahead would let the service
//! delete at once what it should keep for days, so nothing is deleted by age while the clock is in doubt (ADR 24).

use std::time::Duration;

use crate::time::Timestamp;

/// A clock that is ahead of the last time stored by more than this is in doubt …
pub const MAX_CLOCK_ADVANCE: Duration = Duration::from_secs(24 * 3600);
/// … until the service has run for this long by it.
pub const CLOCK_DOUBT: Duration = Duration::from_secs(24 * 3600);

/// How long the service has run in all, across restarts. Time in which it is stopped, or holds deliveries, is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ServiceTime(Duration);

impl ServiceTime {
    /// So much after the service first ran.
    pub const fn new(ran: Duration) -> Self {
        Self(ran)
    }

    /// How long the service has run in all.
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// Later by so much.
    #[must_use]
    pub fn plus(self, ran: Duration) -> Self {
        Self(self.0.saturating_add(ran))
    }

    /// How much was run since `earlier`; nothing where that is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the store keeps of the service's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockRecord {
    /// The last time that was read from a trusted clock; none before the first.
    pub trusted_at: Option<Timestamp>,
    /// How long the service had run by then.
    pub service_time: ServiceTime,
    /// Set while the clock is in doubt.
    pub doubt: Option<ClockDoubt>,
}

/// A clock that is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDoubt {
    /// What it said last.
    pub read_at: Timestamp,
    /// For how long the service has run by it.
    pub ran: Duration,
}

impl ClockRecord {
    /// The record after the clock was read as `now` by a node that has run for `ran` since it last read it (zero at its
    /// start).
    ///
    /// The clock comes into doubt where it is further ahead than a restart explains, and is trusted again when it is back,
    /// or has agreed with the service's running time for [`CLOCK_DOUBT`].
    #[must_use]
    pub fn observe(self, now: Timestamp, ran: Duration) -> Self {
        let Some(trusted_at) = self.trusted_at else {
            let service_time = self.service_time.plus(ran);
            return Self { trusted_at: Some(now), service_time, doubt: None };
        };
        let doubted_for = self.doubt.map_or(Duration::ZERO, |doubt| doubt.ran);
        let last_read = self.doubt.map_or(trusted_at, |doubt| doubt.read_at);
        // Several nodes read the clock in turn: what another one has counted is not counted again.
        let fresh = if now < last_read { ran } else { ran.min(now.since(last_read)) };
        let service_time = self.service_time.plus(fresh);
        let expected = trusted_at.plus(doubted_for.saturating_add(ran));
        let trusted = Self { trusted_at: Some(now), service_time, doubt: None };
        if now <= expected.plus(MAX_CLOCK_ADVANCE) {
            return trusted;
        }
        let goes_on = self.doubt.is_some_and(|doubt| {
            let expected = doubt.read_at.plus(ran);
            now.since(expected).max(expected.since(now)) <= MAX_CLOCK_ADVANCE
        });
        let doubted_for = if goes_on { doubted_for.saturating_add(fresh) } else { Duration::ZERO };
        if doubted_for >= CLOCK_DOUBT {
            return trusted;
        }
        Self { service_time, doubt: Some(ClockDoubt { read_at: now, ran: doubted_for }), ..self }
    }

    /// The time by which ages are judged, `ran` after this record was read: what the clock says, or, while that is in
    /// doubt, the last trusted time and what the service has run since.
    pub fn time_for_ages(self, now: Timestamp, ran: Duration) -> Timestamp {
        let observed = self.observe(now, ran);
        match (observed.trusted_at, observed.doubt) {
            (Some(trusted_at), Some(doubt)) => trusted_at.plus(doubt.ran.max(ran)),
            _ => now,
        }
    }

    /// How long the service must run yet before the clock is trusted; none where it is.
    pub fn distrusted_for(&self) -> Option<Duration> {
        self.doubt.map(|doubt| CLOCK_DOUBT.saturating_sub(doubt.ran))
    }
}

#[cfg(test)]
mod tests;
