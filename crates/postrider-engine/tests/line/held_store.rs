//! Test support: a store that does what the real one does, and can be held at one place.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use postrider_core::account::{Account, AccountKey, AccountNo};
use postrider_core::attempt::{Attempt, Outcome};
use postrider_core::audit::{Deed, Entry};
use postrider_core::catalogue::Definition;
use postrider_core::delivery::{CancelReason, Delivery, DeliverySeq};
use postrider_core::endpoint::{Endpoint, EndpointNo};
use postrider_core::event::Event;
use postrider_core::id::{DeliveryId, EventId, KeyId, LinkId, ReplayId};
use postrider_core::portal::PortalLink;
use postrider_core::replay::{self, Replay, Selection};
use postrider_core::service_clock::ClockRecord;
use postrider_core::time::Timestamp;
use postrider_store::model::event_types::{EventTypeChange, NewEventType};
use postrider_store::model::once::{Before, Claim, Keep};
use postrider_store::model::portal::NewPortalLink;
use postrider_store::model::{
    AttemptPlace, AuditFilter, Configuration, DeliveryFilter, EndedPart, EndpointUpdate, EventFilter,
    LaneBacklog, NewAccount, NewEndpoint, NewEvent, NewKey, NewReplay, NewResend, Page, PageRequest,
    PendingDelivery, Pruned, Record, RecordBatch, ReplayFilter, ReplayPart, ReplayRange, ReplayStep,
    ReplayStepped, SecretsChange, StoreSize,
};
use postrider_store::sqlite::SqliteStore;
use postrider_store::{AcceptError, Store, StoreError};
use tokio::sync::{oneshot, watch};

/// Which side of the commit a change of an endpoint is held on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// A change of an endpoint that is being held.
pub(crate) struct Hold {
    /// Ends when the change has come there.
    pub(crate) reached: oneshot::Receiver<()>,
    /// Lets it go on.
    pub(crate) go: oneshot::Sender<()>,
}

type Held = (Side, oneshot::Sender<()>, oneshot::Receiver<()>);

pub(crate) struct HeldStore {
    store: SqliteStore,
    next_update: Mutex<Option<Held>>,
    pub(crate) never_closes: AtomicBool,
    /// It will not have attempts with this status (0: it has all of them) …
    pub(crate) refuses_status: AtomicU16,
    /// … nor the outcomes of such deliveries in any form, once it has met one.
    pub(crate) refuses_outcome: AtomicBool,
    refused: Mutex<HashSet<DeliverySeq>>,
    /// It refuses attempts whose failure is not told in ASCII.
    pub(crate) holds_only_ascii: AtomicBool,
    /// Every commit of outcomes fails.
    pub(crate) fails_to_record: AtomicBool,
    /// While this is so, outcomes wait to be written.
    records_wait: watch::Sender<bool>,
    /// While it is not zero, commits take their time on either side: the state of a small generator.
    delays: AtomicU64,
}

impl HeldStore {
    pub(crate) fn new(store: SqliteStore) -> Self {
        Self {
            store,
            next_update: Mutex::default(),
            never_closes: AtomicBool::new(false),
            refuses_status: AtomicU16::new(0),
            refuses_outcome: AtomicBool::new(false),
            refused: Mutex::default(),
            holds_only_ascii: AtomicBool::new(false),
            fails_to_record: AtomicBool::new(false),
            records_wait: watch::Sender::new(false),
            delays: AtomicU64::new(0),
        }
    }

    /// Lets commits take up to three seconds before they begin and after they are made, by this seed; 0 ends it.
    pub(crate) fn delay_commits(&self, seed: u64) {
        self.delays.store(seed, Ordering::Relaxed);
    }

    /// One such delay: none for half of the commits.
    async fn dawdle(&self) {
        let state = self.delays.load(Ordering::Relaxed);
        if state == 0 {
            return;
        }
        let next = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.delays.store(next.max(1), Ordering::Relaxed);
        if next >> 63 == 0 {
            let mut later = tokio::time::interval_at(
                tokio::time::Instant::now() + Duration::from_millis((next >> 33) % 3_000),
                Duration::from_secs(1),
            );
            later.tick().await;
        }
    }

