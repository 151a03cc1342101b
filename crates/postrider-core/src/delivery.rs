//! How a delivery lives: the decision after each attempt. Pure: time and jitter are arguments.

use std::fmt;
use std::time::Duration;

use crate::attempt::Outcome;
use crate::health::{FinishedAttempt, Health, HealthChange, HealthRules};
use crate::id::{AccountId, DeliveryId, EndpointId, EventId};
use crate::schedule::{Jitter, RetrySchedule};
use crate::service_clock::ServiceTime;
use crate::time::Timestamp;

/// The number that a store gives a delivery at commit. Lanes are ordered by it, never by a clock or an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliverySeq(pub i64);

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waiting for an attempt, or held because its endpoint is paused or disabled.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// Every attempt of the schedule was used and none was received.
    Exhausted,
    /// Given up for a reason that is no attempt's outcome.
    Cancelled,
}

/// Why a delivery was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// By hand.
    Operator,
    /// Its endpoint was deleted.
    EndpointDeleted,
    /// Its account was deleted.
    AccountDeleted,
    /// Its endpoint was paused or disabled for longer than the log is kept.
    HeldTooLong,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Exhausted, Self::Cancelled];

    /// Its stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of a stable text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl CancelReason {
    /// Every reason.
    pub const ALL: [Self; 4] =
        [Self::Operator, Self::EndpointDeleted, Self::AccountDeleted, Self::HeldTooLong];

    /// Its stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::AccountDeleted => "account_deleted",
            Self::HeldTooLong => "held_too_long",
        }
    }

    /// The reason of a stable text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One event bound for one endpoint, as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The store's number for it; the log is sorted by it.
    pub seq: DeliverySeq,
    /// Its public id.
    pub id: DeliveryId,
    /// The event.
    pub event: EventId,
    /// The event's type.
    pub event_type: String,
    /// Whose it is.
    pub account: AccountId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// Live or test.
    pub livemode: bool,
    /// Where it stands.
    pub status: Status,
    /// Why it was cancelled, where it was.
    pub cancel_reason: Option<CancelReason>,
    /// How many requests were made, probes counted too.
    pub attempt_count: u32,
    /// When it was accepted (or resent).
    pub created_at: Timestamp,
    /// When the next attempt is due; none while it waits for its turn, and none at the end.
    pub next_attempt_at: Option<Timestamp>,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// The delivery that this one repeats by hand.
    pub resend_of: Option<DeliveryId>,
}

/// How far a pending delivery has come: what the next decision needs of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many requests were made, probes counted too.
    pub attempts: u32,
    /// How many attempts of the schedule were used up.
    pub used: u32,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Received: no automatic attempt is made again.
    Delivered,
    /// Tried again at this time.
    RetryAt(Timestamp),
    /// Back into its lane as it was: a failing endpoint's failure uses up no attempt.
    Waits,
    /// Every attempt of the schedule was used.
    Exhausted,
}

/// Everything that follows from one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the delivery.
    pub next: Next,
    /// How far it has come now.
    pub progress: Progress,
    /// The endpoint's health now.
    pub health: Health,
    /// What changed about the endpoint.
    pub change: Option<HealthChange>,
}

/// What a decision is made from, besides the outcome.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The delivery.
    pub delivery: DeliveryId,
    /// How far it had come before this attempt.
    pub progress: Progress,
    /// The endpoint's health before this attempt's outcome.
    pub health: Health,
    /// Whether the attempt was made as a probe.
    pub probe: bool,
    /// When its request was sent.
    pub sent_at: Timestamp,
    /// Now, by the service's own running time.
    pub service_time: ServiceTime,
    /// Whether the endpoint is `ordered`: then it does not probe, the head's own schedule is the probe.
    pub ordered: bool,
    /// The schedule that holds for it.
    pub schedule: &'a RetrySchedule,
    /// The rules of health.
    pub rules: &'a HealthRules,
}

/// Decides what follows from an attempt's outcome.
pub fn after_attempt(
    situation: &Situation<'_>,
    outcome: &Outcome,
    now: Timestamp,
    jitter: Jitter,
) -> Decision {
    let Situation { delivery, progress, health, probe, sent_at, service_time, ordered, schedule, rules } =
        *situation;
    let attempt = FinishedAttempt { delivery, probe, outcome, sent_at, now, service_time };
    let (mut health_after, mut change) = health.after(rules, schedule, &attempt);
    if ordered {
        health_after.failing = None;
        change = change.filter(|change| matches!(change, HealthChange::Disable(_)));
    }
    let uses_up_an_attempt = !probe && !health.is_failing();
    let progress = Progress {
        attempts: progress.attempts.saturating_add(1),
        used: progress.used.saturating_add(u32::from(uses_up_an_attempt)),
    };
    let next = if outcome.is_received() {
        Next::Delivered
    } else if !uses_up_an_attempt {
        Next::Waits
    } else {
        match schedule.delay_after(progress.used, jitter) {
            None => Next::Exhausted,
            Some(delay) => Next::RetryAt(now.plus(delay.max(wish_of(outcome)))),
        }
    };
    Decision { next, progress, health: health_after, change }
}

/// How long the receiver asked to be left alone; zero when it did not.
fn wish_of(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Answered { retry_after: Some(wish), .. } => *wish,
        Outcome::Answered { .. } | Outcome::Failed { .. } => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
