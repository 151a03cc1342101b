//! An endpoint: a URL that an account subscribed, with everything that decides how it is served.

use std::fmt;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::account::AccountNo;
use crate::event_type::Subscription;
use crate::field_name::FieldName;
use crate::filter::Filter;
use crate::health::Health;
use crate::id::{AccountId, EndpointId};
use crate::limits::{
    DEFAULT_ATTEMPT_TIMEOUT, DEFAULT_MAX_IN_FLIGHT, MAX_HEADER_NAME_BYTES, MAX_HEADER_VALUE_BYTES,
};
use crate::schedule::RetrySchedule;
use crate::secret::Secrets;
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
    /// The name as it is sent. Two headers of one endpoint never differ only in the letter case of their names.
    pub name: FieldName,
    /// The value.
    pub value: Zeroizing<String>,
}

/// Headers that every request has by itself, or that would change how it is framed, answered or kept alive.
const FORBIDDEN_HEADERS: [&str; 10] = [
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Groups of headers that are the service's own, by what they begin with.
const FORBIDDEN_HEADER_GROUPS: [&str; 3] = ["content-", "proxy-", "webhook-"];

/// What follows the configured prefix in the names of the contract's headers.
const CONTRACT_HEADERS: [&str; 4] = ["event", "delivery", "signature", "signature-next"];

/// Why something can't be a header of an endpoint. The value is never part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefused {
    /// The name is no header name.
    #[error("\"{0}\" is not a header name: use letters, digits and dashes, such as X-Api-Key")]
    Name(String),
    /// The name is too long.
    #[error("the name is longer than {MAX_HEADER_NAME_BYTES} bytes")]
    NameTooLong,
    /// The header belongs to the service.
    #[error("\"{0}\" is set by the service itself; choose another name")]
    Reserved(String),
    /// The value has characters that can't be sent.
    #[error("the value must be visible ASCII, spaces only inside")]
    Value,
    /// The value is too long.
    #[error("the value is longer than {MAX_HEADER_VALUE_BYTES} bytes")]
    ValueTooLong,
}

impl CustomHeader {
    /// Judges a header. `prefix` is what the contract's headers begin with, such as `X-KASKO-`: its names, and
    /// all others that the service sets itself, are refused.
    pub fn parse(name: &str, value: &str, prefix: &str) -> Result<Self, HeaderRefused> {
        if name.len() > MAX_HEADER_NAME_BYTES {
            return Err(HeaderRefused::NameTooLong);
        }
        let Some(field_name) = FieldName::parse(name) else {
            return Err(HeaderRefused::Name(name.to_owned()));
        };
        let lower = name.to_ascii_lowercase();
        if is_reserved(&lower, &prefix.to_ascii_lowercase()) {
            return Err(HeaderRefused::Reserved(name.to_owned()));
        }
        if value.len() > MAX_HEADER_VALUE_BYTES {
            return Err(HeaderRefused::ValueTooLong);
        }
        let is_visible = value.bytes().all(|b| matches!(b, b' '..=b'~'));
        if !is_visible || value.starts_with(' ') || value.ends_with(' ') {
            return Err(HeaderRefused::Value);
        }
        Ok(Self { name: field_name, value: Zeroizing::new(value.to_owned()) })
    }
}

