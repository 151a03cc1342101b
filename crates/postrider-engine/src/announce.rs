//! Tells the operator what happened to endpoints: as events of the reserved account, accepted and delivered like any
//! other.
//!
//! `delivery.exhausted` comes at most once a minute per endpoint, with a count. What waits to be told is bounded; the
//! lanes never wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::delivery::{Next, Progress};
use postrider_core::endpoint::{Endpoint, EndpointNo, State};
use postrider_core::health::{Health, HealthChange};
use postrider_core::id::AccountId;
use postrider_core::operational::{Operational, is_told_about};
use postrider_core::time::Timestamp;
use tokio::sync::mpsc;

use crate::config::STORE_PAUSE;
use crate::lanes::Item;
use crate::model::Submission;
use crate::{EngineError, Inner};

/// Announcements that may wait to be accepted.
pub(crate) const MAX_WAITING: usize = 4_096;
/// How often `delivery.exhausted` comes at most for one endpoint.
const EXHAUSTED_EVERY: Duration = Duration::from_secs(60);
/// How often counts whose minute is over are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Something that happened to an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    endpoint: Arc<Endpoint>,
    what: Operational,
    state: State,
    health: Health,
    at: Timestamp,
}

/// Exhausted deliveries of one endpoint that are counted until their minute is over.
struct Counted {
    latest: Announcement,
    count: u64,
    told_at: Timestamp,
}

impl Inner {
    /// Announces what one attempt changed.
    pub(crate) fn announce_outcome(
        &self,
        endpoint: &Arc<Endpoint>,
        item: &Item,
        next: Next,
        progress: Progress,
        change: Option<HealthChange>,
    ) {
        let exhausted = (next == Next::Exhausted).then(|| Operational::DeliveryExhausted {
            delivery: item.id,
            event: item.event,
            event_type: item.event_type.to_string(),
            attempts: progress.attempts,
            count: 1,
        });
        let changed = change.map(|change| match change {
            HealthChange::BecameFailing => Operational::EndpointFailing,
            HealthChange::Recovered => Operational::EndpointRecovered,
            HealthChange::Disable(_) => Operational::EndpointDisabled,
        });
        for what in [exhausted, changed].into_iter().flatten() {
            self.announce(endpoint, what);
        }
    }

    /// Announces something about an endpoint, as it stands now.
    pub(crate) fn announce(&self, endpoint: &Arc<Endpoint>, what: Operational) {
        if !is_told_about(endpoint.account) {
            return;
        }
        let (state, health) = match self.lanes().view(endpoint.no) {
            Some(lane) => (lane.state, lane.health),
            None => (endpoint.state, endpoint.health),
        };
        let announcement = Announcement { endpoint: endpoint.clone(), what, state, health, at: self.now() };
        if self.announcements.try_send(announcement).is_err() {
            tracing::warn!(endpoint = %endpoint.id, "too much happens at once: an operational event is left out");
        }
    }
}

/// Hands announcements in as events, until the service ends.
pub(crate) async fn run(inner: Arc<Inner>, mut waiting: mpsc::Receiver<Announcement>) {
    let mut counted: HashMap<EndpointNo, Counted> = HashMap::new();
    loop {
        match tokio::time::timeout(LOOK_EVERY, waiting.recv()).await {
            Ok(None) => return,
            Ok(Some(announcement)) => {
                if let Some(to_tell) = count(&mut counted, announcement) {
                    tell(&inner, to_tell).await;
                }
            }
            Err(_nothing_came) => {}
        }
        for over in whose_minute_is_over(&mut counted, inner.now()) {
            tell(&inner, over).await;
        }
        if counted.is_empty() {
            // Nothing is counted, so there is no minute to watch: wait without waking up.
            if let Some(announcement) = waiting.recv().await
                && let Some(to_tell) = count(&mut counted, announcement)
            {
                tell(&inner, to_tell).await;
            }
        }
    }
}

/// Lets everything through but further exhausted deliveries of an endpoint within the minute: those are counted.
fn count(counted: &mut HashMap<EndpointNo, Counted>, announcement: Announcement) -> Option<Announcement> {
    if !matches!(announcement.what, Operational::DeliveryExhausted { .. }) {
        return Some(announcement);
    }
    let no = announcement.endpoint.no;
    if let Some(known) = counted.get_mut(&no) {
        known.count += 1;
        known.latest = announcement;
        return None;
    }
    counted.insert(no, Counted { told_at: announcement.at, latest: announcement.clone(), count: 0 });
    Some(announcement)
}

/// Takes out the counts that may be told now; an endpoint without any further one is forgotten.
fn whose_minute_is_over(counted: &mut HashMap<EndpointNo, Counted>, now: Timestamp) -> Vec<Announcement> {
    let over: Vec<EndpointNo> = counted
        .iter()
        .filter(|(_, known)| now.since(known.told_at) >= EXHAUSTED_EVERY)
        .map(|(no, _)| *no)
        .collect();
    let mut to_tell = Vec::new();
    for no in over {
        let Some(Counted { mut latest, count: further, .. }) = counted.remove(&no) else { continue };
        if further == 0 {
            continue;
        }
        if let Operational::DeliveryExhausted { count, .. } = &mut latest.what {
            *count = further;
        }
        counted.insert(no, Counted { latest: latest.clone(), count: 0, told_at: now });
        to_tell.push(latest);
    }
    to_tell
}

/// Accepts the event, however long the store needs to be able to.
async fn tell(inner: &Arc<Inner>, announcement: Announcement) {
    let Announcement { endpoint, what, state, health, at } = announcement;
    let submission = Submission {
        account: AccountId::OPERATOR,
        event_type: what.event_type(),
        livemode: endpoint.livemode,
        payload: Bytes::from(what.payload(&endpoint, state, &health, at)),
    };
    loop {
        match inner.clone().ingest(vec![submission.clone()]).await {
            Err(EngineError::Overloaded | EngineError::Unavailable(_)) => {
                tokio::time::sleep(STORE_PAUSE).await
            }
            Err(other) => {
                tracing::error!(error = &other as &dyn std::error::Error, "an operational event was refused");
                return;
            }
            Ok(_accepted) => return,
        }
    }
}
