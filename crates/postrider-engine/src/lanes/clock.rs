//! What becomes of waiting when the clock goes back: it lasts as long as it would have, and not longer by the jump.
//!
//! Only what memory holds is moved. Retries that the store alone knows keep their time by the new clock, so they come
//! later by the jump at most.

use std::time::Duration;

use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;
use tokio::time::Instant;

use super::Lanes;

/// A difference up to this is no jump.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Compares the clock with one that never jumps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    clock: Timestamp,
    steady: Instant,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn begin(clock: Timestamp, steady: Instant) -> Self {
        Self { clock, steady }
    }

    /// By how much the clock went back since the last look, if it did.
    pub(crate) fn went_back(&mut self, clock: Timestamp, steady: Instant) -> Option<Duration> {
        let expected = self.clock.plus(steady.saturating_duration_since(self.steady));
        *self = Self { clock, steady };
        Some(expected.since(clock)).filter(|by| *by > TOLERANCE)
    }
}

impl Lanes {
    /// The clock went back: everything that waits for a time waits for one that is earlier by so much.
    pub(crate) fn clock_went_back(&mut self, by: Duration, now: Timestamp) {
        self.retries.move_earlier(by);
        let all: Vec<EndpointNo> = self.lanes.keys().copied().collect();
        for no in all {
            if let Some(lane) = self.lanes.get_mut(&no) {
                lane.health = lane.health.waiting_less(by);
            }
            // Its bucket looks at the clock anew.
            self.settle(no, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_is_noticed_and_one_that_drifts_or_jumps_ahead_is_not() {
        let (began, at) = (Instant::now(), Timestamp::from_ms);
        let after = |ms| began + Duration::from_millis(ms);
        let mut watch = Watch::begin(at(100_000), began);
        assert_eq!(watch.went_back(at(101_000), after(1_000)), None);
        assert_eq!(watch.went_back(at(100_500), after(2_000)), None, "within the tolerance");
        assert_eq!(watch.went_back(at(91_500), after(3_000)), Some(Duration::from_secs(10)));
        assert_eq!(watch.went_back(at(92_500), after(4_000)), None, "once");
        assert_eq!(watch.went_back(at(900_000), after(5_000)), None);
    }
}
