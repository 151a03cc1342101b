//! One endpoint: how it does, what is set, its deliveries, and what can be done.

use maud::{Markup, html};
use postrider_core::endpoint::{DisabledReason, State};
use postrider_core::event_type::Subscription;
use postrider_core::health::HealthRules;
use postrider_core::time::Timestamp;
use postrider_engine::PageRequest;
use postrider_engine::model::{EndpointView, StateChange};

use super::{deliveries, event_types, names};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::refusal::Refusal;
use crate::show::text::{number, visible};
use crate::show::{badge, chart, health, time};
use crate::visit::Visit;

/// How many of its deliveries the page shows.
const SHOWN: usize = 15;

pub(crate) async fn show(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let id = view.endpoint.id;
    let scope = visit.viewer.scope;
    let mut filters = Filters::default();
    let mut filter = filters.deliveries(scope);
    filter.endpoint = Some(id);
    let recent = visit.engine().deliveries(filter, PageRequest { limit: SHOWN, before: None }).await?;
    let slots = visit.engine().endpoint_activity(id)?;
    let now = visit.engine().now();
    let content = html! {
        (layout::trail(&visit, &[("/endpoints", "Endpoints")]))
        div.head {
            h1 { bdi { (names::of_endpoint(&view.endpoint)) } " " span data-live="state" { (badge::endpoint(&view)) } " " (badge::mode(view.endpoint.livemode)) }
            div.actions {
                (deliveries::live_button(&visit, &format!("endpoint={id}"), true))
                (actions(&visit, &view))
            }
        }
        (layout::said(&visit))
        div data-live="standing" { (unreadable(&visit, &view)) (standing(&view, visit.engine().health_rules(), now)) }
        div.cards data-live="figures" { (figures(&view, &slots, now)) }
        section.card aria-labelledby="activity" {
            h2 #activity { "Attempts in the last 24 hours" }
            div data-live="chart" { (chart::bars(&slots, "Attempts in the last 24 hours")) }
            p.legend { span { i.good {} "received" } span { i.bad {} "failed" } }
        }
        section aria-labelledby="recent" {
            h2 #recent { "Deliveries" a href=(visit.link(&format!("/deliveries?endpoint={id}"))) { "All of them" } }
            (deliveries::table(&visit, &recent.rows, &filters, deliveries::Shows::NoEndpoint))
        }
        (test_form(&visit, &view))
        (settings(&visit, &view, now))
        (dangers(&visit, &view))
    };
    layout::page(&visit, Section::Endpoints, &names::of_endpoint(&view.endpoint), content)
}

fn state_button(visit: &Visit, view: &EndpointView, to: &str, name: &str, class: &str) -> Markup {
    html! {
        form method="post" action=(visit.link(&format!("/endpoints/{}/state", view.endpoint.id))) {
            (visit.viewer.token())
            input type="hidden" name="to" value=(to);
            button class=(class) type="submit" { (name) }
        }
    }
}

fn actions(visit: &Visit, view: &EndpointView) -> Markup {
    let id = view.endpoint.id;
    html! {
        @match view.state {
            State::Enabled => (state_button(visit, view, "pause", "Pause", "")),
            State::Paused => (state_button(visit, view, "resume", "Resume", "primary")),
            State::Disabled(_) => (state_button(visit, view, "enable", "Enable", "primary")),
        }
        @if visit.viewer.scope.is_operator() { a.button href=(visit.link(&format!("/endpoints/{id}/secret"))) { "Secret" } }
        @if !matches!(view.state, State::Disabled(_)) { a.button href=(visit.link(&format!("/replays/new?endpoint={id}"))) { "Replay…" } }
        a.button href=(visit.link(&format!("/endpoints/{id}/edit"))) { "Edit" }
    }
}

/// What must be set again before anything is sent. The operator is told why; a customer, what to do.
fn unreadable(visit: &Visit, view: &EndpointView) -> Markup {
    let what = match (view.endpoint.unreadable.secret, view.endpoint.unreadable.headers) {
        (false, false) => return html! {},
        (true, false) => "secret",
        (false, true) => "headers",
        (true, true) => "secret and headers",
    };
    html! {
        div.alarm {
            p { strong { "Nothing is sent. " } "The " (what) " can’t be used any more. Deliveries are held; none is lost. "
                @if visit.viewer.scope.is_operator() {
                    "The encrypted values, or the URL that they are bound to, were changed in the database. Check the URL and find out who changed it. Then rotate the secret and set the headers again."
                } @else {
                    "Check the URL, set the headers again, and ask the operator for a new secret."
                }
            }
        }
    }
}

fn standing(view: &EndpointView, rules: &HealthRules, now: Timestamp) -> Markup {
    html! {
        @match view.state {
            State::Paused => div.note { p { strong { "Paused. " } "Deliveries are held and sent when you resume." } },
            State::Disabled(reason) => div.alarm {
                p { strong { "Disabled. " }
                    @match reason {
                        DisabledReason::Operator => "By hand. ",
                        DisabledReason::Gone => "The receiver answered 410 Gone. ",
                        DisabledReason::Failing => { (health::why_disabled(rules)) " " },
                    }
                    "Deliveries are held; enabling sends them, with fresh health." }
            },
            State::Enabled => (health::note(view, rules, now)),
        }
        @if let Some(until) = view.health.closed_until.filter(|until| *until > now) {
            div.note { p { "The endpoint requested a delay until " (time::long(until, now)) " (" code { "Retry-After" } "). Nothing is sent to it until then." } }
        }
    }
}

