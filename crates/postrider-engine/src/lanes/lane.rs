//! One endpoint's lane: its queue in memory, what it may send now, and how it adapts.
//!
//! Knows nothing of other lanes; shares and fairness are in `lanes.rs`.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::activity::Activity;
use postrider_core::attempt::{FailureCode, Outcome};
use postrider_core::delivery::{DeliverySeq, Progress};
use postrider_core::endpoint::{Endpoint, State};
use postrider_core::health::{Health, RecentAttempts};
use postrider_core::id::{DeliveryId, EventId};
use postrider_core::time::Timestamp;

use super::bucket::Bucket;
use super::finish::Attempted;
use super::known::Known;
use super::recording::MAX_UNRECORDED_ORDERED;
use super::shares::{InRings, PROVEN_FOR, Pace, SLOW_ANSWER};
use super::tally::HOURS;

/// How many requests a lane that has shown nothing yet may have in flight.
const FIRST_WINDOW: u32 = 2;

/// A pending delivery in memory.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) seq: DeliverySeq,
    pub(crate) id: DeliveryId,
    pub(crate) event: EventId,
    pub(crate) event_type: Arc<str>,
    /// Absent past the byte budget; then it is read when it is sent.
    pub(crate) payload: Option<Bytes>,
    /// How long it is, absent or not.
    pub(crate) payload_bytes: u32,
    pub(crate) progress: Progress,
    /// When its next attempt is due, where it waits for a time.
    pub(crate) not_before: Option<Timestamp>,
    /// Whether the next attempt must not be made on a reused connection: the last one failed on one, or this process does
    /// not know how it failed.
    pub(crate) needs_fresh_connection: bool,
}

/// Whether the store holds ready deliveries of a lane that are not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spilled {
    /// No: fresh deliveries go straight to the lane.
    No,
    /// Yes: nothing goes to the lane directly.
    Yes,
    /// The last read found the end. Fresh ones go straight in again, and one more read finds what was
    /// committed between that read and this mark.
    LastLook,
}

/// Whether a lane may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eligible {
    Now,
    At(Timestamp),
    No,
}

/// One endpoint's lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) state: State,
    pub(super) health: Health,
    /// Sorted by sequence number, but for due retries, which stand at the end.
    pub(super) queue: VecDeque<Item>,
    /// Every delivery of the lane that memory knows, whether it is queued or not.
    pub(super) known: Known,
    pub(super) in_flight: u32,
    /// Those in flight that were cancelled meanwhile.
    pub(super) cancelled: HashSet<DeliverySeq>,
    /// How many may be in flight just now; between 1 and the endpoint's own cap.
    window: u32,
    /// When the receiver last answered quickly.
    quick_at: Option<Timestamp>,
    /// Whether its last answer was slow or missing.
    slow: bool,
    /// How many of the requests in flight hang.
    hanging: u32,
    pub(super) spilled: Spilled,
    pub(super) refilling: bool,
    /// Of an `ordered` lane: the store may hold a head that waits for its retry …
    pub(super) head_unknown: bool,
    /// … and a read that looks for it is on its way. What happens meanwhile may make it unknown again.
    pub(super) head_is_read: bool,
    /// How many deliveries are pending, in memory or not. Below zero for a moment where one has ended before the one
    /// who accepted it came to say so.
    pub(super) backlog: i64,
    /// Where other nodes share in the work: how many ready deliveries of this node the store may hold beside those that
    /// memory knows. Counted as they go there and come back; nothing, whenever a read has found the end.
    pub(super) in_store: usize,
    /// In which rings it stands: that of its pace, or one where it stands from before.
    pub(super) in_rings: InRings,
    pub(super) wakeup: Option<Timestamp>,
    /// What ended here lately, by the hour; made with the first attempt.
    pub(super) activity: Option<Box<Activity<HOURS>>>,
    pub(super) persisted_success_at: Option<Timestamp>,
    /// The outcomes of attempts that are in [`Self::health`] and not yet on their way to the store.
    pub(super) unsaved: RecentAttempts,
    /// Set while the service's own change of the state is on its way to the store: the delivery it comes with.
    pub(super) unrecorded_state: Option<DeliverySeq>,
    /// Whether this node may send to an endpoint that needs one place; always where there is only one node.
    pub(super) held: bool,
    /// Whether the store was asked for that, or said that another node has it.
    pub(super) asked: bool,
    bucket: Option<Bucket>,
    probing: bool,
    last_probed: Option<DeliverySeq>,
    /// A delivery resent by hand is the next probe.
    probe_first: Option<DeliverySeq>,
    /// The last such probe that was begun.
    probed_by_hand: Option<DeliverySeq>,
}

