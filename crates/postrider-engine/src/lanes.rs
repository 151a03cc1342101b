//! All lanes: which delivery is sent next. A pure structure; the time is an argument and nothing here waits.
//!
//! Accounts with the fewest requests in flight come first, then each account's endpoints in turn, under one cap.
//! Lanes whose receivers are slow or not known yet draw on a share of it, so that they can't take it whole. Memory
//! holds a bounded part of each backlog; the rest stays in the store and is asked for through [`Lanes::take_refill`].

pub(crate) mod bucket;
mod cancelled;
pub(crate) mod clock;
mod finish;
mod gauges;
mod known;
mod lane;
mod places;
mod recording;
pub(crate) mod refill;
mod retries;
mod shares;
mod tally;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::{Endpoint, EndpointNo, State};
use postrider_core::health::{Health, HealthRules};
use postrider_core::replay::Standing;
use postrider_core::schedule::RetrySchedule;
use postrider_core::time::Timestamp;

use self::cancelled::CancelledElsewhere;
pub(crate) use self::finish::{Attempted, Finished};
pub use self::gauges::LaneGauges;
pub(crate) use self::lane::Item;
use self::lane::{Eligible, Lane, Spilled};
use self::recording::RecordingGate;
use self::retries::Retries;
pub(crate) use self::retries::WithoutRoom;
use self::shares::{Pace, Shares};
use self::tally::Tally;

/// How much the lanes may hold in memory and on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    /// Requests in flight over all lanes.
    pub(crate) max_in_flight: usize,
    /// Deliveries queued in one lane.
    pub(crate) lane_queue: usize,
    /// Deliveries in memory over all lanes, beyond a small share that each lane always has.
    pub(crate) loaded: usize,
    /// Bytes of payloads in memory.
    pub(crate) payload_bytes: usize,
    /// Retries waiting in memory.
    pub(crate) retries: usize,
}

/// What every lane may queue although memory is full, so that a full memory starves nobody.
const LANE_SHARE: usize = 32;

/// A delivery to be sent now.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) item: Item,
    pub(crate) probe: bool,
    /// Whether its receiver answered quickly of late.
    pub(crate) proven: bool,
}

/// What can be seen of a lane from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneView {
    pub(crate) state: State,
    pub(crate) health: Health,
    pub(crate) backlog: u64,
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    limits: LaneLimits,
    schedule: RetrySchedule,
    rules: HealthRules,
    lanes: HashMap<EndpointNo, Lane>,
    shares: Shares,
    loaded: usize,
    payload_bytes: usize,
    wakeups: BTreeSet<(Timestamp, EndpointNo)>,
    retries: Retries,
    /// Set while due retries are read: what was let go since the read began.
    let_go_during_due: Option<HashSet<DeliverySeq>>,
    /// Whether what that read brings may be another node's by now.
    is_due_void: bool,
    refills: VecDeque<EndpointNo>,
    /// What ended lately over all lanes.
    tally: Tally,
    cancelled_elsewhere: CancelledElsewhere,
    /// Whether a delivery was committed whose endpoint has no lane any more.
    stray: bool,
    /// Whether other nodes may send to the same endpoints.
    shared: bool,
    /// Endpoints that need one place, and may need this one.
    wanted: BTreeSet<EndpointNo>,
    /// How often this node has started over.
    term: u64,
    /// Set while it is not certain that others have not taken over: nothing is sent then.
    suspended: bool,
    /// Whether outcomes are being recorded.
    recording: RecordingGate,
    stopping: bool,
}

impl Lanes {
    pub(crate) fn new(limits: LaneLimits, schedule: RetrySchedule, rules: HealthRules) -> Self {
        Self {
            limits,
            schedule,
            rules,
            lanes: HashMap::new(),
            shares: Shares::new(limits.max_in_flight),
            loaded: 0,
            payload_bytes: 0,
            wakeups: BTreeSet::new(),
            retries: Retries::default(),
            let_go_during_due: None,
            is_due_void: false,
            refills: VecDeque::new(),
            tally: Tally::default(),
            cancelled_elsewhere: CancelledElsewhere::default(),
            stray: false,
            shared: false,
            wanted: BTreeSet::new(),
            term: 0,
            suspended: false,
            recording: RecordingGate::default(),
            stopping: false,
        }
    }

