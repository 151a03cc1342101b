//! The form of an endpoint: to make one, and to change one. Judged while it is filled in, by the same rules as at the end.

use std::fmt::Write as _;

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use postrider_core::endpoint::{CustomHeader, Endpoint};
use postrider_core::id::{AccountId, EndpointId};
use postrider_engine::EngineError;
use postrider_engine::model::{EndpointDraft, EndpointPatch, EndpointView};

use super::settings::{Faults, Typed, secret};
use super::{accounts, event_types, names};
use crate::answer::{self, Answer};
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::visit::Visit;

/// The form of a new endpoint.
pub(crate) async fn new(visit: Visit) -> Answer {
    let content = creation(&visit, &Typed::new(), &Faults::new());
    layout::page(&visit, Section::Endpoints, "New endpoint", content)
}

/// Makes one, and shows its secret, which is shown here alone.
pub(crate) async fn create(visit: Visit) -> Answer {
    let typed = Typed::read(&visit.form);
    match judge_creation(&visit, &typed) {
        Err(faults) => Ok(again(&visit, creation(&visit, &typed, &faults), "New endpoint")),
        Ok(draft) => match visit.acting().create_endpoint(draft).await {
            Ok(view) => layout::page(&visit, Section::Endpoints, "Endpoint created", created(&visit, &view)),
            Err(error) => {
                let faults = vec![fault_of(error)?];
                Ok(again(&visit, creation(&visit, &typed, &faults), "New endpoint"))
            }
        },
    }
}

/// The form of an endpoint that is there.
pub(crate) async fn edit(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let typed = Typed::of(&view.endpoint, &event_types::names_to_subscribe(&visit));
    let content = changing(&visit, &view.endpoint, &typed, &Faults::new());
    layout::page(&visit, Section::Endpoints, "Edit endpoint", content)
}

/// Changes it.
pub(crate) async fn change(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let typed = Typed::read(&visit.form);
    let judged = typed.judge(
        visit.engine(),
        visit.viewer.scope.is_operator(),
        Some(view.endpoint.account),
        Some(&view.endpoint),
    );
    let faults = match judged {
        Err(faults) => faults,
        Ok(settings) => {
            let patch = EndpointPatch {
                url: Some(settings.url),
                subscription: Some(settings.subscription),
                filter: Some(settings.filter),
                description: Some(settings.description),
                headers: headers_given(&view.endpoint, settings.headers),
                timeout: Some(settings.timeout),
                retry_schedule: Some(settings.retry_schedule),
                rate_limit: Some(settings.rate_limit),
                max_in_flight: Some(settings.max_in_flight),
                ordered: Some(settings.ordered),
                standard_webhooks: Some(settings.standard_webhooks),
            };
            match visit.acting().update_endpoint(view.endpoint.id, patch).await {
                Ok(_) => return Ok(visit.see(&format!("/endpoints/{}?said=saved", view.endpoint.id))),
                Err(error) => vec![fault_of(error)?],
            }
        }
    };
    Ok(again(&visit, changing(&visit, &view.endpoint, &typed, &faults), "Edit endpoint"))
}

/// The headers to be set. An empty field leaves headers that can't be read as they are: the form could not show them, and
/// without them nothing may be sent.
fn headers_given(before: &Endpoint, headers: Vec<CustomHeader>) -> Option<Vec<CustomHeader>> {
    Some(headers).filter(|headers| !before.unreadable.headers || !headers.is_empty())
}

