//! The search: whatever was pasted, to the page that shows it.

use maud::html;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId, ReplayId};
use postrider_engine::PageRequest;
use postrider_engine::model::{EndpointFilter, EndpointView};

use super::{deliveries, endpoints, event_types};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::visit::Visit;

/// How many endpoints a search shows.
const SHOWN: usize = 50;

pub(crate) async fn go(visit: Visit) -> Answer {
    let text = visit.query.get("q").trim().to_owned();
    if let Some(path) = place(&visit, &text) {
        return Ok(visit.see(&path));
    }
    let found = by_words(&visit, &text);
    let content = html! {
        div.head { h1 { "Search" } }
        @if text.is_empty() { p.muted { "Paste a guid, an id, an event type, or a piece of an endpoint’s URL or description." } }
        @else if found.is_empty() {
            div.empty { h2 { "Nothing found for “" bdi { (text) } "”" } p { "A guid has 32 hex digits; ids begin with dlv_, ep_, acc_ or rpl_." } }
        } @else {
            p.muted { "Endpoints with “" bdi { (text) } "” in their URL or description:" }
            (endpoints::table(&visit, &found, "found"))
        }
        (deliveries::faults(&Filters::default()))
    };
    layout::page(&visit, Section::Home, "Search", content)
}

/// Where something that names one thing leads.
fn place(visit: &Visit, text: &str) -> Option<String> {
    // A guid is often copied with the dashes of a UUID.
    let digits: String = text.to_ascii_lowercase().chars().filter(|c| *c != '-').collect();
    if digits.parse::<EventId>().is_ok() {
        return Some(format!("/events/{digits}"));
    }
    if text.parse::<DeliveryId>().is_ok() {
        return Some(format!("/deliveries/{text}"));
    }
    if text.parse::<EndpointId>().is_ok() {
        return Some(format!("/endpoints/{text}"));
    }
    if text.parse::<ReplayId>().is_ok() {
        return Some(format!("/replays/{text}"));
    }
    if visit.viewer.scope.is_operator() && text.parse::<AccountId>().is_ok() {
        return Some(format!("/accounts/{text}"));
    }
    event_types::all_names(visit).iter().any(|name| name == text).then(|| format!("/deliveries?type={text}"))
}

fn by_words(visit: &Visit, text: &str) -> Vec<EndpointView> {
    if text.is_empty() {
        return Vec::new();
    }
    let wanted = text.to_lowercase();
    let scope = visit.viewer.scope;
    let filter = EndpointFilter { account: scope.account(), livemode: scope.livemode(), state: None };
    let all = visit.engine().endpoints(filter, PageRequest { limit: usize::MAX - 1, before: None }).rows;
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let matching = all.into_iter().filter(|view| {
        let settings = &view.endpoint.settings;
        has(settings.url.as_str()) || has(&settings.description)
    });
    matching.take(SHOWN).collect()
}
