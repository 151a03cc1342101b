//! One delivery: what it is, why it is there, each attempt with what was sent and what came back, and what can be done.

use maud::{Markup, html};
use postrider_core::attempt::{Attempt, HeaderLog, ResponseLog};
use postrider_core::delivery::{CancelReason, Delivery, Status};
use postrider_core::endpoint::State;
use postrider_core::id::DeliveryId;
use postrider_core::time::Timestamp;
use postrider_engine::EngineError;
use postrider_engine::model::EndpointView;

mod seen;

pub(super) use self::seen::Seen;
use super::{deliveries, names, signature};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::show::text::{beginning, bytes, lossy, visible};
use crate::show::{advice, badge, curl, json, phases, time};
use crate::visit::Visit;

/// How much of a payload or an answer stands in the page, in bytes; the whole payload is one link away.
const SHOWN_BYTES: usize = 8 * 1024;

/// The delivery in the path, if the visitor may see it.
pub(super) async fn find(visit: &Visit) -> Result<Delivery, Refusal> {
    let delivery = visit.engine().delivery(visit.id::<DeliveryId>()?).await?;
    let sees = visit.viewer.scope.sees(delivery.account, delivery.livemode);
    if sees { Ok(delivery) } else { Err(Refusal::NotFound) }
}

pub(crate) async fn show(visit: Visit) -> Answer {
    let seen = Seen::read(&visit).await?;
    page(&visit, &seen, html! {})
}

/// The page, with what came of checking a signature.
pub(super) fn page(visit: &Visit, seen: &Seen, checked: Markup) -> Answer {
    let delivery = &seen.delivery;
    let chosen = seen.chosen(visit);
    let content = html! {
        (layout::trail(visit, &[("/deliveries", "Deliveries")]))
        div.head {
            h1 { (delivery.event_type) " " span data-live="status" { (badge::status(delivery.status)) } " " (badge::mode(delivery.livemode)) }
            div.actions {
                (deliveries::live_button(visit, &format!("event={}", delivery.event), true))
                (actions(visit, seen))
            }
        }
        (layout::said(visit))
        div data-live="standing" { (standing(visit, seen)) }
        div.split {
            section aria-labelledby="timeline" {
                h2 #timeline { "Timeline" }
                ol.timeline data-live="timeline" { (timeline(visit, seen, chosen)) }
            }
            div {
                @match chosen {
                    Some(attempt) => {
                        div data-live={ "attempt-" (attempt.number) } { (attempt_shown(visit, seen, attempt)) }
                    }
                    None => {
                        section { h2 { "Payload" } (payload(visit, seen)) }
                    }
                }
                (signature::panel(visit, seen, chosen, checked))
            }
        }
    };
    layout::page(visit, Section::Deliveries, &format!("{} {}", delivery.event_type, delivery.status), content)
}

fn actions(visit: &Visit, seen: &Seen) -> Markup {
    let id = seen.delivery.id;
    let is_disabled = seen.endpoint.as_ref().is_none_or(|view| matches!(view.state, State::Disabled(_)));
    html! {
        @if seen.delivery.status != Status::Pending && !is_disabled {
            form method="post" action=(visit.link(&format!("/deliveries/{id}/resend"))) {
                (visit.viewer.token())
                button.primary type="submit" { "Resend" }
            }
        }
        @if seen.delivery.status == Status::Pending {
            form method="post" action=(visit.link(&format!("/deliveries/{id}/cancel"))) data-sure="Cancel this delivery? It is not tried again." {
                (visit.viewer.token())
                button type="submit" { "Cancel" }
            }
        }
    }
}

/// Where the delivery stands, in words.
fn standing(visit: &Visit, seen: &Seen) -> Markup {
    let Seen { delivery, endpoint, now, .. } = seen;
    let last = seen.last();
    html! {
        @match delivery.status {
            Status::Delivered => {}
            Status::Pending => {
                div.note { p { strong { "Waiting. " } (waits_for(endpoint.as_ref(), delivery, *now)) } }
            }
            Status::Exhausted => {
                div.alarm { p { strong { "Given up. " } "Every attempt of the schedule was used. Mend what is wrong below, then resend." } }
            }
            Status::Cancelled => {
                div.note { p { strong { "Cancelled. " } (delivery.cancel_reason.map_or("", why_cancelled)) } }
            }
        }
        @if delivery.status != Status::Delivered {
            @if let Some(advice) = last.and_then(|attempt| advice::about(&attempt.outcome)) {
                div.alarm {
                    p { strong { "What went wrong. " } bdi { (visible(&advice.what)) } }
                    p { strong { "What to do. " } (advice.then) }
                }
            }
        }
        @if seen.endpoint.is_none() { div.note { p { "The endpoint was deleted since, so this can’t be resent." } } }
        @else if matches!(seen.endpoint.as_ref().map(|view| view.state), Some(State::Disabled(_))) {
            div.note { p { "The endpoint is disabled. " a href=(visit.link(&format!("/endpoints/{}", delivery.endpoint))) { "Enable it" } " to send again." } }
        }
    }
}