/// Judges a form that is being filled in: a JSON object of faults by field.
pub(crate) async fn check(visit: Visit) -> Answer {
    let typed = Typed::read(&visit.form);
    let before = match visit.form.given("endpoint") {
        Some(id) => {
            let view = visit.engine().endpoint(id.parse::<EndpointId>().or(Err(Refusal::NotFound))?)?;
            let sees = visit.viewer.scope.sees(view.endpoint.account, view.endpoint.livemode);
            Some(if sees { view } else { return Err(Refusal::NotFound) })
        }
        None => None,
    };
    let faults = match &before {
        Some(view) => {
            let (scope, endpoint) = (visit.viewer.scope, &view.endpoint);
            typed.judge(visit.engine(), scope.is_operator(), Some(endpoint.account), Some(endpoint)).err()
        }
        None => judge_creation(&visit, &typed).err(),
    };
    let mut json = String::from("{");
    for (index, (name, words)) in faults.unwrap_or_default().iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(json, "{comma}\"{name}\":{}", quoted(words)).expect("writing to a string never fails");
    }
    json.push('}');
    Ok(answer::typed(StatusCode::OK, "application/json", json))
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => {
                write!(json, "\\u{:04x}", u32::from(c)).expect("writing to a string never fails");
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

fn judge_creation(visit: &Visit, typed: &Typed) -> Result<EndpointDraft, Faults> {
    let scope = visit.viewer.scope;
    let account = scope.account().or_else(|| visit.form.get("account").parse::<AccountId>().ok());
    let account = account.filter(|account| visit.engine().account(*account).is_ok());
    let (settings, mut faults) = match typed.judge(visit.engine(), scope.is_operator(), account, None) {
        Ok(settings) => (Some(settings), Faults::new()),
        Err(faults) => (None, faults),
    };
    if account.is_none() {
        faults.push(("account", "choose whose endpoint it is".to_owned()));
    }
    let livemode = scope.livemode().or_else(|| match visit.form.get("mode") {
        "live" => Some(true),
        "test" => Some(false),
        _ => None,
    });
    if livemode.is_none() {
        faults.push(("mode", "choose live or test".to_owned()));
    }
    let secret = match secret(&visit.form) {
        Ok(secret) => secret,
        Err(why) => {
            faults.push(("secret", why));
            None
        }
    };
    match (settings, account, livemode, faults.is_empty()) {
        (Some(settings), Some(account), Some(livemode), true) => {
            Ok(EndpointDraft { account, livemode, settings, secret })
        }
        _ => Err(faults),
    }
}

/// The engine's refusal as a fault of the form; what is no field's fault is a refusal.
fn fault_of(error: EngineError) -> Result<(&'static str, String), Refusal> {
    match error {
        EngineError::Refused { field, detail } => Ok((field, detail)),
        EngineError::Conflict(why) => Ok(("account", why.to_owned())),
        other => Err(other.into()),
    }
}

fn again(visit: &Visit, content: Markup, title: &str) -> Response {
    layout::page_with(visit, StatusCode::UNPROCESSABLE_ENTITY, Section::Endpoints, title, content)
}

fn created(visit: &Visit, view: &EndpointView) -> Markup {
    let id = view.endpoint.id;
    html! {
        (layout::trail(visit, &[("/endpoints", "Endpoints")]))
        div.head { h1 { "Endpoint created" } }
        div.card {
            p { "This is its secret. Give it to the receiver now: requests are signed with it, and it is " strong { "shown here once" } "." }
            button.copy.small.js-only type="button" data-copy="#secret" { "Copy" }
            pre #secret { (view.endpoint.secrets.current.expose()) }
            p { a.button.primary href=(visit.link(&format!("/endpoints/{id}"))) { "To the endpoint" } }
        }
    }
}

fn creation(visit: &Visit, typed: &Typed, faults: &Faults) -> Markup {
    let scope = visit.viewer.scope;
    let chosen = visit.form.given("account").unwrap_or_else(|| visit.query.get("account"));
    let fields = html! {
        @if scope.is_operator() {
            div.field {
                label for="account" { "Account" }
                select #account name="account" required aria-describedby="fault-account" {
                    option value="" { "Choose…" }
                    @for account in accounts::some(visit) {
                        @let id = account.id.to_string();
                        option value=(id) selected[chosen == id] { (account.name) }
                    }
                    option value="acc_operator" selected[chosen == "acc_operator"] { "Operator (events about the service)" }
                }
                (fault(faults, "account"))
            }
        } @else { (fault(faults, "account")) }
        @if scope.livemode().is_none() {
            fieldset {
                legend { "Mode" }
                @for (value, name, about) in [("test", "Test", "gets test events alone"), ("live", "Live", "gets live events alone")] {
                    div.tick {
                        input type="radio" id={ "mode-" (value) } name="mode" value=(value) required
                            checked[visit.form.get("mode") == value || (value == "test" && visit.form.get("mode").is_empty())];
                        label for={ "mode-" (value) } { (name) " " span.muted { (about) } }
                    }
                }
                (fault(faults, "mode"))
            }
        }
    };
    let secret = html! {
        div.field {
            label for="secret" { "Secret " span.muted { "(optional)" } }
            input #secret name="secret" type="password" autocomplete="off" aria-describedby="hint-secret fault-secret";
            p.hint #hint-secret { "One of your own, of 24 to 256 visible characters. Left empty, one is made." }
            (fault(faults, "secret"))
        }
    };
    html! {
        (layout::trail(visit, &[("/endpoints", "Endpoints")]))
        div.head { h1 { "New endpoint" } }
        form.form method="post" action=(visit.link("/endpoints/new")) data-check=(visit.link("/endpoints/check")) novalidate {
            (visit.viewer.token())
            (summary(faults))
            (fields)
            (common(visit, typed, faults))
            (advanced(typed, faults, &secret))
            div.actions { button.primary type="submit" { "Create endpoint" } a href=(visit.link("/endpoints")) { "Cancel" } }
        }
    }
}

