//! Follows attempts as they end: first what the log holds since a place, then live, without a gap in between.
//!
//! Nothing gathers here for a follower that takes its time: the log waits for it, and live it may fall behind by a
//! bounded number of attempts before its feed ends. It can come back to the place where it was.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_core::delivery::{DeliverySeq, Next, Status};
use postrider_store::model::{AttemptPlace, DeliveryFilter, EndedAttempt};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::observe::AttemptSeen;
use crate::{Engine, EngineError, Inner};

/// Attempts read from the log at once.
const PART: usize = 100;
/// How far the order in which attempts are told of may differ from that in which they ended. A feed begins so much
/// before the place that it is asked for: what ended just before may come a second time, and nothing is missed.
const DISORDER: Duration = Duration::from_secs(1);
/// How long outcomes may take to be committed before a feed that waits for them ends.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// Why a feed ended.
#[derive(Debug, thiserror::Error)]
pub enum FeedEnd {
    /// The follower took what ended more slowly than it ended.
    #[error("the follower fell too far behind")]
    TooSlow,
    /// The log could not be read.
    #[error("the log could not be read")]
    Unavailable(#[source] EngineError),
}

/// Attempts as they end. See [`Engine::follow_attempts`].
pub struct AttemptFeed {
    engine: Engine,
    filter: DeliveryFilter,
    /// What was read of the log and not given out yet.
    read: VecDeque<Arc<AttemptSeen>>,
    /// The log is read behind this place; none once it is read to its end.
    behind: Option<AttemptPlace>,
    /// The live attempts, gathered from before the last look at the log on.
    live: Option<broadcast::Receiver<Arc<AttemptSeen>>>,
    /// What was given out or skipped of late, so that it is not given twice where readings overlap.
    known: BTreeSet<AttemptPlace>,
}

impl Engine {
    /// Attempts of the deliveries that `filter` wants, as they end: from now on, or behind `after` where that is given.
    /// The filter's status is the delivery's after the attempt.
    pub fn follow_attempts(&self, filter: DeliveryFilter, after: Option<AttemptPlace>) -> AttemptFeed {
        let live = if after.is_none() { Some(self.watch_attempts()) } else { None };
        let (behind, known) = (after.map(before_disorder), after.into_iter().collect());
        AttemptFeed { engine: self.clone(), filter, read: VecDeque::new(), behind, live, known }
    }
}

impl Inner {
    /// Waits until every outcome that was decided by now is committed; false where that takes too long.
    async fn commits_what_is_decided(&self) -> bool {
        let decided = self.handed_over.load(Ordering::Relaxed);
        let committed = async {
            loop {
                let recorded = self.recorded.notified();
                tokio::pin!(recorded);
                recorded.as_mut().enable();
                if self.written_down.load(Ordering::Relaxed) >= decided {
                    return;
                }
                recorded.await;
            }
        };
        tokio::time::timeout(COMMIT_PATIENCE, committed).await.is_ok()
    }
}

impl AttemptFeed {
    /// The next attempt. Waits for one where there is none; may be dropped while it waits, without losing any.
    pub async fn next(&mut self) -> Result<Arc<AttemptSeen>, FeedEnd> {
        loop {
            if let Some(seen) = self.read.pop_front() {
                return Ok(seen);
            }
            if let Some(behind) = self.behind {
                self.read_on(behind).await?;
                continue;
            }
            let live = self.live.get_or_insert_with(|| self.engine.watch_attempts());
            let seen = match live.recv().await {
                Ok(seen) => seen,
                Err(RecvError::Lagged(_)) => return Err(FeedEnd::TooSlow),
                Err(RecvError::Closed) => return Err(FeedEnd::Unavailable(EngineError::ShuttingDown)),
            };
            if wants(&self.filter, &seen) && !self.known.contains(&seen.place) {
                return Ok(seen);
            }
        }
    }

    /// Reads on in the log. At its end whatever is told of is gathered from there on, and whatever was told of before
    /// is looked for once more, when it is committed.
    async fn read_on(&mut self, behind: AttemptPlace) -> Result<(), FeedEnd> {
        if self.live.is_some() && !self.engine.0.commits_what_is_decided().await {
            let why = "outcomes are not committed in time".into();
            return Err(FeedEnd::Unavailable(EngineError::Unavailable(why)));
        }
        let reached = self.read_behind(behind).await?;
        self.behind = match (reached, &self.live) {
            (Some(reached), _) => Some(reached),
            (None, Some(_)) => None,
            (None, None) => {
                self.live = Some(self.engine.watch_attempts());
                Some(self.known.last().map_or(behind, |last| before_disorder(*last)))
            }
        };
        Ok(())
    }

    /// Reads a part of the log; gives how far it came where there may be more.
    async fn read_behind(&mut self, after: AttemptPlace) -> Result<Option<AttemptPlace>, FeedEnd> {
        // The status of a delivery is looked at as it was after the attempt, not as it is now.
        let filter = DeliveryFilter { status: None, ..self.filter.clone() };
        let read = self.engine.0.store.attempts_ended(after, filter, PART).await;
        let part = read.map_err(|error| FeedEnd::Unavailable(error.into()))?;
        for ended in part.attempts {
            let seen = logged(ended, &self.engine);
            if self.known.insert(seen.place) && wants(&self.filter, &seen) {
                self.read.push_back(Arc::new(seen));
            }
        }
        if let Some(reached) = part.reached {
            self.known = self.known.split_off(&before_disorder(reached));
        }
        Ok(part.reached)
    }
}

/// The place from which on nothing is missed of what may be told of behind `place`.
fn before_disorder(place: AttemptPlace) -> AttemptPlace {
    AttemptPlace { ended_at: place.ended_at.minus(DISORDER), seq: DeliverySeq(0), number: 0 }
}

/// Whether the filter wants the delivery as it is after the attempt.
fn wants(filter: &DeliveryFilter, seen: &AttemptSeen) -> bool {
    let accepted_at = seen.delivery.time();
    filter.account.is_none_or(|wanted| wanted == seen.account)
        && filter.endpoint.is_none_or(|wanted| wanted == seen.endpoint)
        && filter.event.is_none_or(|wanted| wanted == seen.event)
        && filter.event_type.as_deref().is_none_or(|wanted| wanted == &*seen.event_type)
        && filter.livemode.is_none_or(|wanted| wanted == seen.livemode)
        && filter.status.is_none_or(|wanted| wanted == seen.status())
        && filter.since.is_none_or(|since| accepted_at >= since)
        && filter.until.is_none_or(|until| accepted_at < until)
}

/// An attempt of the log as it looked when it ended, as far as the log tells.
fn logged(ended: EndedAttempt, engine: &Engine) -> AttemptSeen {
    let EndedAttempt { place, delivery, attempt } = ended;
    let is_last = attempt.number >= delivery.attempt_count;
    let next = match (is_last, delivery.status, delivery.next_attempt_at) {
        (true, Status::Delivered, _) => Next::Delivered,
        (true, Status::Exhausted, _) => Next::Exhausted,
        (true, Status::Pending, Some(at)) => Next::RetryAt(at),
        _ => Next::Waits,
    };
    AttemptSeen {
        place,
        delivery: delivery.id,
        event: delivery.event,
        event_type: engine.0.event_type(&delivery.event_type),
        account: delivery.account,
        endpoint: delivery.endpoint,
        livemode: delivery.livemode,
        number: attempt.number,
        probe: attempt.probe,
        started_at: attempt.started_at,
        took: Duration::from_micros(attempt.timings.total_us),
        outcome: attempt.outcome,
        next,
        change: None,
    }
}