/// Whether a name is the service's own; both texts in lower case.
fn is_reserved(name: &str, prefix: &str) -> bool {
    let is_of_contract = match name.strip_prefix(prefix) {
        // Without a prefix the contract's names are left; with one, everything behind it is kept free.
        Some(rest) => !prefix.is_empty() || CONTRACT_HEADERS.contains(&rest),
        None => false,
    };
    is_of_contract
        || FORBIDDEN_HEADERS.contains(&name)
        || FORBIDDEN_HEADER_GROUPS.iter().any(|group| name.starts_with(group))
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
    /// Which of those events it wants, by what their payloads say; all where none.
    pub filter: Option<Filter>,
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

impl EndpointSettings {
    /// What an endpoint has of which only the URL and the event types were said.
    pub fn new(url: Url, subscription: Subscription) -> Self {
        Self {
            url,
            subscription,
            filter: None,
            description: String::new(),
            headers: Vec::new(),
            timeout: DEFAULT_ATTEMPT_TIMEOUT,
            retry_schedule: None,
            rate_limit: None,
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            ordered: false,
            standard_webhooks: false,
        }
    }
}

/// Which of an endpoint's sealed values do not open: they, or the URL that they are bound to, were changed outside the
/// service. Nothing is sent to such an endpoint until new values are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnreadableValues {
    /// The secret, or the next one of a rotation. [`Endpoint::secrets`] then holds [`Secrets::unreadable`].
    pub secret: bool,
    /// The values of its own headers. [`EndpointSettings::headers`] is then empty.
    pub headers: bool,
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
    /// The secret its requests are signed with; two during a rotation.
    pub secrets: Secrets,
    /// Which of its sealed values do not open; none in an endpoint that nobody tampered with.
    pub unreadable: UnreadableValues,
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
    /// Whether its secret and its headers can be used. Otherwise nothing may be sent to it.
    pub const fn is_readable(&self) -> bool {
        !self.unreadable.secret && !self.unreadable.headers
    }

    /// Whether events of this type and mode go here, if the filter does not say otherwise. State plays no part: a paused or
    /// disabled endpoint still gets its deliveries, held as pending.
    pub fn subscribes(&self, event_type: &str, livemode: bool) -> bool {
        self.livemode == livemode && self.settings.subscription.matches(event_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_an_endpoint_is_kept_as_typed() {
        for (name, value) in
            [("X-API-KEY", "abc"), ("Authorization", "Bearer a b~"), ("x_y.z!", ""), ("SOAPAction", "1")]
        {
            let header = CustomHeader::parse(name, value, "X-KASKO-").expect(name);
            assert_eq!((header.name.as_str(), header.value.as_str()), (name, value));
        }
    }

    #[test]
    fn what_can_not_be_a_header_of_an_endpoint_is_refused() {
        let reserved = |name: &str| HeaderRefused::Reserved(name.to_owned());
        let malformed = |name: &str| HeaderRefused::Name(name.to_owned());
        let long_name = "x".repeat(MAX_HEADER_NAME_BYTES + 1);
        let long_value = "x".repeat(MAX_HEADER_VALUE_BYTES + 1);
        for (name, value, prefix, refused) in [
            ("", "a", "X-KASKO-", malformed("")),
            ("X Y", "a", "X-KASKO-", malformed("X Y")),
            ("X:Y", "a", "X-KASKO-", malformed("X:Y")),
            ("Ünder", "a", "X-KASKO-", malformed("Ünder")),
            (&long_name, "a", "X-KASKO-", HeaderRefused::NameTooLong),
            ("Host", "a", "X-KASKO-", reserved("Host")),
            ("CONTENT-TYPE", "a", "X-KASKO-", reserved("CONTENT-TYPE")),
            ("content-anything", "a", "X-KASKO-", reserved("content-anything")),
            ("Transfer-Encoding", "a", "X-KASKO-", reserved("Transfer-Encoding")),
            ("connection", "a", "X-KASKO-", reserved("connection")),
            ("User-Agent", "a", "X-KASKO-", reserved("User-Agent")),
            ("Webhook-Id", "a", "X-KASKO-", reserved("Webhook-Id")),
            ("x-kasko-signature", "a", "X-KASKO-", reserved("x-kasko-signature")),
            ("X-Kasko-Other", "a", "X-KASKO-", reserved("X-Kasko-Other")),
            ("Acme-Event", "a", "acme-", reserved("Acme-Event")),
            ("Signature", "a", "", reserved("Signature")),
            ("X-A", "with\r\nInjected: yes", "X-KASKO-", HeaderRefused::Value),
            ("X-A", "tab\there", "X-KASKO-", HeaderRefused::Value),
            ("X-A", "ümlaut", "X-KASKO-", HeaderRefused::Value),
            ("X-A", " outside", "X-KASKO-", HeaderRefused::Value),
            ("X-A", "outside ", "X-KASKO-", HeaderRefused::Value),
            ("X-A", &long_value, "X-KASKO-", HeaderRefused::ValueTooLong),
        ] {
            assert_eq!(CustomHeader::parse(name, value, prefix), Err(refused), "{name:?} with {prefix:?}");
        }
        assert!(CustomHeader::parse("X-Kasko-Event", "a", "").is_ok(), "free where the prefix is another");
    }

    #[test]
    fn debug_never_shows_a_value() {
        let header = CustomHeader::parse("X-Api-Key", "hunter2", "X-KASKO-").unwrap();
        assert!(!format!("{header:?}").contains("hunter2"));
    }
}
