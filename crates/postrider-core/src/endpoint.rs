//! An endpoint: a URL that an account subscribed, with everything that decides how it is served.

use std::fmt;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::account::AccountNo;
use crate::event_type::Subscription;
use crate::health::Health;
use crate::id::{AccountId, EndpointId};
use crate::schedule::RetrySchedule;
use crate::secret::Secret;
use crate::time::Timestamp;

/// The small number a store gives an endpoint; rows and lanes use it, it never leaves the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointNo(pub i64);

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledReason {
    /// By hand.
    Operator,
    /// It answered 410 Gone.
    Gone,
    /// It failed for too long.
    Failing,
}

/// What the operator or the service decided about an endpoint. Beside it stands its [`Health`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its deliveries are sent.
    Enabled,
    /// Its deliveries are held until it is resumed.
    Paused,
    /// Its deliveries are held until it is enabled.
    Disabled(DisabledReason),
}

impl DisabledReason {
    /// Its stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The reason of a stable text.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Operator, Self::Gone, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

impl State {
    /// Its stable text, without the reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled(_) => "disabled",
        }
    }

    /// Why it is disabled, where it is.
    pub const fn disabled_reason(self) -> Option<DisabledReason> {
        match self {
            Self::Disabled(reason) => Some(reason),
            Self::Enabled | Self::Paused => None,
        }
    }
}

/// At most so many requests per second, with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second, at least 1.
    pub per_second: u32,
    /// How many may go at once after a pause, at least 1.
    pub burst: u32,
}

/// A header that the endpoint wants on its requests. The value may be a credential and is kept like one.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomHeader {
    /// The name, lower case.
    pub name: String,
    /// The value.
    pub value: Zeroizing<String>,
}

impl fmt::Debug for CustomHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

/// What can be set about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Where requests go.
    pub url: Url,
    /// Which event types it wants.
    pub subscription: Subscription,
    /// The owner's note about it.
    pub description: String,
    /// Headers of its own.
    pub headers: Vec<CustomHeader>,
    /// The deadline of one attempt.
    pub timeout: Duration,
    /// Its retry schedule; the installation's where none.
    pub retry_schedule: Option<RetrySchedule>,
    /// Its rate limit, where it has one.
    pub rate_limit: Option<RateLimit>,
    /// How many of its requests may be in flight at once.
    pub max_in_flight: u32,
    /// Whether deliveries go one at a time in order of acceptance.
    pub ordered: bool,
    /// Whether requests also carry the headers of Standard Webhooks.
    pub standard_webhooks: bool,
}

/// A URL that an account subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The store's number for it.
    pub no: EndpointNo,
    /// Its public id.
    pub id: EndpointId,
    /// The store's number for its account.
    pub account_no: AccountNo,
    /// Whose it is.
    pub account: AccountId,
    /// Whether it gets live events or test events. Never changes.
    pub livemode: bool,
    /// What can be set about it.
    pub settings: EndpointSettings,
    /// The secret its requests are signed with.
    pub secret: Secret,
    /// Enabled, paused or disabled.
    pub state: State,
    /// Healthy or failing, and what is remembered to tell.
    pub health: Health,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings or state last changed.
    pub updated_at: Timestamp,
}

impl Endpoint {
    /// Whether an event of this type and mode goes here. State plays no part: a paused or disabled endpoint
    /// still gets its deliveries, held as pending.
    pub fn wants(&self, event_type: &str, livemode: bool) -> bool {
        self.livemode == livemode && self.settings.subscription.matches(event_type)
    }
}
