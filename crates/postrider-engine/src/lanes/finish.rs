//! The end of an attempt: the decision is taken, the lane adapts, and what must be recorded comes out.

use std::time::Duration;

use postrider_core::attempt::Outcome;
use postrider_core::audit::{Action, Who};
use postrider_core::delivery::{Decision, DeliverySeq, Next, Progress, Situation, after_attempt};
use postrider_core::endpoint::{DisabledReason, EndpointNo, State};
use postrider_core::health::{FinishedAttempt, Health, HealthChange};
use postrider_core::schedule::Jitter;
use postrider_core::service_clock::ServiceTime;
use postrider_core::time::Timestamp;
use postrider_store::RETRY_IS_NEAR;
use postrider_store::model::{HealthUpdate, OwnChange};

use super::lane::{Item, Lane, Spilled};
use super::{Dispatch, Lanes};

/// How often a lane that knows nothing but success writes down when the last one was.
const SUCCESS_NOTE: Duration = Duration::from_secs(60);

/// How long a delivery waits whose attempt broke off inside the service.
const BROKEN_OFF_PAUSE: Duration = Duration::from_secs(60);

/// How an attempt went.
#[derive(Debug)]
pub(crate) struct Attempted<'a> {
    pub(crate) outcome: &'a Outcome,
    pub(crate) took: Duration,
    /// When its request was sent.
    pub(crate) sent_at: Timestamp,
    pub(crate) now: Timestamp,
    /// Now, by the service's own running time.
    pub(crate) service_time: ServiceTime,
    pub(crate) jitter: Jitter,
}

/// What follows from an attempt.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) next: Next,
    pub(crate) progress: Progress,
    pub(crate) change: Option<HealthChange>,
    pub(crate) health: Option<HealthUpdate>,
}

impl Lanes {
    /// An attempt of `dispatch` has ended.
    pub(crate) fn finish(&mut self, dispatch: Dispatch, attempted: &Attempted<'_>) -> Finished {
        let Dispatch { endpoint, item, probe, .. } = dispatch;
        let no = endpoint.no;
        self.land(no, item.seq, probe);
        self.recording.submitted();
        let was_cancelled = self.was_cancelled(no, item.seq);
        let Some(lane) = self.lanes.get_mut(&no) else {
            return self.finish_without_lane(&item, attempted.outcome);
        };
        let schedule = lane.endpoint.settings.retry_schedule.as_ref().unwrap_or(&self.schedule);
        let situation = Situation {
            delivery: item.id,
            progress: item.progress,
            health: lane.health,
            probe,
            sent_at: attempted.sent_at,
            service_time: attempted.service_time,
            ordered: lane.endpoint.settings.ordered,
            schedule,
            rules: &self.rules,
        };
        let decision = after_attempt(&situation, attempted.outcome, attempted.now, attempted.jitter);
        let health_before = lane.health;
        lane.adapt(attempted, decision.health);
        lane.unsaved = lane.unsaved.with(attempted.outcome.is_received());
        self.tally.count(&mut lane.activity, attempted.outcome.is_received(), attempted.now);
        let disabled = match decision.change {
            Some(HealthChange::Disable(reason)) if lane.state != State::Disabled(reason) => {
                lane.state = State::Disabled(reason);
                lane.unrecorded_state = Some(item.seq);
                true
            }
            _ => false,
        };
        let worth_noting = disabled || is_worth_noting(lane, health_before, attempted.now);
        let health = worth_noting.then(|| {
            lane.persisted_success_at = lane.health.last_success_at;
            let (account, id) = (lane.endpoint.account, lane.endpoint.id);
            let state = disabled.then(|| OwnChange {
                state: lane.state,
                deed: Who::SERVICE.did(Action::EndpointDisabled, account, id, attempted.now),
            });
            let attempts = std::mem::take(&mut lane.unsaved);
            HealthUpdate { endpoint_no: no, health: lane.health, attempts, state }
        });
        let item = Item { progress: decision.progress, ..item };
        let seq = item.seq;
        let next = if was_cancelled { next_of_cancelled(attempted.outcome) } else { decision.next };
        let released = if was_cancelled {
            self.forget_payload(&item);
            true
        } else {
            self.place(no, item, next, attempted.now)
        };
        if let Some(lane) = self.lanes.get_mut(&no) {
            let is_over = was_cancelled || matches!(next, Next::Delivered | Next::Exhausted);
            lane.known.attempted(seq, !released, is_over);
        }
        if disabled {
            self.unload(no);
        }
        self.want_refill(no);
        self.settle(no, attempted.now);
        let Decision { progress, change, .. } = decision;
        // Requests that were in flight besides come to the same: it is disabled, and told, once.
        let change = change.filter(|change| disabled || !matches!(change, HealthChange::Disable(_)));
        Finished { next, progress, change, health }
    }

