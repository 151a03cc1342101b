//! [`Store`] for SQLite: each call becomes a job for the writer or a read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use postrider_core::account::{Account, AccountKey, AccountNo};
use postrider_core::attempt::Attempt;
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
use tokio::sync::oneshot;

use super::SqliteStore;
use super::changes::{self, Context, NotMade, accounts, endpoints};
use super::inbox::{AcceptJob, ChangeJob, Closed, RecordJob};
use super::readers::unavailable;
use super::{audit, clock, kept, log, pending, replaying, size};
use crate::Store;
use crate::error::{AcceptError, StoreError};
use crate::figures::StoreFigures;
use crate::kept_answers::Row;
use crate::model::event_types::{EventTypeChange, NewEventType};
use crate::model::once::{Before, Claim, Keep};
use crate::model::portal::NewPortalLink;
use crate::model::{
    AttemptPlace, AuditFilter, Configuration, DeliveryFilter, EndedPart, EndpointUpdate, EventFilter,
    LaneBacklog, NewAccount, NewEndpoint, NewEvent, NewKey, NewReplay, NewResend, Page, PageRequest,
    PendingDelivery, Pruned, RecordBatch, ReplayFilter, ReplayPart, ReplayRange, ReplayStep, ReplayStepped,
    SecretsChange, StoreSize, Wanted,
};
use crate::seal::meta_values;

impl SqliteStore {
    /// Hands a change to the writer and waits for its commit.
    pub(super) async fn change<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Context<'_>) -> Result<T, NotMade> + Send + 'static,
    {
        let space = Arc::clone(&self.change_space).acquire_owned().await.map_err(unavailable)?;
        let (change, answer) = changes::ask(work);
        self.inbox.change(ChangeJob { change, _space: space })?;
        answer.await.map_err(|_gone| unavailable(Closed))?
    }

    /// Hands events to the writer and waits for their commit.
    async fn hand_in(
        &self,
        events: Vec<NewEvent>,
        keep: Option<Box<Row>>,
    ) -> Result<Vec<DeliverySeq>, AcceptError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.accept(AcceptJob { events, keep, reply })?;
        answer.await.map_err(|_gone| AcceptError::Unavailable(Box::new(Closed)))?.take()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<Configuration, StoreError> {
        let sealer = self.sealer.as_of_now();
        self.readers.read(move |connection| pending::load(connection, &sealer)).await
    }

    async fn operator_key(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let Some((sha256, seal)) = self.readers.read(pending::operator_key).await? else { return Ok(None) };
        meta_values::check_operator_key(&self.sealer, sha256, seal.as_deref()).map(Some)
    }

    async fn init_operator_key(&self, sha256: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.change(move |context| accounts::init_operator_key(context, sha256)).await
    }

    async fn create_account(&self, account: NewAccount) -> Result<Account, StoreError> {
        self.change(move |context| accounts::create(context, &account)).await
    }

    async fn rename_account(
        &self,
        account: AccountNo,
        name: &str,
        deed: Deed,
    ) -> Result<Account, StoreError> {
        let name = name.to_owned();
        self.change(move |context| accounts::rename(context, account, &name, &deed)).await
    }

    async fn delete_account(&self, account: AccountNo, deed: Deed) -> Result<(), StoreError> {
        self.change(move |context| accounts::delete(context, account, &deed)).await
    }

    async fn create_key(
        &self,
        account: AccountNo,
        key: NewKey,
        deed: Deed,
        keep: Option<Box<Keep>>,
    ) -> Result<AccountKey, StoreError> {
        self.change(move |context| accounts::create_key(context, account, &key, &deed, keep.as_deref())).await
    }

    async fn revoke_key(&self, key: KeyId, deed: Deed) -> Result<(), StoreError> {
        self.change(move |context| accounts::revoke_key(context, key, &deed)).await
    }

    async fn note_key_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError> {
        self.change(move |context| accounts::note_key_uses(context, &uses)).await
    }

    async fn create_portal_link(&self, link: NewPortalLink) -> Result<(), StoreError> {
        self.change(move |context| changes::portal_links::create(context, &link)).await
    }

    async fn revoke_portal_link(&self, account: AccountNo, id: LinkId, deed: Deed) -> Result<(), StoreError> {
        self.change(move |context| changes::portal_links::revoke(context, account, id, &deed)).await
    }

    async fn portal_link(&self, sha256: [u8; 32], now: Timestamp) -> Result<PortalLink, StoreError> {
        let find = move |connection: &_| changes::portal_links::find(connection, sha256, now);
        self.readers.read(find).await?.ok_or(StoreError::NotFound)
    }

