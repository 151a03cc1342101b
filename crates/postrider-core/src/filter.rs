//! Content filters: which events an endpoint wants by what their payloads say. A small language in JSON (documented in
//! `docs/filters.md`) that can only look: no code, no patterns that backtrack, nothing that grows with time.
//!
//! A payload is read once for all filters of an event, and not at all where no endpoint has one.

mod decimal;
mod parse;

use std::cell::OnceCell;
use std::fmt;

use serde_json::Value;

use crate::payload;
use decimal::Decimal;

pub use parse::FilterFault;

/// A filter that was judged when it was set.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    /// As it was given, without the space between its parts.
    text: String,
    root: Node,
}

/// A part of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test { path: String, test: Test },
}

/// What is asked of the value at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equals(Scalar),
    In(Vec<Scalar>),
    Exists(bool),
    Prefix(String),
    LessThan(Decimal),
    AtMost(Decimal),
    MoreThan(Decimal),
    AtLeast(Decimal),
}

/// A value that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scalar {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
}

/// A payload as filters see it, read when the first one asks.
pub struct Content<'a> {
    json: &'a [u8],
    value: OnceCell<Option<Value>>,
}

/// What a filter makes of a payload, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the event is wanted.
    pub matches: bool,
    /// The part of the filter that decided: a JSON Pointer (RFC 6901) into it.
    pub pointer: String,
    /// The same in words.
    pub detail: String,
}

impl<'a> Content<'a> {
    /// A payload that was accepted, or is about to be.
    pub fn of(json: &'a [u8]) -> Self {
        Self { json, value: OnceCell::new() }
    }

    fn at(&self, path: &str) -> Option<&Value> {
        let read = || std::str::from_utf8(self.json).ok().and_then(payload::value);
        self.value.get_or_init(read).as_ref()?.pointer(path)
    }
}

impl Filter {
    /// The filter as JSON, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether an event with this payload is wanted.
    pub fn matches(&self, content: &Content<'_>) -> bool {
        self.root.holds(content)
    }

    /// The same, and why.
    pub fn explain(&self, content: &Content<'_>) -> Explanation {
        let (pointer, detail) = self.root.explain(content, String::new());
        Explanation { matches: self.matches(content), pointer, detail }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Node {
    fn holds(&self, content: &Content<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(content)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(content)),
            Self::Not(part) => !part.holds(content),
            Self::Test { path, test } => test.holds(content.at(path)),
        }
    }

    /// The part that decided, and what it found. `place` is where this part stands.
    fn explain(&self, content: &Content<'_>, place: String) -> (String, String) {
        match self {
            Self::All(parts) => match parts.iter().position(|part| !part.holds(content)) {
                Some(index) => parts[index].explain(content, format!("{place}/all/{index}")),
                None => (place, format!("all {} conditions hold", parts.len())),
            },
            Self::Any(parts) => match parts.iter().position(|part| part.holds(content)) {
                Some(index) => parts[index].explain(content, format!("{place}/any/{index}")),
                None => (place, format!("none of {} conditions holds", parts.len())),
            },
            Self::Not(part) => part.explain(content, format!("{place}/not")),
            Self::Test { path, test } => {
                let value = content.at(path);
                let holds = if test.holds(value) { "" } else { "not " };
                (place, format!("{path} {}: it is {holds}{test}", found(value)))
            }
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return *self == Self::Exists(false) };
        let number = || if let Value::Number(number) = value { Decimal::of(number) } else { None };
        match self {
            Self::Exists(wanted) => *wanted,
            Self::Equals(wanted) => wanted.is(value),
            Self::In(wanted) => wanted.iter().any(|one| one.is(value)),
            Self::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Self::LessThan(limit) => number().is_some_and(|number| number < *limit),
            Self::AtMost(limit) => number().is_some_and(|number| number <= *limit),
            Self::MoreThan(limit) => number().is_some_and(|number| number > *limit),
            Self::AtLeast(limit) => number().is_some_and(|number| number >= *limit),
        }
    }
}

impl Scalar {
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(wanted), Value::Bool(found)) => wanted == found,
            (Self::Number(wanted), Value::Number(found)) => Decimal::of(found).as_ref() == Some(wanted),
            (Self::Text(wanted), Value::String(found)) => wanted == found,
            _ => false,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(wanted) => write!(f, "equal to {wanted}"),
            Self::In(wanted) => write!(f, "one of the {} values of \"in\"", wanted.len()),
            Self::Exists(true) => f.write_str("there, as it should be"),
            Self::Exists(false) => f.write_str("absent, as it should be"),
            Self::Prefix(prefix) => write!(f, "a text that begins with {}", quoted(prefix)),
            Self::LessThan(limit) => write!(f, "a number less than {limit}"),
            Self::AtMost(limit) => write!(f, "a number of at most {limit}"),
            Self::MoreThan(limit) => write!(f, "a number more than {limit}"),
            Self::AtLeast(limit) => write!(f, "a number of at least {limit}"),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

/// What stands at a path, in a few words.
fn found(value: Option<&Value>) -> String {
    match value {
        None => "is absent".to_owned(),
        Some(Value::Array(items)) => format!("is an array of {}", items.len()),
        Some(Value::Object(fields)) => format!("is an object of {} fields", fields.len()),
        Some(Value::String(text)) => format!("is {}", quoted(text)),
        Some(scalar) => format!("is {}", cut(&scalar.to_string())),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text))
}

/// Not all of it, if it is long.
fn cut(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
