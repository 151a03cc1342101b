//! Durable state behind one trait. Nobody but this crate speaks SQL.
//!
//! [`Store`] is what the engine needs of a database; [`sqlite`] is the embedded one, [`postgres`] the one for several
//! nodes. A store keeps rows and promises; it decides nothing about retries or health. A new store is one folder and
//! passes the suite of `conformance` (a feature, so that it is in no release binary) unchanged.

mod accept_queue;
mod audit_rows;
mod columns;
#[cfg(feature = "conformance")]
pub mod conformance;
mod endpoint_columns;
pub mod error;
pub mod figures;
mod kept_answers;
pub mod model;
pub mod postgres;
pub mod seal;
pub mod sqlite;

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

pub use crate::error::{AcceptError, StoreError};
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

/// A retry that is due within this time of its attempt belongs to the node that made the attempt, and waits in its memory;
/// a later one belongs to no node until it falls due.
pub const RETRY_IS_NEAR: Duration = Duration::from_secs(60);

/// What the engine needs of a database. Every method that writes has committed durably when it returns `Ok`,
/// and has changed nothing when it returns `Err` (but see [`StoreError::Unavailable`]).
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Everything that is kept in memory: accounts, their keys and endpoints, without the deleted ones, and event types.
    async fn load(&self) -> Result<Configuration, StoreError>;

    /// Returns the SHA-256 of the operator key that a first start generated, if one did.
    async fn operator_key(&self) -> Result<Option<[u8; 32]>, StoreError>;

    /// Stores the SHA-256 of a generated operator key unless one is stored. Returns the one that is stored afterwards: of
    /// several nodes that start at once, the first decides.
    async fn init_operator_key(&self, sha256: [u8; 32]) -> Result<[u8; 32], StoreError>;

    // What changes something by somebody's hand takes who did it, and writes the entry of the audit log in the same commit.
    // Its `at` is now.

    /// Makes an account with its first keys.
    async fn create_account(&self, account: NewAccount) -> Result<Account, StoreError>;

    /// Renames an account. `NotFound` where it is deleted.
    async fn rename_account(&self, account: AccountNo, name: &str, deed: Deed)
    -> Result<Account, StoreError>;

    /// Deletes an account, its keys and its endpoints, and cancels their replays; the log stays. What is pending is
    /// cancelled afterwards, in slices, through [`Store::cancel_pending`].
    async fn delete_account(&self, account: AccountNo, deed: Deed) -> Result<(), StoreError>;

    /// Makes a key of an account. `NotFound` where the account is deleted, `Conflict` where it has as many as it may have.
    async fn create_key(
        &self,
        account: AccountNo,
        key: NewKey,
        deed: Deed,
        keep: Option<Box<Keep>>,
    ) -> Result<AccountKey, StoreError>;

    /// Revokes a key. `NotFound` where there is none.
    async fn revoke_key(&self, key: KeyId, deed: Deed) -> Result<(), StoreError>;

    /// Writes when keys were last used; an earlier time changes nothing.
    async fn note_key_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), StoreError>;
    /// Makes a link into the portal, and forgets some that have ended. `NotFound` where the account is deleted, `Conflict`
    /// where it has as many as it may have.
    async fn create_portal_link(&self, link: NewPortalLink) -> Result<(), StoreError>;

    /// Ends a link of the account at once. `NotFound` where there is none.
    async fn revoke_portal_link(&self, account: AccountNo, id: LinkId, deed: Deed) -> Result<(), StoreError>;

    /// The link whose token has this SHA-256. `NotFound` where it has ended, or its account is deleted.
    async fn portal_link(&self, sha256: [u8; 32], now: Timestamp) -> Result<PortalLink, StoreError>;

    /// What the operator made of event types, in the order of their names.
    async fn event_types(&self) -> Result<Vec<Definition>, StoreError>;

    /// Makes a custom event type. `Conflict` where there is one of this name, or as many as there may be.
    async fn create_event_type(&self, event_type: NewEventType) -> Result<(), StoreError>;

    /// Changes an event type. `Conflict` where it is not what the change begins with, so that no change is lost under
    /// another.
    async fn change_event_type(&self, change: EventTypeChange) -> Result<(), StoreError>;

    /// Makes an endpoint, and gives it with its number and the account's new configuration version.
    /// `NotFound` where the account is deleted, `Conflict` where the account has as many as it may have.
    async fn create_endpoint(&self, endpoint: NewEndpoint) -> Result<(Endpoint, i64), StoreError>;

    /// Writes an endpoint's settings as `after` has them, and its state where `update` says so (health is otherwise
    /// written by [`Store::record`] alone). Gives the account's new configuration version. `Conflict` where what is
    /// written over is not what `before` has, so that no change is undone by another; `NotFound` where it is deleted.
    async fn update_endpoint(
        &self,
        before: &Endpoint,
        after: &Endpoint,
        update: EndpointUpdate,
        deed: Deed,
    ) -> Result<i64, StoreError>;

    /// Writes an endpoint's secrets, and gives the account's new configuration version. `Conflict` where they are not
    /// the ones that the change begins with, so that no rotation is undone by another; `NotFound` where the endpoint is
    /// deleted.
    async fn set_secrets(&self, change: SecretsChange) -> Result<i64, StoreError>;

    /// Deletes an endpoint and cancels its replay; the log stays. Gives the account's new configuration version.
    async fn delete_endpoint(&self, endpoint: EndpointNo, deed: Deed) -> Result<i64, StoreError>;

    /// Endpoints that are deleted and still have pending deliveries, with the reason to cancel them.
    async fn deleted_with_backlog(&self) -> Result<Vec<(EndpointNo, CancelReason)>, StoreError>;

    /// Cancels up to `limit` pending deliveries of an endpoint, oldest first, and says how many it were.
    async fn cancel_pending(
        &self,
        endpoint: EndpointNo,
        reason: CancelReason,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// Cancels one pending delivery by hand, and gives its endpoint and its number. `NotFound` where it is not there,
    /// `Conflict` where it has come to its end.
    async fn cancel_delivery(
        &self,
        id: DeliveryId,
        deed: Deed,
    ) -> Result<(EndpointNo, DeliverySeq), StoreError>;

    /// Commits events and all their deliveries, all or nothing, and gives each delivery's sequence number in
    /// the order of `events` and their `deliveries`. Concurrent calls share commits.
    ///
    /// `ConfigChanged` where an account's configuration is newer than the one an event was matched by:
    /// match again. `Overloaded` where the queue is full.
    async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<DeliverySeq>, AcceptError>;

    /// The same for a call with an idempotency key, whose answer is kept in that commit. `AnsweredBefore` where there is an
    /// answer to an earlier one.
    async fn accept_once(&self, events: Vec<NewEvent>, keep: Keep) -> Result<Vec<DeliverySeq>, AcceptError>;

    /// What is kept of an earlier call; nothing where that is as old as it may be, or older.
    async fn answered_before(&self, claim: Claim, now: Timestamp) -> Result<Option<Before>, StoreError>;

    /// Forgets up to `limit` answers that were kept before this time, and says how many.
    async fn forget_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Commits outcomes and health changes. Concurrent calls share commits. A delivery that is not pending any
    /// more keeps its status; its attempt is logged all the same. Repeating a call changes nothing. `Refused` where
    /// one of the outcomes can't be written as it is.
    ///
    /// Where several nodes write, a later success that another one has written stays in an endpoint's health, and that it
    /// is failing stays until something was received since.
    async fn record(&self, batch: Arc<RecordBatch>) -> Result<(), StoreError>;

    /// Makes a new delivery of a finished one. `NotFound` where the old delivery, its event or its endpoint is
    /// gone, `Conflict` while the old one is pending.
    async fn resend(&self, resend: NewResend) -> Result<PendingDelivery, StoreError>;

    /// The numbers of an endpoint's deliveries that may be of this selection, as of now: nothing accepted later is among
    /// them. A range may hold more than the selection; `since` and `until` may miss what [`Store::deliveries`] may.
    async fn replay_range(
        &self,
        endpoint: EndpointNo,
        selection: Selection,
    ) -> Result<ReplayRange, StoreError>;

    /// Looks at deliveries of a range, the oldest first, and chooses among them by [`Selection::choose`]; ends once
    /// `limit` are chosen. The part may be short, or empty, although there is more: a call reads a bounded number of rows.
    async fn look_through(
        &self,
        range: ReplayRange,
        selection: Selection,
        limit: usize,
    ) -> Result<ReplayPart, StoreError>;

    /// Makes a replay, running. `NotFound` where its endpoint is deleted, `Conflict` where one of the endpoint runs
    /// already, or as many of the account or over all as may run at once.
    async fn create_replay(&self, replay: NewReplay) -> Result<Replay, StoreError>;

    /// Makes a step of a replay, all or nothing: a new delivery for each chosen one as [`Store::resend`] would make it,
    /// and how far the replay has come. A chosen one that is not there any more, or not finished, is counted as skipped.
    /// `Conflict` where the replay does not run, or does not stand where the step begins.
    async fn step_replay(&self, step: ReplayStep) -> Result<ReplayStepped, StoreError>;

    /// Ends a running replay. `NotFound` where there is none, `Conflict` where it has ended.
    async fn cancel_replay(
        &self,
        id: ReplayId,
        reason: replay::CancelReason,
        deed: Deed,
    ) -> Result<Replay, StoreError>;

    /// Every running replay with its endpoint, the oldest first.
    async fn running_replays(&self) -> Result<Vec<(EndpointNo, Replay)>, StoreError>;

    /// A replay by its id. `NotFound` where there is none.
    async fn replay(&self, id: ReplayId) -> Result<Replay, StoreError>;

    /// Replays, newest first.
    async fn replays(&self, filter: ReplayFilter, page: PageRequest) -> Result<Page<Replay>, StoreError>;

    /// How many deliveries are pending, per endpoint that has any.
    async fn backlogs(&self) -> Result<Vec<LaneBacklog>, StoreError>;

    /// Returns the endpoints that have a delivery ready to send. One index lookup per endpoint.
    async fn with_ready(&self, endpoints: Vec<EndpointNo>) -> Result<Vec<EndpointNo>, StoreError>;

    /// Returns, per endpoint, the lowest sequence numbers of this node's ready deliveries, as many as wanted. One index
    /// lookup each.
    async fn ready_numbers(&self, of: Vec<Wanted>) -> Result<Vec<(EndpointNo, DeliverySeq)>, StoreError>;

    /// The oldest pending deliveries of an endpoint that wait for no point in time, by sequence number. Payloads
    /// come with them up to a budget of bytes; behind it they are left to [`Store::payloads`].
    async fn ready(&self, endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError>;

    /// Pending deliveries whose next attempt is due at or before `until`, the earliest first, strictly behind the
    /// place `after` (the due time and sequence number of the last one seen), so that a caller can page. Their
    /// payloads may be left to [`Store::payloads`].
    async fn due(
        &self,
        until: Timestamp,
        after: Option<(Timestamp, DeliverySeq)>,
        limit: usize,
    ) -> Result<Vec<PendingDelivery>, StoreError>;

    /// Returns the oldest pending deliveries of an endpoint that wait for a time, by sequence number. Their payloads may
    /// be left to [`Store::payloads`]. Not on the hot path.
    async fn waiting(&self, endpoint: EndpointNo, limit: usize) -> Result<Vec<PendingDelivery>, StoreError>;

    /// Payloads of pending deliveries, in the order asked; none where the delivery is gone or no longer pending.
    async fn payloads(&self, deliveries: Vec<DeliverySeq>) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// An event by its guid. `NotFound` where there is none.
    async fn event(&self, id: EventId) -> Result<Event, StoreError>;

    /// Events, newest first.
    async fn events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<Event>, StoreError>;

    /// A delivery by its id. `NotFound` where there is none.
    async fn delivery(&self, id: DeliveryId) -> Result<Delivery, StoreError>;

    /// Deliveries, newest first. `since` and `until` (here and in [`Store::events`]) may pass over rows whose time
    /// lies more than ten minutes off their place in the order of commits, as after a clock was set back.
    async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Page<Delivery>, StoreError>;

    /// A delivery's attempts, oldest first.
    async fn attempts(&self, delivery: DeliverySeq) -> Result<Vec<Attempt>, StoreError> {
        self.last_attempts(delivery, None, usize::MAX).await
    }

    /// The last `limit` of a delivery's attempts whose numbers are below `before` (of all where that is none), oldest first.
    async fn last_attempts(
        &self,
        delivery: DeliverySeq,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Attempt>, StoreError>;

    /// When the oldest delivery that is pending was accepted; none where none is.
    async fn oldest_pending(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How much room the store takes and how far back its log goes. Costs a few looks, however long the log is.
    async fn size(&self) -> Result<StoreSize, StoreError>;

    /// What is counted of this store's commits, where it counts them.
    fn figures(&self) -> Option<Arc<StoreFigures>> {
        None
    }

    /// Attempts by when they ended, the earliest first, strictly behind `after`, of the deliveries that `filter` wants
    /// as they are now. The part may be short, or empty, although there is more: a call reads a bounded number of rows.
    async fn attempts_ended(
        &self,
        after: AttemptPlace,
        filter: DeliveryFilter,
        limit: usize,
    ) -> Result<EndedPart, StoreError>;

    /// Prunes one slice of what ended before `before`: deletes events whose deliveries have all ended by then, with
    /// those deliveries and their attempts, and cancels (`held_too_long`) what paused and disabled endpoints hold
    /// since before it. Deletes up to `limit` replays that ended before then as well. Looks at up to `limit` events
    /// behind `after` (0 at first, then [`Pruned::next`]). What is pending, or runs, is never deleted.
    async fn prune(
        &self,
        before: Timestamp,
        after: i64,
        now: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError>;

    /// Whether other nodes may serve from this store at the same time. The calls from here to [`Store::nodes`] matter
    /// only then.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether it is certain that no other node has taken over what is this one's. Asked before each send, so that it
    /// costs next to nothing.
    fn may_send(&self) -> bool {
        true
    }

    /// Waits until there is something new.
    async fn news(&self) -> News {
        std::future::pending().await
    }

    /// Makes this node the only one that may send to an endpoint, for as long as it lives; false where another one is.
    async fn hold(&self, _endpoint: EndpointNo) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Releases this node's pending deliveries for an endpoint, except `keep`, so that the lease holder can claim them.
    async fn hand_over(&self, _endpoint: EndpointNo, _keep: Vec<DeliverySeq>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Releases everything that is this node's except `keep`, which is still in flight; [`Store::close`] releases that.
    async fn step_down(&self, _keep: Vec<DeliverySeq>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Like [`Store::load`], limited to these accounts. Event types are global and therefore omitted.
    async fn load_accounts(&self, accounts: Vec<AccountNo>) -> Result<Configuration, StoreError> {
        let mut all = self.load().await?;
        all.accounts.retain(|account| accounts.contains(&account.no));
        all.keys.retain(|key| accounts.contains(&key.account));
        all.endpoints.retain(|endpoint| accounts.contains(&endpoint.account_no));
        all.event_types.clear();
        Ok(all)
    }

    /// Returns the health of endpoints as all nodes have written it; nothing where the store is not shared.
    async fn health(&self, _endpoints: Vec<EndpointNo>) -> Result<Vec<(EndpointNo, Health)>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns the account of something that this node does not know and another one may have made a moment ago.
    async fn account_of(&self, _named: Named) -> Result<Option<AccountNo>, StoreError> {
        Ok(None)
    }

    /// The nodes that are alive, by their numbers; none where the store is not shared.
    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        Ok(Vec::new())
    }

    /// Appends to the audit log what changes nothing, such as a secret that is about to be shown.
    async fn note(&self, deed: Deed) -> Result<(), StoreError>;

    /// Entries of the audit log, newest first.
    async fn audit(&self, filter: AuditFilter, page: PageRequest) -> Result<Page<Entry>, StoreError>;

    /// Forgets up to `limit` entries of the audit log from before this time, and says how many.
    async fn forget_audit(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Applies [`ClockRecord::observe`] in one transaction. The first call compares with the newest event and audit entry.
    async fn observe_clock(&self, now: Timestamp, ran: Duration) -> Result<ClockRecord, StoreError>;

    /// Whether an event could be accepted just now: does what [`Store::accept`] does, and takes it back.
    async fn check_writable(&self) -> Result<(), StoreError>;

    /// Finishes what was handed in and closes.
    async fn close(&self);
}
