//! Back-pressure from recording: what was sent and is not recorded yet is sent again after a crash. So `ordered` lanes send
//! nothing while outcomes can't be recorded, since theirs would come again in rewound order; the others go on up to a bound,
//! so that a full disk keeps nothing from being delivered that is durable already.
//!
//! In regular operation the bounds are never reached: a commit takes milliseconds.

use std::collections::BTreeSet;

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
    /// `ordered` lanes whose turn came while commits failed.
    held: BTreeSet<EndpointNo>,
}

impl RecordingGate {
    /// Whether anything may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.unrecorded < MAX_UNRECORDED
    }

    /// Whether a lane may send, `ordered` or not.
    pub(super) fn is_open_for(&self, ordered: bool) -> bool {
        self.is_open() && !(ordered && self.is_failing)
    }

    /// Remembers a lane whose turn came while it may not send.
    pub(super) fn hold(&mut self, no: EndpointNo) {
        self.held.insert(no);
    }

    /// An outcome is on its way to its commit.
    pub(super) fn submitted(&mut self) {
        self.unrecorded += 1;
    }
}

impl Lanes {
    /// A commit of outcomes failed; it is tried again. `ordered` lanes send nothing until one succeeds.
    pub(crate) fn recording_failed(&mut self) {
        self.recording.is_failing = true;
    }

    /// So many outcomes need no commit any more: they are recorded, or can't be.
    pub(crate) fn recording_done(&mut self, outcomes: usize, now: Timestamp) {
        self.recording.is_failing = false;
        self.recording.unrecorded = self.recording.unrecorded.saturating_sub(outcomes);
        for no in std::mem::take(&mut self.recording.held) {
            self.settle(no, now);
        }
    }

    /// An outcome of a lane was recorded: an `ordered` one may have waited for that.
    pub(super) fn resume_ordered(&mut self, no: EndpointNo, now: Timestamp) {
        if self.lanes.get(&no).is_some_and(|lane| lane.endpoint.settings.ordered) {
            self.settle(no, now);
        }
    }
}
