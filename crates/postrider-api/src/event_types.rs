//! `/v1/event-types`: what can be handed in and subscribed. Read alone; whoever has a key may. The operational types,
//! which the service raises for the operator, are not in the list, but are found by name.

use http::StatusCode;
use postrider_core::catalogue::EventType;
use postrider_engine::Engine;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::{self, Answer, List};
use crate::call::Call;
use crate::problem::{Code, Problem};
use crate::query::Walked;

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    description: &'a str,
    schema: &'a RawValue,
    example: &'a RawValue,
    validation: &'static str,
}

impl<'a> Shown<'a> {
    fn new(event_type: &'a EventType) -> Result<Self, Problem> {
        Ok(Self {
            name: event_type.name,
            description: event_type.description,
            schema: exact(event_type.schema)?,
            example: exact(event_type.example)?,
            validation: "on",
        })
    }
}

pub(crate) async fn list(call: Call) -> Answer {
    let page = call.query(&["limit", "cursor"])?.page(Walked::EventTypes)?;
    let begin = page.before.and_then(|position| usize::try_from(position).ok()).unwrap_or(0);
    let all: Vec<_> = call.engine().catalogue().of_platform().collect();
    let end = begin.saturating_add(page.limit).min(all.len());
    let rows = all.get(begin..end).unwrap_or_default();
    let data = rows.iter().map(|event_type| Shown::new(event_type)).collect::<Result<_, _>>()?;
    let next = (end < all.len()).then(|| i64::try_from(end).ok()).flatten();
    let next_cursor = next.map(|position| Walked::EventTypes.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}

pub(crate) async fn show(call: Call) -> Answer {
    call.no_query()?;
    let event_type = call.engine().catalogue().get(call.name()).ok_or_else(Problem::not_found)?;
    Ok(answer::json(StatusCode::OK, &Shown::new(event_type)?))
}

/// JSON that is kept as text, for an answer to hold as it is.
pub(crate) fn exact(text: &str) -> Result<&RawValue, Problem> {
    serde_json::from_str(text)
        .map_err(|_not_json| Problem::new(Code::Internal, "what is stored here is not JSON"))
}

/// The names of the types that can be handed in, for an answer that refuses another.
pub(crate) fn known_types(engine: &Engine) -> String {
    let names: Vec<_> = engine.catalogue().of_platform().take(20).map(|known| known.name).collect();
    names.join(", ")
}
