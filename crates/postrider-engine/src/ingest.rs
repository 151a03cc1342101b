//! Accepts events: match against the snapshot, commit, and straight into the lanes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use postrider_core::catalogue::Catalogue;
use postrider_core::delivery::{DeliverySeq, Progress};
use postrider_core::endpoint::EndpointNo;
use postrider_core::event::Event;
use postrider_core::id::{DeliveryId, EndpointId, EventId};
use postrider_core::limits::{MAX_DELIVERIES_PER_REQUEST, MAX_INLINE_BYTES};
use postrider_core::payload::{self, PayloadRefused, Violation};
use postrider_core::trace::CallerSpan;
use postrider_store::AcceptError;
use postrider_store::model::{NewDelivery, NewEvent, PendingDelivery};

use crate::config::MATCH_TRIES;
use crate::going_on::finish_what_began;
use crate::lanes::Item;
use crate::model::{Accepted, Submission};
use crate::once::Once;
use crate::snapshot::Snapshot;
use crate::traces::{Origin, Taking};
use crate::validation::run_off_shared_threads;
use crate::{Engine, EngineError, Inner, Requester};

/// How many deliveries enter their lanes under one hold of the lanes' lock.
const ENTER_AT_ONCE: usize = 64;

/// How events are taken in, where not as everyone's.
#[derive(Default)]
pub(crate) struct Ingest {
    /// The one endpoint that they go to, whatever it wants.
    pub(crate) only: Option<EndpointId>,
    /// What is kept of the answer.
    pub(crate) once: Option<Once<[Accepted]>>,
    /// The call that they came with, where they are traced.
    pub(crate) origin: Option<Origin>,
}

/// Submissions matched by one snapshot: what is committed, what then enters the lanes, and what is answered.
struct Matched {
    events: Vec<NewEvent>,
    /// One for each delivery, in the order of the sequence numbers that the commit will give them.
    items: Vec<(EndpointNo, Item)>,
    accepted: Vec<Accepted>,
}

impl Engine {
    /// Accepts events, all or nothing: durable and routed when it returns.
    ///
    /// `NotFound` where an account is not there, `EventRefused` where a type was changed since its event was judged and the
    /// event does not fit any more, `TooExpensive` where that can't be told in its steps, `TooManyDeliveries` past the limit, `Overloaded` where the
    /// queue is full or no validation slot was free in time. Nothing is stored then.
    pub async fn ingest(&self, submissions: Vec<Submission>) -> Result<Vec<Accepted>, EngineError> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err(EngineError::ShuttingDown);
        }
        let inner = self.0.clone();
        // A caller that hangs up must not leave committed deliveries outside their lanes.
        finish_what_began(async move { inner.ingest(submissions).await }).await
    }

    /// The same for a call of the API. `AnsweredBefore` where an earlier one with its idempotency key was answered.
    pub async fn ingest_call(
        &self,
        submissions: Vec<Submission>,
        once: Option<Once<[Accepted]>>,
        origin: Option<Origin>,
    ) -> Result<Vec<Accepted>, EngineError> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err(EngineError::ShuttingDown);
        }
        let inner = self.0.clone();
        let how = Ingest { only: None, once, origin };
        finish_what_began(async move { inner.ingest_to(submissions, how).await }).await
    }

    /// When a call came that hands events in, and in which span; none where nobody traces them.
    pub fn origin(&self, route: &'static str, caller: impl FnOnce() -> Option<CallerSpan>) -> Option<Origin> {
        self.0.config.traces.as_ref()?;
        Some(Origin { route, began_us: self.0.clock.now_us(), caller: caller() })
    }
}

