//! Accepts events: match against the snapshot, commit, and straight into the lanes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use postrider_core::delivery::{DeliverySeq, Progress};
use postrider_core::endpoint::EndpointNo;
use postrider_core::event::Event;
use postrider_core::id::{DeliveryId, EndpointId, EventId};
use postrider_core::limits::MAX_DELIVERIES_PER_REQUEST;
use postrider_store::AcceptError;
use postrider_store::model::{NewDelivery, NewEvent};

use crate::config::MATCH_TRIES;
use crate::endpoints::finish_what_began;
use crate::lanes::Item;
use crate::model::{Accepted, Submission};
use crate::{Engine, EngineError, Inner};

/// One submission with its id, matched by one snapshot.
struct Matched {
    event: NewEvent,
    endpoints: Vec<EndpointId>,
}

impl Engine {
    /// Accepts events, all or nothing: durable and routed when it returns.
    ///
    /// `NotFound` where an account is not there, `TooManyDeliveries` past the limit, `Overloaded` where the
    /// queue is full. Nothing is stored then.
    pub async fn ingest(&self, submissions: Vec<Submission>) -> Result<Vec<Accepted>, EngineError> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err(EngineError::ShuttingDown);
        }
        let inner = self.0.clone();
        // A caller that hangs up must not leave committed deliveries outside their lanes.
        finish_what_began(async move { inner.ingest(submissions).await }).await
    }
}

impl Inner {
    /// Matches, commits and enters the lanes; run it to its end.
    pub(crate) async fn ingest(
        self: Arc<Self>,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, EngineError> {
        let now = self.now();
        let ids: Vec<EventId> = submissions.iter().map(|_| EventId::new(now, self.chance.bits())).collect();
        for _try in 0..MATCH_TRIES {
            let matched = self.match_all(&submissions, &ids)?;
            let (events, endpoints): (Vec<_>, Vec<_>) =
                matched.into_iter().map(|one| (one.event, one.endpoints)).unzip();
            match self.store.accept(events.clone()).await {
                Ok(seqs) => {
                    self.enter_lanes(&events, &seqs);
                    return Ok(answer(events, endpoints));
                }
                // The change is on its way into the snapshot; it is there once `changes` is free.
                Err(AcceptError::ConfigChanged) => drop(self.changes.lock().await),
                Err(other) => return Err(other.into()),
            }
        }
        Err(AcceptError::ConfigChanged.into())
    }

    /// For each event its endpoints, by one snapshot.
    fn match_all(&self, submissions: &[Submission], ids: &[EventId]) -> Result<Vec<Matched>, EngineError> {
        let snapshot = self.snapshot.load();
        let now = self.now();
        let mut deliveries_in_all = 0;
        let mut matched = Vec::with_capacity(submissions.len());
        for (submission, id) in submissions.iter().zip(ids) {
            let entry = snapshot.account(submission.account).ok_or(EngineError::NotFound)?;
            let mut endpoints = Vec::new();
            let mut deliveries = Vec::new();
            for endpoint in
                entry.endpoints.iter().filter(|e| e.wants(submission.event_type, submission.livemode))
            {
                endpoints.push(endpoint.id);
                let id = DeliveryId::new(now, self.chance.bits());
                deliveries.push(NewDelivery { id, endpoint_no: endpoint.no });
            }
            deliveries_in_all += deliveries.len();
            let event = Event {
                id: *id,
                account_no: entry.account.no,
                account: submission.account,
                event_type: submission.event_type.to_owned(),
                livemode: submission.livemode,
                payload: submission.payload.clone(),
                created_at: now,
            };
            let config_version = entry.account.config_version;
            matched.push(Matched { event: NewEvent { event, config_version, deliveries }, endpoints });
        }
        if deliveries_in_all > MAX_DELIVERIES_PER_REQUEST {
            let limit = MAX_DELIVERIES_PER_REQUEST;
            return Err(EngineError::TooManyDeliveries { found: deliveries_in_all, limit });
        }
        Ok(matched)
    }

    /// Fresh deliveries go straight from the commit to their lanes, payload still in memory.
    fn enter_lanes(self: &Arc<Self>, events: &[NewEvent], seqs: &[DeliverySeq]) {
        let now = self.now();
        let mut seqs = seqs.iter();
        {
            let mut lanes = self.lanes();
            for NewEvent { event, deliveries, .. } in events {
                if deliveries.is_empty() {
                    continue;
                }
                let event_type: Arc<str> = event.event_type.as_str().into();
                for (delivery, seq) in deliveries.iter().zip(seqs.by_ref()) {
                    lanes.push(delivery.endpoint_no, fresh_item(event, &event_type, delivery.id, *seq), now);
                }
            }
        }
        self.pump();
    }
}

fn fresh_item(event: &Event, event_type: &Arc<str>, id: DeliveryId, seq: DeliverySeq) -> Item {
    Item {
        seq,
        id,
        event: event.id,
        event_type: event_type.clone(),
        payload_bytes: u32::try_from(event.payload.len()).unwrap_or(u32::MAX),
        payload: Some(event.payload.clone()),
        progress: Progress::default(),
        not_before: None,
    }
}

fn answer(events: Vec<NewEvent>, endpoints: Vec<Vec<EndpointId>>) -> Vec<Accepted> {
    let accepted = |(new, endpoints): (NewEvent, Vec<EndpointId>)| Accepted {
        id: new.event.id,
        created_at: new.event.created_at,
        deliveries: new.deliveries.iter().map(|delivery| delivery.id).zip(endpoints).collect(),
    };
    events.into_iter().zip(endpoints).map(accepted).collect()
}

/// A pending delivery from the store as a lane keeps it.
pub(crate) fn item_of(row: postrider_store::model::PendingDelivery) -> (EndpointNo, Item) {
    let item = Item {
        seq: row.seq,
        id: row.id,
        event: row.event,
        event_type: row.event_type.into(),
        payload: row.payload,
        payload_bytes: row.payload_bytes,
        progress: row.progress,
        not_before: row.next_attempt_at,
    };
    (row.endpoint_no, item)
}
