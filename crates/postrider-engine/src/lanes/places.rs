//! Lanes where several nodes send from one store: which of them may send here, and what is left to others.
//!
//! An endpoint that needs one place is sent to by the node that holds it. The others keep nothing of it in memory and
//! leave to that one what comes in for it.

use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::{Endpoint, EndpointNo, State};
use postrider_core::time::Timestamp;

use super::Lanes;
use super::lane::{Item, Spilled};

impl Lanes {
    /// Other nodes may send to the same endpoints.
    pub(crate) fn share(&mut self) {
        self.shared = true;
    }

    /// Whether a delivery that is accepted for an endpoint just now would be this node's.
    ///
    /// Among several nodes those of an `ordered` endpoint are nobody's at first, also where this node holds it: another
    /// node may have accepted an earlier one a moment ago, and only the store knows. The refill takes both, in their order.
    pub(crate) fn would_own(&self, no: EndpointNo) -> bool {
        let is_for_the_store = |ordered: bool| self.shared && ordered;
        self.lanes
            .get(&no)
            .is_none_or(|lane| !lane.is_elsewhere() && !is_for_the_store(lane.endpoint.settings.ordered))
    }

    /// A delivery was accepted for an endpoint and left to whichever node may send to it, which may be this one by now.
    pub(crate) fn left(&mut self, no: EndpointNo) {
        let Some(lane) = self.lanes.get_mut(&no) else { return self.stray = true };
        if !lane.is_elsewhere() {
            lane.spilled = Spilled::Yes;
            self.want_refill(no);
        } else if !lane.asked {
            self.want_place(no);
        }
    }

    /// The store has deliveries for an endpoint that are no node's, and that this one might take.
    pub(crate) fn is_free(&mut self, no: EndpointNo) {
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        lane.asked = false;
        lane.spilled = Spilled::Yes;
        lane.head_unknown = true;
        self.want_refill(no);
    }

    /// A fresh delivery, whose commit began in this term. Where this node has started over since, it may be another's by now,
    /// and only the store knows.
    pub(crate) fn enter(&mut self, no: EndpointNo, item: Item, term: u64, now: Timestamp) {
        match term == self.term {
            true => self.push(no, item, now),
            false => self.left(no),
        }
    }

    /// Asks for the right to send to an endpoint, or to hand over what this node still has of it.
    pub(super) fn want_place(&mut self, no: EndpointNo) {
        if let Some(lane) = self.lanes.get_mut(&no)
            && !lane.asked
            && lane.state == State::Enabled
        {
            lane.asked = true;
            self.wanted.insert(no);
        }
    }

    /// The next endpoint to ask the store about.
    pub(crate) fn take_wanted(&mut self) -> Option<EndpointNo> {
        self.wanted.pop_first()
    }

    /// Whether [`Self::take_wanted`] has something.
    pub(crate) fn wants_place(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// This node may send to the endpoint.
    pub(crate) fn held(&mut self, no: EndpointNo, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        (lane.held, lane.asked) = (true, false);
        lane.spilled = Spilled::Yes;
        lane.head_unknown = true;
        self.want_refill(no);
        self.settle(no, now);
    }

    /// Another node may send to the endpoint. Gives what must stay this node's until its outcome is recorded.
    pub(crate) fn held_elsewhere(&mut self, no: EndpointNo) -> Vec<DeliverySeq> {
        self.unload(no);
        let Some(lane) = self.lanes.get_mut(&no) else { return Vec::new() };
        lane.in_store = 0;
        lane.known.all().collect()
    }

    /// The store could not be asked.
    pub(crate) fn ask_again(&mut self, no: EndpointNo) {
        if let Some(lane) = self.lanes.get_mut(&no) {
            lane.asked = false;
        }
        self.want_place(no);
    }

    /// An outcome is recorded and its delivery goes on: where another node may send to its endpoint it is handed over.
    pub(super) fn leave_to_others(&mut self, no: EndpointNo) {
        if let Some(lane) = self.lanes.get_mut(&no)
            && lane.is_elsewhere()
        {
            lane.asked = false;
            self.want_place(no);
        }
    }

    /// Takes over what another node made of an endpoint's state and health.
    pub(crate) fn adopt(&mut self, endpoint: &Endpoint, now: Timestamp) {
        let no = endpoint.no;
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        // What this node has decided itself and not written down yet comes later.
        if lane.unrecorded_state.is_some() {
            return;
        }
        lane.adopt(endpoint.health);
        if lane.is_elsewhere() {
            lane.asked = false;
        }
        if lane.state != endpoint.state {
            // Whoever enabled it has begun its health anew: what this node found before counts no more either.
            let begins_anew = endpoint.state == State::Enabled && endpoint.health.run.is_none();
            self.set_state(no, endpoint.state, begins_anew, now);
        } else {
            self.want_refill(no);
            self.settle(no, now);
        }
    }

    /// How often this node has started over.
    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    /// Nothing in the store is this node's any more. What is in flight ends by itself; its outcomes may be refused, and
    /// whether it goes on is decided by whoever has it then.
    pub(crate) fn start_over(&mut self) {
        self.term += 1;
        let all: Vec<EndpointNo> = self.lanes.keys().copied().collect();
        self.is_due_void = self.let_go_during_due.is_some();
        for no in all {
            self.unload(no);
            if let Some(lane) = self.lanes.get_mut(&no) {
                (lane.held, lane.asked) = (!self.shared, false);
                lane.backlog = i64::from(lane.in_flight);
                lane.in_store = 0;
                lane.known.lose_all();
            }
            self.want_refill(no);
        }
    }

    /// Sends nothing until [`Self::resume`]: others may have taken over.
    pub(crate) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// It is certain again that nobody has taken over.
    pub(crate) fn resume(&mut self) {
        self.suspended = false;
    }

    /// What is in flight, or has an outcome that is not recorded yet.
    pub(crate) fn unfinished(&mut self) -> Vec<DeliverySeq> {
        let all: Vec<EndpointNo> = self.lanes.keys().copied().collect();
        all.into_iter().flat_map(|no| self.held_elsewhere(no)).collect()
    }
}
