//! Content filters: which events an endpoint wants by what their payloads say. A small language in JSON (documented in
//! `docs/filters.md`) that can only look: no code, no patterns that backtrack, nothing that grows with time.
//!
//! The payload is read in one pass for all filters of an account ([`PathSet`]), and not at all where none is asked. A condition
//! then costs no more than its own length: numbers are compared by sign and magnitude before digits, texts by length.

mod collected;
mod parse;
mod path_set;

use std::fmt;

use crate::decimal::{Decimal, DecimalRef};
pub use collected::{Collected, Values};
pub use parse::FilterFault;
pub use path_set::PathSet;

use collected::Found;

/// A filter that was checked when it was set.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    /// As it was given, without the space between its parts.
    text: String,
    root: Node,
    /// The path of each condition, in the order in which they stand in the text.
    paths: Vec<String>,
}

/// A part of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// `condition` is its place among the filter's paths.
    Test {
        condition: usize,
        test: Test,
    },
}

/// What is asked of the value at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equals(Scalar),
    In(OneOf),
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

/// The values that a condition lists, sorted so that one is found without looking at all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OneOf {
    count: usize,
    null: bool,
    /// Whether `false` and whether `true` is one of them.
    bools: [bool; 2],
    /// By length and then by their bytes.
    texts: Vec<String>,
    /// By sign, magnitude and length, and then by their digits.
    numbers: Vec<Decimal>,
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

impl Filter {
    /// The filter as JSON, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether an event is wanted whose payload has these values.
    pub fn matches(&self, values: &Values<'_, '_>) -> bool {
        self.root.holds(values)
    }

    /// The same, and why.
    pub fn explain(&self, values: &Values<'_, '_>) -> Explanation {
        let (pointer, detail) = self.root.explain(self, values, String::new());
        Explanation { matches: self.matches(values), pointer, detail }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Node {
    fn holds(&self, values: &Values<'_, '_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(values)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(values)),
            Self::Not(part) => !part.holds(values),
            Self::Test { condition, test } => {
                values.count_condition();
                test.holds(values.at(*condition))
            }
        }
    }

    /// The part that decided, and what it found. `place` is where this part stands.
    fn explain(&self, filter: &Filter, values: &Values<'_, '_>, place: String) -> (String, String) {
        match self {
            Self::All(parts) => match parts.iter().position(|part| !part.holds(values)) {
                Some(index) => parts[index].explain(filter, values, format!("{place}/all/{index}")),
                None => (place, format!("all {} conditions hold", parts.len())),
            },
            Self::Any(parts) => match parts.iter().position(|part| part.holds(values)) {
                Some(index) => parts[index].explain(filter, values, format!("{place}/any/{index}")),
                None => (place, format!("none of {} conditions holds", parts.len())),
            },
            Self::Not(part) => part.explain(filter, values, format!("{place}/not")),
            Self::Test { condition, test } => {
                let (path, found) = (&filter.paths[*condition], values.at(*condition));
                let holds = if test.holds(found) { "" } else { "not " };
                (place, format!("{path} {}: it is {holds}{test}", shown(found)))
            }
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Found<'_>>) -> bool {
        let Some(found) = found else { return *self == Self::Exists(false) };
        let compares = |limit: &Decimal, holds: fn(std::cmp::Ordering) -> bool| {
            found.number().is_some_and(|number| holds(number.cmp(&limit.borrowed())))
        };
        match self {
            Self::Exists(wanted) => *wanted,
            Self::Equals(wanted) => wanted.is(found),
            Self::In(wanted) => wanted.has(found),
            Self::Prefix(prefix) => found.text().is_some_and(|text| text.starts_with(prefix)),
            Self::LessThan(limit) => compares(limit, std::cmp::Ordering::is_lt),
            Self::AtMost(limit) => compares(limit, std::cmp::Ordering::is_le),
            Self::MoreThan(limit) => compares(limit, std::cmp::Ordering::is_gt),
            Self::AtLeast(limit) => compares(limit, std::cmp::Ordering::is_ge),
        }
    }
}

impl Scalar {
    fn is(&self, found: &Found<'_>) -> bool {
        match self {
            Self::Null => found.is_null(),
            Self::Bool(wanted) => found.bool() == Some(*wanted),
            Self::Number(wanted) => found.number().is_some_and(|number| are_equal(number, wanted)),
            Self::Text(wanted) => found.text() == Some(wanted),
        }
    }
}

fn are_equal(number: &DecimalRef<'_>, wanted: &Decimal) -> bool {
    number.cmp_by_length(&wanted.borrowed()).is_eq()
}

impl OneOf {
    fn new(values: Vec<Scalar>) -> Self {
        let mut one_of = Self {
            count: values.len(),
            null: false,
            bools: [false; 2],
            texts: Vec::new(),
            numbers: Vec::new(),
        };
        for value in values {
            match value {
                Scalar::Null => one_of.null = true,
                Scalar::Bool(value) => one_of.bools[usize::from(value)] = true,
                Scalar::Number(number) => one_of.numbers.push(number),
                Scalar::Text(text) => one_of.texts.push(text),
            }
        }
        one_of.texts.sort_by(|a, b| by_length(a, b));
        one_of.numbers.sort_by(|a, b| a.borrowed().cmp_by_length(&b.borrowed()));
        one_of
    }

    fn has(&self, found: &Found<'_>) -> bool {
        if let Some(text) = found.text() {
            return self.texts.binary_search_by(|known| by_length(known, text)).is_ok();
        }
        if let Some(number) = found.number() {
            let order = |known: &Decimal| known.borrowed().cmp_by_length(number);
            return self.numbers.binary_search_by(order).is_ok();
        }
        found.bool().is_some_and(|value| self.bools[usize::from(value)]) || self.null && found.is_null()
    }
}

fn by_length(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(wanted) => write!(f, "equal to {wanted}"),
            Self::In(wanted) => write!(f, "one of the {} values of \"in\"", wanted.count),
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
fn shown(found: Option<&Found<'_>>) -> String {
    let Some(found) = found else { return "is absent".to_owned() };
    if let Some(items) = found.item_count() {
        return format!("is an array of {items}");
    }
    if let Some(fields) = found.field_count() {
        return format!("is an object of {fields} fields");
    }
    match found.text() {
        Some(text) => format!("is {}", quoted(text)),
        None => format!("is {}", cut(found.raw())),
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
