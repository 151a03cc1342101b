//! How the lanes stand, in a few numbers. Read when somebody asks; costs a look at each lane.

use postrider_core::endpoint::State;

use super::Lanes;

/// The lanes of all endpoints at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneGauges {
    /// Enabled endpoints that answer.
    pub healthy: u64,
    /// Enabled endpoints that are failing.
    pub failing: u64,
    /// Paused endpoints.
    pub paused: u64,
    /// Disabled endpoints.
    pub disabled: u64,
    /// Endpoints, however they stand, whose sealed values do not open.
    pub unreadable: u64,
    /// Deliveries that are pending.
    pub backlog: u64,
    /// Deliveries queued in memory.
    pub in_memory: u64,
    /// Retries that wait in memory for their time.
    pub retries: u64,
    /// Bytes of payloads in memory.
    pub payload_bytes: u64,
}

impl Lanes {
    /// How the lanes stand.
    pub(crate) fn gauges(&self) -> LaneGauges {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut gauges = LaneGauges {
            retries: number(self.retries.len()),
            payload_bytes: number(self.payload_bytes),
            ..LaneGauges::default()
        };
        for lane in self.lanes.values() {
            let standing = match lane.state {
                State::Enabled if lane.health.is_failing() => &mut gauges.failing,
                State::Enabled => &mut gauges.healthy,
                State::Paused => &mut gauges.paused,
                State::Disabled(_) => &mut gauges.disabled,
            };
            *standing += 1;
            gauges.unreadable += u64::from(!lane.endpoint.is_readable());
            gauges.backlog += lane.pending(self.shared);
            gauges.in_memory += number(lane.queue.len());
        }
        gauges
    }
}