fn why_cancelled(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Operator => "By hand.",
        CancelReason::EndpointDeleted => "Its endpoint was deleted.",
        CancelReason::AccountDeleted => "Its account was deleted.",
        CancelReason::HeldTooLong => "Its endpoint was paused or disabled for longer than the log is kept.",
    }
}

fn waits_for(view: Option<&EndpointView>, delivery: &Delivery, now: Timestamp) -> Markup {
    let Some(view) = view else { return html! { "Its endpoint was deleted; it is about to be cancelled." } };
    match view.state {
        State::Paused => return html! { "The endpoint is paused; it is held until that is resumed." },
        State::Disabled(_) => return html! { "The endpoint is disabled; it is held until that is enabled." },
        State::Enabled if !view.endpoint.is_readable() => {
            return html! { "The endpoint’s secret or headers can’t be used any more; it is held until they are set again." };
        }
        State::Enabled => {}
    }
    if let Some(failing) = view.health.failing {
        return html! { "The endpoint is failing: one delivery at a time is tried as a probe, the next " (time::ago(failing.next_probe_at, now)) ". Nothing is given up meanwhile." };
    }
    match (view.health.closed_until.filter(|until| *until > now), delivery.next_attempt_at) {
        (Some(until), _) => {
            html! { "The endpoint requested a delay (Retry-After); the next attempt is " (time::ago(until, now)) "." }
        }
        (None, Some(at)) if at > now => {
            html! { "The next attempt is due " (time::ago(at, now)) ", at " (time::long(at, now)) "." }
        }
        (None, _) => html! { "It is this delivery’s turn in a moment." },
    }
}

fn timeline(visit: &Visit, seen: &Seen, chosen: Option<&Attempt>) -> Markup {
    let Seen { delivery, event, attempts, now, .. } = seen;
    let path = visit.link(&format!("/deliveries/{}", delivery.id));
    html! {
        li.good data-key="event" {
            a.step href=(visit.link(&format!("/events/{}", event.id))) {
                "Event accepted"
                span.sub { (time::long(event.created_at, *now)) }
                span.sub.id { (event.id) }
            }
        }
        li.good data-key="match" {
            (why_matched(visit, seen))
        }
        @if let Some(old) = delivery.resend_of {
            li data-key="resend" { "Resent by hand" span.sub { (time::long(delivery.created_at, *now)) " of " a href=(visit.link(&format!("/deliveries/{old}"))) { "an earlier delivery" } } }
        }
        @if let Some(first) = attempts.first().filter(|_| seen.has_earlier) {
            li data-key="earlier" { a href={ (path) "?before=" (first.number) } { "Show the attempts before number " (first.number) } }
        }
        @for attempt in attempts {
            li class=(if attempt.outcome.is_received() { "good" } else { "bad" }) data-key={ "attempt-" (attempt.number) } {
                a.step href={ (path) "?" (seen.looking_at(attempt.number)) }
                    aria-current=[chosen.is_some_and(|chosen| chosen.number == attempt.number).then_some("true")] {
                    @if attempt.probe { "Probe " } @else { "Attempt " } (attempt.number) " " (badge::outcome(&attempt.outcome))
                    span.sub { (time::long(attempt.started_at, *now)) " · " (time::micros(attempt.timings.total_us)) }
                }
            }
        }
        @if seen.before.is_some() { li data-key="later" { a href=(path) { "Show the last attempts" } } }
        (end(delivery, *now))
    }
}

fn end(delivery: &Delivery, now: Timestamp) -> Markup {
    html! {
        @match (delivery.status, delivery.finished_at) {
            (Status::Pending, _) => {
                li.wait data-key="next" {
                    @match delivery.next_attempt_at.filter(|at| *at > now) {
                        Some(at) => { "Next attempt " (time::ago(at, now)) span.sub { (time::long(at, now)) } }
                        None => { "Waiting for its turn" }
                    }
                }
            }
            (Status::Delivered, Some(at)) => { li.good data-key="end" { "Delivered" span.sub { (time::long(at, now)) } } }
            (Status::Exhausted, Some(at)) => { li.bad data-key="end" { "Given up" span.sub { (time::long(at, now)) } } }
            (_, Some(at)) => { li data-key="end" { "Cancelled" span.sub { (time::long(at, now)) } } }
            (_, None) => {}
        }
    }
}

fn why_matched(visit: &Visit, seen: &Seen) -> Markup {
    let endpoint = names::endpoint_link(visit, seen.delivery.endpoint);
    let Some(view) = &seen.endpoint else {
        return html! { "Bound for " (endpoint) };
    };
    let patterns = view.endpoint.settings.subscription.patterns();
    let matching = patterns.iter().find(|pattern| pattern.matches(&seen.event.event_type));
    let mode = if seen.delivery.livemode { "live" } else { "test" };
    html! {
        "Bound for " (endpoint)
        span.sub {
            @match matching {
                Some(pattern) => { "because it wants " code { (pattern) } " in " (mode) " mode" }
                None => { "it wanted " code { (seen.event.event_type) } " then; its event types were changed since" }
            }
        }
    }
}

