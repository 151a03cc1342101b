//! An endpoint's settings as a body gives them. Core judges each; every fault is noted with its place.
//!
//! `null` for an optional field means its default, at creation and in a change alike.

use std::borrow::Cow;
use std::time::Duration;

use postrider_core::address::UrlRefused;
use postrider_core::endpoint::{CustomHeader, EndpointSettings, RateLimit};
use postrider_core::event_type::{Pattern, Subscription};
use postrider_core::filter::{Filter, FilterFault};
use postrider_core::id::AccountId;
use postrider_core::limits::{
    DEFAULT_ATTEMPT_TIMEOUT, DEFAULT_MAX_IN_FLIGHT, MAX_ATTEMPT_TIMEOUT, MAX_CUSTOM_HEADERS,
    MAX_EVENT_TYPE_PATTERNS, MAX_MAX_IN_FLIGHT, MAX_RATE_PER_SECOND, MIN_ATTEMPT_TIMEOUT,
};
use postrider_core::schedule::RetrySchedule;
use postrider_core::secret::Secret;
use postrider_core::text::DESCRIPTION;
use postrider_engine::Engine;
use postrider_engine::model::EndpointPatch;
use url::Url;

use crate::caller::Caller;
use crate::event_types::not_in_use;
use crate::fields::{Fields, escaped, shown};

/// The fields of a new endpoint.
pub(super) const GIVEN: [&str; 14] = [
    "account",
    "livemode",
    "url",
    "event_types",
    "filter",
    "description",
    "headers",
    "secret",
    "timeout_ms",
    "retry_schedule",
    "rate_limit",
    "max_in_flight",
    "ordered",
    "standard_webhooks",
];

/// The fields of a change. The last three are known in order to say that they never change.
pub(super) const CHANGED: [&str; 14] = [
    "url",
    "event_types",
    "filter",
    "description",
    "headers",
    "timeout_ms",
    "retry_schedule",
    "rate_limit",
    "max_in_flight",
    "ordered",
    "standard_webhooks",
    "account",
    "livemode",
    "secret",
];

/// The error for a pattern that matches only operational events.
const OPERATIONAL: &str = "stands for operational events, which are delivered only to endpoints of acc_operator; an endpoint of \
     another account would never get one";

/// How many delays a retry schedule is read up to; core's own limit is lower and its refusal says it.
const MAX_DELAYS_READ: usize = 1_000;

/// Reads whatever settings are given for an endpoint of this account. `before` are those of the endpoint that is changed.
pub(super) fn read(
    fields: &mut Fields<'_>,
    engine: &Engine,
    caller: Caller,
    account: Option<AccountId>,
    before: Option<&EndpointSettings>,
) -> EndpointPatch {
    let (min_ms, max_ms) = (millis(MIN_ATTEMPT_TIMEOUT), millis(MAX_ATTEMPT_TIMEOUT));
    let timeout = fields.whole_number("timeout_ms", min_ms..=max_ms);
    let in_flight = fields.whole_number("max_in_flight", 1..=MAX_MAX_IN_FLIGHT);
    let description = fields.short_text("description", DESCRIPTION);
    EndpointPatch {
        url: url(fields, engine, caller, before.map(|before| &before.url)),
        subscription: subscription(fields, engine, account, before.map(|before| &before.subscription)),
        filter: filter(fields),
        description: description.map(|text| text.map(Cow::into_owned).unwrap_or_default()),
        headers: headers(fields, engine.header_prefix()),
        timeout: timeout.map(|ms| ms.map_or(DEFAULT_ATTEMPT_TIMEOUT, |ms| Duration::from_millis(ms.into()))),
        retry_schedule: retry_schedule(fields),
        rate_limit: rate_limit(fields),
        max_in_flight: in_flight.map(|number| number.unwrap_or(DEFAULT_MAX_IN_FLIGHT)),
        ordered: fields.boolean("ordered").map(Option::unwrap_or_default),
        standard_webhooks: fields.boolean("standard_webhooks").map(Option::unwrap_or_default),
    }
}

/// The settings of a new endpoint; none where the URL or the event types are missing.
pub(super) fn with_defaults(patch: EndpointPatch) -> Option<EndpointSettings> {
    let defaults = EndpointSettings::new(patch.url?, patch.subscription?);
    Some(EndpointSettings {
        filter: patch.filter.flatten(),
        description: patch.description.unwrap_or(defaults.description),
        headers: patch.headers.unwrap_or(defaults.headers),
        timeout: patch.timeout.unwrap_or(defaults.timeout),
        retry_schedule: patch.retry_schedule.flatten(),
        rate_limit: patch.rate_limit.flatten(),
        max_in_flight: patch.max_in_flight.unwrap_or(defaults.max_in_flight),
        ordered: patch.ordered.unwrap_or(defaults.ordered),
        standard_webhooks: patch.standard_webhooks.unwrap_or(defaults.standard_webhooks),
        ..defaults
    })
}

