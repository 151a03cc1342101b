//! Judges a payload before it is accepted: its mode, and its event type's schema.
//!
//! Only reads: the bytes that are stored, signed and sent are the ones that came in. Numbers keep their text
//! (arbitrary precision), so nothing is judged by a rounded value.

mod glance;
mod not_json;
mod reader;
mod shape;
mod telling;

use std::fmt;

use jsonschema::Validator;
use serde_json::Value;

use crate::catalogue::EventType;
use crate::limits::MAX_VIOLATIONS;
use not_json::NotJson;
use shape::Shape;

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
    event_type.judge().check(json, stated_mode)
}

/// What payloads of a type are judged by: its schema, ready for use.
pub(crate) struct Judge {
    /// None: any object passes.
    validator: Option<Validator>,
    /// Whether every place that is wrong can be told, see `telling.rs`.
    tells_places: bool,
    /// What the schema asks for, if that is plain enough to judge a payload at a glance.
    shape: Option<Shape>,
}

impl Judge {
    /// By a schema and what was compiled of it.
    pub(crate) fn new(schema: &Value, validator: Validator) -> Self {
        Self {
            validator: Some(validator),
            tells_places: telling::is_bounded(schema),
            shape: Shape::of_payload(schema),
        }
    }

    /// Any object passes.
    pub(crate) fn of_anything() -> Self {
        Self { validator: None, tells_places: true, shape: Shape::of_payload(&Value::Bool(true)) }
    }

    #[cfg(test)]
    pub(crate) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// Judges a payload as [`check`] does.
    pub(crate) fn check(&self, json: &str, stated_mode: Option<bool>) -> Result<bool, Vec<Violation>> {
        match self.shape.as_ref().and_then(|shape| check_at_a_glance(shape, json, stated_mode)) {
            Some(livemode) => Ok(livemode),
            None => self.check_in_full(json, stated_mode),
        }
    }

    fn check_in_full(&self, json: &str, stated_mode: Option<bool>) -> Result<bool, Vec<Violation>> {
        let payload =
            reader::read(json).map_err(|why| vec![Violation::new("", format!("can't be read: {why}"))])?;
        if !payload.value.is_object() {
            return Err(vec![Violation::new("", "must be an object")]);
        }
        let mut violations = match &self.validator {
            Some(validator) => schema_violations(validator, self.tells_places, &payload.value),
            None => Vec::new(),
        };
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
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("at_a_glance", &self.shape.is_some()).finish_non_exhaustive()
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

/// The value of any JSON text.
pub(crate) fn read_value(json: &str) -> Result<Value, NotJson> {
    reader::read(json).map(|payload| payload.value)
}

/// A key as a part of a JSON Pointer.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
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

/// Every place at which the payload breaks its type's schema, up to [`MAX_VIOLATIONS`]; the payload as a whole where the
/// search for them might not end soon.
fn schema_violations(validator: &Validator, tells_places: bool, payload: &Value) -> Vec<Violation> {
    if validator.is_valid(payload) {
        return Vec::new();
    }
    if !tells_places {
        let detail =
            "does not fit its type's schema, which leads back to itself in too many ways to say where";
        return vec![Violation::new("", detail)];
    }
    validator.iter_errors(payload).take(MAX_VIOLATIONS).map(|error| violation_of(&error)).collect()
}

fn violation_of(error: &jsonschema::ValidationError<'_>) -> Violation {
    use jsonschema::error::ValidationErrorKind as Kind;
    let place = error.instance_path().as_str();
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let pointer = format!("{place}/{}", escaped(name));
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
