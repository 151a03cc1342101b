//! What the use cases take and give, in core's terms.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::account::{Account, AccountNo};
use postrider_core::catalogue::EventType;
use postrider_core::endpoint::{CustomHeader, Endpoint, EndpointSettings, RateLimit, State};
use postrider_core::event_type::Subscription;
use postrider_core::filter::Filter;
use postrider_core::health::Health;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId, KeyId};
use postrider_core::replay::Selection;
use postrider_core::schedule::RetrySchedule;
use postrider_core::secret::{NextSecret, Secret};
use postrider_core::time::Timestamp;
use url::Url;

/// Who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// The operator, who may do all.
    Operator,
    /// An account, through one of its keys, which sees one mode.
    Account {
        /// The store's number for the account.
        account_no: AccountNo,
        /// The account.
        account: AccountId,
        /// The key's mode.
        livemode: bool,
        /// The key's public name.
        key: KeyId,
    },
}

/// An account just made, with its keys, which can't be read again.
#[derive(Debug)]
pub struct CreatedAccount {
    /// The account.
    pub account: Account,
    /// Its key for live events: `sk_live_…`.
    pub live_key: String,
    /// Its key for test events: `sk_test_…`.
    pub test_key: String,
}

/// An account's key as it is shown: never the key itself.
#[derive(Debug, Clone, Copy)]
pub struct KeyView {
    /// Its public name.
    pub id: KeyId,
    /// Whose it is.
    pub account: AccountId,
    /// The mode it sees.
    pub livemode: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// An endpoint to be made.
#[derive(Debug)]
pub struct EndpointDraft {
    /// Whose it is.
    pub account: AccountId,
    /// Live or test.
    pub livemode: bool,
    /// Its settings.
    pub settings: EndpointSettings,
    /// The operator's own secret; one is generated where none is given.
    pub secret: Option<Secret>,
}

/// What is to change about an endpoint; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct EndpointPatch {
    /// A new URL.
    pub url: Option<Url>,
    /// Other event types.
    pub subscription: Option<Subscription>,
    /// Another filter, or none.
    pub filter: Option<Option<Filter>>,
    /// Another description.
    pub description: Option<String>,
    /// Other headers, all of them.
    pub headers: Option<Vec<CustomHeader>>,
    /// Another deadline.
    pub timeout: Option<Duration>,
    /// Another schedule, or the installation's again.
    pub retry_schedule: Option<Option<RetrySchedule>>,
    /// Another rate limit, or none.
    pub rate_limit: Option<Option<RateLimit>>,
    /// Another cap on requests in flight.
    pub max_in_flight: Option<u32>,
    /// One at a time in order, or not.
    pub ordered: Option<bool>,
    /// With the headers of Standard Webhooks, or not.
    pub standard_webhooks: Option<bool>,
}

/// An endpoint as it stands at this moment.
#[derive(Debug, Clone)]
pub struct EndpointView {
    /// Its configuration. Its `state` and `health` are as of the last change of the configuration …
    pub endpoint: Arc<Endpoint>,
    /// … this is its state now …
    pub state: State,
    /// … and its health now.
    pub health: Health,
    /// How many of its deliveries are pending.
    pub backlog: u64,
}

/// An endpoint's secrets, to be shown to the operator.
#[derive(Debug, Clone)]
pub struct RevealedSecrets {
    /// The secret of the contract's signature.
    pub secret: Secret,
    /// The new one beside it, while an overlap runs.
    pub next: Option<NextSecret>,
}

/// Which endpoints a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct EndpointFilter {
    /// Of this account.
    pub account: Option<AccountId>,
    /// Of this mode.
    pub livemode: Option<bool>,
    /// In this state, by its text (`enabled`, `paused`, `disabled`).
    pub state: Option<&'static str>,
}

/// What is done to an endpoint by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateChange {
    /// Hold its deliveries; of an enabled one.
    Pause,
    /// Send again; of a paused one.
    Resume,
    /// Send again, with fresh health; of any.
    Enable,
    /// Hold its deliveries until it is enabled; of any.
    Disable,
}

/// A custom event type to be made.
#[derive(Debug, Clone)]
pub struct EventTypeDraft {
    /// Its name.
    pub name: String,
    /// When it is triggered.
    pub description: Option<String>,
    /// Its JSON Schema as text.
    pub schema: Option<String>,
    /// An example payload as text.
    pub example: Option<String>,
    /// Whether payloads are judged by the schema.
    pub validation: bool,
}

/// An event that was judged and is to be accepted.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Whose it is.
    pub account: AccountId,
    /// The type that it was judged by, from the catalogue.
    pub event_type: Arc<EventType>,
    /// Live or test.
    pub livemode: bool,
    /// The payload's exact bytes.
    pub payload: Bytes,
}

/// An event that was accepted: durable, and routed.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its guid.
    pub id: EventId,
    /// When.
    pub created_at: Timestamp,
    /// Its deliveries and where they go.
    pub deliveries: Vec<(DeliveryId, EndpointId)>,
}

/// A replay to be counted or made.
#[derive(Debug, Clone)]
pub struct ReplayDraft {
    /// Whose deliveries are sent again.
    pub endpoint: EndpointId,
    /// Which of them.
    pub selection: Selection,
}
