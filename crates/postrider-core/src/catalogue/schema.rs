//! Reads JSON Schemas (2020-12) that the operator writes: bounded, sufficient to themselves, and compiled.
//!
//! Nothing is ever fetched. The `jsonschema` crate decides what is a schema; payloads are checked by `validator.rs`, which counts.

use std::cell::Cell;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::limits::{MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MAX_SCHEMA_PATTERN_BYTES, MAX_SCHEMA_PATTERNS};
use crate::payload::{self, PayloadValidator, Violation};

/// The only dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Compiles a schema. Formats are words for the reader and judge nothing.
pub(crate) fn compiled(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    let patterns = PatternOptions::regex();
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(false)
        .with_pattern_options(
            patterns.size_limit(MAX_SCHEMA_PATTERN_BYTES).dfa_size_limit(MAX_SCHEMA_PATTERN_BYTES),
        )
        .offline()
        .build(schema)
}

/// Reads a schema that the operator gives now. The fault's place is a pointer from the schema's root.
pub(super) fn read_new(text: &str) -> Result<PayloadValidator, Violation> {
    let (schema, validator) = read(text)?;
    if let Some(pointer) = other_dialect(&schema) {
        let detail = format!("must be \"{DIALECT}\", or left out: no other dialect is read");
        return Err(Violation { pointer, detail });
    }
    match validator.exceeded().first() {
        Some(exceeded) => Err(exceeded.clone()),
        None => Ok(validator),
    }
}

/// Reads a schema as it was stored. Bounds that are newer than the schema do not hold for it.
pub(super) fn read_stored(text: &str) -> Result<PayloadValidator, Violation> {
    read(text).map(|(_, validator)| validator)
}

fn read(text: &str) -> Result<(Value, PayloadValidator), Violation> {
    let refuse = |pointer: &str, detail: String| Err(Violation { pointer: pointer.to_owned(), detail });
    if text.len() > MAX_SCHEMA_BYTES {
        return refuse("", format!("must have at most {MAX_SCHEMA_BYTES} bytes, this has {}", text.len()));
    }
    let schema = match payload::read_value(text) {
        Ok(schema) => schema,
        Err(why) => return refuse("", format!("can't be read: {why}")),
    };
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return refuse("", "must be a JSON Schema: an object, or true or false".to_owned());
    }
    if let Some(pointer) = too_deep(&schema) {
        return refuse(&pointer, format!("is nested deeper than {MAX_SCHEMA_DEPTH} levels"));
    }
    if let Some(pointer) = one_pattern_too_many(&schema) {
        return refuse(&pointer, format!("is one of more than {MAX_SCHEMA_PATTERNS} regular expressions"));
    }
    if let Some(dialect) = schema.get("$schema")
        && dialect.as_str().is_none_or(|dialect| dialect.trim_end_matches('#') != DIALECT)
    {
        return refuse("/$schema", format!("must be \"{DIALECT}\", or left out: no other dialect is read"));
    }
    if let Err(why) = compiled(&schema) {
        return Err(fault(&schema, &why));
    }
    match PayloadValidator::of_schema(&schema) {
        Ok(validator) => Ok((schema, validator)),
        Err(why) => refuse("", format!("can't be used: {why}")),
    }
}

/// Where a part that names itself also names another dialect.
fn other_dialect(schema: &Value) -> Option<String> {
    let names_another = |place: &[String], value: &Value| {
        let dialect = value.get("$schema").and_then(Value::as_str);
        !place.is_empty()
            && value.get("$id").is_some_and(Value::is_string)
            && dialect.is_some_and(|dialect| dialect.trim_end_matches('#') != DIALECT)
    };
    find(schema, &names_another).map(|place| format!("{}/$schema", pointer_of(&place)))
}

/// Where a schema is deeper than it may be.
fn too_deep(schema: &Value) -> Option<String> {
    find(schema, &|place, _| place.len() > MAX_SCHEMA_DEPTH).map(|place| pointer_of(&place))
}

/// Where a schema has one regular expression more than it may have.
fn one_pattern_too_many(schema: &Value) -> Option<String> {
    let count = Cell::new(0);
    let is_pattern = |place: &[String], value: &Value| match place {
        [.., parent, _] if parent == "patternProperties" => true,
        [.., last] => last == "pattern" && value.is_string(),
        [] => false,
    };
    let is_too_many = |place: &[String], value: &Value| {
        count.set(count.get() + usize::from(is_pattern(place, value)));
        count.get() > MAX_SCHEMA_PATTERNS
    };
    find(schema, &is_too_many).map(|place| pointer_of(&place))
}

/// What is wrong with a schema that does not compile.
fn fault(schema: &Value, why: &ValidationError<'_>) -> Violation {
    use jsonschema::error::ValidationErrorKind as Kind;
    let place = why.instance_path().as_str().to_owned();
    match why.kind() {
        Kind::Referencing(reason) => {
            let pointer = reference(schema, reason).unwrap_or(place);
            let detail = match reason {
                jsonschema::ReferencingError::Unretrievable { .. } => {
                    "refers to something outside of the schema, and nothing is fetched; put it under \"$defs\" and refer to \"#/$defs/…\"".to_owned()
                }
                other => format!("refers to what is not there: {other}"),
            };
            Violation { pointer, detail }
        }
        Kind::Format { format } if format == "regex" => Violation {
            pointer: place,
            detail: "is no regular expression that can be used here; look-around and back-references can't"
                .to_owned(),
        },
        _ => Violation { pointer: place, detail: format!("is not JSON Schema 2020-12: {}", why.masked()) },
    }
}

/// Where the reference stands that could not be followed: the first whose text the reason names, or else the first that
/// leads out of the schema.
fn reference(schema: &Value, reason: &jsonschema::ReferencingError) -> Option<String> {
    let told = reason.to_string();
    let is_reference = |place: &[String]| {
        place.last().is_some_and(|key| matches!(key.as_str(), "$ref" | "$dynamicRef" | "$schema"))
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let is_told = |place: &[String], value: &Value| {
        is_reference(place)
            && text(value).is_some_and(|text| told.contains(text.trim_start_matches('#')) && text != "#")
    };
    let leads_out = |place: &[String], value: &Value| {
        is_reference(place) && text(value).is_some_and(|text| !text.starts_with('#'))
    };
    find(schema, &is_told).or_else(|| find(schema, &leads_out)).map(|place| pointer_of(&place))
}

/// The first place, from the top, of which `wanted` says so.
fn find(schema: &Value, wanted: &dyn Fn(&[String], &Value) -> bool) -> Option<Vec<String>> {
    fn within(
        value: &Value,
        place: &mut Vec<String>,
        wanted: &dyn Fn(&[String], &Value) -> bool,
    ) -> Option<Vec<String>> {
        if wanted(place, value) {
            return Some(place.clone());
        }
        let mut enter = |key: String, inner: &Value| {
            place.push(key);
            let found = within(inner, place, wanted);
            place.pop();
            found
        };
        match value {
            Value::Object(fields) => fields.iter().find_map(|(key, inner)| enter(key.clone(), inner)),
            Value::Array(items) => {
                items.iter().enumerate().find_map(|(index, inner)| enter(index.to_string(), inner))
            }
            _ => None,
        }
    }
    within(schema, &mut Vec::new(), wanted)
}

fn pointer_of(place: &[String]) -> String {
    place.iter().map(|key| format!("/{}", payload::escaped(key))).collect()
}