impl Lane {
    pub(super) fn new(endpoint: Arc<Endpoint>, held: bool, now: Timestamp) -> Self {
        let bucket = endpoint.settings.rate_limit.map(|limit| Bucket::new(limit, now));
        Self {
            state: endpoint.state,
            health: endpoint.health,
            persisted_success_at: endpoint.health.last_success_at,
            endpoint,
            queue: VecDeque::new(),
            known: Known::default(),
            in_flight: 0,
            cancelled: HashSet::new(),
            window: FIRST_WINDOW,
            quick_at: None,
            slow: false,
            hanging: 0,
            spilled: Spilled::No,
            refilling: false,
            head_unknown: true,
            head_is_read: false,
            backlog: 0,
            in_store: 0,
            in_rings: InRings::default(),
            wakeup: None,
            activity: None,
            unsaved: RecentAttempts::default(),
            unrecorded_state: None,
            held,
            asked: false,
            bucket,
            probing: false,
            last_probed: None,
            probe_first: None,
            probed_by_hand: None,
        }
    }

    /// Takes over changed settings; what is queued or in flight goes on.
    pub(super) fn configure(&mut self, endpoint: Arc<Endpoint>, now: Timestamp) {
        let limit = endpoint.settings.rate_limit;
        if self.bucket.map(|bucket| bucket.limit()) != limit {
            self.bucket = limit.map(|limit| Bucket::new(limit, now));
        }
        self.endpoint = endpoint;
    }

    /// Begins anew with fresh health, as after enabling.
    pub(super) fn heal(&mut self) {
        self.health = self.health.begin_anew();
        self.window = 1;
        self.slow = false;
        self.quick_at = None;
        self.probe_first = None;
        // The store may be told of older failures after this; the next success is told in any case.
        self.persisted_success_at = None;
    }

    /// Whether it is another node that may send to its endpoint, as far as this one knows: one that needs a single place
    /// (`ordered`, a rate limit, probes) and is not held here.
    pub(super) fn is_elsewhere(&self) -> bool {
        !self.held && self.needs_one_place()
    }

    fn needs_one_place(&self) -> bool {
        let settings = &self.endpoint.settings;
        settings.ordered || settings.rate_limit.is_some() || self.health.is_failing()
    }

    /// Takes over what another node has found of its receiver: that it fails or does not any more, or is closed.
    pub(super) fn adopt(&mut self, found: Health) {
        self.merge_stored(&found);
        let own = self.health;
        if found.is_failing() != own.is_failing() {
            self.health = Health { recent: own.recent, ..found.knowing(&own) };
            self.window = 1;
            (self.last_probed, self.probe_first) = (None, None);
        } else if found.closed_until > self.health.closed_until {
            (self.health.closed_until, self.health.closed_at) = (found.closed_until, found.closed_at);
        }
    }

    /// Takes over what all nodes have written down of when it received something, and of the last attempts.
    pub(super) fn merge_stored(&mut self, stored: &Health) {
        // A node of the previous release writes none.
        let recent = match stored.recent.is_empty() {
            true => self.health.recent,
            false => stored.recent.followed_by(self.unsaved),
        };
        self.health = Health { recent, ..self.health.knowing(stored) };
    }

    /// How its receiver answers.
    pub(super) fn pace(&self, now: Timestamp) -> Pace {
        if self.slow || self.hanging > 0 {
            Pace::Slow
        } else if self.quick_at.is_some_and(|at| now.since(at) < PROVEN_FOR) {
            Pace::Fast
        } else {
            Pace::New
        }
    }

    /// One of its requests in flight hangs.
    pub(super) fn hangs(&mut self) {
        self.hanging += 1;
    }

    /// One of its requests is in flight no more.
    pub(super) fn land(&mut self, probe: bool, did_hang: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.hanging = self.hanging.saturating_sub(u32::from(did_hang));
        self.probing &= !probe;
    }

    /// Whether it may send at `now`, and if not, from when.
    pub(super) fn eligible(&mut self, now: Timestamp) -> Eligible {
        if self.state != State::Enabled
            || self.queue.is_empty()
            || self.is_elsewhere()
            || !self.endpoint.is_readable()
        {
            return Eligible::No;
        }
        if let Some(until) = self.health.closed_until.filter(|until| *until > now) {
            return Eligible::At(until);
        }
        if let Some(failing) = self.health.failing {
            if self.probing {
                return Eligible::No;
            }
            if failing.next_probe_at > now && self.probe_first.is_none() {
                return Eligible::At(failing.next_probe_at);
            }
        } else if self.in_flight >= self.cap() {
            return Eligible::No;
        }
        // What comes first must be known before anything goes.
        if self.endpoint.settings.ordered && self.known.unrecorded() >= MAX_UNRECORDED_ORDERED {
            return Eligible::No;
        }
        let is_head_open = self.head_unknown || self.head_is_read || self.known.has_one_between();
        if self.endpoint.settings.ordered && is_head_open {
            return Eligible::No;
        }
        if self.endpoint.settings.ordered
            && let Some(due) = self.queue.front().and_then(|head| head.not_before).filter(|due| *due > now)
        {
            return Eligible::At(due);
        }
        match self.bucket.as_mut().and_then(|bucket| bucket.wait_until(now)) {
            Some(then) => Eligible::At(then),
            None => Eligible::Now,
        }
    }

