//! What ended lately, counted per slot of time: a ring of fixed length. Pure: the time is an argument.
//!
//! For pictures of the last hour or day. It is exact about what it was told, and forgets what is older than its length.

use std::time::Duration;

use crate::time::Timestamp;

/// What ended within one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Attempts that were received.
    pub received: u32,
    /// Attempts that were not.
    pub failed: u32,
}

/// The last `SLOTS` slots of time.
#[derive(Debug, Clone)]
pub struct Activity<const SLOTS: usize> {
    slot_ms: i64,
    /// The number, since 1970, of the newest slot that was counted in.
    newest: i64,
    counts: [Counts; SLOTS],
}

impl<const SLOTS: usize> Activity<SLOTS> {
    /// Nothing yet, in slots of this length (at least a millisecond).
    pub fn new(slot: Duration) -> Self {
        let slot_ms = i64::try_from(slot.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { slot_ms, newest: i64::MIN / 2, counts: [Counts::default(); SLOTS] }
    }

    /// Counts an attempt that ended at `now`. Where the clock went back it is counted in the newest slot.
    pub fn count(&mut self, was_received: bool, now: Timestamp) {
        let slot = now.as_ms().div_euclid(self.slot_ms).max(self.newest);
        let passed = slot - self.newest;
        if passed >= length::<SLOTS>() {
            self.counts = [Counts::default(); SLOTS];
        } else {
            for skipped in 1..=passed {
                self.counts[place::<SLOTS>(self.newest + skipped)] = Counts::default();
            }
        }
        self.newest = slot;
        let counts = &mut self.counts[place::<SLOTS>(slot)];
        let count = if was_received { &mut counts.received } else { &mut counts.failed };
        *count = count.saturating_add(1);
    }

    /// The slots up to the one that `now` lies in, the oldest first, each with the time it begins.
    pub fn slots(&self, now: Timestamp) -> Vec<(Timestamp, Counts)> {
        let last = now.as_ms().div_euclid(self.slot_ms).max(self.newest);
        let kept = (self.newest - length::<SLOTS>() + 1)..=self.newest;
        let first = last - length::<SLOTS>() + 1;
        let at = |slot: i64| {
            if kept.contains(&slot) { self.counts[place::<SLOTS>(slot)] } else { Counts::default() }
        };
        (first..=last).map(|slot| (Timestamp::from_ms(slot.saturating_mul(self.slot_ms)), at(slot))).collect()
    }
}

fn length<const SLOTS: usize>() -> i64 {
    i64::try_from(SLOTS).unwrap_or(i64::MAX)
}

fn place<const SLOTS: usize>(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(length::<SLOTS>())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1_000)
    }

    fn received(activity: &Activity<4>, now: i64) -> Vec<u32> {
        activity.slots(at(now)).into_iter().map(|(_, counts)| counts.received).collect()
    }

    #[test]
    fn each_slot_holds_what_ended_in_it_and_the_oldest_are_forgotten() {
        let mut activity = Activity::<4>::new(Duration::from_secs(10));
        for seconds in [100, 101, 115, 131] {
            activity.count(true, at(seconds));
        }
        activity.count(false, at(131));
        assert_eq!(received(&activity, 131), [2, 1, 0, 1]);
        assert_eq!(activity.slots(at(131))[3], (at(130), Counts { received: 1, failed: 1 }));
        assert_eq!(received(&activity, 149), [1, 0, 1, 0], "time passes without anything to count");
        activity.count(true, at(145));
        assert_eq!(received(&activity, 145), [1, 0, 1, 1]);
        assert_eq!(received(&activity, 10_000), [0; 4]);
        activity.count(true, at(10_000));
        assert_eq!(
            received(&activity, 10_000),
            [0, 0, 0, 1],
            "a long silence leaves nothing of what was before it"
        );
    }

    #[test]
    fn a_clock_that_goes_back_loses_no_count_and_breaks_nothing() {
        let mut activity = Activity::<4>::new(Duration::from_secs(10));
        activity.count(true, at(200));
        activity.count(true, at(150));
        assert_eq!(received(&activity, 150), [0, 0, 0, 2]);
        activity.count(true, Timestamp::from_ms(i64::MIN));
        assert_eq!(received(&activity, 200), [0, 0, 0, 3]);
        assert_eq!(Activity::<4>::new(Duration::ZERO).slots(at(0)).len(), 4);
    }
}