fn changing(visit: &Visit, endpoint: &Endpoint, typed: &Typed, faults: &Faults) -> Markup {
    let path = format!("/endpoints/{}", endpoint.id);
    html! {
        (layout::trail(visit, &[("/endpoints", "Endpoints"), (&path, &names::of_endpoint(endpoint))]))
        div.head { h1 { "Edit endpoint" } }
        form.form method="post" action=(visit.link(&format!("{path}/edit"))) data-check=(visit.link("/endpoints/check")) novalidate {
            (visit.viewer.token())
            input type="hidden" name="endpoint" value=(endpoint.id);
            (summary(faults))
            (common(visit, typed, faults))
            (advanced(typed, faults, &html! {}))
            div.actions { button.primary type="submit" { "Save" } a href=(visit.link(&path)) { "Cancel" } }
        }
    }
}

fn summary(faults: &Faults) -> Markup {
    html! {
        @if !faults.is_empty() {
            div.alarm role="alert" { p { strong { "Not saved. " } (faults.len()) @if faults.len() == 1 { " field needs" } @else { " fields need" } " another look." } }
        }
    }
}

fn fault(faults: &Faults, name: &str) -> Markup {
    let words = faults.iter().find(|(known, _)| *known == name).map(|(_, words)| words);
    html! { p.fault id={ "fault-" (name) } aria-live="polite" { @if let Some(words) = words { bdi { (words) } } } }
}

fn invalid(faults: &Faults, name: &str) -> Option<&'static str> {
    faults.iter().any(|(known, _)| *known == name).then_some("true")
}

fn common(visit: &Visit, typed: &Typed, faults: &Faults) -> Markup {
    html! {
        div.field {
            label for="url" { "URL" }
            input #url name="url" type="url" inputmode="url" value=(typed.url) required placeholder="https://example.com/webhooks"
                autocomplete="off" spellcheck="false" aria-describedby="fault-url" aria-invalid=[invalid(faults, "url")];
            (fault(faults, "url"))
        }
        div.field {
            label for="description" { "Description " span.muted { "(optional)" } }
            input #description name="description" value=(typed.description) maxlength="1000" aria-describedby="fault-description";
            (fault(faults, "description"))
        }
        fieldset {
            legend { "Event types" }
            div.tick {
                input #type-any type="checkbox" name="types" value="*" checked[typed.types.iter().any(|name| name == "*")];
                label for="type-any" { "All " span.muted { "those that are added later as well" } }
            }
            @for (index, name) in event_types::names_to_subscribe(visit).iter().enumerate() {
                div.tick {
                    input id={ "type-" (index) } type="checkbox" name="types" value=(name) checked[typed.types.contains(name)];
                    label for={ "type-" (index) } { code { (name) } }
                }
            }
            div.field {
                label for="patterns" { "Groups " span.muted { "(optional)" } }
                input #patterns name="patterns" value=(typed.patterns.replace('\n', ", ")) placeholder="policy.*" spellcheck="false" autocomplete="off";
            }
            (fault(faults, "types"))
        }
    }
}

