//! Counts what ended lately, over all lanes and in each, for pictures of the last hour and day. Bounded, in memory, and
//! counted under the lanes' lock, where an attempt ends anyway.

use std::time::Duration;

use postrider_core::activity::{Activity, Counts};
use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;

use super::Lanes;

/// How many hours a lane remembers.
pub(crate) const HOURS: usize = 24;
const HOUR: Duration = Duration::from_secs(3600);

/// How many minutes all lanes together remember by the minute …
const MINUTES: usize = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// … and how many spans of ten minutes, which make a day.
const TENS: usize = 144;
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// What ended lately over all lanes.
#[derive(Debug)]
pub(super) struct Tally {
    hour: Activity<MINUTES>,
    day: Activity<TENS>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { hour: Activity::new(MINUTE), day: Activity::new(TEN_MINUTES) }
    }
}

impl Tally {
    /// Counts an attempt that ended, here and for its lane.
    pub(super) fn count(
        &mut self,
        lane: &mut Option<Box<Activity<HOURS>>>,
        was_received: bool,
        now: Timestamp,
    ) {
        self.hour.count(was_received, now);
        self.day.count(was_received, now);
        lane.get_or_insert_with(|| Box::new(Activity::new(HOUR))).count(was_received, now);
    }
}

impl Lanes {
    /// The last hour by the minute, over all lanes.
    pub(crate) fn last_hour(&self, now: Timestamp) -> Vec<(Timestamp, Counts)> {
        self.tally.hour.slots(now)
    }

    /// The last day by ten minutes, over all lanes.
    pub(crate) fn last_day(&self, now: Timestamp) -> Vec<(Timestamp, Counts)> {
        self.tally.day.slots(now)
    }

    /// The last day of one lane by the hour.
    pub(crate) fn last_day_of(&self, no: EndpointNo, now: Timestamp) -> Vec<(Timestamp, Counts)> {
        match self.lanes.get(&no).and_then(|lane| lane.activity.as_ref()) {
            Some(activity) => activity.slots(now),
            None => Activity::<HOURS>::new(HOUR).slots(now),
        }
    }
}
