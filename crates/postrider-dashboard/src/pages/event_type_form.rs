//! The form of an event type, for the operator: to add one, and to change one.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use postrider_core::catalogue::{EventType, RaisedBy, TypePatch};
use postrider_core::limits::{MAX_DESCRIPTION_CHARS, MAX_EVENT_TYPE_BYTES};
use postrider_engine::EngineError;
use postrider_engine::model::EventTypeDraft;

use super::event_types::find;
use crate::answer::Answer;
use crate::form::Fields;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::visit::Visit;

/// The form's content, as it was typed.
#[derive(Default)]
struct Typed {
    name: String,
    description: String,
    schema: String,
    example: String,
    validation: bool,
}

/// Faults by the name of their field.
type Faults = Vec<(String, String)>;

impl Typed {
    fn read(form: &Fields) -> Self {
        // A browser sends line ends as CR LF, whatever was typed.
        let text = |name: &str| form.get(name).replace("\r\n", "\n").trim().to_owned();
        Self {
            name: text("name"),
            description: text("description"),
            schema: text("schema"),
            example: text("example"),
            validation: form.is_ticked("validation"),
        }
    }

    fn of(known: &EventType) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().replace("\r\n", "\n").trim().to_owned();
        Self {
            name: known.name().to_owned(),
            description: text(Some(known.description())),
            schema: text(known.schema()),
            example: text(known.example()),
            validation: known.is_validated(),
        }
    }

    /// What differs from the type as it stands.
    fn patch(self, known: &EventType) -> TypePatch {
        let before = Self::of(known);
        let changed = |before: String, typed: String| (before != typed).then(|| given(typed));
        TypePatch {
            description: changed(before.description, self.description),
            schema: changed(before.schema, self.schema),
            example: changed(before.example, self.example),
            validation: Some(self.validation),
            archived: None,
        }
    }
}

/// A text; none where nothing was typed.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The form of a new one.
pub(crate) async fn new(visit: Visit) -> Answer {
    let typed = Typed { validation: true, ..Typed::default() };
    layout::page(&visit, Section::EventTypes, "New event type", creation(&visit, &typed, &Faults::new()))
}

/// Adds it.
pub(crate) async fn create(visit: Visit) -> Answer {
    let typed = Typed::read(&visit.form);
    let draft = EventTypeDraft {
        name: typed.name.clone(),
        description: given(typed.description.clone()),
        schema: given(typed.schema.clone()),
        example: given(typed.example.clone()),
        validation: typed.validation,
    };
    match visit.acting().create_event_type(draft, None).await {
        Ok(made) => Ok(visit.see(&format!("/event-types/{}?said=added", made.name()))),
        Err(error) => {
            let faults = faults_of(error)?;
            Ok(again(&visit, creation(&visit, &typed, &faults), "New event type"))
        }
    }
}

/// The form of one that is there.
pub(crate) async fn edit(visit: Visit) -> Answer {
    let known = find(&visit)?;
    if known.raised_by() == RaisedBy::Service {
        return Err(Refusal::NotFound);
    }
    let content = changing(&visit, &known, &Typed::of(&known), &Faults::new());
    layout::page(&visit, Section::EventTypes, "Edit event type", content)
}

/// Changes it.
pub(crate) async fn change(visit: Visit) -> Answer {
    let known = find(&visit)?;
    let patch = Typed::read(&visit.form).patch(&known);
    match visit.acting().update_event_type(known.name(), patch).await {
        Ok(_) => Ok(visit.see(&format!("/event-types/{}?said=changed", known.name()))),
        Err(error) => {
            let faults = faults_of(error)?;
            let content = changing(&visit, &known, &Typed::read(&visit.form), &faults);
            Ok(again(&visit, content, "Edit event type"))
        }
    }
}

/// The engine's refusal as faults of the form's fields; what is no field's fault is a refusal.
fn faults_of(error: EngineError) -> Result<Faults, Refusal> {
    match error {
        EngineError::Invalid(found) => Ok(found
            .into_iter()
            .map(|fault| {
                let pointer = fault.pointer.trim_start_matches('/');
                let (field, within) = pointer.split_once('/').unwrap_or((pointer, ""));
                let place = if within.is_empty() { String::new() } else { format!("/{within}: ") };
                (field.to_owned(), format!("{place}{}", fault.detail))
            })
            .collect()),
        EngineError::Conflict(why) => Ok(vec![("name".to_owned(), why.to_owned())]),
        other => Err(other.into()),
    }
}