/// The secret given at creation, where one is.
pub(super) fn secret(fields: &mut Fields<'_>) -> Option<Secret> {
    let text = fields.text("secret").flatten()?;
    Secret::parse(&text).map_err(|why| fields.refuse("secret", why.to_string())).ok()
}

/// Notes a fault for each field of a change that can't be one.
pub(super) fn refuse_what_never_changes(fields: &mut Fields<'_>) {
    for name in ["account", "livemode"] {
        if fields.has(name) {
            fields.refuse(name, "never changes; make a new endpoint instead");
        }
    }
    if fields.has("secret") {
        fields.refuse("secret", "can't be changed here; the operator rotates it with POST …/secret/rotate");
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// A URL that an endpoint has already may stay, whatever the rules are now: each connection is checked anyway.
fn url(fields: &mut Fields<'_>, engine: &Engine, caller: Caller, before: Option<&Url>) -> Option<Url> {
    let text = fields.needed_text("url")?;
    if let Some(same) = before.filter(|before| before.as_str() == text) {
        return Some(same.clone());
    }
    let judged = engine.address_guard().check_url(&text);
    let words = |why: UrlRefused| if caller.is_operator() { why.to_string() } else { why.for_customers() };
    judged.map_err(|why| fields.refuse("url", words(why))).ok()
}

/// What is subscribed already may stay, in use or not.
fn subscription(
    fields: &mut Fields<'_>,
    engine: &Engine,
    account: Option<AccountId>,
    subscribed: Option<&Subscription>,
) -> Option<Subscription> {
    let Some(texts) = fields.texts("event_types", MAX_EVENT_TYPE_PATTERNS)? else {
        fields.refuse("event_types", "must be an array of strings");
        return None;
    };
    let subscription = match Subscription::parse(&texts) {
        Ok(subscription) => subscription,
        Err((Some(index), why)) => {
            fields.refuse(&format!("event_types/{index}"), why.to_string());
            return None;
        }
        Err((None, why)) => {
            fields.refuse("event_types", why.to_string());
            return None;
        }
    };
    let catalogue = engine.catalogue();
    // It would wait forever for an event that can't come.
    for (index, pattern) in subscription.patterns().iter().enumerate() {
        if subscribed.is_some_and(|before| before.patterns().contains(pattern)) {
            continue;
        }
        let place = format!("event_types/{index}");
        match pattern {
            Pattern::Exact(name) if catalogue.get(name).is_none_or(|known| known.is_archived()) => {
                fields.refuse(&place, not_in_use(engine, name));
            }
            _ if account != Some(AccountId::OPERATOR) && catalogue.is_operational(pattern) => {
                fields.refuse(&place, format!("\"{pattern}\" {OPERATIONAL}"));
            }
            _ => {}
        }
    }
    Some(subscription)
}

fn filter(fields: &mut Fields<'_>) -> Option<Option<Filter>> {
    let raw = fields.raw("filter")?;
    if raw.get() == "null" {
        return Some(None);
    }
    match Filter::parse(raw.get()) {
        Ok(filter) => Some(Some(filter)),
        Err(faults) => {
            for FilterFault { pointer, detail } in faults {
                fields.refuse(&format!("filter{pointer}"), detail);
            }
            None
        }
    }
}

fn headers(fields: &mut Fields<'_>, prefix: &str) -> Option<Vec<CustomHeader>> {
    let Some(given) = fields.named_texts("headers", MAX_CUSTOM_HEADERS)? else { return Some(Vec::new()) };
    let mut headers: Vec<CustomHeader> = Vec::with_capacity(given.len());
    for (name, value) in given {
        let place = format!("headers/{}", escaped(&shown(&name)));
        match CustomHeader::parse(&name, &value, prefix) {
            Ok(header) if headers.iter().any(|known| known.name.is(header.name.as_str())) => {
                fields.refuse(
                    &place,
                    "is duplicated: names that differ only in letter case are the same header",
                );
            }
            Ok(header) => headers.push(header),
            Err(why) => fields.refuse(&place, why.to_string()),
        }
    }
    Some(headers)
}

fn retry_schedule(fields: &mut Fields<'_>) -> Option<Option<RetrySchedule>> {
    let Some(texts) = fields.texts("retry_schedule", MAX_DELAYS_READ)? else { return Some(None) };
    match RetrySchedule::from_texts(&texts) {
        Ok(schedule) => Some(Some(schedule)),
        Err(why) => {
            fields.refuse("retry_schedule", why.to_string());
            None
        }
    }
}

fn rate_limit(fields: &mut Fields<'_>) -> Option<Option<RateLimit>> {
    fields.object("rate_limit", &["per_second", "burst"], |inner| {
        inner.require("per_second");
        let burst = inner.whole_number("burst", 1..=MAX_RATE_PER_SECOND);
        let per_second = inner.whole_number("per_second", 1..=MAX_RATE_PER_SECOND).flatten()?;
        Some(RateLimit { per_second, burst: burst.flatten().unwrap_or(per_second) })
    })
}
