//! `/v1/event-types`: what can be handed in and subscribed. Whoever has a key may read it; the operator adds to it and
//! changes it. The operational types, which the service raises for the operator, are not in the list, but are found by name.

use http::StatusCode;
use postrider_core::catalogue::{EventType, TypePatch};
use postrider_core::payload::Violation;
use postrider_engine::Engine;
use postrider_engine::model::EventTypeDraft;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::{self, Answer, List, Text, Time};
use crate::body::Limit;
use crate::call::Call;
use crate::fields::{Fields, Given, shown};
use crate::once::once;
use crate::problem::{Code, FieldError, Problem};
use crate::query::Walked;

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    description: &'a str,
    schema: Option<&'a RawValue>,
    example: Option<&'a RawValue>,
    validation: &'static str,
    archived: bool,
    /// Whether the operator added it.
    custom: bool,
    /// When the operator made or last changed it; null: it is as it comes with the service.
    updated_at: Option<Time>,
}

impl<'a> Shown<'a> {
    fn new(event_type: &'a EventType) -> Result<Self, Problem> {
        Ok(Self {
            name: event_type.name(),
            description: event_type.description(),
            schema: event_type.schema().map(exact).transpose()?,
            example: event_type.example().map(exact).transpose()?,
            validation: if event_type.is_validated() { "on" } else { "off" },
            archived: event_type.is_archived(),
            custom: !event_type.is_built_in(),
            updated_at: event_type.updated_at().map(Text),
        })
    }
}

pub(crate) async fn list(call: Call) -> Answer {
    let page = call.query(&["limit", "cursor"])?.page(Walked::EventTypes)?;
    let begin = page.before.and_then(|position| usize::try_from(position).ok()).unwrap_or(0);
    let catalogue = call.engine().catalogue();
    let all: Vec<_> = catalogue.of_platform().collect();
    let end = begin.saturating_add(page.limit).min(all.len());
    let rows = all.get(begin..end).unwrap_or_default();
    let data = rows.iter().map(|event_type| Shown::new(event_type)).collect::<Result<_, _>>()?;
    let next = (end < all.len()).then(|| i64::try_from(end).ok()).flatten();
    let next_cursor = next.map(|position| Walked::EventTypes.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}

pub(crate) async fn show(call: Call) -> Answer {
    call.no_query()?;
    let catalogue = call.engine().catalogue();
    let event_type = catalogue.get(call.name()).ok_or_else(Problem::not_found)?;
    Ok(answer::json(StatusCode::OK, &Shown::new(event_type)?))
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.caller.must_be_operator()?;
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        let draft =
            draft(Fields::parse(body.text()?, &["name", "description", "schema", "example", "validation"])?)?;
        // Whatever is kept was read as JSON before.
        let shown =
            |made: &EventType| Shown::new(made).map(|shown| answer::json_bytes(&shown)).unwrap_or_default();
        let made = call.acting().create_event_type(draft, asked.once(StatusCode::CREATED, shown)).await?;
        tracing::info!(event_type = made.name(), "the operator added an event type");
        Ok(answer::exact_json(StatusCode::CREATED, shown(&made)))
    })
    .await
}

pub(crate) async fn change(mut call: Call) -> Answer {
    call.caller.must_be_operator()?;
    call.engine().catalogue().get(call.name()).ok_or_else(Problem::not_found)?;
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    let known = &["name", "description", "schema", "example", "validation", "archived"];
    let mut fields = Fields::parse(body.text()?, known)?;
    if fields.has("name") {
        fields.refuse("name", "never changes; make a new event type instead");
    }
    let patch = TypePatch {
        description: fields.text("description").map(|given| given.map(Into::into)),
        schema: text_of(&fields, "schema"),
        example: text_of(&fields, "example"),
        validation: validation(&mut fields).map(|given| given.unwrap_or(true)),
        archived: fields.boolean("archived").map(|given| given.unwrap_or(false)),
    };
    fields.finish()?;
    let changed = call.acting().update_event_type(call.name(), patch).await?;
    Ok(answer::json(StatusCode::OK, &Shown::new(&changed)?))
}

fn draft(mut fields: Fields<'_>) -> Result<EventTypeDraft, Problem> {
    fields.require("name");
    let name = fields.needed_text("name");
    let draft = EventTypeDraft {
        name: name.map(Into::into).unwrap_or_default(),
        description: fields.text("description").flatten().map(Into::into),
        schema: text_of(&fields, "schema").flatten(),
        example: text_of(&fields, "example").flatten(),
        validation: validation(&mut fields).flatten().unwrap_or(true),
    };
    fields.finish()?;
    Ok(draft)
}

/// JSON as it was given; what it says is judged elsewhere.
fn text_of(fields: &Fields<'_>, name: &str) -> Given<String> {
    let raw = fields.raw(name)?;
    Some((raw.get() != "null").then(|| raw.get().to_owned()))
}

fn validation(fields: &mut Fields<'_>) -> Given<bool> {
    let Some(text) = fields.text("validation")? else { return Some(None) };
    match &*text {
        "on" => Some(Some(true)),
        "off" => Some(Some(false)),
        _ => {
            fields.refuse("validation", "must be \"on\" or \"off\"");
            None
        }
    }
}

/// JSON that is kept as text, for an answer to hold as it is.
pub(crate) fn exact(text: &str) -> Result<&RawValue, Problem> {
    serde_json::from_str(text)
        .map_err(|_not_json| Problem::new(Code::Internal, "what is stored here is not JSON"))
}

/// Faults that were found within, at their places of the body.
pub(crate) fn faults(base: &str, found: Vec<Violation>) -> Problem {
    let placed =
        |fault: Violation| FieldError { pointer: format!("{base}{}", fault.pointer), detail: fault.detail };
    Problem::invalid(found.into_iter().map(placed).collect())
}

/// What an answer says of a name that is none, or of one that is out of use.
pub(crate) fn not_in_use(engine: &Engine, name: &str) -> String {
    let catalogue = engine.catalogue();
    if catalogue.get(name).is_some_and(|known| known.is_archived()) {
        return format!("\"{}\" is archived: no new events or subscriptions of it are taken", shown(name));
    }
    let known: Vec<_> = catalogue.in_use().take(20).map(|known| known.name()).collect();
    let more = if catalogue.in_use().count() > known.len() { ", …" } else { "" };
    format!("\"{}\" is no event type; known: {}{more}", shown(name), known.join(", "))
}