fn again(visit: &Visit, content: Markup, title: &str) -> Response {
    layout::page_with(visit, StatusCode::UNPROCESSABLE_ENTITY, Section::EventTypes, title, content)
}

fn creation(visit: &Visit, typed: &Typed, faults: &Faults) -> Markup {
    html! {
        (layout::trail(visit, &[("/event-types", "Event types")]))
        div.head { h1 { "New event type" } }
        form.form method="post" action=(visit.link("/new-event-type")) novalidate {
            (visit.viewer.token())
            (summary(faults))
            div.field {
                label for="name" { "Name" }
                input #name name="name" value=(typed.name) required maxlength=(MAX_EVENT_TYPE_BYTES) placeholder="claim.opened"
                    autocomplete="off" spellcheck="false" aria-describedby="hint-name fault-name" aria-invalid=[invalid(faults, "name")];
                p.hint #hint-name { "Words joined by dots. It never changes; endpoints subscribe it, or its group, such as " code { "claim.*" } "." }
                (fault(faults, "name"))
            }
            (common(typed, faults, "any JSON object passes", "no test event of it can be sent"))
            div.actions { button.primary type="submit" { "Add event type" } a href=(visit.link("/event-types")) { "Cancel" } }
        }
    }
}

fn changing(visit: &Visit, known: &EventType, typed: &Typed, faults: &Faults) -> Markup {
    let path = format!("/event-types/{}", known.name());
    let (no_schema, no_example) = if known.is_built_in() {
        ("the one that comes with the service", "the one that comes with the service")
    } else {
        ("any JSON object passes", "no test event of it can be sent")
    };
    html! {
        (layout::trail(visit, &[("/event-types", "Event types"), (&path, known.name())]))
        div.head { h1 { "Edit " code { (known.name()) } } }
        form.form method="post" action=(visit.link(&format!("{path}/edit"))) novalidate {
            (visit.viewer.token())
            (summary(faults))
            (fault(faults, "name"))
            (common(typed, faults, no_schema, no_example))
            div.actions { button.primary type="submit" { "Save" } a href=(visit.link(&path)) { "Cancel" } }
        }
    }
}

fn common(typed: &Typed, faults: &Faults, no_schema: &str, no_example: &str) -> Markup {
    html! {
        div.field {
            label for="description" { "Description " span.muted { "(optional)" } }
            input #description name="description" value=(typed.description) maxlength=(MAX_DESCRIPTION_CHARS)
                placeholder="Triggered when a claim has been opened." aria-describedby="fault-description"
                aria-invalid=[invalid(faults, "description")];
            (fault(faults, "description"))
        }
        div.field {
            label for="schema" { "Schema " span.muted { "(optional)" } }
            textarea #schema name="schema" rows="14" spellcheck="false" aria-describedby="hint-schema fault-schema"
                aria-invalid=[invalid(faults, "schema")] { (typed.schema) }
            p.hint #hint-schema { "JSON Schema 2020-12 that refers to nothing outside of itself. Empty: " (no_schema) "." }
            (fault(faults, "schema"))
        }
        div.tick {
            input #validation type="checkbox" name="validation" value="on" checked[typed.validation];
            label for="validation" { "Judge payloads by the schema " span.muted { "otherwise any JSON object passes" } }
        }
        div.field {
            label for="example" { "Example " span.muted { "(optional)" } }
            textarea #example name="example" rows="14" spellcheck="false" aria-describedby="hint-example fault-example"
                aria-invalid=[invalid(faults, "example")] { (typed.example) }
            p.hint #hint-example { "A payload that fits the schema; it is what test events are made of. Empty: " (no_example) "." }
            (fault(faults, "example"))
        }
    }
}

fn summary(faults: &Faults) -> Markup {
    html! { @if !faults.is_empty() { div.alarm role="alert" { p { strong { "Not saved. " } "What is wrong is said below." } } } }
}

/// Every fault of a field: a schema or an example can have several.
fn fault(faults: &Faults, name: &str) -> Markup {
    let of_field = faults.iter().filter(|(known, _)| known == name);
    html! {
        div id={ "fault-" (name) } aria-live="polite" {
            @for (_, words) in of_field { p.fault { bdi { (words) } } }
        }
    }
}

fn invalid(faults: &Faults, name: &str) -> Option<&'static str> {
    faults.iter().any(|(known, _)| known == name).then_some("true")
}
