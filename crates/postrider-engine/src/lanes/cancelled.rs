//! A delivery that is cancelled by hand leaves its lane, wherever it stands there.

use std::collections::{HashSet, VecDeque};

use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;

use super::Lanes;
use super::lane::Item;

/// How many deliveries that others have cancelled are remembered at once.
const MAX_REMEMBERED: usize = 4_096;

/// The deliveries that other nodes have cancelled last. One of them may have been committed here a moment before, and be
/// still on its way to its lane.
#[derive(Debug, Default)]
pub(super) struct CancelledElsewhere {
    all: HashSet<DeliverySeq>,
    in_order: VecDeque<DeliverySeq>,
}

impl CancelledElsewhere {
    /// Remembers one; false where it is remembered already.
    fn remember(&mut self, seq: DeliverySeq) -> bool {
        if !self.all.insert(seq) {
            return false;
        }
        self.in_order.push_back(seq);
        if self.in_order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.all.remove(&oldest);
        }
        true
    }

    /// Whether it is one of them. Costs nothing where nobody has cancelled anything elsewhere.
    pub(super) fn has(&self, seq: DeliverySeq) -> bool {
        !self.all.is_empty() && self.all.contains(&seq)
    }
}

impl Lanes {
    /// Another node has cancelled a delivery of this one. May be said more than once.
    pub(crate) fn cancelled_elsewhere(&mut self, no: EndpointNo, seq: DeliverySeq, now: Timestamp) {
        if self.cancelled_elsewhere.remember(seq) {
            self.cancelled(no, seq, now);
        }
    }

    /// A delivery was cancelled in the store: it is not sent any more. A request of it that is in flight ends by itself,
    /// and no other follows.
    pub(crate) fn cancelled(&mut self, no: EndpointNo, seq: DeliverySeq, now: Timestamp) {
        let waited = self.retries.remove(no, seq);
        let is_in_flight = self.shares.is_in_flight(seq);
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        if !lane.known.is_over(seq) {
            lane.backlog -= 1;
        }
        // What a read that is on its way brings of it is not taken in.
        if let Some(since) = &mut self.let_go_during_due {
            since.insert(seq);
        }
        if is_in_flight {
            lane.cancelled.insert(seq);
            return;
        }
        if self.shared && !lane.known.knows(seq) {
            lane.in_store = lane.in_store.saturating_sub(1);
        }
        let queued = lane.queue.iter().position(|item| item.seq == seq).and_then(|at| lane.queue.remove(at));
        self.loaded = self.loaded.saturating_sub(usize::from(lane.known.drop_from_memory(seq)));
        if let Some(item) = waited.or(queued) {
            self.forget_payload(&item);
        }
        self.want_refill(no);
        self.settle(no, now);
    }

    /// Whether a delivery was cancelled while its request was in flight; told once.
    pub(super) fn was_cancelled(&mut self, no: EndpointNo, seq: DeliverySeq) -> bool {
        self.lanes.get_mut(&no).is_some_and(|lane| lane.cancelled.remove(&seq))
    }

    /// A cancelled delivery, none of whose requests is in flight any more, leaves memory.
    pub(super) fn let_go(&mut self, no: EndpointNo, item: &Item, now: Timestamp) {
        self.forget_payload(item);
        if let Some(lane) = self.lanes.get_mut(&no) {
            self.loaded = self.loaded.saturating_sub(usize::from(lane.known.drop_from_memory(item.seq)));
        }
        self.want_refill(no);
        self.settle(no, now);
    }
}