    /// Whether its own failures alone would let this node count the endpoint as failing, or disable it.
    pub(crate) fn would_turn(&self, dispatch: &Dispatch, attempted: &Attempted<'_>) -> bool {
        let Some(lane) = self.lanes.get(&dispatch.endpoint.no) else { return false };
        let &Attempted { outcome, sent_at, now, service_time, .. } = attempted;
        let (delivery, probe) = (dispatch.item.id, dispatch.probe);
        let attempt = FinishedAttempt { delivery, probe, outcome, sent_at, now, service_time };
        let schedule = lane.endpoint.settings.retry_schedule.as_ref().unwrap_or(&self.schedule);
        let (_, change) = lane.health.after(&self.rules, schedule, &attempt);
        match change {
            Some(HealthChange::BecameFailing) => !lane.endpoint.settings.ordered,
            Some(HealthChange::Disable(reason)) => reason == DisabledReason::Failing,
            Some(HealthChange::Recovered) | None => false,
        }
    }

    /// Takes note of what all nodes know of an endpoint's health.
    pub(crate) fn learn(&mut self, no: EndpointNo, stored: &Health) {
        if let Some(lane) = self.lanes.get_mut(&no) {
            lane.merge_stored(stored);
        }
    }

    /// A request is in flight no more; its slot is free. Said twice it is the same.
    fn land(&mut self, no: EndpointNo, seq: DeliverySeq, probe: bool) {
        let Some(landed) = self.shares.end(seq) else { return };
        if let Some(lane) = self.lanes.get_mut(&no) {
            lane.land(probe, landed.did_hang);
        }
    }

    /// An attempt broke off inside the service, by a bug, before anything was decided: its delivery stays pending
    /// and is tried again after [`BROKEN_OFF_PAUSE`].
    pub(crate) fn break_off(&mut self, no: EndpointNo, mut item: Item, probe: bool, now: Timestamp) {
        self.land(no, item.seq, probe);
        if self.was_cancelled(no, item.seq) {
            return self.let_go(no, &item, now);
        }
        let due = now.plus(BROKEN_OFF_PAUSE);
        item.not_before = Some(due);
        let Some(lane) = self.lanes.get_mut(&no) else { return self.forget_payload(&item) };
        lane.queue.retain(|queued| queued.seq != item.seq);
        if lane.state != State::Enabled || lane.is_elsewhere() || lane.known.is_lost(item.seq) {
            self.loaded = self.loaded.saturating_sub(usize::from(lane.known.drop_from_memory(item.seq)));
            lane.spilled = Spilled::Yes;
            lane.head_unknown = true;
            self.forget_payload(&item);
            self.leave_to_others(no);
            self.want_refill(no);
        } else if lane.endpoint.settings.ordered {
            lane.insert_sorted(item);
        } else {
            self.retries.insert(due, no, item);
        }
        self.settle(no, now);
    }

    /// A payload leaves memory.
    pub(super) fn forget_payload(&mut self, item: &Item) {
        let bytes = item.payload.as_ref().map_or(0, bytes::Bytes::len);
        self.payload_bytes = self.payload_bytes.saturating_sub(bytes);
    }

    /// Puts the delivery where its decision says, and tells whether memory lets go of it. What it lets go of stays
    /// known until its record is committed, see [`Lanes::recorded`].
    fn place(&mut self, no: EndpointNo, mut item: Item, next: Next, now: Timestamp) -> bool {
        let Some(lane) = self.lanes.get_mut(&no) else { return true };
        // What this node may not send for now, or what may be another's, is the store's alone.
        let is_lost = lane.known.is_lost(item.seq);
        let held = lane.state != State::Enabled || lane.is_elsewhere() || is_lost;
        let released = match next {
            Next::Delivered | Next::Exhausted => {
                lane.backlog -= 1;
                Some(item)
            }
            Next::Waits if held => Some(item),
            Next::Waits => {
                item.not_before = None;
                lane.insert_sorted(item);
                None
            }
            Next::RetryAt(due) => {
                item.not_before = Some(due);
                if held {
                    Some(item)
                } else if lane.endpoint.settings.ordered {
                    lane.insert_sorted(item);
                    None
                } else if due.since(now) <= RETRY_IS_NEAR && self.retries.len() < self.limits.retries {
                    self.retries.insert(due, no, item);
                    None
                } else {
                    Some(item)
                }
            }
        };
        if let Some(item) = &released {
            if next == Next::Waits && !is_lost {
                lane.in_store += 1;
            }
            self.forget_payload(item);
        }
        released.is_some()
    }

    /// The endpoint was deleted meanwhile: a 2xx is still a 2xx; anything else is left to the cancelling.
    fn finish_without_lane(&mut self, item: &Item, outcome: &Outcome) -> Finished {
        self.forget_payload(item);
        let attempts = item.progress.attempts.saturating_add(1);
        let next = next_of_cancelled(outcome);
        Finished { next, progress: Progress { attempts, ..item.progress }, change: None, health: None }
    }

