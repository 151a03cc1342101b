//! Replays: a range of an endpoint's finished deliveries is sent again, a part at a time. Pure: what of the range is
//! taken, and how much of it at what time. What is read and written is the store's business, when is the engine's.
//!
//! A replay is not bound by [`MAX_DELIVERIES_PER_REQUEST`](crate::limits::MAX_DELIVERIES_PER_REQUEST): that limit keeps
//! one request from becoming one large commit, and a replay is the way for larger ranges, because it makes its
//! deliveries in small commits, at a bounded rate and only while its endpoint's lane has next to nothing to do.

use std::time::Duration;

use crate::delivery::{DeliverySeq, Status};
use crate::id::{AccountId, EndpointId, ReplayId};
use crate::time::Timestamp;

/// Where a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Deliveries of its range are still to be looked at.
    Running,
    /// All of its range was looked at; what was resent goes its own way from there.
    Done,
    /// Ended early; what was resent by then goes its own way.
    Cancelled(CancelReason),
}

/// Why a replay ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// By hand.
    ByHand,
    /// Its endpoint was deleted.
    EndpointDeleted,
    /// Its account was deleted.
    AccountDeleted,
}

impl State {
    /// Its stable text; that of the reason stands apart.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// Why it was cancelled, where it was.
    pub const fn cancel_reason(self) -> Option<CancelReason> {
        match self {
            Self::Cancelled(reason) => Some(reason),
            Self::Running | Self::Done => None,
        }
    }

    /// The state of a stable text, with its reason exactly where it has one.
    pub fn from_text(text: &str, reason: Option<CancelReason>) -> Option<Self> {
        match (text, reason) {
            ("running", None) => Some(Self::Running),
            ("done", None) => Some(Self::Done),
            ("cancelled", Some(reason)) => Some(Self::Cancelled(reason)),
            _ => None,
        }
    }
}

impl CancelReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::ByHand, Self::EndpointDeleted, Self::AccountDeleted];

    /// Its stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByHand => "by_hand",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::AccountDeleted => "account_deleted",
        }
    }

    /// The reason of a stable text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Which deliveries of the endpoint a replay is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Those that ended so; every finished one where none is named. `Pending` selects nothing.
    pub status: Option<Status>,
    /// Of this event type.
    pub event_type: Option<String>,
    /// Accepted (or resent) at or after.
    pub since: Option<Timestamp>,
    /// Accepted (or resent) before.
    pub until: Option<Timestamp>,
}

/// A delivery within a replay's range, as far as the choice needs it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where it stands now.
    pub status: Status,
    /// Its event's type; none where the event is not there any more.
    pub event_type: Option<&'a str>,
    /// When it was accepted (or resent).
    pub created_at: Timestamp,
    /// Whether a newer delivery of its event to the same endpoint lies in the range and its times.
    pub superseded: bool,
}

/// What a replay does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Sends it again.
    Resend,
    /// Would have to send it again but can't: counted as skipped.
    Skip,
    /// Is not about it.
    Pass,
}

impl Selection {
    /// Whether a time lies between `since` and `until`.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    /// What is done with a delivery of the range.
    ///
    /// An event goes once, however often it was sent before: its newest delivery in the range stands for it.
    /// Otherwise each replay would send again what the one before had sent, twice as much each time; and whoever asks
    /// for what was exhausted does not mean what was received when it was resent. What is pending is tried by itself
    /// and skipped, whatever status is asked for: it has none yet that it could be chosen by.
    pub fn choose(&self, candidate: Candidate<'_>) -> Choice {
        if candidate.superseded || !self.covers(candidate.created_at) {
            return Choice::Pass;
        }
        let Some(event_type) = candidate.event_type else { return Choice::Skip };
        if self.event_type.as_ref().is_some_and(|wanted| wanted != event_type) {
            return Choice::Pass;
        }
        match candidate.status {
            Status::Pending => Choice::Skip,
            status if self.status.is_none_or(|wanted| wanted == status) => Choice::Resend,
            Status::Delivered | Status::Exhausted | Status::Cancelled => Choice::Pass,
        }
    }
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// How many deliveries were chosen when it was made. What was pending then and ended before its turn is resent
    /// too, and what was pruned meanwhile is not there any more, so that `resent` may come out a little different.
    pub matched: u64,
    /// How many new deliveries it has made.
    pub resent: u64,
    /// How many it passed over because they were still pending, or their event was gone.
    pub skipped: u64,
}

/// A replay as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Its public id.
    pub id: ReplayId,
    /// Whose endpoint it is.
    pub account: AccountId,
    /// Whose deliveries are sent again.
    pub endpoint: EndpointId,
    /// The endpoint's mode.
    pub livemode: bool,
    /// Which of them.
    pub selection: Selection,
    /// Where it stands.
    pub state: State,
    /// How far it has come.
    pub counts: Counts,
    /// Everything up to this number was looked at …
    pub reached: DeliverySeq,
    /// … and this is the last that is. Nothing accepted after the replay was made is below it.
    pub through: DeliverySeq,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
}

/// How much replays may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// New deliveries per second over all running replays, at least 1.
    pub per_second: u32,
    /// Deliveries of an endpoint that may wait for their turn or be in flight; from so many on its replay waits. What
    /// is accepted meanwhile waits behind no more than these.
    pub in_turn: u64,
    /// Pending deliveries of an endpoint, those that wait for a retry included, from which on its replay waits.
    pub backlog: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_second: 500, in_turn: 50, backlog: 1_000 }
    }
}

/// An endpoint's lane as a replay sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether the endpoint is enabled and not failing.
    pub is_well: bool,
    /// How many of its deliveries wait for their turn or are in flight.
    pub in_turn: u64,
    /// How many are pending, those that wait for a retry included.
    pub backlog: u64,
}

impl Limits {
    /// How many deliveries a replay may give a lane that stands so.
    pub fn room(&self, standing: Standing) -> u64 {
        if !standing.is_well {
            return 0;
        }
        let in_turn = self.in_turn.saturating_sub(standing.in_turn);
        in_turn.min(self.backlog.saturating_sub(standing.backlog))
    }
}

/// How much of a second's deliveries may go at once.
const BURST: Duration = Duration::from_millis(200);

/// The pace of all running replays together: so many new deliveries per second, and no more than a fifth of them at once.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    per_second: f64,
    tokens: f64,
    filled_at: Timestamp,
}

impl Pace {
    /// A pace of `per_second` deliveries, at least 1.
    pub fn new(per_second: u32, now: Timestamp) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, tokens: burst(per_second), filled_at: now }
    }

    /// How many deliveries may be made at `now`. A clock that jumps gives a burst at most, and holds nothing up.
    pub fn allows(&mut self, now: Timestamp) -> u64 {
        let fresh = now.since(self.filled_at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + fresh).min(burst(self.per_second));
        self.filled_at = now;
        // The hair keeps rounding from costing one. Never negative, and at most a burst: the cast only cuts the fraction.
        (self.tokens + 1e-6).floor() as u64
    }

    /// So many were made.
    pub fn made(&mut self, count: u64) {
        self.tokens = (self.tokens - f64::from(u32::try_from(count).unwrap_or(u32::MAX))).max(0.0);
    }
}

fn burst(per_second: f64) -> f64 {
    (per_second * BURST.as_secs_f64()).max(1.0)
}

#[cfg(test)]
mod tests;
