//! What goes into a store and what comes out of it, in core's terms. No row types, no wire types.

pub mod event_types;
mod filters;
pub mod once;
pub mod portal;

use bytes::Bytes;
use postrider_core::account::{Account, AccountKey, AccountNo};
use postrider_core::attempt::Attempt;
use postrider_core::audit::Deed;
use postrider_core::catalogue::Definition;
use postrider_core::delivery::{Delivery, DeliverySeq, Next, Progress};
use postrider_core::endpoint::{Endpoint, EndpointNo, EndpointSettings, State};
use postrider_core::event::Event;
use postrider_core::health::{Health, RecentAttempts};
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId, KeyId, ReplayId};
use postrider_core::replay::{Replay, Selection};
use postrider_core::secret::{Secret, Secrets};
use postrider_core::time::Timestamp;

mod nodes;
mod size;

pub use self::filters::{AuditFilter, DeliveryFilter, EventFilter};
pub use self::nodes::{Named, News, Node};
use self::once::Keep;
pub use self::size::{AboutRows, OldTransaction, ServerState, StoreSize, TableSize};

/// Everything that is kept in memory.
#[derive(Debug, Default)]
pub struct Configuration {
    /// Every account, in the order they were made.
    pub accounts: Vec<Account>,
    /// Every account key that is not revoked.
    pub keys: Vec<AccountKey>,
    /// Every endpoint, in the order they were made.
    pub endpoints: Vec<Endpoint>,
    /// What the operator made of event types, in the order of their names.
    pub event_types: Vec<Definition>,
}

/// A key to be made with its account.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its public name.
    pub id: KeyId,
    /// Its mode.
    pub livemode: bool,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its public id.
    pub id: AccountId,
    /// What the operator calls it.
    pub name: String,
    /// Now.
    pub created_at: Timestamp,
    /// Its first keys.
    pub keys: Vec<NewKey>,
    /// Who makes it, for the audit log.
    pub deed: Deed,
    /// What makes the call happen once, where it has an idempotency key.
    pub keep: Option<Box<Keep>>,
}

/// An endpoint to be made: enabled and healthy.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its public id.
    pub id: EndpointId,
    /// Whose it is.
    pub account_no: AccountNo,
    /// Live or test.
    pub livemode: bool,
    /// Its settings.
    pub settings: EndpointSettings,
    /// Its secret.
    pub secret: Secret,
    /// Now.
    pub created_at: Timestamp,
    /// Who makes it, for the audit log.
    pub deed: Deed,
    /// What makes the call happen once, where it has an idempotency key.
    pub keep: Option<Box<Keep>>,
}

/// What of an endpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointUpdate {
    /// Its settings. Its state stays, because the service may be changing that at this moment.
    Settings,
    /// Its state as well.
    State {
        /// Whether it begins anew with fresh health.
        fresh_health: bool,
    },
}

impl EndpointUpdate {
    /// Whether a change that begins with `before` would write over what somebody else has made of the endpoint.
    pub(crate) fn is_overtaken(self, before: &Endpoint, stored: &Endpoint) -> bool {
        let writes_state = matches!(self, Self::State { .. });
        before.settings != stored.settings || (writes_state && before.state != stored.state)
    }
}

/// A change of an endpoint's secrets.
#[derive(Debug, Clone)]
pub struct SecretsChange {
    /// The endpoint …
    pub endpoint_no: EndpointNo,
    /// … its public id …
    pub endpoint: EndpointId,
    /// … and its account.
    pub account_no: AccountNo,
    /// The secrets that the change begins with.
    pub before: Secrets,
    /// The secrets that it makes.
    pub after: Secrets,
    /// Now.
    pub at: Timestamp,
    /// Who makes it, for the audit log.
    pub deed: Deed,
}

/// An event to be accepted, with where it goes.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// The version of the account's configuration that it was matched by.
    pub config_version: i64,
    /// A delivery for each endpoint that it matched.
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery to be made with its event.
#[derive(Debug, Clone, Copy)]
pub struct NewDelivery {
    /// Its public id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_no: EndpointNo,
    /// Whether it is this node's, which sends it at once; otherwise whichever node may send to the endpoint takes it.
    pub is_own: bool,
}

/// A delivery to be made by hand from a finished one.
#[derive(Debug, Clone)]
pub struct NewResend {
    /// The public id of the new one.
    pub id: DeliveryId,
    /// The one that is repeated.
    pub of: DeliveryId,
    /// Now.
    pub created_at: Timestamp,
    /// Who makes it, for the audit log.
    pub deed: Deed,
    /// What makes the call happen once, where it has an idempotency key.
    pub keep: Option<Box<Keep>>,
}

/// Deliveries of an endpoint, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayRange {
    /// The endpoint.
    pub endpoint_no: EndpointNo,
    /// Only what has a higher number than this …
    pub above: DeliverySeq,
    /// … and none higher than this.
    pub through: DeliverySeq,
}

/// What a look at a part of a range found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayPart {
    /// The deliveries to send again, the oldest first.
    pub chosen: Vec<DeliverySeq>,
    /// How many are to be skipped.
    pub skipped: u64,
    /// Everything up to this number was looked at; none where that is the whole range.
    pub reached: Option<DeliverySeq>,
}

/// A replay to be made.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Its public id.
    pub id: ReplayId,
    /// Which deliveries of the range.
    pub selection: Selection,
    /// Its range.
    pub range: ReplayRange,
    /// How many deliveries were found to be chosen.
    pub matched: u64,
    /// Now.
    pub created_at: Timestamp,
    /// Who makes it, for the audit log.
    pub deed: Deed,
    /// What makes the call happen once, where it has an idempotency key.
    pub keep: Option<Box<Keep>>,
}

