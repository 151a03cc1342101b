//! An endpoint's settings as a form has them: read with a fault for each field that can't be so, and shown again as they
//! were typed. Core judges each.

use std::time::Duration;

use postrider_core::address::UrlRefused;
use postrider_core::endpoint::{CustomHeader, Endpoint, EndpointSettings, RateLimit};
use postrider_core::event_type::{Pattern, Subscription};
use postrider_core::field_name::FieldName;
use postrider_core::filter::{Filter, FilterFault};
use postrider_core::limits::{
    MAX_ATTEMPT_TIMEOUT, MAX_CUSTOM_HEADERS, MAX_MAX_IN_FLIGHT, MAX_RATE_PER_SECOND, MIN_ATTEMPT_TIMEOUT,
};
use postrider_core::schedule::RetrySchedule;
use postrider_core::secret::Secret;
use postrider_core::text::DESCRIPTION;
use postrider_engine::Engine;
use url::Url;

use super::event_types::why_not;
use crate::form::Fields;

/// The fields of the form, as they were typed.
#[derive(Debug, Default, Clone)]
pub(super) struct Typed {
    pub(super) url: String,
    pub(super) description: String,
    /// The names that are ticked.
    pub(super) types: Vec<String>,
    /// Further patterns, one a line or between commas.
    pub(super) patterns: String,
    /// A filter by content as JSON.
    pub(super) filter: String,
    pub(super) headers: String,
    pub(super) timeout_seconds: String,
    pub(super) retry_schedule: String,
    pub(super) rate_per_second: String,
    pub(super) rate_burst: String,
    pub(super) max_in_flight: String,
    pub(super) ordered: bool,
    pub(super) standard_webhooks: bool,
}

