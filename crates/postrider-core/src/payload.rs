//! Judges a payload before it is accepted: its mode, and its event type's schema.
//!
//! Only reads: the bytes that are stored, signed and sent are the ones that came in. Numbers keep their text
//! (arbitrary precision), so nothing is judged by a rounded value.

mod glance;
mod not_json;
mod reader;
mod shape;

use jsonschema::Validator;
use serde_json::Value;

use crate::catalogue::EventType;
use crate::limits::MAX_VIOLATIONS;
pub(crate) use shape::Shape;

/// A place in the payload that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where: a JSON Pointer (RFC 6901) from the payload's root.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Violation {
    fn new(pointer: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), detail: detail.into() }
    }
}

/// Judges the payload `json` of an event of this type and gives its mode.
///
/// `stated_mode` is the mode that the key or the request names. The payload's own `livemode` must agree with
/// it; where neither names a mode the event has none and is refused.
pub fn check(event_type: &EventType, json: &str, stated_mode: Option<bool>) -> Result<bool, Vec<Violation>> {
    match event_type.shape().and_then(|shape| check_at_a_glance(shape, json, stated_mode)) {
        Some(livemode) => Ok(livemode),
        None => check_in_full(event_type.validator(), json, stated_mode),
    }
}

/// The mode of a payload that is certainly good; none where only the full check can tell.
fn check_at_a_glance(shape: &Shape, json: &str, stated_mode: Option<bool>) -> Option<bool> {
    let livemode = glance::at(shape, json)?.livemode.map(Value::Bool);
    mode(livemode.as_slice(), stated_mode).ok()
}

/// The value of a payload, to be looked at; none where it can't be read. The last of equal keys wins.
pub(crate) fn value(json: &str) -> Option<Value> {
    reader::read(json).ok().map(|payload| payload.value)
}

fn check_in_full(
    validator: &Validator,
    json: &str,
    stated_mode: Option<bool>,
) -> Result<bool, Vec<Violation>> {
    let payload =
        reader::read(json).map_err(|why| vec![Violation::new("", format!("can't be read: {why}"))])?;
    if !payload.value.is_object() {
        return Err(vec![Violation::new("", "must be an object")]);
    }
    let mut violations = schema_violations(validator, &payload.value);
    match mode(&payload.modes, stated_mode) {
        Ok(livemode) if violations.is_empty() => return Ok(livemode),
        Ok(_) => {}
        Err(violation) => {
            if violations.iter().all(|known| known.pointer != violation.pointer) {
                violations.push(violation);
            }
        }
    }
    Err(violations)
}

/// The event's mode from every `livemode` in the payload and from what was stated beside it.
fn mode(in_payload: &[Value], stated: Option<bool>) -> Result<bool, Violation> {
    let refuse = |detail: &str| Err(Violation::new("/livemode", detail));
    let mut livemode = None;
    for value in in_payload {
        match (value, livemode) {
            (Value::Bool(found), None) => livemode = Some(*found),
            (Value::Bool(found), Some(before)) if *found == before => {}
            (Value::Bool(_), Some(_)) => return refuse("two \"livemode\" keys that contradict each other"),
            _ => return refuse("\"livemode\" must be true or false"),
        }
    }
    match (livemode, stated) {
        (Some(found), Some(stated)) if found != stated => refuse(&format!(
            "the payload is {}, but the key or the request's \"livemode\" is {}",
            mode_name(found),
            mode_name(stated)
        )),
        (Some(livemode), _) | (None, Some(livemode)) => Ok(livemode),
        (None, None) => {
            refuse("no mode: the payload has no \"livemode\"; add it to the payload or to the request")
        }
    }
}

fn mode_name(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}

/// Every place at which the payload breaks its type's schema, up to [`MAX_VIOLATIONS`].
fn schema_violations(validator: &Validator, payload: &Value) -> Vec<Violation> {
    if validator.is_valid(payload) {
        return Vec::new();
    }
    validator.iter_errors(payload).take(MAX_VIOLATIONS).map(|error| violation_of(&error)).collect()
}

fn violation_of(error: &jsonschema::ValidationError<'_>) -> Violation {
    use jsonschema::error::ValidationErrorKind as Kind;
    let place = error.instance_path().as_str();
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let pointer = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
            Violation { pointer, detail: "is required and missing".to_owned() }
        }
        Kind::Type { kind } => Violation::new(place, format!("must be {}", wanted_types(kind))),
        // The instance itself stays out of the text: it may be long, and it is personal data.
        _ => Violation::new(place, error.masked().to_string()),
    }
}

fn wanted_types(kind: &jsonschema::error::TypeKind) -> String {
    use jsonschema::error::TypeKind;
    match kind {
        TypeKind::Single(one) => with_article(&one.to_string()),
        TypeKind::Multiple(several) => {
            several.iter().map(|one| with_article(&one.to_string())).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn with_article(name: &str) -> String {
    match name {
        "null" => "null".to_owned(),
        "array" | "integer" | "object" => format!("an {name}"),
        other => format!("a {other}"),
    }
}

#[cfg(test)]
mod tests;
