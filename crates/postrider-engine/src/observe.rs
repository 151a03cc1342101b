//! Lets others watch attempts as they end: the wide log line, and a live feed.
//!
//! Neither holds a payload, a response body or a secret, and neither can slow a delivery: a watcher that does
//! not keep up misses some.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::attempt::Outcome;
use postrider_core::delivery::{Next, Status};
use postrider_core::health::HealthChange;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::time::Timestamp;
use postrider_store::model::AttemptPlace;
use tokio::sync::broadcast;

use crate::Engine;

/// Attempts that a slow watcher may fall behind before it misses some.
pub(crate) const FEED_LENGTH: usize = 1_024;

/// What became of the delivery.
pub type FollowingStep = Next;

/// An attempt that has ended.
#[derive(Debug, Clone)]
pub struct AttemptSeen {
    /// Its place in the order in which attempts ended.
    pub place: AttemptPlace,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The event's guid.
    pub event: EventId,
    /// The event's type.
    pub event_type: Arc<str>,
    /// Whose it is.
    pub account: AccountId,
    /// Where it went.
    pub endpoint: EndpointId,
    /// Live or test.
    pub livemode: bool,
    /// Which attempt of the delivery it was, from 1.
    pub number: u32,
    /// Whether it was a probe of a failing endpoint.
    pub probe: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub outcome: Outcome,
    /// What follows for the delivery.
    pub next: FollowingStep,
    /// What changed about the endpoint.
    pub change: Option<HealthChange>,
}

impl AttemptSeen {
    /// Where the delivery stood after it.
    pub fn status(&self) -> Status {
        match self.next {
            Next::Delivered => Status::Delivered,
            Next::Exhausted => Status::Exhausted,
            Next::RetryAt(_) | Next::Waits => Status::Pending,
        }
    }

    /// When the next attempt is due, as far as it is known.
    pub fn next_attempt_at(&self) -> Option<Timestamp> {
        if let Next::RetryAt(at) = self.next { Some(at) } else { None }
    }
}

/// Those who watch.
pub(crate) struct Observers(broadcast::Sender<Arc<AttemptSeen>>);

impl Default for Observers {
    fn default() -> Self {
        Self(broadcast::Sender::new(FEED_LENGTH))
    }
}

impl Observers {
    pub(crate) fn tell(&self, seen: AttemptSeen, log_attempts: LogAttempts) {
        log_attempt(&seen, log_attempts);
        log_health_change(&seen);
        if self.0.receiver_count() > 0 {
            // Every watcher may have left since; then nobody misses it.
            drop(self.0.send(Arc::new(seen)));
        }
    }
}

impl Engine {
    /// Attempts as they end, from now on.
    pub fn watch_attempts(&self) -> broadcast::Receiver<Arc<AttemptSeen>> {
        self.0.observers.0.subscribe()
    }
}

/// Which attempts get a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogAttempts {
    /// All of them.
    #[default]
    All,
    /// Those that were not answered with a 2xx.
    Failed,
    /// None.
    None,
}

impl LogAttempts {
    fn includes(self, seen: &AttemptSeen) -> bool {
        match self {
            Self::All => true,
            Self::Failed => seen.next != Next::Delivered,
            Self::None => false,
        }
    }
}

impl std::str::FromStr for LogAttempts {
    type Err = UnknownLogAttempts;

    fn from_str(text: &str) -> Result<Self, UnknownLogAttempts> {
        match text {
            "all" => Ok(Self::All),
            "failed" => Ok(Self::Failed),
            "none" => Ok(Self::None),
            _ => Err(UnknownLogAttempts),
        }
    }
}

/// The text names no [`LogAttempts`].
#[derive(Debug, thiserror::Error)]
#[error("must be all, failed or none")]
pub struct UnknownLogAttempts;

/// Writes one wide line for an attempt.
fn log_attempt(seen: &AttemptSeen, log_attempts: LogAttempts) {
    if !log_attempts.includes(seen) {
        return;
    }
    let took_ms = u64::try_from(seen.took.as_millis()).unwrap_or(u64::MAX);
    let (next, retry_at) = match seen.next {
        Next::Delivered => ("delivered", None),
        Next::RetryAt(at) => ("retry", Some(at)),
        Next::Waits => ("waits", None),
        Next::Exhausted => ("exhausted", None),
    };
    let detail = match &seen.outcome {
        Outcome::Failed { detail, .. } => Some(detail.as_str()),
        Outcome::Answered { .. } => None,
    };
    tracing::info!(
        target: "postrider::attempt",
        delivery = %seen.delivery,
        event = %seen.event,
        event_type = &*seen.event_type,
        account = %seen.account,
        endpoint = %seen.endpoint,
        livemode = seen.livemode,
        attempt = seen.number,
        probe = seen.probe,
        status = seen.outcome.status(),
        failure = seen.outcome.failure_code().map(postrider_core::attempt::FailureCode::as_str),
        detail,
        took_ms,
        next,
        retry_at = retry_at.map(tracing::field::display),
        "attempt"
    );
}

fn log_health_change(seen: &AttemptSeen) {
    match seen.change {
        Some(HealthChange::BecameFailing) => tracing::warn!(endpoint = %seen.endpoint, "endpoint is failing"),
        Some(HealthChange::Recovered) => tracing::info!(endpoint = %seen.endpoint, "endpoint has recovered"),
        Some(HealthChange::Disable(reason)) => {
            tracing::warn!(endpoint = %seen.endpoint, reason = reason.as_str(), "endpoint is disabled");
        }
        None => {}
    }
}
