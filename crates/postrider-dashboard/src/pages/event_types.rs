//! The catalogue: the event types with their schemas and examples, for reading. What other pages ask of it is here as well.

use maud::{Markup, html};
use postrider_core::catalogue::{EventType, RaisedBy};
use postrider_core::id::AccountId;
use postrider_core::payload;
use postrider_engine::Engine;

use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::show::json;
use crate::visit::Visit;

/// Whether a visitor is shown a type: customers get none that the service raises.
fn is_shown(visit: &Visit, event_type: &EventType) -> bool {
    visit.viewer.scope.is_operator() || event_type.raised_by == RaisedBy::Platform
}

/// Every name that a visitor may choose from.
pub(super) fn all_names(visit: &Visit) -> Vec<String> {
    let all = visit.engine().catalogue().all().iter();
    all.filter(|known| is_shown(visit, known)).map(|known| known.name.to_owned()).collect()
}

/// Every name that can be sent to an endpoint of an account.
pub(super) fn names_for(visit: &Visit, account: AccountId) -> Vec<&'static str> {
    let is_operators = account == AccountId::OPERATOR;
    let raised_by = if is_operators { RaisedBy::Service } else { RaisedBy::Platform };
    let all = visit.engine().catalogue().all().iter();
    all.filter(|known| known.raised_by == raised_by).map(|known| known.name).collect()
}

/// Every name that can be handed in.
pub(super) fn platform_names(visit: &Visit) -> Vec<String> {
    visit.engine().catalogue().of_platform().map(|known| known.name.to_owned()).collect()
}

pub(super) fn is_known(engine: &Engine, name: &str) -> bool {
    engine.catalogue().get(name).is_some()
}

/// A type's example.
pub(super) fn example(engine: &Engine, name: &str) -> Option<String> {
    engine.catalogue().get(name).map(|known| known.example.trim().to_owned())
}

/// Judges a payload: its type's name and its mode, or each place that is wrong.
pub(super) fn judge(
    engine: &Engine,
    name: &str,
    payload: &str,
    stated: Option<bool>,
) -> Result<(&'static str, bool), Vec<(String, String)>> {
    let known = engine.catalogue().get(name).filter(|known| known.raised_by == RaisedBy::Platform);
    let known = known
        .ok_or_else(|| vec![("type".to_owned(), "is no event type that can be handed in".to_owned())])?;
    let place = |pointer: String| if pointer.is_empty() { "payload".to_owned() } else { pointer };
    match payload::check(known, payload, stated) {
        Ok(livemode) => Ok((known.name, livemode)),
        Err(violations) => Err(violations.into_iter().map(|one| (place(one.pointer), one.detail)).collect()),
    }
}

pub(crate) async fn list(visit: Visit) -> Answer {
    let all: Vec<&EventType> =
        visit.engine().catalogue().all().iter().filter(|known| is_shown(&visit, known)).collect();
    let content = html! {
        div.head { h1 { "Event types" } }
        div.scroll { table.list {
            thead { tr { th scope="col" { "Name" } th scope="col" { "When" } th scope="col" { "Raised by" } } }
            tbody {
                @for known in all {
                    tr data-key=(known.name) {
                        td { a.row href=(visit.link(&format!("/event-types/{}", known.name))) { code { (known.name) } } }
                        td.wide { (known.description) }
                        td { @match known.raised_by { RaisedBy::Platform => "the platform", RaisedBy::Service => "the service" } }
                    }
                }
            }
        } }
    };
    layout::page(&visit, Section::EventTypes, "Event types", content)
}

pub(crate) async fn show(visit: Visit) -> Answer {
    let name: String = visit.id()?;
    let known = visit
        .engine()
        .catalogue()
        .get(&name)
        .filter(|known| is_shown(&visit, known))
        .ok_or(Refusal::NotFound)?;
    let content = html! {
        (layout::trail(&visit, &[("/event-types", "Event types")]))
        div.head {
            h1 { code { (known.name) } }
            @if visit.viewer.scope.is_operator() && known.raised_by == RaisedBy::Platform {
                div.actions { a.button href=(visit.link(&format!("/events/new?type={}", known.name))) { "Send one" } }
            }
        }
        p { (known.description) }
        (both(known))
    };
    layout::page(&visit, Section::EventTypes, known.name, content)
}

fn both(known: &EventType) -> Markup {
    html! {
        div.columns {
            section aria-labelledby="example" { h2 #example { "Example" } (json::block(known.example)) }
            section aria-labelledby="schema" {
                h2 #schema { "Schema" }
                p.muted { "JSON Schema 2020-12. Unknown fields pass." }
                (json::block(known.schema))
            }
        }
    }
}