    /// Makes an endpoint's lane, or tells it of new settings.
    pub(crate) fn configure(&mut self, endpoint: Arc<Endpoint>, now: Timestamp) {
        let no = endpoint.no;
        let order_changed = match self.lanes.get_mut(&no) {
            Some(lane) => {
                let before = lane.endpoint.settings.ordered;
                lane.configure(endpoint, now);
                before != lane.endpoint.settings.ordered
            }
            None => {
                self.lanes.insert(no, Lane::new(endpoint, !self.shared, now));
                false
            }
        };
        if order_changed {
            self.unload(no);
            self.want_refill(no);
        }
        self.settle(no, now);
    }

    /// Forgets an endpoint's lane; what is in flight ends by itself.
    pub(crate) fn remove(&mut self, no: EndpointNo) {
        self.unload(no);
        let Some(lane) = self.lanes.remove(&no) else { return };
        self.loaded = self.loaded.saturating_sub(lane.known.len());
        if let Some(wakeup) = lane.wakeup {
            self.wakeups.remove(&(wakeup, no));
        }
    }

    /// Sets an endpoint's state by hand. Held deliveries go back to the store alone; enabling reads them again.
    pub(crate) fn set_state(&mut self, no: EndpointNo, state: State, fresh_health: bool, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        lane.state = state;
        if fresh_health {
            lane.heal();
        }
        if state != State::Enabled {
            self.unload(no);
        }
        self.want_refill(no);
        self.settle(no, now);
    }

    /// Whether the store knows an endpoint's state as it is here.
    pub(crate) fn is_state_recorded(&self, no: EndpointNo) -> bool {
        self.lanes.get(&no).is_none_or(|lane| lane.unrecorded_state.is_none())
    }

    /// A fresh delivery, just committed. It is kept in memory where there is room and its turn allows.
    pub(crate) fn push(&mut self, no: EndpointNo, mut item: Item, now: Timestamp) {
        let room = self.room();
        let Some(lane) = self.lanes.get_mut(&no) else { return self.stray = true };
        lane.backlog += 1;
        if lane.known.has_taken_over(item.seq) || self.cancelled_elsewhere.has(item.seq) {
            return;
        }
        let direct = lane.state == State::Enabled
            && !lane.is_elsewhere()
            && !lane.endpoint.settings.ordered
            && lane.spilled != Spilled::Yes
            && lane.queue.len() < room;
        if !direct {
            lane.in_store += 1;
            lane.spilled = Spilled::Yes;
            self.want_refill(no);
            self.leave_to_others(no);
            return;
        }
        if !lane.known.load(item.seq) {
            return;
        }
        self.loaded += 1;
        keep_payload(&mut item, &mut self.payload_bytes, self.limits.payload_bytes);
        lane.queue.push_back(item);
        self.settle(no, now);
    }

    /// A delivery resent by hand: of a failing endpoint it is the next probe, at once, wherever its lane's backlog is.
    /// Its commit began in this term, see [`Self::enter`].
    pub(crate) fn push_resend(&mut self, no: EndpointNo, mut item: Item, term: u64, now: Timestamp) {
        if term != self.term {
            return self.left(no);
        }
        let Some(lane) = self.lanes.get_mut(&no) else { return self.stray = true };
        let is_cancelled = self.cancelled_elsewhere.has(item.seq);
        if lane.state != State::Enabled
            || !lane.health.is_failing()
            || is_cancelled
            || !lane.known.load(item.seq)
        {
            return self.push(no, item, now);
        }
        lane.backlog += 1;
        self.loaded += 1;
        keep_payload(&mut item, &mut self.payload_bytes, self.limits.payload_bytes);
        lane.probe_next(item.seq);
        lane.insert_sorted(item);
        self.settle(no, now);
    }

    /// Whether something was committed for an endpoint that was deleted at that moment, since this was asked before: its
    /// deletion may have cancelled what was pending before that was there.
    pub(crate) fn take_stray(&mut self) -> bool {
        std::mem::take(&mut self.stray)
    }

