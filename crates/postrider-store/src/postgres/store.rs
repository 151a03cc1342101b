//! [`Store`] for PostgreSQL: each call becomes a statement or a short transaction on a connection of the pool.

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
use postrider_core::health::Health;
use postrider_core::id::{DeliveryId, EventId, KeyId, LinkId, ReplayId};
use postrider_core::portal::PortalLink;
use postrider_core::replay::{self, Replay, Selection};
use postrider_core::service_clock::ClockRecord;
use postrider_core::time::Timestamp;

use super::calls::{read, read_settled, run};
use super::pending::Which;
use super::rows::to_i64;
use super::{
    PostgresStore, account_keys, attempts, audit, cancelling, clock, configuration, endpoints, event_types,
    kept, lists, nodes, pending, portal_links, readiness, record, replaying, replays, retention, size,
};
use crate::Store;
use crate::error::{AcceptError, StoreError};
use crate::figures::StoreFigures;
use crate::model::event_types::{EventTypeChange, NewEventType};
use crate::model::once::{Before, Claim, Keep};
use crate::model::portal::NewPortalLink;
use crate::model::{
    AttemptPlace, AuditFilter, Configuration, DeliveryFilter, EndedPart, EndpointUpdate, EventFilter,
    LaneBacklog, Named, NewAccount, NewEndpoint, NewEvent, NewKey, NewReplay, NewResend, News, Node, Page,
    PageRequest, PendingDelivery, Pruned, RecordBatch, ReplayFilter, ReplayPart, ReplayRange, ReplayStep,
    ReplayStepped, SecretsChange, StoreSize, Wanted,
};

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self) -> Result<Configuration, StoreError> {
        Ok(configuration::load(&self.shared, None).await?)
    }

    async fn operator_key(&self) -> Result<Option<[u8; 32]>, StoreError> {
        read!(self, client, sealer => configuration::operator_key(client, &sealer))
    }

    async fn init_operator_key(&self, sha256: [u8; 32]) -> Result<[u8; 32], StoreError> {
        run!(self, client, sealer => configuration::init_operator_key(client, &sealer, sha256))
    }

    async fn create_account(&self, account: NewAccount) -> Result<Account, StoreError> {
        run!(self, client, sealer => configuration::create_account(client, &sealer, account))
    }

    async fn rename_account(
        &self,
        account: AccountNo,
        name: &str,
        deed: Deed,
    ) -> Result<Account, StoreError> {
        let name = name.to_owned();
        run!(self, client => configuration::rename_account(client, account, name, deed))
    }

    async fn delete_account(&self, account: AccountNo, deed: Deed) -> Result<(), StoreError> {
        run!(self, client => configuration::delete_account(client, account, deed))
    }

    async fn create_key(
        &self,
        account: AccountNo,
        key: NewKey,
        deed: Deed,
        keep: Option<Box<Keep>>,
    ) -> Result<AccountKey, StoreError> {
        run!(self, client, sealer => account_keys::create(client, account, key, deed, (&sealer, keep)))
    }

    async fn revoke_key(&self, key: KeyId, deed: Deed) -> Result<(), StoreError> {
        run!(self, client => account_keys::revoke(client, key, deed))
    }

    async fn note_key_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError> {
        run!(self, client => account_keys::note_uses(client, uses))
    }

    async fn create_portal_link(&self, link: NewPortalLink) -> Result<(), StoreError> {
        run!(self, client, sealer => portal_links::create(client, &sealer, link))
    }

    async fn revoke_portal_link(&self, account: AccountNo, id: LinkId, deed: Deed) -> Result<(), StoreError> {
        run!(self, client => portal_links::revoke(client, account, id, deed))
    }

    async fn portal_link(&self, sha256: [u8; 32], now: Timestamp) -> Result<PortalLink, StoreError> {
        read!(self, client => portal_links::find(client, sha256, now))
    }

    async fn event_types(&self) -> Result<Vec<Definition>, StoreError> {
        read!(self, client => event_types::all(client))
    }

    async fn create_event_type(&self, event_type: NewEventType) -> Result<(), StoreError> {
        run!(self, client, sealer => event_types::create(client, &sealer, event_type))
    }

    async fn change_event_type(&self, change: EventTypeChange) -> Result<(), StoreError> {
        run!(self, client => event_types::change(client, change))
    }

    async fn create_endpoint(&self, endpoint: NewEndpoint) -> Result<(Endpoint, i64), StoreError> {
        run!(self, client, sealer => endpoints::create(client, &sealer, endpoint))
    }

    async fn update_endpoint(
        &self,
        before: &Endpoint,
        after: &Endpoint,
        update: EndpointUpdate,
        deed: Deed,
    ) -> Result<i64, StoreError> {
        let (shared, before, after) = (Arc::clone(&self.shared), before.clone(), after.clone());
        run!(self, client => endpoints::update(client, &shared.sealer, (before, after), update, deed))
    }

    async fn set_secrets(&self, change: SecretsChange) -> Result<i64, StoreError> {
        run!(self, client, sealer => endpoints::set_secrets(client, &sealer, change))
    }

    async fn delete_endpoint(&self, endpoint: EndpointNo, deed: Deed) -> Result<i64, StoreError> {
        run!(self, client => endpoints::delete(client, endpoint, deed))
    }

    async fn deleted_with_backlog(&self) -> Result<Vec<(EndpointNo, CancelReason)>, StoreError> {
        run!(self, client => cancelling::deleted_with_backlog(client))
    }

    async fn cancel_pending(
        &self,
        endpoint: EndpointNo,
        reason: CancelReason,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        run!(self, client => cancelling::cancel_oldest(&*client, endpoint.0, None, reason, now, to_i64(limit)))
    }

    async fn cancel_delivery(
        &self,
        id: DeliveryId,
        deed: Deed,
    ) -> Result<(EndpointNo, DeliverySeq), StoreError> {
        run!(self, client => cancelling::cancel(client, id, deed))
    }

    async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<DeliverySeq>, AcceptError> {
        self.hand_in(events, None).await
    }

    async fn accept_once(&self, events: Vec<NewEvent>, keep: Keep) -> Result<Vec<DeliverySeq>, AcceptError> {
        self.hand_in(events, Some(keep)).await
    }

    async fn answered_before(&self, claim: Claim, now: Timestamp) -> Result<Option<Before>, StoreError> {
        read_settled!(self, client, sealer => kept::before(client, &sealer, claim, now))
    }

    async fn forget_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        run!(self, client => kept::forget(client, before, limit))
    }

    async fn record(&self, batch: Arc<RecordBatch>) -> Result<(), StoreError> {
        Ok(record::record(&self.shared, &batch).await?)
    }

    async fn resend(&self, resend: NewResend) -> Result<PendingDelivery, StoreError> {
        let _numbering = self.shared.numbering().await?;
        let me = self.shared.me();
        run!(self, client, sealer => replays::resend(client, &sealer, me, resend))
    }

    async fn replay_range(
        &self,
        endpoint: EndpointNo,
        selection: Selection,
    ) -> Result<ReplayRange, StoreError> {
        read!(self, client => replaying::range(client, endpoint, selection))
    }

    async fn look_through(
        &self,
        range: ReplayRange,
        selection: Selection,
        limit: usize,
    ) -> Result<ReplayPart, StoreError> {
        read!(self, client => replaying::look_through(client, range, selection, limit))
    }

    async fn create_replay(&self, replay: NewReplay) -> Result<Replay, StoreError> {
        run!(self, client, sealer => replays::create(client, &sealer, replay))
    }

    async fn step_replay(&self, step: ReplayStep) -> Result<ReplayStepped, StoreError> {
        let _numbering = self.shared.numbering().await?;
        let me = self.shared.me();
        run!(self, client => replays::step(client, me, step))
    }

    async fn cancel_replay(
        &self,
        id: ReplayId,
        reason: replay::CancelReason,
        deed: Deed,
    ) -> Result<Replay, StoreError> {
        run!(self, client => replays::cancel(client, id, reason, deed))
    }

    async fn running_replays(&self) -> Result<Vec<(EndpointNo, Replay)>, StoreError> {
        let (me, membership) = (self.shared.me(), self.shared.membership());
        run!(self, client => replays::running(client, me, membership.rank, membership.alive))
    }

    async fn replay(&self, id: ReplayId) -> Result<Replay, StoreError> {
        read!(self, client => replays::replay(&*client, id))
    }

    async fn replays(&self, filter: ReplayFilter, page: PageRequest) -> Result<Page<Replay>, StoreError> {
        read!(self, client => replays::replays(client, filter, page))
    }

    async fn oldest_pending(&self) -> Result<Option<Timestamp>, StoreError> {
        read!(self, client => pending::oldest(client))
    }

    async fn size(&self) -> Result<StoreSize, StoreError> {
        read!(self, client => size::read(client))
    }

    fn figures(&self) -> Option<Arc<StoreFigures>> {
        Some(Arc::clone(&self.shared.figures))
    }

    async fn backlogs(&self) -> Result<Vec<LaneBacklog>, StoreError> {
        let (me, gone) = (self.shared.me(), self.shared.membership().gone);
        read_settled!(self, client => pending::backlogs(client, me, &gone))
    }

    async fn with_ready(&self, endpoints: Vec<EndpointNo>) -> Result<Vec<EndpointNo>, StoreError> {
        let (me, gone) = (self.shared.me(), self.shared.membership().gone);
        read_settled!(self, client => pending::with_ready(client, me, &gone, endpoints))
    }

    async fn ready_numbers(&self, of: Vec<Wanted>) -> Result<Vec<(EndpointNo, DeliverySeq)>, StoreError> {
        let me = self.shared.me();
        read_settled!(self, client => pending::ready_numbers(client, me, of))
    }

    async fn ready(&self, endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError> {
        Ok(pending::of_endpoint(&self.shared, endpoint, Which::Ready, limit).await?)
    }

    async fn due(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, DeliverySeq)>,
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError> {
        Ok(pending::due(&self.shared, until, after, limit).await?)
    }

    async fn waiting(&self, endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError> {
        Ok(pending::of_endpoint(&self.shared, endpoint, Which::Waiting, limit).await?)
    }

    async fn payloads(&self, deliveries: Vec<DeliverySeq>) -> Result<Vec<Option<Bytes>>, StoreError> {
        read_settled!(self, client => pending::payloads(client, deliveries))
    }

    async fn event(&self, id: EventId) -> Result<Event, StoreError> {
        read!(self, client => lists::event(client, id))
    }

    async fn events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<Event>, StoreError> {
        read!(self, client => lists::events(client, filter, page))
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Delivery, StoreError> {
        read!(self, client => lists::delivery(client, id))
    }

    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        read!(self, client => lists::deliveries(client, filter, page))
    }

    async fn last_attempts(
        &self,
        delivery: DeliverySeq,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Attempt>, StoreError> {
        read!(self, client => attempts::last(client, delivery, before, limit))
    }

    async fn attempts_ended(
        &self,
        after: AttemptPlace,
        filter: DeliveryFilter,
        limit: usize,
    ) -> Result<EndedPart, StoreError> {
        read!(self, client => attempts::ended(client, after, filter, limit))
    }

    async fn prune(
        &self,
        before: Timestamp,
        after: i64,
        now: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        run!(self, client => retention::prune(client, before, after, now, limit))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn may_send(&self) -> bool {
        self.shared.is_surely_alive()
    }

    async fn news(&self) -> News {
        self.shared.news().await
    }

    async fn hold(&self, endpoint: EndpointNo) -> Result<bool, StoreError> {
        Ok(nodes::hold(&self.shared, endpoint).await?)
    }

    async fn hand_over(&self, endpoint: EndpointNo, keep: Vec<DeliverySeq>) -> Result<(), StoreError> {
        Ok(nodes::hand_over(&self.shared, endpoint, keep).await?)
    }

    async fn step_down(&self, keep: Vec<DeliverySeq>) -> Result<(), StoreError> {
        Ok(nodes::step_down(&self.shared, keep).await?)
    }

    async fn load_accounts(&self, accounts: Vec<AccountNo>) -> Result<Configuration, StoreError> {
        Ok(configuration::load(&self.shared, Some(&accounts)).await?)
    }

    async fn health(&self, endpoints: Vec<EndpointNo>) -> Result<Vec<(EndpointNo, Health)>, StoreError> {
        read!(self, client => record::health(client, &endpoints))
    }

    async fn account_of(&self, named: Named) -> Result<Option<AccountNo>, StoreError> {
        read!(self, client => configuration::account_of(client, named))
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        Ok(nodes::alive(&self.shared).await?)
    }

    async fn note(&self, deed: Deed) -> Result<(), StoreError> {
        run!(self, client => audit::note(client, deed))
    }

    async fn audit(&self, filter: AuditFilter, page: PageRequest) -> Result<Page<Entry>, StoreError> {
        read!(self, client => audit::entries(client, filter, page))
    }

    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        run!(self, client => audit::forget(client, before, limit))
    }

    async fn observe_clock(&self, now: Timestamp, ran: Duration) -> Result<ClockRecord, StoreError> {
        run!(self, client => clock::observe(client, now, ran))
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        Ok(readiness::check(&self.shared).await?)
    }

    async fn close(&self) {
        self.leave().await;
    }
}
