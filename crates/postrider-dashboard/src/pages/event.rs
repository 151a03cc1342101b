//! One event: its payload, its deliveries, and where it would go today.

use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use postrider_core::event::Event;
use postrider_core::id::EventId;
use postrider_engine::{DeliveryFilter, PageRequest, Requester, Routing};

use super::{deliveries, endpoint, names};
use crate::answer::{self, Answer};
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::refusal::Refusal;
use crate::show::text::{beginning, bytes, lossy, visible};
use crate::show::{badge, json, time};
use crate::visit::Visit;

/// How much of the payload stands in the page, in bytes.
const SHOWN_BYTES: usize = 16 * 1024;
/// How many deliveries and endpoints the page shows.
const SHOWN: usize = 50;

/// The event in the path, if the visitor may see it.
async fn find(visit: &Visit) -> Result<Event, Refusal> {
    let event = visit.engine().event(visit.id::<EventId>()?).await?;
    if visit.viewer.scope.sees(event.account, event.livemode) { Ok(event) } else { Err(Refusal::NotFound) }
}

pub(crate) async fn show(visit: Visit) -> Answer {
    let event = find(&visit).await?;
    let filter = DeliveryFilter { event: Some(event.id), ..DeliveryFilter::default() };
    let page = visit.engine().deliveries(filter, PageRequest { limit: SHOWN, before: None }).await?;
    let now = visit.engine().now();
    let whole = lossy(&event.payload);
    let (shown, is_cut) = beginning(&whole, SHOWN_BYTES);
    let routing = routing(&visit, &event).await;
    let length = bytes(u64::try_from(event.payload.len()).unwrap_or(u64::MAX));
    let content = html! {
        (layout::trail(&visit, &[("/events", "Events")]))
        div.head {
            h1 { (event.event_type) " " (badge::mode(event.livemode)) }
            div.actions {
                (deliveries::live_button(&visit, &format!("event={}", event.id), true))
                @if visit.viewer.scope.is_operator() { a.button href=(visit.link(&format!("/events/new?event={}", event.id))) { "Send one like it" } }
            }
        }
        (layout::said(&visit))
        section.card { dl.facts {
            dt { "Guid" } dd { span.id { (event.id) } }
            dt { "Accepted" } dd { (time::long(event.created_at, now)) }
            @if visit.viewer.scope.is_operator() { dt { "Account" } dd { (names::account_link(&visit, event.account)) } }
        } }
        section aria-labelledby="deliveries" {
            h2 #deliveries { "Deliveries" }
            (deliveries::table(&visit, &page.rows, &Filters::default(), deliveries::Shows::NoEvent))
        }
        section aria-labelledby="payload-title" {
            h2 #payload-title { "Payload" a href=(visit.link(&format!("/events/{}/payload", event.id))) { "All of it, raw" } }
            (json::block(shown))
            p.muted { @if is_cut { "The beginning of " (length) "." } @else { (length) ", exactly as handed in." } }
        }
        (routing)
    };
    layout::page(&visit, Section::Events, &event.event_type, content)
}

/// For each endpoint of the account: would it get this event by today's settings, and why.
async fn routing(visit: &Visit, event: &Event) -> Markup {
    let requester = visit.viewer.scope.account().map_or(Requester::Operator, Requester::Account);
    let Ok(mut all) = visit.engine().routing(requester, event).await else {
        return html! {
            section aria-labelledby="routing" {
                h2 #routing { "Routing today" }
                p.muted { "It can’t be worked out just now: too much is being checked at once. Load this page again in a moment." }
            }
        };
    };
    all.retain(|one| visit.viewer.scope.sees(one.view.endpoint.account, one.view.endpoint.livemode));
    // Where it goes stands first.
    all.sort_by_key(|one| !one.matches());
    let more = all.len() > SHOWN;
    html! {
        section aria-labelledby="routing" {
            h2 #routing { "Routing today" }
            @if all.is_empty() { p.muted { "The account has no endpoints." } } @else {
                div.scroll { table.list {
                    thead { tr { th scope="col" { "Goes there" } th scope="col" { "Endpoint" } th scope="col" { "Wants" } th scope="col" { "Why" } } }
                    tbody { @for one in all.iter().take(SHOWN) { (route(visit, event, one)) } }
                } }
                @if more { p.muted { "The account has more endpoints than are shown." } }
            }
        }
    }
}

fn route(visit: &Visit, event: &Event, routing: &Routing) -> Markup {
    let endpoint = &routing.view.endpoint;
    html! {
        tr data-key=(endpoint.id) {
            td { @if routing.matches() { span.badge.good { "Yes" } } @else { span.badge.off { "No" } } }
            td.wide { (names::endpoint_link(visit, endpoint.id)) }
            td { (endpoint::wanted(&endpoint.settings.subscription)) (badge::mode(endpoint.livemode)) }
            td.wide { (why(event, routing)) }
        }
    }
}

fn why(event: &Event, routing: &Routing) -> Markup {
    let endpoint = &routing.view.endpoint;
    let patterns = endpoint.settings.subscription.patterns();
    let mode = |livemode: bool| if livemode { "live" } else { "test" };
    if !routing.mode_matches {
        return html! { "the event is " (mode(event.livemode)) ", the endpoint " (mode(endpoint.livemode)) };
    }
    match patterns.iter().find(|pattern| pattern.matches(&event.event_type)) {
        Some(pattern) => html! {
            "wants " code { (pattern) }
            @if let Some(explained) = &routing.filter {
                ", and its filter " @if explained.matches { "lets it through" } @else { "does not" } ": "
                bdi { (visible(&explained.detail)) } @if !explained.pointer.is_empty() { " (" code { (visible(&explained.pointer)) } ")" }
            }
        },
        None => html! { "does not want " code { (event.event_type) } },
    }
}

/// The payload's exact bytes. Sent as text that no browser takes for a page.
pub(crate) async fn payload(visit: Visit) -> Answer {
    let event = find(&visit).await?;
    let mut response = answer::typed(StatusCode::OK, "text/plain; charset=utf-8", event.payload);
    // Where the portal stands in a frame, so does what a link in it opens.
    let origins = visit.app.options.portal_frame_origins.join(" ");
    let framed_by = if visit.viewer.scope.is_operator() || origins.is_empty() { "'none'" } else { &origins };
    let policy = format!("default-src 'none'; sandbox; frame-ancestors {framed_by}");
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