    /// Whether a delivery that was taken a while ago may be sent all the same, by the settings that hold now.
    pub(crate) fn may_still_go(&self, dispatch: &mut Dispatch, now: Timestamp) -> bool {
        let Some(lane) = self.lanes.get(&dispatch.endpoint.no) else { return false };
        dispatch.endpoint = lane.endpoint.clone();
        self.recording.is_open_for(lane.endpoint.settings.ordered)
            && lane.state == State::Enabled
            && lane.endpoint.is_readable()
            && !lane.is_elsewhere()
            && !lane.known.is_lost(dispatch.item.seq)
            && !lane.cancelled.contains(&dispatch.item.seq)
            && (dispatch.probe || !lane.health.is_failing())
            && lane.health.closed_until.is_none_or(|until| until <= now)
    }

    /// An attempt that could not be made (the payload could not be read, or it may not go any more) goes back to its place.
    pub(crate) fn give_back(&mut self, dispatch: Dispatch, now: Timestamp) {
        let Dispatch { endpoint, item, probe, .. } = dispatch;
        let no = endpoint.no;
        self.land(no, item.seq, probe);
        if self.was_cancelled(no, item.seq) {
            return self.let_go(no, &item, now);
        }
        match self.lanes.get_mut(&no) {
            Some(lane)
                if lane.state == State::Enabled && !lane.is_elsewhere() && !lane.known.is_lost(item.seq) =>
            {
                if probe {
                    lane.probe_was_not_made(item.seq);
                }
                lane.insert_sorted(item);
                self.settle(no, now);
            }
            // What this node may not send for now is the store's alone.
            Some(lane) => {
                self.loaded = self.loaded.saturating_sub(usize::from(lane.known.drop_from_memory(item.seq)));
                lane.leave_to_store(&item);
                lane.spilled = Spilled::Yes;
                lane.head_unknown = true;
                self.forget_payload(&item);
                self.leave_to_others(no);
                self.want_refill(no);
            }
            None => self.forget_payload(&item),
        }
    }

    /// A delivery that is in the store no more leaves its lane.
    pub(crate) fn vanish(&mut self, dispatch: Dispatch, now: Timestamp) {
        let (no, seq) = (dispatch.endpoint.no, dispatch.item.seq);
        let is_known = !self.lanes.get(&no).is_some_and(|lane| lane.cancelled.contains(&seq));
        self.give_back(dispatch, now);
        if is_known && let Some(lane) = self.lanes.get_mut(&no) {
            lane.queue.retain(|item| item.seq != seq);
            lane.forget_probe();
            lane.backlog -= 1;
            self.loaded = self.loaded.saturating_sub(usize::from(lane.known.forget(seq)));
        }
    }

    /// An outcome is committed. What does not go on in memory may be loaded again from here on; what waits for
    /// nothing but its turn is ready in the store now, so the lane must look there.
    pub(crate) fn recorded(&mut self, no: EndpointNo, seq: DeliverySeq, next: Next, now: Timestamp) {
        self.let_go_of_recorded(no, seq, next);
        self.resume_ordered(no, now);
    }

    fn let_go_of_recorded(&mut self, no: EndpointNo, seq: DeliverySeq, next: Next) {
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        lane.unrecorded_state = lane.unrecorded_state.filter(|by| *by != seq);
        let Some(let_go) = lane.known.recorded(seq) else { return };
        self.loaded = self.loaded.saturating_sub(1);
        if let Some(since) = &mut self.let_go_during_due {
            since.insert(seq);
        }
        let is_head = lane.endpoint.settings.ordered && matches!(next, Next::RetryAt(_));
        let is_over = matches!(next, Next::Delivered | Next::Exhausted);
        if next == Next::Waits || is_head || (let_go.was_dropped && !is_over) || let_go.was_lost {
            lane.head_unknown = true;
            lane.spilled = Spilled::Yes;
            self.want_refill(no);
        }
        if !is_over {
            self.leave_to_others(no);
        }
    }
}

/// What follows for a delivery that is cancelled in the store, or about to be: a 2xx is still a 2xx, and nothing else is
/// tried again.
fn next_of_cancelled(outcome: &Outcome) -> Next {
    if outcome.is_received() { Next::Delivered } else { Next::Waits }
}

/// Whether a lane's health changed so that a restart should know of it.
fn is_worth_noting(lane: &Lane, before: Health, now: Timestamp) -> bool {
    let after = lane.health;
    if (after.failing, after.run, after.closed_until) != (before.failing, before.run, before.closed_until) {
        return true;
    }
    match (after.last_success_at, lane.persisted_success_at) {
        (Some(_), Some(noted)) => now.since(noted) >= SUCCESS_NOTE,
        (Some(_), None) => true,
        (None, _) => false,
    }
}