    /// The next delivery to send, if any may be sent now.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Dispatch> {
        self.notice_what_hangs(now);
        while !self.stopping && !self.suspended && self.recording.is_open() {
            let (no, from) = self.shares.pop()?;
            let Some(lane) = self.lanes.get_mut(&no) else { continue };
            lane.in_rings[from as usize] = false;
            if !self.recording.is_open_for(lane.endpoint.settings.ordered) {
                self.recording.hold(no);
                continue;
            }
            let pace = lane.pace(now); // It may have changed while the lane stood in the ring.
            if lane.eligible(now) == Eligible::Now
                && self.shares.may(pace, lane.endpoint.account_no)
                && let Some((item, probe)) = lane.take()
            {
                let endpoint = lane.endpoint.clone();
                self.shares.begin(pace, endpoint.account_no, no, item.seq, now);
                self.want_refill(no);
                self.settle(no, now);
                return Some(Dispatch { endpoint, item, probe, proven: pace == Pace::Fast });
            }
            self.settle(no, now);
        }
        None
    }

    /// Lanes with requests that have hung for a while are slow, long before these come to their end.
    fn notice_what_hangs(&mut self, now: Timestamp) {
        while let Some(no) = self.shares.next_that_hangs(now) {
            if let Some(lane) = self.lanes.get_mut(&no) {
                lane.hangs();
            }
        }
    }

    /// Lets every lane and retry whose time has come go on. Gives the deliveries that are due but have no room
    /// in memory: they must be made ready in the store.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Vec<WithoutRoom> {
        while let Some((at, no)) = self.wakeups.first().copied() {
            if at > now {
                break;
            }
            self.wakeups.pop_first();
            if let Some(lane) = self.lanes.get_mut(&no) {
                lane.wakeup = None;
            }
            self.settle(no, now);
        }
        self.notice_what_hangs(now);
        self.fire_retries(now)
    }

    /// When [`Self::advance`] has something to do next.
    pub(crate) fn next_wakeup(&mut self) -> Option<Timestamp> {
        let lane = self.wakeups.first().map(|(at, _)| *at);
        [lane, self.retries.first_due(), self.shares.next_look()].into_iter().flatten().min()
    }

    /// What can be seen of a lane.
    pub(crate) fn view(&self, no: EndpointNo) -> Option<LaneView> {
        let lane = self.lanes.get(&no)?;
        Some(LaneView { state: lane.state, health: lane.health, backlog: lane.pending(self.shared) })
    }

    /// How many deliveries are pending over all lanes.
    pub(crate) fn pending(&self) -> u64 {
        self.lanes.values().map(|lane| lane.pending(self.shared)).sum()
    }

    /// How a replay sees a lane. What the store holds back of it may all be ready.
    pub(crate) fn standing(&self, no: EndpointNo) -> Option<Standing> {
        let lane = self.lanes.get(&no)?;
        let backlog = lane.pending(self.shared);
        let in_memory = u64::try_from(lane.queue.len()).unwrap_or(u64::MAX) + u64::from(lane.in_flight);
        Some(Standing {
            is_well: lane.state == State::Enabled && !lane.health.is_failing() && lane.endpoint.is_readable(),
            in_turn: if lane.spilled == Spilled::No { in_memory } else { backlog.max(in_memory) },
            backlog,
        })
    }

    /// Sends nothing any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.shares.in_flight()
    }

    /// Puts a lane where it belongs: into its ring, onto the clock, or nowhere.
    fn settle(&mut self, no: EndpointNo, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        let pace = lane.pace(now);
        if lane.in_rings[pace as usize] {
            return;
        }
        let wakeup = match lane.eligible(now) {
            Eligible::Now => {
                lane.in_rings[pace as usize] = true;
                self.shares.enter(pace, lane.endpoint.account_no, no);
                None
            }
            Eligible::At(at) => Some(at),
            Eligible::No => None,
        };
        if wakeup != lane.wakeup {
            if let Some(before) = lane.wakeup {
                self.wakeups.remove(&(before, no));
            }
            if let Some(at) = wakeup {
                self.wakeups.insert((at, no));
            }
            lane.wakeup = wakeup;
        }
    }

    /// How many deliveries one lane may queue just now: less as memory fills, but never nothing.
    fn room(&self) -> usize {
        let free = self.limits.loaded.saturating_sub(self.loaded);
        (free / 4).max(LANE_SHARE).min(self.limits.lane_queue)
    }

    /// Forgets what a lane has queued or waiting; the store still has it. What is in flight goes on.
    fn unload(&mut self, no: EndpointNo) {
        let waiting = self.retries.remove_lane(no);
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        for item in std::mem::take(&mut lane.queue).into_iter().chain(waiting) {
            lane.leave_to_store(&item);
            self.loaded = self.loaded.saturating_sub(usize::from(lane.known.drop_from_memory(item.seq)));
            self.payload_bytes =
                self.payload_bytes.saturating_sub(item.payload.map_or(0, |bytes| bytes.len()));
        }
        lane.forget_probe();
        lane.spilled = Spilled::Yes;
        lane.head_unknown = true;
    }
}

/// Keeps a payload in memory while the budget lasts.
fn keep_payload(item: &mut Item, used: &mut usize, budget: usize) {
    let bytes = item.payload.as_ref().map_or(0, bytes::Bytes::len);
    if used.saturating_add(bytes) > budget {
        item.payload = None;
    } else {
        *used += bytes;
    }
}

#[cfg(test)]
mod tests;
