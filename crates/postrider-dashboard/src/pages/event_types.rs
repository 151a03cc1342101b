//! The catalogue: the event types with their schemas and examples, for reading. What other pages ask of it is here as well.

use std::sync::Arc;

use maud::{Markup, html};
use postrider_core::catalogue::{EventType, RaisedBy, TypePatch};
use postrider_core::id::AccountId;
use postrider_engine::{Engine, Requester};

use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::show::{badge, json, text::visible, time};
use crate::visit::Visit;

/// Whether a visitor is shown a type: customers get none that the service raises.
fn is_shown(visit: &Visit, event_type: &EventType) -> bool {
    visit.viewer.scope.is_operator() || event_type.raised_by() == RaisedBy::Platform
}

fn names<'a>(types: impl Iterator<Item = &'a Arc<EventType>>) -> Vec<String> {
    types.map(|known| known.name().to_owned()).collect()
}

/// Every name that a visitor may look for in the log, archived ones among them.
pub(super) fn all_names(visit: &Visit) -> Vec<String> {
    names(visit.engine().catalogue().all().iter().filter(|known| is_shown(visit, known)))
}

/// Every name that a visitor may subscribe.
pub(super) fn names_to_subscribe(visit: &Visit) -> Vec<String> {
    let catalogue = visit.engine().catalogue();
    names(catalogue.all().iter().filter(|known| is_shown(visit, known) && !known.is_archived()))
}

/// Every name whose example can be sent to an endpoint of an account.
pub(super) fn names_for(visit: &Visit, account: AccountId) -> Vec<String> {
    let is_operators = account == AccountId::OPERATOR;
    let raised_by = if is_operators { RaisedBy::Service } else { RaisedBy::Platform };
    let is_sendable = |known: &&Arc<EventType>| {
        known.raised_by() == raised_by && !known.is_archived() && known.example().is_some()
    };
    names(visit.engine().catalogue().all().iter().filter(is_sendable))
}

/// Every name that can be handed in.
pub(super) fn platform_names(visit: &Visit) -> Vec<String> {
    names(visit.engine().catalogue().in_use())
}

/// Why a name can't be subscribed; nothing where it can.
pub(super) fn why_not(engine: &Engine, name: &str) -> Option<&'static str> {
    match engine.catalogue().get(name) {
        None => Some("is no event type of the catalogue"),
        Some(known) if known.is_archived() => Some("is archived: no new subscriptions of it are taken"),
        Some(_) => None,
    }
}

/// A type's example.
pub(super) fn example(engine: &Engine, name: &str) -> Option<String> {
    engine.catalogue().get(name)?.example().map(|example| example.trim().to_owned())
}

/// A payload's type and its mode, or each place that is wrong.
type Judged = Result<(Arc<EventType>, bool), Vec<(String, String)>>;

/// Checks a payload that is to be handed in.
pub(super) async fn check(engine: &Engine, name: &str, payload: &str, stated: Option<bool>) -> Judged {
    let catalogue = engine.catalogue();
    let known = catalogue.in_use().find(|known| known.name() == name);
    let known = known
        .ok_or_else(|| vec![("type".to_owned(), "is no event type that can be handed in".to_owned())])?;
    let place = |pointer: String| if pointer.is_empty() { "payload".to_owned() } else { pointer };
    match engine.check_payload(Requester::Operator, known, payload, stated).await {
        Ok(Ok(livemode)) => Ok((Arc::clone(known), livemode)),
        Ok(Err(refused)) => {
            let violations = refused.into_violations().into_iter();
            Err(violations.map(|one| (place(one.pointer), one.detail)).collect())
        }
        Err(_busy) => {
            let busy =
                "could not be checked just now: too much is being checked at once; try again in a moment";
            Err(vec![("payload".to_owned(), busy.to_owned())])
        }
    }
}

/// The type in the path, if the visitor may see it.
pub(super) fn find(visit: &Visit) -> Result<Arc<EventType>, Refusal> {
    let name: String = visit.id()?;
    let known = visit.engine().catalogue().get(&name).cloned();
    known.filter(|known| is_shown(visit, known)).ok_or(Refusal::NotFound)
}

/// What is special about a type.
fn marks(known: &EventType) -> Markup {
    html! {
        @if !known.is_built_in() { " " (badge::plain("Custom")) }
        @if known.is_archived() { " " (badge::off("Archived")) }
        @if !known.is_validated() { " " (badge::off("Validation off")) }
    }
}