    async fn event_types(&self) -> Result<Vec<Definition>, StoreError> {
        self.readers.read(changes::event_types::all).await
    }

    async fn create_event_type(&self, event_type: NewEventType) -> Result<(), StoreError> {
        self.change(move |context| changes::event_types::create(context, &event_type)).await
    }

    async fn change_event_type(&self, change: EventTypeChange) -> Result<(), StoreError> {
        self.change(move |context| changes::event_types::change(context, &change)).await
    }

    async fn create_endpoint(&self, endpoint: NewEndpoint) -> Result<(Endpoint, i64), StoreError> {
        self.change(move |context| endpoints::create(context, endpoint)).await
    }

    async fn update_endpoint(
        &self,
        before: &Endpoint,
        after: &Endpoint,
        update: EndpointUpdate,
        deed: Deed,
    ) -> Result<i64, StoreError> {
        let (before, after) = (before.clone(), after.clone());
        self.change(move |context| endpoints::update(context, &before, &after, update, &deed)).await
    }

    async fn set_secrets(&self, change: SecretsChange) -> Result<i64, StoreError> {
        self.change(move |context| endpoints::set_secrets(context, &change)).await
    }

    async fn delete_endpoint(&self, endpoint: EndpointNo, deed: Deed) -> Result<i64, StoreError> {
        self.change(move |context| endpoints::delete(context, endpoint, &deed)).await
    }

    async fn deleted_with_backlog(&self) -> Result<Vec<(EndpointNo, CancelReason)>, StoreError> {
        self.readers.read(pending::deleted_with_backlog).await
    }

    async fn cancel_pending(
        &self,
        endpoint: EndpointNo,
        reason: CancelReason,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.change(move |context| changes::deliveries::cancel_pending(context, endpoint, reason, now, limit))
            .await
    }

    async fn cancel_delivery(
        &self,
        id: DeliveryId,
        deed: Deed,
    ) -> Result<(EndpointNo, DeliverySeq), StoreError> {
        self.change(move |context| changes::deliveries::cancel(context, id, &deed)).await
    }

    async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<DeliverySeq>, AcceptError> {
        self.hand_in(events, None).await
    }

    async fn accept_once(&self, events: Vec<NewEvent>, keep: Keep) -> Result<Vec<DeliverySeq>, AcceptError> {
        self.hand_in(events, Some(Box::new(Row::of(&self.sealer, &keep)))).await
    }

    async fn answered_before(&self, claim: Claim, now: Timestamp) -> Result<Option<Before>, StoreError> {
        let sealer = Arc::clone(&self.sealer);
        self.readers.read(move |connection| kept::before(connection, &sealer, claim, now)).await
    }

