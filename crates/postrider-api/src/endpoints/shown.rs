//! An endpoint as the wire shows it. Header values are masked; a secret stands in it when it is made or rotated alone.

use postrider_core::endpoint::{CustomHeader, RateLimit, UnreadableValues};
use postrider_core::id::{AccountId, EndpointId};
use postrider_core::time::Timestamp;
use postrider_engine::model::EndpointView;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::answer::{Text, Time};

/// What stands for a header's value, which may be a credential.
const MASKED: &str = "•••";

#[derive(serde::Serialize)]
pub(super) struct Shown<'a> {
    id: Text<EndpointId>,
    account: Text<AccountId>,
    url: &'a str,
    livemode: bool,
    event_types: Vec<String>,
    filter: Option<&'a RawValue>,
    description: &'a str,
    headers: Masked<'a>,
    timeout_ms: u64,
    retry_schedule: Option<Vec<String>>,
    rate_limit: Option<RateShown>,
    max_in_flight: u32,
    ordered: bool,
    standard_webhooks: bool,
    state: &'static str,
    disabled_reason: Option<&'static str>,
    health: &'static str,
    /// Of the last 100 attempts.
    attempt_success_rate: Option<f64>,
    failing_since: Option<Time>,
    next_probe_at: Option<Time>,
    backlog: u64,
    last_success_at: Option<Time>,
    created_at: Time,
    updated_at: Time,
    /// What must be set again before anything is sent: `secret`, `headers`.
    unreadable: Vec<&'static str>,
    /// While two secrets sign: when the new one takes over.
    secret_overlap_until: Option<Time>,
    /// Shown when it is made or rotated, never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct RateShown {
    per_second: u32,
    burst: u32,
}

struct Masked<'a>(&'a [CustomHeader]);

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for header in self.0 {
            map.serialize_entry(header.name.as_str(), MASKED)?;
        }
        map.end()
    }
}

impl<'a> Shown<'a> {
    pub(super) fn new(view: &'a EndpointView, secret: Option<&'a str>, now: Timestamp) -> Self {
        let endpoint = &view.endpoint;
        let settings = &endpoint.settings;
        let rate = |RateLimit { per_second, burst }| RateShown { per_second, burst };
        Self {
            id: Text(endpoint.id),
            account: Text(endpoint.account),
            url: settings.url.as_str(),
            livemode: endpoint.livemode,
            event_types: settings.subscription.to_texts(),
            // A filter that was judged is JSON.
            filter: settings.filter.as_ref().and_then(|filter| serde_json::from_str(filter.as_str()).ok()),
            description: &settings.description,
            headers: Masked(&settings.headers),
            timeout_ms: u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX),
            retry_schedule: settings.retry_schedule.as_ref().map(|schedule| schedule.to_texts()),
            rate_limit: settings.rate_limit.map(rate),
            max_in_flight: settings.max_in_flight,
            ordered: settings.ordered,
            standard_webhooks: settings.standard_webhooks,
            state: view.state.as_str(),
            disabled_reason: view.state.disabled_reason().map(|reason| reason.as_str()),
            health: if view.health.is_failing() { "failing" } else { "healthy" },
            attempt_success_rate: view.health.recent.success_rate(),
            failing_since: view.health.failing.map(|failing| Text(failing.since)),
            next_probe_at: view.health.failing.map(|failing| Text(failing.next_probe_at)),
            backlog: view.backlog,
            last_success_at: view.health.last_success_at.map(Text),
            created_at: Text(endpoint.created_at),
            updated_at: Text(endpoint.updated_at),
            unreadable: unreadable(endpoint.unreadable),
            secret_overlap_until: endpoint.secrets.next(now).map(|next| Text(next.takes_over_at)),
            secret,
        }
    }
}

fn unreadable(values: UnreadableValues) -> Vec<&'static str> {
    let named = [("secret", values.secret), ("headers", values.headers)];
    named.into_iter().filter_map(|(name, is_unreadable)| is_unreadable.then_some(name)).collect()
}
