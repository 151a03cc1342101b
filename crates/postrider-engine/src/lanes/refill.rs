//! Spilled lanes: which of them want more from the store, and taking in what was read.
//!
//! A refill takes the lowest pending sequence numbers that are not loaded yet. There is no cursor that a late
//! commit could slip behind. See [`Spilled`] for how a lane finds its way back to fresh deliveries.

use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::{EndpointNo, State};
use postrider_core::time::Timestamp;

use super::lane::{Item, Spilled};
use super::{Lanes, keep_payload};

/// A lane that wants more from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refill {
    pub(crate) endpoint_no: EndpointNo,
    /// How many rows to read: those already in memory come first, so they are added to what is wanted.
    pub(crate) limit: usize,
    /// Whether those that wait for a time are wanted too: an `ordered` lane must know its head.
    pub(crate) with_waiting: bool,
}

impl Lanes {
    /// What start-up found pending for a lane.
    pub(crate) fn set_backlog(&mut self, no: EndpointNo, ready: u64, waiting: u64) {
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        lane.backlog = i64::try_from(ready.saturating_add(waiting)).unwrap_or(i64::MAX);
        lane.in_store = usize::try_from(ready).unwrap_or(usize::MAX);
        if ready > 0 || (waiting > 0 && lane.endpoint.settings.ordered) {
            lane.spilled = Spilled::Yes;
            self.want_refill(no);
        }
    }

    /// So many of a held lane's pending deliveries were cancelled in the store.
    pub(crate) fn dropped(&mut self, no: EndpointNo, count: u64) {
        if let Some(lane) = self.lanes.get_mut(&no) {
            lane.backlog -= i64::try_from(count).unwrap_or(i64::MAX);
            lane.in_store = lane.in_store.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    /// The next lane to read more for.
    pub(crate) fn take_refill(&mut self) -> Option<Refill> {
        loop {
            let no = self.refills.pop_front()?;
            let room = self.room();
            let Some(lane) = self.lanes.get_mut(&no) else { continue };
            if lane.state != State::Enabled || lane.is_elsewhere() {
                lane.refilling = false;
                continue;
            }
            let wanted = room.saturating_sub(lane.queue.len()).max(1);
            let with_waiting = lane.endpoint.settings.ordered && lane.head_unknown;
            if with_waiting {
                (lane.head_unknown, lane.head_is_read) = (false, true);
            }
            lane.known.begin_read();
            return Some(Refill { endpoint_no: no, limit: lane.may_be_ready() + wanted, with_waiting });
        }
    }

    /// Takes in what was read for `refill`: `waiting` for a time (where it was asked for) and `ready`.
    pub(crate) fn refilled(&mut self, refill: Refill, waiting: Vec<Item>, ready: Vec<Item>, now: Timestamp) {
        let room = self.room();
        let Some(lane) = self.lanes.get_mut(&refill.endpoint_no) else { return };
        if lane.state != State::Enabled || lane.is_elsewhere() || lane.known.is_read_void() {
            return self.refill_failed(refill);
        }
        (lane.refilling, lane.head_is_read) = (false, false);
        let mut found_the_end = ready.len() < refill.limit;
        for mut item in waiting.into_iter().chain(ready) {
            if lane.queue.len() >= room {
                found_the_end = false;
                break;
            }
            if !lane.known.take_over(item.seq) {
                continue;
            }
            self.loaded += 1;
            lane.in_store = lane.in_store.saturating_sub(usize::from(item.not_before.is_none()));
            keep_payload(&mut item, &mut self.payload_bytes, self.limits.payload_bytes);
            lane.insert_sorted(item);
        }
        lane.known.end_read();
        lane.spilled = match (found_the_end, lane.spilled) {
            (false, _) => Spilled::Yes,
            (true, Spilled::Yes) => Spilled::LastLook,
            (true, Spilled::LastLook | Spilled::No) => Spilled::No,
        };
        if lane.spilled == Spilled::No {
            lane.in_store = 0;
        }
        self.want_refill(refill.endpoint_no);
        self.settle(refill.endpoint_no, now);
    }

    /// The read for `refill` failed, or nothing of it may be taken in; it is asked for again.
    pub(crate) fn refill_failed(&mut self, refill: Refill) {
        if let Some(lane) = self.lanes.get_mut(&refill.endpoint_no) {
            (lane.refilling, lane.head_is_read) = (false, false);
            lane.head_unknown |= refill.with_waiting;
            lane.known.end_read();
        }
        self.want_refill(refill.endpoint_no);
    }

    /// Whether memory believes that it holds all that this lane has ready, and that it is nothing.
    pub(crate) fn is_believed_empty(&self, no: EndpointNo) -> bool {
        self.lanes.get(&no).is_some_and(|lane| {
            lane.state == State::Enabled
                && lane.spilled == Spilled::No
                && lane.queue.is_empty()
                && lane.in_flight == 0
        })
    }

    /// The store says that this lane has ready deliveries. Where memory believes that there are none beyond what it
    /// holds, it looks again: a net below the protocol, not a part of it.
    pub(crate) fn look_again(&mut self, no: EndpointNo) {
        if self.is_believed_empty(no)
            && let Some(lane) = self.lanes.get_mut(&no)
        {
            lane.spilled = Spilled::Yes;
            self.want_refill(no);
        }
    }

    /// Returns those of `endpoints` whose lanes should track all of their deliveries, each with the number of tracked ones
    /// plus one: if the store has an untracked delivery, that many of its lowest numbers contain one.
    ///
    /// Leaves out lanes with a backlog in the store, which a refill reads anyway.
    pub(crate) fn lanes_to_compare(&self, endpoints: &[EndpointNo]) -> Vec<(EndpointNo, usize)> {
        let compared = |no: &EndpointNo| {
            let lane = self.lanes.get(no)?;
            let holds_all = lane.spilled == Spilled::No || lane.is_elsewhere();
            (lane.state == State::Enabled && holds_all).then(|| (*no, lane.known.len() + 1))
        };
        endpoints.iter().filter_map(compared).collect()
    }

    /// Whether the lane should track this delivery and doesn't.
    pub(crate) fn is_untracked(&self, no: EndpointNo, seq: DeliverySeq) -> bool {
        self.lanes.get(&no).is_some_and(|lane| {
            lane.state == State::Enabled
                && (lane.spilled == Spilled::No || lane.is_elsewhere())
                && !lane.known.knows(seq)
        })
    }

    /// Makes a lane read its deliveries from the store again, or release them to the node that holds the endpoint's lease.
    pub(crate) fn reload(&mut self, no: EndpointNo) {
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        lane.asked = false;
        if lane.is_elsewhere() {
            return self.want_place(no);
        }
        lane.spilled = Spilled::Yes;
        // At once, however much is queued.
        if !lane.refilling && lane.state == State::Enabled {
            lane.refilling = true;
            self.refills.push_back(no);
        }
    }

    /// Whether [`Self::take_refill`] has something.
    pub(crate) fn wants_refill(&self) -> bool {
        !self.refills.is_empty()
    }

    /// Asks for more where the store has more and the lane has run low.
    pub(super) fn want_refill(&mut self, no: EndpointNo) {
        let room = self.room();
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        if lane.is_elsewhere() {
            return self.want_place(no);
        }
        let low = match lane.spilled {
            Spilled::No => false,
            Spilled::Yes => {
                lane.queue.len() <= room / 4 || (lane.endpoint.settings.ordered && lane.head_unknown)
            }
            Spilled::LastLook => true,
        };
        if low && !lane.refilling && lane.state == State::Enabled {
            lane.refilling = true;
            self.refills.push_back(no);
        }
    }
}
