//! Back-pressure from recording: while outcomes can't be recorded, nothing is sent, because a crash would send it again.
//!
//! In regular operation the bounds are never reached: a commit takes milliseconds.

use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;

use super::Lanes;

/// Outcomes that wait for their commit, over all lanes. Past it nothing more is sent.
pub(crate) const MAX_UNRECORDED: usize = 1_024;
/// The same for one `ordered` lane, whose deliveries would come in rewound order again.
pub(super) const MAX_UNRECORDED_ORDERED: usize = 8;

/// Whether more may be sent, as far as recording is concerned.
#[derive(Debug, Default)]
pub(super) struct RecordingGate {
    /// Whether the last commit of outcomes failed.
    is_failing: bool,
    unrecorded: usize,
}

impl RecordingGate {
    /// Whether anything may be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.is_failing && self.unrecorded < MAX_UNRECORDED
    }

    /// An outcome is on its way to its commit.
    pub(super) fn submitted(&mut self) {
        self.unrecorded += 1;
    }
}

impl Lanes {
    /// A commit of outcomes failed; it is tried again. Nothing is sent until one succeeds.
    pub(crate) fn recording_failed(&mut self) {
        self.recording.is_failing = true;
    }

    /// So many outcomes need no commit any more: they are recorded, or can't be.
    pub(crate) fn recording_done(&mut self, outcomes: usize) {
        self.recording.is_failing = false;
        self.recording.unrecorded = self.recording.unrecorded.saturating_sub(outcomes);
    }

    /// An outcome of a lane was recorded: an `ordered` one may have waited for that.
    pub(super) fn resume_ordered(&mut self, no: EndpointNo, now: Timestamp) {
        if self.lanes.get(&no).is_some_and(|lane| lane.endpoint.settings.ordered) {
            self.settle(no, now);
        }
    }
}
