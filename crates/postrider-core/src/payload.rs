//! Checks a payload before it is accepted: its mode, and its event type's schema.
//!
//! Only reads: the bytes that are stored, signed and sent are the ones that came in. Numbers keep their text, so nothing is
//! decided by a rounded value. What it costs is bounded by the payload's length, whatever the schema says.

mod glance;
mod json;
mod not_json;
mod reader;
mod scanner;
mod shape;

use std::fmt;

use serde_json::Value;

use crate::catalogue::EventType;
use crate::limits::{MAX_INLINE_BYTES, MAX_INLINE_STEPS, MIN_VALIDATION_STEPS, VALIDATION_STEPS_PER_BYTE};
use crate::validator::{CompileError, Validator, Verdict};
pub(crate) use json::{Json, Members};
pub(crate) use not_json::NotJson;
use reader::Livemode;
pub(crate) use scanner::{Scanner, decoded};
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

/// Why a payload is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadRefused {
    /// These places are wrong.
    Invalid(Vec<Violation>),
    /// Checking it against its type's schema takes more steps than it may; the place that was reached.
    TooExpensive(Violation),
}

impl PayloadRefused {
    /// The places, whatever the reason.
    pub fn into_violations(self) -> Vec<Violation> {
        match self {
            Self::Invalid(violations) => violations,
            Self::TooExpensive(violation) => vec![violation],
        }
    }

    /// The same with pointers that begin at `base` instead of at the payload.
    #[must_use]
    pub fn below(self, base: &str) -> Self {
        let below = |one: Violation| Violation { pointer: format!("{base}{}", one.pointer), ..one };
        match self {
            Self::Invalid(violations) => Self::Invalid(violations.into_iter().map(below).collect()),
            Self::TooExpensive(violation) => Self::TooExpensive(below(violation)),
        }
    }
}

/// Checks the payload `json` of an event of this type and returns its mode.
///
/// `stated_mode` is the mode that the key or the request names. The payload's own `livemode` must agree with
/// it; where neither names a mode the event has none and is refused. This may take longer than a thread can be kept that
/// others wait for; see [`check_inline`].
pub fn check(event_type: &EventType, json: &str, stated_mode: Option<bool>) -> Result<bool, PayloadRefused> {
    event_type.payload_validator().check(json, stated_mode)
}

/// The same in less than a millisecond. None where it might take longer: nothing was decided then.
pub fn check_inline(
    event_type: &EventType,
    json: &str,
    stated_mode: Option<bool>,
) -> Option<Result<bool, PayloadRefused>> {
    event_type.payload_validator().check_inline(json, stated_mode)
}

/// How many steps a payload of this length may take to be checked against its type's schema.
pub fn step_budget(payload_bytes: usize) -> usize {
    MIN_VALIDATION_STEPS.saturating_add(payload_bytes.saturating_mul(VALIDATION_STEPS_PER_BYTE))
}

/// What payloads of a type are checked by: its schema, ready for use.
pub(crate) struct PayloadValidator {
    /// None: any object passes.
    validator: Option<Validator>,
    /// What the schema asks for, if that is plain enough to check a payload at a glance.
    shape: Option<Shape>,
}

impl PayloadValidator {
    /// By a schema.
    pub(crate) fn of_schema(schema: &Value) -> Result<Self, CompileError> {
        let validator = Some(Validator::compile(schema)?);
        Ok(Self { validator, shape: Shape::of_payload(schema) })
    }

    /// Any object passes.
    pub(crate) fn of_anything() -> Self {
        Self { validator: None, shape: Shape::of_payload(&Value::Bool(true)) }
    }

    #[cfg(test)]
    pub(crate) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// Where the schema exceeds a bound that holds for schemas which are given now.
    pub(crate) fn exceeded(&self) -> &[Violation] {
        self.validator.as_ref().map(Validator::exceeded).unwrap_or_default()
    }

