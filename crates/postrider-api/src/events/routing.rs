//! An event's routing as the wire explains it.

use postrider_core::event::Event;
use postrider_core::event_type::Pattern;
use postrider_core::id::{AccountId, EndpointId, EventId};
use postrider_engine::Routing;
use serde::Serialize;

use crate::answer::Text;

/// Where an event would go by today's configuration.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    event: Text<EventId>,
    account: Text<AccountId>,
    r#type: &'a str,
    livemode: bool,
    data: Vec<OfEndpoint<'a>>,
}

/// What one endpoint makes of it.
#[derive(Serialize)]
struct OfEndpoint<'a> {
    endpoint: Text<EndpointId>,
    url: &'a str,
    matches: bool,
    /// Each check by itself; null for a filter that there is none of.
    checks: Checks,
    reason: String,
    /// Where the filter decided: a JSON Pointer into it.
    filter_pointer: Option<&'a str>,
    /// Not part of the matching: what is paused or disabled gets its deliveries, held.
    state: &'static str,
}

#[derive(Serialize)]
struct Checks {
    mode: bool,
    event_type: bool,
    filter: Option<bool>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(event: &'a Event, routing: &'a [Routing]) -> Self {
        Self {
            event: Text(event.id),
            account: Text(event.account),
            r#type: &event.event_type,
            livemode: event.livemode,
            data: routing.iter().map(|one| OfEndpoint::new(event, one)).collect(),
        }
    }
}

impl<'a> OfEndpoint<'a> {
    fn new(event: &Event, routing: &'a Routing) -> Self {
        let endpoint = &routing.view.endpoint;
        Self {
            endpoint: Text(endpoint.id),
            url: endpoint.settings.url.as_str(),
            matches: routing.matches(),
            checks: Checks {
                mode: routing.mode_matches,
                event_type: routing.event_type_matches,
                filter: routing.filter.as_ref().map(|explained| explained.matches),
            },
            reason: reason(event, routing),
            filter_pointer: routing.filter.as_ref().map(|explained| explained.pointer.as_str()),
            state: routing.view.state.as_str(),
        }
    }
}

/// The first check that fails in words, or what makes it match.
fn reason(event: &Event, routing: &Routing) -> String {
    let patterns = || some_of(routing.view.endpoint.settings.subscription.patterns());
    let (event_type, mode) = (&event.event_type, |livemode| if livemode { "live" } else { "test" });
    match (&routing.filter, routing.mode_matches, routing.event_type_matches) {
        (_, false, _) => {
            let (own, other) = (mode(!event.livemode), mode(event.livemode));
            format!("the endpoint is for {own} events, this is a {other} event")
        }
        (_, true, false) => format!("the endpoint's event types ({}) do not match {event_type}", patterns()),
        (Some(explained), true, true) => format!("filter: {}", explained.detail),
        (None, true, true) => format!("the endpoint's event types ({}) match {event_type}", patterns()),
    }
}

/// An endpoint's event types, or the first ones of many: a thousand endpoints may have a hundred each.
fn some_of(patterns: &[Pattern]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = patterns.iter().take(SHOWN).map(Pattern::to_string).collect();
    match patterns.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
