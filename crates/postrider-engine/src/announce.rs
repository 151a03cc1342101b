//! Tells the operator what happened to endpoints: as events of the reserved account, accepted and delivered like any
//! other.
//!
//! `delivery.exhausted` comes at most once a minute per endpoint, with a count. What waits to be told is bounded; the
//! lanes never wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::delivery::Next;
use postrider_core::endpoint::{Endpoint, EndpointNo, State};
use postrider_core::health::{Health, HealthChange};
use postrider_core::id::AccountId;
use postrider_core::operational::{Operational, is_told_about};
use postrider_core::time::Timestamp;
use tokio::sync::mpsc;

use crate::config::STORE_PAUSE;
use crate::model::Submission;
use crate::observe::AttemptSeen;
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
    pub(crate) fn announce_outcome(&self, endpoint: &Arc<Endpoint>, seen: &AttemptSeen) {
        let exhausted = (seen.next == Next::Exhausted).then(|| Operational::DeliveryExhausted {
            delivery: seen.delivery,
            event: seen.event,
            event_type: seen.event_type.to_string(),
            attempts: seen.number,
            count: 1,
        });
        let changed = seen.change.map(|change| match change {
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
        let event_type = what.event_type();
        let announcement = Announcement { endpoint: endpoint.clone(), what, state, health, at: self.now() };
        if self.announcements.try_send(announcement).is_err() {
            tracing::error!(
                endpoint = %endpoint.id,
                event_type,
                waiting = MAX_WAITING,
                "an operational event is left out: too many wait to be accepted"
            );
        }
    }
}

/// Hands announcements in as events, until the service ends; then what is still counted is told as well.
pub(crate) async fn run(inner: Arc<Inner>, mut waiting: mpsc::Receiver<Announcement>) {
    let mut counted: HashMap<EndpointNo, Counted> = HashMap::new();
    loop {
        let announcement = tokio::select! {
            announcement = next(&mut waiting, counted.is_empty()) => announcement,
            () = inner.announcer_stop.notified() => return tell_the_rest(&inner, waiting, counted).await,
        };
        if let Some(to_tell) = announcement.and_then(|announcement| count(&mut counted, announcement)) {
            tell(&inner, to_tell).await;
        }
        let now = inner.now();
        for over in take_counts(&mut counted, now, |known| now.since(known.told_at) >= EXHAUSTED_EVERY) {
            tell(&inner, over).await;
        }
    }
}

/// The next announcement; none when it is time to look at the counts, of which there are none where `for_ever`.
async fn next(waiting: &mut mpsc::Receiver<Announcement>, for_ever: bool) -> Option<Announcement> {
    if for_ever {
        return waiting.recv().await;
    }
    tokio::time::timeout(LOOK_EVERY, waiting.recv()).await.ok().flatten()
}

/// At the end nothing waits for its minute: a count that is not told now never is.
async fn tell_the_rest(
    inner: &Arc<Inner>,
    mut waiting: mpsc::Receiver<Announcement>,
    mut counted: HashMap<EndpointNo, Counted>,
) {
    while let Ok(announcement) = waiting.try_recv() {
        if let Some(to_tell) = count(&mut counted, announcement) {
            tell(inner, to_tell).await;
        }
    }
    for counted in take_counts(&mut counted, inner.now(), |_| true) {
        tell(inner, counted).await;
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
fn take_counts(
    counted: &mut HashMap<EndpointNo, Counted>,
    now: Timestamp,
    may_be_told: impl Fn(&Counted) -> bool,
) -> Vec<Announcement> {
    let over: Vec<EndpointNo> =
        counted.iter().filter(|(_, known)| may_be_told(known)).map(|(no, _)| *no).collect();
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
    let Some(event_type) = inner.snapshot.load().catalogue().get(what.event_type()).cloned() else {
        tracing::error!(event_type = what.event_type(), "an operational event has no type in the catalogue");
        return;
    };
    let submission = Submission {
        account: AccountId::OPERATOR,
        event_type,
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