fn advanced(typed: &Typed, faults: &Faults, more: &Markup) -> Markup {
    const NAMES: [&str; 7] = [
        "filter",
        "headers",
        "timeout_seconds",
        "retry_schedule",
        "rate_per_second",
        "max_in_flight",
        "secret",
    ];
    let is_open = faults.iter().any(|(name, _)| NAMES.contains(name) || *name == "standard_webhooks");
    let number = |name: &'static str, label: &str, value: &str, hint: &str| {
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(value) inputmode="numeric" autocomplete="off"
                    aria-describedby={ "hint-" (name) " fault-" (name) } aria-invalid=[invalid(faults, name)];
                p.hint id={ "hint-" (name) } { (hint) }
                (fault(faults, name))
            }
        }
    };
    html! {
        details open[is_open] {
            summary { "Delivery settings" }
            div.in.form {
                (more)
                div.two {
                    (number("timeout_seconds", "Timeout in seconds", &typed.timeout_seconds, "1 to 60"))
                    (number("max_in_flight", "Requests at once", &typed.max_in_flight, "1 to 1000"))
                    (number("rate_per_second", "Requests per second", &typed.rate_per_second, "Empty: no limit"))
                    (number("rate_burst", "Burst after a pause", &typed.rate_burst, "Empty: as many as per second"))
                }
                div.field {
                    label for="retry_schedule" { "Retry schedule" }
                    input #retry_schedule name="retry_schedule" value=(typed.retry_schedule) placeholder="5s, 5m, 30m, 2h" spellcheck="false"
                        autocomplete="off" aria-describedby="hint-retry fault-retry_schedule" aria-invalid=[invalid(faults, "retry_schedule")];
                    p.hint #hint-retry { "The delay after each failed attempt. Empty: the installation’s." }
                    (fault(faults, "retry_schedule"))
                }
                div.field {
                    label for="filter" { "Filter by content" }
                    textarea #filter name="filter" rows="3" spellcheck="false" placeholder="{\"path\": \"/policy_id\", \"prefix\": \"TEST-\"}"
                        aria-describedby="hint-filter fault-filter" aria-invalid=[invalid(faults, "filter")] { (typed.filter) }
                    p.hint #hint-filter { "JSON that the payload must match. Empty: every event of the chosen types." }
                    (fault(faults, "filter"))
                }
                div.field {
                    label for="headers" { "Headers of its own" }
                    textarea #headers name="headers" rows="3" spellcheck="false" placeholder="X-Api-Key: abc"
                        aria-describedby="hint-headers fault-headers" aria-invalid=[invalid(faults, "headers")] { (typed.headers) }
                    p.hint #hint-headers { "One a line. Values are not shown again; a name alone keeps the value it has." }
                    (fault(faults, "headers"))
                }
                div.tick {
                    input #ordered type="checkbox" name="ordered" checked[typed.ordered];
                    label for="ordered" { "One at a time, in order " span.muted { "a failing delivery holds those behind it" } }
                }
                div.tick {
                    input #standard_webhooks type="checkbox" name="standard_webhooks" checked[typed.standard_webhooks];
                    label for="standard_webhooks" { "Standard Webhooks headers as well " span.muted { "SHA-256 and protection against replays" } }
                }
                (fault(faults, "standard_webhooks"))
            }
        }
    }
}