/// The next step of a replay, found by [`crate::Store::look_through`].
#[derive(Debug, Clone)]
pub struct ReplayStep {
    /// The replay.
    pub id: ReplayId,
    /// How far it had come when its part was looked at: a step from elsewhere is none.
    pub from: DeliverySeq,
    /// The deliveries to send again, each with the public id of the new one.
    pub chosen: Vec<(DeliverySeq, DeliveryId)>,
    /// How many more are counted as skipped.
    pub skipped: u64,
    /// How far it has come; none where it is done.
    pub reached: Option<DeliverySeq>,
    /// Now.
    pub at: Timestamp,
}

/// What a step of a replay made.
#[derive(Debug, Clone)]
pub struct ReplayStepped {
    /// The replay as it is now.
    pub replay: Replay,
    /// The new deliveries, in their order. Their payloads are left to [`crate::Store::payloads`].
    pub made: Vec<PendingDelivery>,
}

/// Which replays a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayFilter {
    /// Of this account, deleted ones included.
    pub account: Option<AccountId>,
    /// Of this endpoint, deleted ones included.
    pub endpoint: Option<EndpointId>,
    /// Of this mode.
    pub livemode: Option<bool>,
}

/// What a lane needs to send a delivery.
#[derive(Debug, Clone)]
pub struct PendingDelivery {
    /// Its place in the lane.
    pub seq: DeliverySeq,
    /// Its public id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_no: EndpointNo,
    /// The event's guid.
    pub event: EventId,
    /// The event's type.
    pub event_type: String,
    /// The payload; absent where the query leaves it to [`crate::Store::payloads`].
    pub payload: Option<Bytes>,
    /// How long the payload is, in bytes, absent or not.
    pub payload_bytes: u32,
    /// How far it has come.
    pub progress: Progress,
    /// When its next attempt is due; none where it waits for nothing but its turn.
    pub next_attempt_at: Option<Timestamp>,
}

/// One attempt's outcome, ready to be written down.
#[derive(Debug, Clone)]
pub struct Record {
    /// The delivery.
    pub seq: DeliverySeq,
    /// The attempt; none where only the delivery's place changes (a due retry made ready).
    pub attempt: Option<Attempt>,
    /// What becomes of the delivery.
    pub next: Next,
    /// How far it has come.
    pub progress: Progress,
    /// When this was decided.
    pub at: Timestamp,
}

/// An endpoint's health, and its state where the service changed it.
#[derive(Debug, Clone)]
pub struct HealthUpdate {
    /// The endpoint.
    pub endpoint_no: EndpointNo,
    /// Its health now, as this node sees it.
    pub health: Health,
    /// The outcomes of this node's attempts since its update before, which `health` has as well. Where several nodes write,
    /// they go behind those that others have written.
    pub attempts: RecentAttempts,
    /// Its state now, where the service changed it.
    pub state: Option<OwnChange>,
}

/// A change of an endpoint's state that the service makes by itself. Where the state is so already there is no entry of it.
#[derive(Debug, Clone)]
pub struct OwnChange {
    /// The state from now on.
    pub state: State,
    /// Its entry in the audit log.
    pub deed: Deed,
}

/// What is recorded in one commit.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    /// Outcomes.
    pub records: Vec<Record>,
    /// Health changes, at most one per endpoint.
    pub health: Vec<HealthUpdate>,
}

/// What one slice of pruning did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// How many held deliveries were cancelled, per endpoint.
    pub cancelled: Vec<(EndpointNo, u64)>,
    /// How many events were deleted, with all that belonged to them.
    pub deleted_events: usize,
    /// How many parts of the log were dropped whole, where it has parts.
    pub dropped_pages: usize,
    /// How many replays were deleted; as many as were to be looked at where there may be more.
    pub deleted_replays: usize,
    /// Where the next slice begins; none at the end.
    pub next: Option<i64>,
}

/// How much waits for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The endpoint.
    pub endpoint_no: EndpointNo,
    /// Pending deliveries that wait for nothing but their turn.
    pub ready: u64,
    /// Pending deliveries that wait for a point in time.
    pub waiting: u64,
}

/// Where an attempt stands in the order in which attempts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptPlace {
    /// When it ended.
    pub ended_at: Timestamp,
    /// Its delivery.
    pub seq: DeliverySeq,
    /// Its number.
    pub number: u32,
}

/// An attempt of the log with its delivery as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAttempt {
    /// The attempt's place.
    pub place: AttemptPlace,
    /// Its delivery.
    pub delivery: Delivery,
    /// The attempt.
    pub attempt: Attempt,
}

/// A part of the attempts in the order in which they ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndedPart {
    /// The attempts, the earliest first.
    pub attempts: Vec<EndedAttempt>,
    /// Everything up to this place was looked at; none where that is everything there is.
    pub reached: Option<AttemptPlace>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    /// How many rows at most.
    pub limit: usize,
    /// Only rows older than this position ([`Page::next`] of the page before).
    pub before: Option<i64>,
}

/// A part of a list. It may be short, or empty, although there is more: a query reads a bounded number of rows.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows, newest first.
    pub rows: Vec<T>,
    /// Where the next page begins; none at the end of the list.
    pub next: Option<i64>,
}

/// An endpoint, and how many of its sequence numbers are wanted.
pub type Wanted = (EndpointNo, usize);