fn figures(
    view: &EndpointView,
    slots: &[(Timestamp, postrider_core::activity::Counts)],
    now: Timestamp,
) -> Markup {
    let (received, failed) = chart::sum(slots);
    html! {
        div.card { div.figure { (chart::success(received, failed).unwrap_or_else(|| "–".to_owned())) } div.label { "received, last 24 h" } }
        div.card { div.figure { (number(failed)) } div.label { "failed attempts, last 24 h" } }
        div.card { div.figure { (health::success_rate(view)) } div.label { "received, last 100 attempts" } }
        div.card { div.figure { (number(view.backlog)) } div.label { "in the backlog" } }
        div.card {
            div.figure { @match view.health.last_success_at { Some(at) => (time::ago(at, now)), None => "never" } }
            div.label { "last success" }
        }
    }
}

/// Event types as marks.
pub(super) fn wanted(subscription: &Subscription) -> Markup {
    html! { @for pattern in subscription.patterns() { code { (pattern) } " " } }
}

fn settings(visit: &Visit, view: &EndpointView, now: Timestamp) -> Markup {
    let endpoint = &view.endpoint;
    let settings = &endpoint.settings;
    html! {
        section aria-labelledby="settings" {
            h2 #settings { "Settings" }
            div.card { dl.facts {
                dt { "URL" } dd { code { bdi { (visible(settings.url.as_str())) } } }
                dt { "Event types" } dd { (wanted(&settings.subscription)) }
                @if let Some(filter) = &settings.filter { dt { "Filter" } dd { code { bdi { (visible(filter.as_str())) } } } }
                @if visit.viewer.scope.is_operator() { dt { "Account" } dd { (names::account_link(visit, endpoint.account)) } }
                dt { "Timeout" } dd { (time::span(settings.timeout)) }
                dt { "Retry schedule" } dd { @match &settings.retry_schedule { Some(schedule) => code { (schedule) }, None => "the installation’s" } }
                dt { "Requests at once" } dd { (settings.max_in_flight) }
                dt { "Rate limit" } dd { @match settings.rate_limit { Some(limit) => { (limit.per_second) " per second, bursts of " (limit.burst) }, None => "none" } }
                dt { "Order" } dd { @if settings.ordered { "one at a time, in order" } @else { "as fast as it takes them" } }
                dt { "Standard Webhooks" } dd { @if settings.standard_webhooks { "headers are sent as well" } @else { "no" } }
                dt { "Own headers" } dd { @if settings.headers.is_empty() { "none" } @for header in &settings.headers { code { (header.name) } " " } }
                dt { "Id" } dd { span.id { (endpoint.id) } }
                dt { "Created" } dd { (time::long(endpoint.created_at, now)) }
                dt { "Changed" } dd { (time::long(endpoint.updated_at, now)) }
            } }
        }
    }
}

fn test_form(visit: &Visit, view: &EndpointView) -> Markup {
    let subscription = &view.endpoint.settings.subscription;
    html! {
        @if !matches!(view.state, State::Disabled(_)) {
            section aria-labelledby="test" {
                h2 #test { "Send a test" }
                p.muted { "The example of an event type goes to this endpoint alone, signed like any other, whatever it subscribed." }
                form.filters method="post" action=(visit.link(&format!("/endpoints/{}/test", view.endpoint.id))) {
                    (visit.viewer.token())
                    div {
                        label for="test-type" { "Event type" }
                        select #test-type name="type" {
                            option value="" { "The first it subscribed" }
                            @for name in event_types::names_for(visit, view.endpoint.account) {
                                option value=(name) { (name) @if !subscription.matches(&name) { " (not subscribed)" } }
                            }
                        }
                    }
                    div.go { button type="submit" { "Send a test" } }
                }
            }
        }
    }
}

/// Sends the example of an event type to this endpoint.
pub(crate) async fn test(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let event_type = visit.form.given("type");
    let (_, accepted) = visit.acting().send_test(view.endpoint.id, event_type, |_| None).await?;
    let (delivery, _) = accepted.deliveries.first().ok_or(Refusal::NotFound)?;
    Ok(visit.see(&format!("/deliveries/{delivery}?said=tested")))
}

fn dangers(visit: &Visit, view: &EndpointView) -> Markup {
    let id = view.endpoint.id;
    html! {
        section aria-labelledby="dangers" {
            h2 #dangers { "Disable or delete" }
            div.actions {
                @if !matches!(view.state, State::Disabled(_)) { (state_button(visit, view, "disable", "Disable", "danger")) }
                form method="post" action=(visit.link(&format!("/endpoints/{id}/delete"))) data-sure="Delete this endpoint? What is pending is cancelled; the log stays." {
                    (visit.viewer.token())
                    label.tick { input type="checkbox" name="sure" required; " Yes, delete it" }
                    button.danger type="submit" { "Delete" }
                }
            }
        }
    }
}

/// Pauses, resumes, enables or disables.
pub(crate) async fn change_state(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let (change, said) = match visit.form.get("to") {
        "pause" => (StateChange::Pause, "paused"),
        "resume" => (StateChange::Resume, "resumed"),
        "enable" => (StateChange::Enable, "enabled"),
        "disable" => (StateChange::Disable, "disabled"),
        _ => return Err(Refusal::BadRequest("The form names no change that there is.".to_owned())),
    };
    visit.acting().change_state(view.endpoint.id, change).await?;
    Ok(visit.see(&format!("/endpoints/{}?said={said}", view.endpoint.id)))
}

/// Deletes it, where that was confirmed.
pub(crate) async fn delete(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    if !visit.form.is_ticked("sure") {
        return Err(Refusal::BadRequest("Tick “Yes, delete it” first; nothing was deleted.".to_owned()));
    }
    visit.acting().delete_endpoint(view.endpoint.id).await?;
    Ok(visit.see("/endpoints?said=deleted"))
}