/// Faults by the name of their field.
pub(super) type Faults = Vec<(&'static str, String)>;

impl Typed {
    pub(super) fn read(form: &Fields) -> Self {
        let text = |name: &str| form.get(name).trim().to_owned();
        Self {
            url: text("url"),
            description: text("description"),
            types: form.all("types").map(str::to_owned).collect(),
            patterns: text("patterns"),
            filter: text("filter"),
            headers: text("headers"),
            timeout_seconds: text("timeout_seconds"),
            retry_schedule: text("retry_schedule"),
            rate_per_second: text("rate_per_second"),
            rate_burst: text("rate_burst"),
            max_in_flight: text("max_in_flight"),
            ordered: form.is_ticked("ordered"),
            standard_webhooks: form.is_ticked("standard_webhooks"),
        }
    }

    /// As the form of a new endpoint begins.
    pub(super) fn new() -> Self {
        Self {
            types: vec!["*".to_owned()],
            timeout_seconds: "15".to_owned(),
            max_in_flight: "10".to_owned(),
            ..Self::default()
        }
    }

    /// As the form of an endpoint that is there begins. Values of headers may be credentials: a name alone keeps its value.
    pub(super) fn of(endpoint: &Endpoint, known: &[String]) -> Self {
        let settings = &endpoint.settings;
        let (types, patterns): (Vec<String>, Vec<String>) = settings
            .subscription
            .to_texts()
            .into_iter()
            .partition(|text| text == "*" || known.contains(text));
        let rate = |number: fn(RateLimit) -> u32| {
            settings.rate_limit.map_or(String::new(), |limit| number(limit).to_string())
        };
        Self {
            url: settings.url.to_string(),
            description: settings.description.clone(),
            types,
            patterns: patterns.join("\n"),
            filter: settings.filter.as_ref().map(|filter| filter.as_str().to_owned()).unwrap_or_default(),
            headers: settings.headers.iter().map(|header| format!("{}\n", header.name)).collect(),
            timeout_seconds: settings.timeout.as_secs().to_string(),
            retry_schedule: settings
                .retry_schedule
                .as_ref()
                .map(RetrySchedule::to_string)
                .unwrap_or_default(),
            rate_per_second: rate(|limit| limit.per_second),
            rate_burst: rate(|limit| limit.burst),
            max_in_flight: settings.max_in_flight.to_string(),
            ordered: settings.ordered,
            standard_webhooks: settings.standard_webhooks,
        }
    }

    /// The settings, or a fault for each field that can't be so. `before` is the endpoint that is changed.
    pub(super) fn judge(
        &self,
        engine: &Engine,
        is_operator: bool,
        before: Option<&Endpoint>,
    ) -> Result<EndpointSettings, Faults> {
        let mut faults = Faults::new();
        let url = note(&mut faults, "url", self.url(engine, is_operator, before));
        let subscription = note(&mut faults, "types", self.subscription(engine, before));
        // A description that the visitor leaves alone stays, whatever it is.
        if before.is_none_or(|before| before.settings.description != self.description) {
            note(
                &mut faults,
                "description",
                DESCRIPTION.check(&self.description).map_err(|why| why.to_string()),
            );
        }
        let filter = note(&mut faults, "filter", self.filter()).flatten();
        let headers = note(&mut faults, "headers", self.headers(engine.header_prefix(), before));
        let (least, most) = (MIN_ATTEMPT_TIMEOUT.as_secs(), MAX_ATTEMPT_TIMEOUT.as_secs());
        let timeout =
            note(&mut faults, "timeout_seconds", within(&self.timeout_seconds, least, most, Some(15)));
        let most = u64::from(MAX_MAX_IN_FLIGHT);
        let in_flight = note(&mut faults, "max_in_flight", within(&self.max_in_flight, 1, most, Some(10)));
        let schedule = match self.retry_schedule.as_str() {
            "" => None,
            text => note(
                &mut faults,
                "retry_schedule",
                text.parse::<RetrySchedule>().map_err(|why| why.to_string()),
            ),
        };
        let rate_limit = note(&mut faults, "rate_per_second", self.rate_limit()).flatten();
        let (true, Some(url), Some(subscription), Some(headers), Some(timeout), Some(in_flight)) =
            (faults.is_empty(), url, subscription, headers, timeout, in_flight)
        else {
            return Err(faults);
        };
        Ok(EndpointSettings {
            description: self.description.clone(),
            headers,
            timeout: match before.map(|endpoint| endpoint.settings.timeout) {
                // A part of a second that the form can't show stays.
                Some(known) if known.as_secs() == timeout => known,
                _ => Duration::from_secs(timeout),
            },
            filter,
            retry_schedule: schedule,
            rate_limit,
            max_in_flight: u32::try_from(in_flight).unwrap_or(MAX_MAX_IN_FLIGHT),
            ordered: self.ordered,
            standard_webhooks: self.standard_webhooks,
            ..EndpointSettings::new(url, subscription)
        })
    }

    /// A URL that the endpoint has already may stay, whatever the rules are now: each connection is checked anyway.
    fn url(&self, engine: &Engine, is_operator: bool, before: Option<&Endpoint>) -> Result<Url, String> {
        if let Some(same) = before.filter(|before| before.settings.url.as_str() == self.url) {
            return Ok(same.settings.url.clone());
        }
        let words = |why: UrlRefused| if is_operator { why.to_string() } else { why.for_customers() };
        engine.address_guard().check_url(&self.url).map_err(words)
    }

    /// What is subscribed already may stay, in use or not.
    fn subscription(&self, engine: &Engine, before: Option<&Endpoint>) -> Result<Subscription, String> {
        let typed = self.patterns.split([',', '\n']).map(str::trim).filter(|text| !text.is_empty());
        let mut texts: Vec<&str> = self.types.iter().map(String::as_str).collect();
        texts.extend(typed);
        texts.dedup();
        if texts.is_empty() {
            return Err("choose at least one event type".to_owned());
        }
        let subscription = Subscription::parse(&texts).map_err(|(_, why)| why.to_string())?;
        // A misspelt name would wait for ever for an event that can't come.
        let stays =
            |pattern| before.is_some_and(|before| before.settings.subscription.patterns().contains(pattern));
        let wrong = subscription.patterns().iter().find_map(|pattern| match pattern {
            Pattern::Exact(name) if !stays(pattern) => Some((name, why_not(engine, name)?)),
            _ => None,
        });
        match wrong {
            Some((name, why)) => Err(format!("“{name}” {why}")),
            None => Ok(subscription),
        }
    }

    fn filter(&self) -> Result<Option<Filter>, String> {
        if self.filter.is_empty() {
            return Ok(None);
        }
        Filter::parse(&self.filter).map(Some).map_err(|faults| {
            let fault = |fault: &FilterFault| format!("{} {}", fault.pointer, fault.detail).trim().to_owned();
            faults.iter().map(fault).collect::<Vec<_>>().join("; ")
        })
    }

    fn headers(&self, prefix: &str, before: Option<&Endpoint>) -> Result<Vec<CustomHeader>, String> {
        let mut headers: Vec<CustomHeader> = Vec::new();
        for line in self.headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let header = match line.split_once(':') {
                Some((name, value)) => {
                    CustomHeader::parse(name.trim(), value.trim(), prefix).map_err(|why| why.to_string())?
                }
                None => {
                    let mut known = before.into_iter().flat_map(|endpoint| &endpoint.settings.headers);
                    let kept = known.find(|header| header.name.is(line)).cloned();
                    let kept = kept.ok_or_else(|| {
                        "each line is a name, a colon and a value, such as X-Api-Key: abc".to_owned()
                    })?;
                    // The value stays; the letter case is that which was typed now.
                    CustomHeader { name: FieldName::parse(line).unwrap_or(kept.name), value: kept.value }
                }
            };
            if headers.iter().any(|other| other.name.is(header.name.as_str())) {
                return Err(format!(
                    "“{}” is duplicated: names that differ only in letter case are the same header",
                    header.name
                ));
            }
            headers.push(header);
        }
        if headers.len() > MAX_CUSTOM_HEADERS {
            return Err(format!("there are at most {MAX_CUSTOM_HEADERS} headers"));
        }
        Ok(headers)
    }

    fn rate_limit(&self) -> Result<Option<RateLimit>, String> {
        if self.rate_per_second.is_empty() {
            return if self.rate_burst.is_empty() {
                Ok(None)
            } else {
                Err("a burst needs a rate".to_owned())
            };
        }
        let most = u64::from(MAX_RATE_PER_SECOND);
        let number = |text: &str, or| {
            within(text, 1, most, or).map(|number| u32::try_from(number).unwrap_or(MAX_RATE_PER_SECOND))
        };
        let per_second = number(&self.rate_per_second, None)?;
        let burst = number(&self.rate_burst, Some(per_second.into()))?;
        Ok(Some(RateLimit { per_second, burst }))
    }
}

/// The secret that was typed for a new endpoint, where one was.
pub(super) fn secret(form: &Fields) -> Result<Option<Secret>, String> {
    form.given("secret").map(|text| Secret::parse(text).map_err(|why| why.to_string())).transpose()
}

/// Notes the fault of a field.
fn note<T>(faults: &mut Faults, name: &'static str, judged: Result<T, String>) -> Option<T> {
    judged.map_err(|why| faults.push((name, why))).ok()
}

/// A whole number between two bounds; `or` where nothing was typed.
fn within(text: &str, least: u64, most: u64, or: Option<u64>) -> Result<u64, String> {
    let number = if text.is_empty() { or } else { text.parse().ok() };
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("is a whole number from {least} to {most}"))
}