    /// Whether it has something against an outcome.
    fn refuses(&self, record: &Record) -> bool {
        let status = self.refuses_status.load(Ordering::Relaxed);
        let outcome = record.attempt.as_ref().map(|attempt| &attempt.outcome);
        if matches!(outcome, Some(Outcome::Answered { status: answered, .. }) if *answered == status) {
            self.refused.lock().unwrap().insert(record.seq);
            return true;
        }
        if matches!(outcome, Some(Outcome::Failed { detail, .. }) if !detail.is_ascii()) {
            return self.holds_only_ascii.load(Ordering::Relaxed);
        }
        self.refuses_outcome.load(Ordering::Relaxed) && self.refused.lock().unwrap().contains(&record.seq)
    }

    /// Lets outcomes wait to be written, or go on.
    pub(crate) fn let_records_wait(&self, wait: bool) {
        self.records_wait.send_replace(wait);
    }

    /// Holds the next change of an endpoint.
    pub(crate) fn hold_next_update(&self, side: Side) -> Hold {
        let (says_reached, reached) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        *self.next_update.lock().unwrap() = Some((side, says_reached, may_go));
        Hold { reached, go }
    }
}

/// Hands a method on as it is.
macro_rules! hands_on {
    ($($name:ident($($argument:ident: $of:ty),*) -> $gives:ty;)*) => {
        #[async_trait]
        impl Store for HeldStore {
            $(async fn $name(&self, $($argument: $of),*) -> $gives { self.store.$name($($argument),*).await })*

            async fn update_endpoint(
                &self,
                before: &Endpoint,
                after: &Endpoint,
                update: EndpointUpdate,
                deed: Deed,
            ) -> Result<i64, StoreError> {
                let held = self.next_update.lock().unwrap().take();
                let Some((side, says_reached, may_go)) = held else {
                    return self.store.update_endpoint(before, after, update, deed).await;
                };
                let done = match side {
                    Side::Before => None,
                    Side::After => Some(self.store.update_endpoint(before, after, update, deed.clone()).await),
                };
                says_reached.send(()).unwrap();
                may_go.await.unwrap();
                match done {
                    Some(done) => done,
                    None => self.store.update_endpoint(before, after, update, deed).await,
                }
            }

            async fn record(&self, batch: Arc<RecordBatch>) -> Result<(), StoreError> {
                self.records_wait.subscribe().wait_for(|wait| !wait).await.unwrap();
                if self.fails_to_record.load(Ordering::Relaxed) {
                    return Err(StoreError::Unavailable("the disk is gone".into()));
                }
                if batch.records.iter().any(|record| self.refuses(record)) {
                    return Err(StoreError::Refused("not this one".into()));
                }
                self.dawdle().await;
                let recorded = self.store.record(batch).await;
                self.dawdle().await;
                recorded
            }

            async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<DeliverySeq>, AcceptError> {
                self.dawdle().await;
                let accepted = self.store.accept(events).await;
                self.dawdle().await;
                accepted
            }

            async fn cancel_delivery(
                &self,
                id: DeliveryId,
                deed: Deed,
            ) -> Result<(EndpointNo, DeliverySeq), StoreError> {
                self.dawdle().await;
                let cancelled = self.store.cancel_delivery(id, deed).await;
                self.dawdle().await;
                cancelled
            }

            async fn step_replay(&self, step: ReplayStep) -> Result<ReplayStepped, StoreError> {
                self.dawdle().await;
                let stepped = self.store.step_replay(step).await;
                self.dawdle().await;
                stepped
            }

            async fn close(&self) {
                if self.never_closes.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                self.store.close().await;
            }
        }
    };
}

