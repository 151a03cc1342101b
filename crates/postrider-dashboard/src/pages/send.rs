//! An event by hand: from a type's example, or from an event that was there before.

use bytes::Bytes;
use http::StatusCode;
use maud::{Markup, html};
use postrider_core::id::{AccountId, EventId};
use postrider_engine::EngineError;
use postrider_engine::model::Submission;

use super::{accounts, event_types};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::show::text::lossy;
use crate::visit::Visit;

/// The form's content and what is wrong with it: places in the payload, or a field.
#[derive(Default)]
struct Typed {
    account: String,
    event_type: String,
    mode: String,
    payload: String,
    faults: Vec<(String, String)>,
}

/// The form: with the chosen type's example, or with the payload of the event that the address names.
pub(crate) async fn new(visit: Visit) -> Answer {
    let names = event_types::platform_names(&visit);
    let mut typed = Typed { account: visit.query.get("account").to_owned(), ..Typed::default() };
    typed.event_type =
        visit.query.given("type").map_or_else(|| names.first().cloned().unwrap_or_default(), str::to_owned);
    if let Some(id) = visit.query.given("event") {
        let event = visit.engine().event(id.parse::<EventId>().or(Err(Refusal::NotFound))?).await?;
        typed.account = event.account.to_string();
        typed.payload = lossy(&event.payload).into_owned();
        typed.event_type = event.event_type;
    } else {
        typed.payload = event_types::example(visit.engine(), &typed.event_type).unwrap_or_default();
    }
    layout::page(&visit, Section::Events, "Send an event", form(&visit, &names, &typed))
}

/// Judges it and hands it in, as the API would.
pub(crate) async fn create(visit: Visit) -> Answer {
    let mut typed = Typed {
        account: visit.form.get("account").to_owned(),
        event_type: visit.form.get("type").to_owned(),
        mode: visit.form.get("mode").to_owned(),
        // A browser sends line ends as CR LF, whatever was typed.
        payload: visit.form.get("payload").replace("\r\n", "\n"),
        faults: Vec::new(),
    };
    if let Some(submission) = check(&visit, &mut typed).await {
        match visit.engine().ingest(vec![submission]).await {
            Ok(accepted) => {
                let id = accepted.first().map(|event| event.id).ok_or(Refusal::NotFound)?;
                return Ok(visit.see(&format!("/events/{id}?said=sent")));
            }
            Err(EngineError::EventRefused { faults, .. }) => {
                typed.faults.extend(faults.into_iter().map(|fault| (fault.pointer, fault.detail)));
            }
            Err(EngineError::TooExpensive { place, .. }) => typed.faults.push((place.pointer, place.detail)),
            Err(EngineError::NotFound) => {
                typed.faults.push(("account".to_owned(), "is not there any more".to_owned()))
            }
            Err(other) => return Err(other.into()),
        }
    }
    let content = form(&visit, &event_types::platform_names(&visit), &typed);
    Ok(layout::page_with(&visit, StatusCode::UNPROCESSABLE_ENTITY, Section::Events, "Send an event", content))
}

async fn check(visit: &Visit, typed: &mut Typed) -> Option<Submission> {
    let mut fault = |place: &str, words: String| typed.faults.push((place.to_owned(), words));
    let account = typed.account.parse::<AccountId>().ok().filter(|id| visit.engine().account(*id).is_ok());
    if account.is_none() {
        fault("account", "choose whose event it is".to_owned());
    }
    let stated = match typed.mode.as_str() {
        "live" => Some(true),
        "test" => Some(false),
        _ => None,
    };
    let payload = typed.payload.trim();
    if payload.len() > postrider_core::limits::MAX_PAYLOAD_BYTES {
        fault("payload", "is longer than 1 MiB".to_owned());
        return None;
    }
    match event_types::check(visit.engine(), &typed.event_type, payload, stated).await {
        Err(violations) => {
            for (pointer, detail) in violations {
                fault(&pointer, detail);
            }
            None
        }
        Ok((event_type, livemode)) => Some(Submission {
            account: account?,
            event_type,
            livemode,
            payload: Bytes::from(payload.to_owned()),
        }),
    }
}

fn form(visit: &Visit, names: &[String], typed: &Typed) -> Markup {
    html! {
        (layout::trail(visit, &[("/events", "Events")]))
        div.head { h1 { "Send an event" } }
        nav.chips aria-label="Begin with the example of" {
            @for name in names {
                a href=(visit.link(&format!("/events/new?type={name}&account={}", typed.account)))
                    aria-current=[(typed.event_type == *name).then_some("true")] { (name) }
            }
        }
        form.form method="post" action=(visit.link("/events/new")) {
            (visit.viewer.token())
            input type="hidden" name="type" value=(typed.event_type);
            @if !typed.faults.is_empty() {
                div.alarm role="alert" {
                    p { strong { "Not sent. " } "Nothing was stored." }
                    ul { @for (place, words) in &typed.faults { li { code { bdi { (place) } } " " bdi { (words) } } } }
                }
            }
            div.two {
                div.field {
                    label for="account" { "Account" }
                    select #account name="account" required {
                        option value="" { "Choose…" }
                        @for account in accounts::some(visit) {
                            @let id = account.id.to_string();
                            option value=(id) selected[typed.account == id] { (account.name) }
                        }
                    }
                }
                div.field {
                    label for="mode" { "Mode" }
                    select #mode name="mode" aria-describedby="hint-mode" {
                        @for (value, name) in [("", "As the payload says"), ("test", "Test"), ("live", "Live")] {
                            option value=(value) selected[typed.mode == value] { (name) }
                        }
                    }
                    p.hint #hint-mode { "For a payload without " code { "livemode" } "." }
                }
            }
            div.field {
                label for="payload" { "Payload of " code { (typed.event_type) } }
                textarea #payload name="payload" rows="22" spellcheck="false" required { (typed.payload) }
                p.hint { "Delivered as it stands here, byte for byte. It goes to every endpoint that wants it." }
            }
            div.actions { button.primary type="submit" { "Send" } a href=(visit.link("/events")) { "Cancel" } }
        }
    }
}