    fn cap(&self) -> u32 {
        if self.endpoint.settings.ordered { 1 } else { self.window.min(self.endpoint.settings.max_in_flight) }
    }

    /// Takes the next delivery to send, and whether it is a probe. Call only when eligible.
    pub(super) fn take(&mut self) -> Option<(Item, bool)> {
        let probe = self.health.is_failing();
        let item = if probe { self.take_probe()? } else { self.queue.pop_front()? };
        if let Some(bucket) = &mut self.bucket {
            bucket.take();
        }
        self.probing |= probe;
        self.in_flight += 1;
        Some((item, probe))
    }

    /// Successive probes take successive deliveries, so that one poisonous payload can't hold the lane.
    fn take_probe(&mut self) -> Option<Item> {
        let by_hand = self.probe_first.take();
        let index =
            by_hand.and_then(|seq| self.queue.iter().position(|item| item.seq == seq)).or_else(|| {
                let last = self.last_probed?;
                self.queue.iter().position(|item| item.seq > last)
            });
        let item = self.queue.remove(index.unwrap_or(0))?;
        self.last_probed = Some(item.seq);
        self.probed_by_hand = by_hand.filter(|seq| *seq == item.seq);
        Some(item)
    }

    /// Takes note of how an attempt went: window and share follow the receiver.
    pub(super) fn adapt(&mut self, &Attempted { outcome, took, now, .. }: &Attempted<'_>, health: Health) {
        self.slow = took > SLOW_ANSWER || matches!(outcome, Outcome::Failed { .. });
        self.quick_at = if self.slow { self.quick_at } else { Some(now) };
        let closed_anew = health.closed_until.is_some() && health.closed_until != self.health.closed_until;
        let recovered = self.health.is_failing() && !health.is_failing();
        let timed_out = matches!(
            outcome.failure_code(),
            Some(FailureCode::Timeout | FailureCode::ConnectTimeout | FailureCode::DnsFailed)
        );
        let is_closed = health.closed_until.is_some_and(|until| until > now);
        self.window = if closed_anew || recovered || (is_closed && outcome.is_received()) {
            1
        } else if timed_out {
            (self.window / 2).max(1)
        } else if outcome.is_received() {
            self.window.saturating_add(1).min(self.endpoint.settings.max_in_flight)
        } else {
            self.window
        };
        if recovered {
            (self.last_probed, self.probe_first) = (None, None);
        }
        self.health = health;
    }

    /// A probe was not made after all: one that was asked for by hand is the next one again.
    pub(super) fn probe_was_not_made(&mut self, seq: DeliverySeq) {
        if self.probed_by_hand == Some(seq) && self.health.is_failing() {
            self.probe_first = Some(seq);
        }
    }

    /// Makes a delivery resent by hand the next probe, at once.
    pub(super) fn probe_next(&mut self, seq: DeliverySeq) {
        self.probe_first = Some(seq);
    }

    /// Forgets which delivery was to be probed first.
    pub(super) fn forget_probe(&mut self) {
        self.probe_first = None;
    }

    /// How many of the deliveries that memory knows the store may still show as ready: a read has to look past them.
    pub(super) fn may_be_ready(&self) -> usize {
        let in_flight = usize::try_from(self.in_flight).unwrap_or(usize::MAX);
        self.queue.len() + in_flight + self.known.unrecorded()
    }

    /// How many deliveries are pending: all there are where this node is alone, and those in its hands where others share
    /// in the work. A count of all would drift then, since each takes what is nobody's, and cancels what is another's.
    pub(super) fn pending(&self, shared: bool) -> u64 {
        if shared {
            let in_memory = self.known.pending().saturating_sub(self.cancelled.len());
            return u64::try_from(in_memory + self.in_store).unwrap_or(u64::MAX);
        }
        u64::try_from(self.backlog).unwrap_or(0)
    }

    /// Memory lets go of a delivery that the store has. One that waits for a time is not ready there.
    pub(super) fn leave_to_store(&mut self, item: &Item) {
        self.in_store += usize::from(item.not_before.is_none());
    }

    /// Puts a delivery at its place by sequence number.
    pub(super) fn insert_sorted(&mut self, item: Item) {
        let at = self.queue.partition_point(|queued| queued.seq < item.seq);
        self.queue.insert(at, item);
    }
}