hands_on! {
    load() -> Result<Configuration, StoreError>;
    operator_key() -> Result<Option<[u8; 32]>, StoreError>;
    init_operator_key(sha256: [u8; 32]) -> Result<[u8; 32], StoreError>;
    create_account(account: NewAccount) -> Result<Account, StoreError>;
    rename_account(account: AccountNo, name: &str, deed: Deed) -> Result<Account, StoreError>;
    delete_account(account: AccountNo, deed: Deed) -> Result<(), StoreError>;
    create_key(account: AccountNo, key: NewKey, deed: Deed, keep: Option<Box<Keep>>)
        -> Result<AccountKey, StoreError>;
    revoke_key(key: KeyId, deed: Deed) -> Result<(), StoreError>;
    note_key_uses(uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError>;
    create_portal_link(link: NewPortalLink) -> Result<(), StoreError>;
    revoke_portal_link(account: AccountNo, id: LinkId, deed: Deed) -> Result<(), StoreError>;
    portal_link(sha256: [u8; 32], now: Timestamp) -> Result<PortalLink, StoreError>;
    event_types() -> Result<Vec<Definition>, StoreError>;
    create_event_type(event_type: NewEventType) -> Result<(), StoreError>;
    change_event_type(change: EventTypeChange) -> Result<(), StoreError>;
    create_endpoint(endpoint: NewEndpoint) -> Result<(Endpoint, i64), StoreError>;
    set_secrets(change: SecretsChange) -> Result<i64, StoreError>;
    delete_endpoint(endpoint: EndpointNo, deed: Deed) -> Result<i64, StoreError>;
    deleted_with_backlog() -> Result<Vec<(EndpointNo, CancelReason)>, StoreError>;
    cancel_pending(endpoint: EndpointNo, reason: CancelReason, now: Timestamp, limit: usize)
        -> Result<usize, StoreError>;
    accept_once(events: Vec<NewEvent>, keep: Keep) -> Result<Vec<DeliverySeq>, AcceptError>;
    answered_before(claim: Claim, now: Timestamp) -> Result<Option<Before>, StoreError>;
    forget_answers(before: Timestamp, limit: usize) -> Result<usize, StoreError>;
    resend(resend: NewResend) -> Result<PendingDelivery, StoreError>;
    replay_range(endpoint: EndpointNo, selection: Selection) -> Result<ReplayRange, StoreError>;
    look_through(range: ReplayRange, selection: Selection, limit: usize) -> Result<ReplayPart, StoreError>;
    create_replay(replay: NewReplay) -> Result<Replay, StoreError>;
    cancel_replay(id: ReplayId, reason: replay::CancelReason, deed: Deed) -> Result<Replay, StoreError>;
    running_replays() -> Result<Vec<(EndpointNo, Replay)>, StoreError>;
    replay(id: ReplayId) -> Result<Replay, StoreError>;
    replays(filter: ReplayFilter, page: PageRequest) -> Result<Page<Replay>, StoreError>;
    backlogs() -> Result<Vec<LaneBacklog>, StoreError>;
    with_ready(endpoints: Vec<EndpointNo>) -> Result<Vec<EndpointNo>, StoreError>;
    ready_numbers(endpoints: Vec<(EndpointNo, usize)>) -> Result<Vec<(EndpointNo, DeliverySeq)>, StoreError>;
    ready(endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError>;
    due(until: Timestamp, after: Option<(Timestamp, DeliverySeq)>, limit: usize)
        -> Result<Vec<PendingDelivery>, StoreError>;
    waiting(endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError>;
    payloads(deliveries: Vec<DeliverySeq>) -> Result<Vec<Option<Bytes>>, StoreError>;
    event(id: EventId) -> Result<Event, StoreError>;
    events(filter: EventFilter, page: PageRequest) -> Result<Page<Event>, StoreError>;
    delivery(id: DeliveryId) -> Result<Delivery, StoreError>;
    deliveries(filter: DeliveryFilter, page: PageRequest) -> Result<Page<Delivery>, StoreError>;
    last_attempts(delivery: DeliverySeq, before: Option<u32>, limit: usize) -> Result<Vec<Attempt>, StoreError>;
    size() -> Result<StoreSize, StoreError>;
    oldest_pending() -> Result<Option<Timestamp>, StoreError>;
    attempts_ended(after: AttemptPlace, filter: DeliveryFilter, limit: usize) -> Result<EndedPart, StoreError>;
    prune(before: Timestamp, after: i64, now: Timestamp, limit: usize) -> Result<Pruned, StoreError>;
    note(deed: Deed) -> Result<(), StoreError>;
    audit(filter: AuditFilter, page: PageRequest) -> Result<Page<Entry>, StoreError>;
    forget_audit(before: Timestamp, limit: usize) -> Result<usize, StoreError>;
    observe_clock(now: Timestamp, ran: Duration) -> Result<ClockRecord, StoreError>;
    check_writable() -> Result<(), StoreError>;
}