fn attempt_shown(visit: &Visit, seen: &Seen, attempt: &Attempt) -> Markup {
    let advice = advice::about(&attempt.outcome);
    let command = curl::command(attempt, &seen.event.payload);
    let is_last = seen.last().is_some_and(|last| last.number == attempt.number);
    html! {
        section aria-labelledby="attempt" {
            h2 #attempt { @if attempt.probe { "Probe " } @else { "Attempt " } (attempt.number) " " (badge::outcome(&attempt.outcome)) " " span.muted { (time::long(attempt.started_at, seen.now)) } }
            @if let Some(advice) = advice.filter(|_| !is_last || seen.delivery.status == Status::Delivered) {
                div.note { p { bdi { (visible(&advice.what)) } } p.muted { (advice.then) } }
            }
            (phases::drawn(&attempt.timings))
            h3 { "Request" }
            p { code { "POST " bdi { (visible(&attempt.request.url)) } } }
            details { summary { "Headers (" (attempt.request.headers.len()) ")" } div.in { (headers(&attempt.request.headers)) } }
            (payload(visit, seen))
            details {
                summary { "As curl" }
                div.in {
                    button.copy.small.js-only type="button" data-copy="#curl" { "Copy" }
                    pre #curl { (visible(&command)) }
                    @if command.ends_with("@payload.json") {
                        p.muted { "The payload is long: " a href=(visit.link(&format!("/events/{}/payload", seen.event.id))) download="payload.json" { "save it" } " as payload.json first." }
                    }
                }
            }
        }
        section aria-labelledby="response" {
            h2 #response { "Response" @if let Some(status) = attempt.outcome.status() { " " code { (status) } } }
            @match &attempt.response {
                Some(response) => (response_shown(response)),
                None => p.muted { "There was none." }
            }
        }
    }
}

fn response_shown(response: &ResponseLog) -> Markup {
    let text = lossy(&response.body);
    let (shown, is_cut) = beginning(&text, SHOWN_BYTES);
    html! {
        details open[response.body.is_empty()] { summary { "Headers (" (response.headers.len()) ")" } div.in { (headers(&response.headers)) } }
        @if response.body.is_empty() { p.muted { "No body." } } @else {
            (both_ways(shown, "response-body", true))
            @if is_cut || response.body_truncated {
                p.muted { "The first " (bytes(u64::try_from(shown.len()).unwrap_or(u64::MAX))) " of the body; the log keeps 16 KiB at most." }
            }
        }
    }
}

fn headers(headers: &HeaderLog) -> Markup {
    html! {
        table.headers { tbody {
            @for (name, value) in headers.iter() { tr { td { bdi { (visible(name)) } } td { bdi { (visible(value)) } } } }
        } }
    }
}

/// The event's payload, or its beginning.
fn payload(visit: &Visit, seen: &Seen) -> Markup {
    let whole = lossy(&seen.event.payload);
    let (shown, is_cut) = beginning(&whole, SHOWN_BYTES);
    let length = bytes(u64::try_from(seen.event.payload.len()).unwrap_or(u64::MAX));
    html! {
        (both_ways(shown, "payload", !is_cut))
        p.muted {
            @if is_cut { "The beginning of " (length) ". " } @else { (length) ", exactly as sent. " }
            a href=(visit.link(&format!("/events/{}/payload", seen.event.id))) { "All of it, raw" }
        }
    }
}

/// A body laid out and raw.
fn both_ways(text: &str, name: &str, is_whole: bool) -> Markup {
    let pretty = if is_whole { json::pretty(text) } else { None };
    let raw_id = format!("{name}-raw");
    html! {
        @if let Some(pretty) = &pretty {
            details open { summary { "Body" } div.in { pre.code { (pretty) } } }
        }
        details open[pretty.is_none()] {
            summary { @if pretty.is_some() { "Body, raw" } @else { "Body" } }
            div.in {
                button.copy.small.js-only type="button" data-copy={ "#" (raw_id) } { "Copy" }
                pre id=(raw_id) { (visible(text)) }
            }
        }
    }
}

/// Sends a finished delivery again.
pub(crate) async fn resend(visit: Visit) -> Answer {
    let old = find(&visit).await?;
    let new = visit.acting().resend(old.id, None).await;
    match new {
        Ok(new) => Ok(visit.see(&format!("/deliveries/{}?said=resent", new.id))),
        Err(EngineError::NotFound) => {
            Err(Refusal::Conflict("The delivery or its endpoint is not there any more.".to_owned()))
        }
        Err(other) => Err(other.into()),
    }
}

/// Cancels a pending delivery.
pub(crate) async fn cancel(visit: Visit) -> Answer {
    let delivery = find(&visit).await?;
    visit.acting().cancel_delivery(delivery.id).await?;
    Ok(visit.see(&format!("/deliveries/{}?said=cancelled", delivery.id)))
}
