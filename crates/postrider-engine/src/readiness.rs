//! Readiness: whether events can be accepted just now, for load balancers and people.
//!
//! The store is asked by doing what an accept does. That costs it a commit and needs no key, so however often the question
//! comes, it is asked once a second at most, and one answer serves everyone who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postrider_store::{AcceptError, StoreError};
use tokio::time::Instant;

use crate::shared_query::SharedQuery;
use crate::{Engine, EngineError};

/// How long an answer holds.
const HOLDS_FOR: Duration = Duration::from_secs(1);
/// How long the store has to answer: load balancers and orchestrators give a probe one second.
const ANSWER_WITHIN: Duration = Duration::from_millis(800);
/// How long a refused event says that events are refused: the probe is small, and may find room where an event does not.
const REFUSAL_HOLDS: Duration = Duration::from_secs(5);
/// It has not happened.
const NEVER: u64 = u64::MAX;

type Checked = Result<(), Arc<StoreError>>;

/// The last readiness check, and when the store last accepted or refused an event.
#[derive(Debug)]
pub(crate) struct Readiness {
    checks: SharedQuery<Checked>,
    begun: Instant,
    /// When the store last failed to accept an event, since it accepted one: milliseconds since `begun`.
    refused_at_ms: AtomicU64,
    /// When it last accepted one.
    accepted_at_ms: AtomicU64,
}

impl Default for Readiness {
    fn default() -> Self {
        let [refused_at_ms, accepted_at_ms] = [const { AtomicU64::new(NEVER) }; 2];
        Self { checks: SharedQuery::default(), begun: Instant::now(), refused_at_ms, accepted_at_ms }
    }
}

impl Readiness {
    /// The store has accepted events, or has failed to.
    pub(crate) fn observe_accept<T>(&self, result: &Result<T, AcceptError>) {
        match result {
            Ok(_) => {
                self.accepted_at_ms.store(self.now_ms(), Ordering::Relaxed);
                if self.refused_at_ms.load(Ordering::Relaxed) != NEVER {
                    self.refused_at_ms.store(NEVER, Ordering::Relaxed);
                }
            }
            Err(AcceptError::Unavailable(_) | AcceptError::LeaseLost) => {
                self.refused_at_ms.store(self.now_ms(), Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    fn was_within(&self, at_ms: &AtomicU64, time: Duration) -> bool {
        let at = at_ms.load(Ordering::Relaxed);
        at != NEVER && u128::from(self.now_ms().saturating_sub(at)) < time.as_millis()
    }
}

/// An answer that several callers share.
#[derive(Debug, thiserror::Error)]
#[error("the store can't accept events")]
struct NotReady(#[source] Arc<StoreError>);

impl Engine {
    /// Whether events can be accepted just now: the service is not stopping, the store does what an accept needs, and it has
    /// not just failed to accept one. Takes 0.8 s at most, and no time while the store owes an answer to an earlier probe for longer.
    pub async fn check_ready(&self) -> Result<(), EngineError> {
        let inner = &self.0;
        if inner.stopping.load(Ordering::Relaxed) {
            return Err(EngineError::ShuttingDown);
        }
        if inner.readiness.was_within(&inner.readiness.accepted_at_ms, HOLDS_FOR)
            && inner.readiness.refused_at_ms.load(Ordering::Relaxed) == NEVER
        {
            // An accept has just succeeded, so there is nothing to probe.
            return Ok(());
        }
        let unavailable = |why: &'static str| EngineError::Unavailable(why.into());
        let store = Arc::clone(&inner.store);
        let probe = async move { store.check_writable().await.map_err(Arc::new) };
        let Some(checked) = inner.readiness.checks.ask(HOLDS_FOR, ANSWER_WITHIN, probe).await else {
            return Err(unavailable("the store did not answer in time"));
        };
        checked.map_err(|error| EngineError::Unavailable(Box::new(NotReady(error))))?;
        if inner.readiness.was_within(&inner.readiness.refused_at_ms, REFUSAL_HOLDS) {
            return Err(unavailable("the store has just failed to accept an event"));
        }
        Ok(())
    }
}