impl Inner {
    /// Matches, commits and enters the lanes; run it to its end.
    pub(crate) async fn ingest(
        self: Arc<Self>,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, EngineError> {
        self.ingest_to(submissions, Ingest::default()).await
    }

    /// The same in this way.
    pub(crate) async fn ingest_to(
        self: Arc<Self>,
        submissions: Vec<Submission>,
        how: Ingest,
    ) -> Result<Vec<Accepted>, EngineError> {
        let Ingest { only, once, origin } = how;
        let now = self.now();
        let mut taking =
            self.config.traces.as_ref().map(|traces| Taking::begin(traces, &*self.clock, origin));
        let ids: Vec<EventId> = submissions.iter().map(|_| EventId::new(now, self.chance.bits())).collect();
        for _try in 0..MATCH_TRIES {
            let matched = match self.match_in_time(&submissions, &ids, only).await {
                Err(EngineError::NotFound) if self.look_for_accounts(&submissions).await? => continue,
                matched => matched?,
            };
            let Matched { mut events, items, accepted } = matched;
            let (left, term) = self.leave_to_others(&mut events);
            if let Some(taking) = &mut taking {
                taking.commits();
            }
            let committed = match &once {
                None => self.store.accept(events).await,
                Some(once) => {
                    self.store.accept_once(events, once.keep(&accepted, self.time_for_ages())).await
                }
            };
            self.readiness.observe_accept(&committed);
            match committed {
                Ok(seqs) => {
                    self.meters.accepted(accepted.len(), seqs.len());
                    if let Some(taking) = &mut taking {
                        taking.committed();
                    }
                    self.enter_lanes(items, &seqs, &left, term).await;
                    if let Some(taking) = taking {
                        taking.tell(&submissions, &accepted);
                    }
                    return Ok(accepted);
                }
                Err(AcceptError::ConfigChanged) => self.await_change(&submissions).await?,
                Err(other) => return Err(other.into()),
            }
        }
        Err(AcceptError::ConfigChanged.into())
    }

    /// Finds each event's endpoints: here if that is soon done, and in a slot otherwise.
    async fn match_in_time(
        &self,
        submissions: &[Submission],
        ids: &[EventId],
        only: Option<EndpointId>,
    ) -> Result<Matched, EngineError> {
        let snapshot = self.snapshot.load_full();
        if only.is_some() || matching_cost(&snapshot, submissions) <= MAX_INLINE_BYTES {
            return self.match_all(&snapshot, submissions, ids, only);
        }
        // An account's filters are its own work, whoever hands the events in.
        let requester = match submissions {
            [first, rest @ ..] if rest.iter().all(|other| other.account == first.account) => {
                Requester::Account(first.account)
            }
            _ => Requester::Operator,
        };
        let _slot = self.validation_slots.take(requester).await?;
        let snapshot = self.snapshot.load_full();
        run_off_shared_threads(|| self.match_all(&snapshot, submissions, ids, only))
    }

    /// For each event its endpoints, by one snapshot.
    fn match_all(
        &self,
        snapshot: &Snapshot,
        submissions: &[Submission],
        ids: &[EventId],
        only: Option<EndpointId>,
    ) -> Result<Matched, EngineError> {
        let now = self.now();
        let room = submissions.len();
        let mut matched = Matched {
            events: Vec::with_capacity(room),
            items: Vec::with_capacity(room),
            accepted: Vec::with_capacity(room),
        };
        for (index, (submission, id)) in submissions.iter().zip(ids).enumerate() {
            still_fits(snapshot.catalogue(), submission).map_err(|refused| match refused {
                PayloadRefused::Invalid(faults) => EngineError::EventRefused { index, faults },
                PayloadRefused::TooExpensive(place) => EngineError::TooExpensive { index, place },
            })?;
            let entry = snapshot.account(submission.account).ok_or(EngineError::NotFound)?;
            let event = Event {
                id: *id,
                account_no: entry.account.no,
                account: submission.account,
                event_type: submission.event_type.name().to_owned(),
                livemode: submission.livemode,
                payload: submission.payload.clone(),
                created_at: now,
            };
            let event_type = submission.event_type.shared_name();
            let mut deliveries = Vec::new();
            let mut told = Vec::new();
            let wanting = match only {
                Some(only) => entry.endpoints.iter().filter(|endpoint| endpoint.id == only).collect(),
                None => entry.endpoints_for(&event_type, submission.livemode, &submission.payload),
            };
            if matched.items.len() + wanting.len() > MAX_DELIVERIES_PER_REQUEST {
                return Err(EngineError::TooManyDeliveries { limit: MAX_DELIVERIES_PER_REQUEST });
            }
            for endpoint in wanting {
                let id = DeliveryId::new(now, self.chance.bits());
                deliveries.push(NewDelivery { id, endpoint_no: endpoint.no, is_own: true });
                told.push((id, endpoint.id));
                matched.items.push((endpoint.no, fresh_item(&event, &event_type, id)));
            }
            matched.accepted.push(Accepted { id: *id, created_at: now, deliveries: told });
            let config_version = entry.account.config_version;
            matched.events.push(NewEvent { event, config_version, deliveries });
        }
        Ok(matched)
    }

    /// Fresh deliveries go straight from the commit to their lanes, payload still in memory. Many of them go a part at a
    /// time, so that other work gets its turn in between.
    async fn enter_lanes(
        self: &Arc<Self>,
        items: Vec<(EndpointNo, Item)>,
        seqs: &[DeliverySeq],
        left: &HashSet<DeliveryId>,
        term: u64,
    ) {
        let mut entering = items.into_iter().zip(seqs).peekable();
        while entering.peek().is_some() {
            let now = self.now();
            self.pump_after(now, |lanes| {
                for ((endpoint_no, item), seq) in entering.by_ref().take(ENTER_AT_ONCE) {
                    if left.contains(&item.id) {
                        lanes.left(endpoint_no);
                    } else {
                        lanes.enter(endpoint_no, Item { seq: *seq, ..item }, term, now);
                    }
                }
            });
            if entering.peek().is_some() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// A pending delivery from the store as a lane keeps it.
    pub(crate) fn item_of(&self, row: PendingDelivery) -> (EndpointNo, Item) {
        let item = Item {
            seq: row.seq,
            id: row.id,
            event: row.event,
            event_type: self.event_type(&row.event_type),
            payload: row.payload,
            payload_bytes: row.payload_bytes,
            progress: row.progress,
            not_before: row.next_attempt_at,
            needs_fresh_connection: row.progress.attempts > 0,
        };
        (row.endpoint_no, item)
    }
}

/// About what it costs to match these events, in bytes that are looked at. Beyond what is done at once, no more is counted.
fn matching_cost(snapshot: &Snapshot, submissions: &[Submission]) -> usize {
    let mut cost = 0_usize;
    for submission in submissions {
        let known = snapshot.catalogue().get(submission.event_type.name());
        if known.is_none_or(|known| !Arc::ptr_eq(known, &submission.event_type)) {
            // It is checked again.
            return usize::MAX;
        }
        let Some(entry) = snapshot.account(submission.account) else { continue };
        let event_type = submission.event_type.shared_name();
        cost += entry.routing_cost(&event_type, submission.livemode, submission.payload.len());
        if cost > MAX_INLINE_BYTES {
            break;
        }
    }
    cost
}

/// Checks an event again where its type is not the one any more that it was checked by.
fn still_fits(catalogue: &Catalogue, submission: &Submission) -> Result<(), PayloadRefused> {
    let refuse = |pointer: &str, detail: &str| {
        let fault = Violation { pointer: pointer.to_owned(), detail: detail.to_owned() };
        Err(PayloadRefused::Invalid(vec![fault]))
    };
    let Some(known) = catalogue.get(submission.event_type.name()) else {
        return refuse("/type", "is no event type any more");
    };
    if Arc::ptr_eq(known, &submission.event_type) {
        return Ok(());
    }
    if known.is_archived() {
        return refuse("/type", "is archived: no new events of it are taken");
    }
    let Ok(text) = std::str::from_utf8(&submission.payload) else {
        return refuse("/payload", "is not UTF-8 text");
    };
    let checked = payload::check(known, text, Some(submission.livemode));
    checked.map(drop).map_err(|refused| refused.below("/payload"))
}

/// A delivery that is about to be committed; its number comes with the commit.
fn fresh_item(event: &Event, event_type: &Arc<str>, id: DeliveryId) -> Item {
    Item {
        seq: DeliverySeq(0),
        id,
        event: event.id,
        event_type: event_type.clone(),
        payload_bytes: u32::try_from(event.payload.len()).unwrap_or(u32::MAX),
        payload: Some(event.payload.clone()),
        progress: Progress::default(),
        not_before: None,
        needs_fresh_connection: false,
    }
}