    /// Checks a payload as [`check`] does.
    pub(crate) fn check(&self, json: &str, stated_mode: Option<bool>) -> Result<bool, PayloadRefused> {
        match self.shape.as_ref().and_then(|shape| check_at_a_glance(shape, json, stated_mode)) {
            Some(livemode) => Ok(livemode),
            None => self.check_in_full(json, stated_mode, step_budget(json.len())),
        }
    }

    /// Checks a payload as [`check_inline`] does.
    pub(crate) fn check_inline(
        &self,
        json: &str,
        stated_mode: Option<bool>,
    ) -> Option<Result<bool, PayloadRefused>> {
        if json.len() > MAX_INLINE_BYTES {
            return None;
        }
        if let Some(livemode) =
            self.shape.as_ref().and_then(|shape| check_at_a_glance(shape, json, stated_mode))
        {
            return Some(Ok(livemode));
        }
        match self.check_in_full(json, stated_mode, MAX_INLINE_STEPS) {
            Err(PayloadRefused::TooExpensive(_)) => None,
            checked => Some(checked),
        }
    }

    fn check_in_full(
        &self,
        json: &str,
        stated_mode: Option<bool>,
        budget: usize,
    ) -> Result<bool, PayloadRefused> {
        let invalid = |pointer, detail: &str| PayloadRefused::Invalid(vec![Violation::new(pointer, detail)]);
        let payload =
            reader::read::<Json<'_>>(json).map_err(|why| invalid("", &format!("can't be read: {why}")))?;
        if !matches!(payload.value, Json::Object(_)) {
            return Err(invalid("", "must be an object"));
        }
        let mut violations = match &self.validator {
            Some(validator) => match validator.check(&payload.value, budget).verdict {
                Verdict::Fits => Vec::new(),
                Verdict::Faults(violations) => violations,
                Verdict::TooExpensive { pointer } => {
                    return Err(PayloadRefused::TooExpensive(too_expensive(&pointer)));
                }
            },
            None => Vec::new(),
        };
        match mode(payload.livemode, stated_mode) {
            Ok(livemode) if violations.is_empty() => return Ok(livemode),
            Ok(_) => {}
            Err(violation) => {
                if violations.iter().all(|known| known.pointer != violation.pointer) {
                    violations.push(violation);
                }
            }
        }
        Err(PayloadRefused::Invalid(violations))
    }
}

impl fmt::Debug for PayloadValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadValidator").field("at_a_glance", &self.shape.is_some()).finish_non_exhaustive()
    }
}

/// The mode of a payload that is certainly good; none where only the full check can tell.
fn check_at_a_glance(shape: &Shape, json: &str, stated_mode: Option<bool>) -> Option<bool> {
    let livemode = glance::at(shape, json)?.livemode.map_or(Livemode::Absent, Livemode::Is);
    mode(livemode, stated_mode).ok()
}

fn too_expensive(pointer: &str) -> Violation {
    let detail =
        "takes too many steps to check against the event type's schema: send less, or simplify the schema";
    Violation::new(pointer, detail)
}

/// The value of a short payload, to be looked at; none where it can't be read. The last of equal keys wins.
pub(crate) fn value(json: &str) -> Option<Value> {
    read_value(json).ok()
}

/// The value of any JSON text.
pub(crate) fn read_value(json: &str) -> Result<Value, NotJson> {
    reader::read(json).map(|payload| payload.value)
}

/// The same, borrowed from the text.
pub(crate) fn read_json(json: &str) -> Result<Json<'_>, NotJson> {
    reader::read(json).map(|payload| payload.value)
}

/// A key as a part of a JSON Pointer.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The event's mode from what the payload says and from what was stated beside it.
fn mode(in_payload: Livemode, stated: Option<bool>) -> Result<bool, Violation> {
    let refuse = |detail: &str| Err(Violation::new("/livemode", detail));
    let found = match in_payload {
        Livemode::Absent => None,
        Livemode::Is(found) => Some(found),
        Livemode::Contradiction => return refuse("two \"livemode\" keys that contradict each other"),
        Livemode::NotBoolean => return refuse("\"livemode\" must be true or false"),
    };
    match (found, stated) {
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

#[cfg(test)]
mod tests;