pub(crate) async fn list(visit: Visit) -> Answer {
    let catalogue = visit.engine().catalogue();
    let all = catalogue.all().iter().filter(|known| is_shown(&visit, known));
    let is_operator = visit.viewer.scope.is_operator();
    let content = html! {
        div.head {
            h1 { "Event types" }
            @if is_operator { div.actions { a.button.primary href=(visit.link("/new-event-type")) { "New event type" } } }
        }
        div.scroll { table.list {
            thead { tr { th scope="col" { "Name" } th scope="col" { "When" } th scope="col" { "Raised by" } } }
            tbody {
                @for known in all {
                    tr data-key=(known.name()) {
                        td {
                            a.row href=(visit.link(&format!("/event-types/{}", known.name()))) { code { (known.name()) } }
                            (marks(known))
                        }
                        td.wide { bdi { (visible(known.description())) } }
                        td { @match known.raised_by() { RaisedBy::Platform => "Platform", RaisedBy::Service => "Service" } }
                    }
                }
            }
        } }
    };
    layout::page(&visit, Section::EventTypes, "Event types", content)
}

pub(crate) async fn show(visit: Visit) -> Answer {
    let known = find(&visit)?;
    let name = known.name();
    let is_operators = visit.viewer.scope.is_operator() && known.raised_by() == RaisedBy::Platform;
    let content = html! {
        (layout::trail(&visit, &[("/event-types", "Event types")]))
        div.head {
            h1 { code { (name) } (marks(&known)) }
            @if is_operators {
                div.actions {
                    @if !known.is_archived() { a.button href=(visit.link(&format!("/events/new?type={name}"))) { "Send one" } }
                    a.button href=(visit.link(&format!("/event-types/{name}/edit"))) { "Edit" }
                }
            }
        }
        (layout::said(&visit))
        @if known.is_archived() { p.muted { "Out of use: no new events and no new subscriptions of it are taken. What was accepted before is sent, shown and resent as ever." } }
        @if !known.description().is_empty() { p { bdi { (visible(known.description())) } } }
        @if let Some(at) = known.updated_at().filter(|_| is_operators) {
            p.muted { @if known.is_built_in() { "Changed " } @else { "Made or last changed " } (time::long(at, visit.engine().now())) "." }
        }
        (both(&known))
        @if is_operators { (archiving(&visit, &known)) }
    };
    layout::page(&visit, Section::EventTypes, name, content)
}

fn both(known: &EventType) -> Markup {
    html! {
        div.columns {
            section aria-labelledby="example" {
                h2 #example { "Example" }
                @match known.example() {
                    Some(example) => (json::block(example)),
                    None => p.muted { "None." },
                }
            }
            section aria-labelledby="schema" {
                h2 #schema { "Schema" }
                @match known.schema() {
                    Some(schema) => {
                        p.muted { "JSON Schema 2020-12." @if !known.is_validated() { " Validation is off: payloads are not judged by it." } }
                        (json::block(schema))
                    }
                    None => p.muted { "None: any JSON object passes." },
                }
            }
        }
    }
}

fn archiving(visit: &Visit, known: &EventType) -> Markup {
    html! {
        section aria-labelledby="use" {
            h2 #use { @if known.is_archived() { "Bring back" } @else { "Archive" } }
            div.actions {
                form method="post" action=(visit.link(&format!("/event-types/{}/archive", known.name()))) {
                    (visit.viewer.token())
                    @if known.is_archived() {
                        p.muted { "Its events and subscriptions are taken again." }
                        button type="submit" name="to" value="back" { "Bring it back" }
                    } @else {
                        p.muted { "No new events and no new subscriptions of it are taken any more. Endpoints keep what they subscribed, and the log stays." }
                        button.danger type="submit" name="to" value="archived" { "Archive it" }
                    }
                }
            }
        }
    }
}

/// Puts a type out of use, or back.
pub(crate) async fn archive(visit: Visit) -> Answer {
    let known = find(&visit)?;
    let (archived, said) = match visit.form.get("to") {
        "archived" => (true, "archived"),
        "back" => (false, "back"),
        _ => return Err(Refusal::BadRequest("Say whether to archive it or to bring it back.".to_owned())),
    };
    let patch = TypePatch { archived: Some(archived), ..TypePatch::default() };
    visit.acting().update_event_type(known.name(), patch).await?;
    Ok(visit.see(&format!("/event-types/{}?said={said}", known.name())))
}