    async fn forget_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.change(move |context| kept::forget(context, before, limit)).await
    }

    async fn record(&self, batch: Arc<RecordBatch>) -> Result<(), StoreError> {
        // A batch that is larger than the whole queue takes all of it.
        let rows = u32::try_from(batch.records.len() + batch.health.len()).unwrap_or(u32::MAX);
        let space = Arc::clone(&self.record_space).acquire_many_owned(rows.clamp(1, self.record_queue));
        let space = space.await.map_err(unavailable)?;
        let (reply, answer) = oneshot::channel();
        self.inbox.record(RecordJob { batch, reply, _space: space })?;
        answer.await.map_err(|_gone| unavailable(Closed))?.take()
    }

    async fn resend(&self, resend: NewResend) -> Result<PendingDelivery, StoreError> {
        self.change(move |context| changes::deliveries::resend(context, &resend)).await
    }

    async fn replay_range(
        &self,
        endpoint: EndpointNo,
        selection: Selection,
    ) -> Result<ReplayRange, StoreError> {
        self.readers.read(move |connection| replaying::range(connection, endpoint, &selection)).await
    }

    async fn look_through(
        &self,
        range: ReplayRange,
        selection: Selection,
        limit: usize,
    ) -> Result<ReplayPart, StoreError> {
        self.readers
            .read(move |connection| replaying::look_through(connection, range, &selection, limit))
            .await
    }

    async fn create_replay(&self, replay: NewReplay) -> Result<Replay, StoreError> {
        self.change(move |context| changes::replays::create(context, &replay)).await
    }

    async fn step_replay(&self, step: ReplayStep) -> Result<ReplayStepped, StoreError> {
        self.change(move |context| changes::replays::step(context, &step)).await
    }

    async fn cancel_replay(
        &self,
        id: ReplayId,
        reason: replay::CancelReason,
        deed: Deed,
    ) -> Result<Replay, StoreError> {
        self.change(move |context| changes::replays::cancel(context, id, reason, &deed)).await
    }

    async fn running_replays(&self) -> Result<Vec<(EndpointNo, Replay)>, StoreError> {
        self.readers.read(log::replays::running).await
    }

    async fn replay(&self, id: ReplayId) -> Result<Replay, StoreError> {
        let found = self.readers.read(move |connection| log::replays::replay(connection, id)).await?;
        found.ok_or(StoreError::NotFound)
    }

    async fn replays(&self, filter: ReplayFilter, page: PageRequest) -> Result<Page<Replay>, StoreError> {
        self.readers.read(move |connection| log::replays::replays(connection, filter, page)).await
    }

    async fn backlogs(&self) -> Result<Vec<LaneBacklog>, StoreError> {
        self.readers.read(pending::backlogs).await
    }

    async fn with_ready(&self, endpoints: Vec<EndpointNo>) -> Result<Vec<EndpointNo>, StoreError> {
        self.readers.read(move |connection| pending::with_ready(connection, endpoints)).await
    }

    async fn ready_numbers(&self, of: Vec<Wanted>) -> Result<Vec<(EndpointNo, DeliverySeq)>, StoreError> {
        self.readers.read(move |connection| pending::ready_numbers(connection, of)).await
    }

    async fn ready(&self, endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError> {
        self.readers.read(move |connection| pending::ready(connection, endpoint, limit)).await
    }

    async fn due(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, DeliverySeq)>,
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError> {
        self.readers.read(move |connection| pending::due(connection, until, after, limit)).await
    }

    async fn waiting(&self, endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError> {
        self.readers.read(move |connection| pending::waiting(connection, endpoint, limit)).await
    }

    async fn payloads(&self, deliveries: Vec<DeliverySeq>) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.readers.read(move |connection| pending::payloads(connection, &deliveries)).await
    }

    async fn event(&self, id: EventId) -> Result<Event, StoreError> {
        let found = self.readers.read(move |connection| log::events::event(connection, id)).await?;
        found.ok_or(StoreError::NotFound)
    }

    async fn events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<Event>, StoreError> {
        self.readers.read(move |connection| log::events::events(connection, &filter, page)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Delivery, StoreError> {
        let found = self.readers.read(move |connection| log::deliveries::delivery(connection, id)).await?;
        found.ok_or(StoreError::NotFound)
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        self.readers.read(move |connection| log::deliveries::deliveries(connection, &filter, page)).await
    }

    async fn last_attempts(
        &self,
        delivery: DeliverySeq,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Attempt>, StoreError> {
        self.readers.read(move |connection| log::last_attempts(connection, delivery, before, limit)).await
    }

    async fn oldest_pending(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(pending::oldest).await
    }

    async fn size(&self) -> Result<StoreSize, StoreError> {
        let path = Arc::clone(&self.path);
        let size = self.readers.read(move |connection| size::read(connection, &path)).await?;
        Ok(StoreSize { checkpoint_age: Some(self.checkpoints.age()), ..size })
    }

    fn figures(&self) -> Option<Arc<StoreFigures>> {
        Some(Arc::clone(&self.figures))
    }

    async fn attempts_ended(
        &self,
        after: AttemptPlace,
        filter: DeliveryFilter,
        limit: usize,
    ) -> Result<EndedPart, StoreError> {
        self.readers.read(move |connection| log::ended::ended(connection, after, &filter, limit)).await
    }

    async fn prune(
        &self,
        before: Timestamp,
        after: i64,
        now: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        self.change(move |context| changes::retention::prune(context, before, after, now, limit)).await
    }

    async fn note(&self, deed: Deed) -> Result<(), StoreError> {
        self.change(move |context| Ok(audit::write(context, &deed)?)).await
    }

    async fn audit(&self, filter: AuditFilter, page: PageRequest) -> Result<Page<Entry>, StoreError> {
        self.readers.read(move |connection| audit::entries(connection, filter, page)).await
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.change(move |context| audit::forget(context, before, limit)).await
    }

    async fn observe_clock(&self, now: Timestamp, ran: Duration) -> Result<ClockRecord, StoreError> {
        self.change(move |context| clock::observe(context, now, ran)).await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.change(accounts::probe_accept).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.inbox.close();
        // The semaphore is closed, and never given a permit, when the writer is gone.
        if let Ok(permit) = self.writer_is_gone.acquire().await {
            drop(permit);
        }
    }
}
