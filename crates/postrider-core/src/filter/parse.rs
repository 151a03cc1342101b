//! Reads a filter, and says of each part that is wrong where it stands and what would be right.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Filter, Node, OneOf, Scalar, Test};
use crate::decimal::Decimal;
use crate::limits::{
    MAX_FILTER_BYTES, MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH, MAX_FILTER_PATH_BYTES, MAX_FILTER_VALUES,
    MAX_VIOLATIONS,
};

/// What a condition may ask, besides its path.
const TESTS: [&str; 8] =
    ["equals", "in", "exists", "prefix", "less_than", "at_most", "more_than", "at_least"];

/// A part of a filter that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterFault {
    /// Where: a JSON Pointer (RFC 6901) from the filter's root.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// An object's members with their exact values, repeated names included.
type Members<'a> = Vec<(String, &'a RawValue)>;

impl Filter {
    /// Reads a filter from JSON. Gives every fault, up to [`MAX_VIOLATIONS`].
    pub fn parse(json: &str) -> Result<Self, Vec<FilterFault>> {
        let mut reader = Reader { faults: Vec::new(), conditions: 0, paths: Vec::new() };
        if json.len() > MAX_FILTER_BYTES {
            reader.refuse::<()>(
                "",
                format!("must have at most {MAX_FILTER_BYTES} bytes, this has {}", json.len()),
            );
            return Err(reader.faults);
        }
        let root = match serde_json::from_str::<&RawValue>(json) {
            Ok(raw) => reader.node(raw, "", 0),
            Err(_) => reader.refuse("", "is not JSON"),
        };
        match root {
            Some(root) if reader.faults.is_empty() => {
                Ok(Self { text: compact(json), root, paths: reader.paths })
            }
            _ => Err(reader.faults),
        }
    }
}

struct Reader {
    faults: Vec<FilterFault>,
    conditions: usize,
    /// The paths of the conditions so far.
    paths: Vec<String>,
}

impl Reader {
    /// Notes a fault; gives nothing, to be returned.
    fn refuse<T>(&mut self, pointer: &str, detail: impl Into<String>) -> Option<T> {
        if self.faults.len() < MAX_VIOLATIONS {
            self.faults.push(FilterFault { pointer: pointer.to_owned(), detail: detail.into() });
        }
        None
    }

    fn node(&mut self, raw: &RawValue, place: &str, depth: usize) -> Option<Node> {
        if depth == MAX_FILTER_DEPTH {
            return self.refuse(place, format!("must be nested at most {MAX_FILTER_DEPTH} deep"));
        }
        self.conditions += 1;
        if self.conditions > MAX_FILTER_CONDITIONS {
            // Said once; whatever stands behind it is not looked at.
            let said = self.conditions > MAX_FILTER_CONDITIONS + 1;
            let detail = format!("a filter has at most {MAX_FILTER_CONDITIONS} parts");
            return if said { None } else { self.refuse(place, detail) };
        }
        let Some(members) = members_of(raw) else {
            return self.refuse(place, "must be an object: a condition with \"path\", or all, any or not");
        };
        match members.as_slice() {
            [(name, parts)] if name == "all" => {
                self.list(parts, &format!("{place}/all"), depth).map(Node::All)
            }
            [(name, parts)] if name == "any" => {
                self.list(parts, &format!("{place}/any"), depth).map(Node::Any)
            }
            [(name, part)] if name == "not" => {
                self.node(part, &format!("{place}/not"), depth + 1).map(|part| Node::Not(Box::new(part)))
            }
            _ => self.condition(members, place),
        }
    }

    fn list(&mut self, raw: &RawValue, place: &str, depth: usize) -> Option<Vec<Node>> {
        let parts = match elements_of(raw) {
            Some(parts) if !parts.is_empty() => parts,
            _ => return self.refuse(place, "must be an array of at least one condition"),
        };
        let read: Vec<Option<Node>> = (0..)
            .zip(&parts)
            .take(MAX_FILTER_CONDITIONS + 1)
            .map(|(index, part): (usize, _)| self.node(part, &format!("{place}/{index}"), depth + 1))
            .collect();
        read.into_iter().collect()
    }

    fn condition(&mut self, members: Members<'_>, place: &str) -> Option<Node> {
        let (mut path, mut test) = (None, None);
        let mut tests = 0;
        let before = self.faults.len();
        let mut names = HashSet::with_capacity(members.len());
        for (name, raw) in &members {
            let here = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
            if !names.insert(name) {
                self.refuse::<()>(&here, "is there twice");
            } else if name == "path" {
                path = self.path(raw, &here);
            } else if TESTS.contains(&name.as_str()) {
                tests += 1;
                test = self.test(name, raw, &here);
            } else if ["all", "any", "not"].contains(&name.as_str()) {
                self.refuse::<()>(&here, "must stand alone in its object");
            } else {
                self.refuse::<()>(&here, format!("unknown; known here: path, {}", TESTS.join(", ")));
            }
        }
        if self.faults.len() == before {
            if !members.iter().any(|(name, _)| name == "path") {
                self.refuse::<()>(&format!("{place}/path"), "is required and missing");
            } else if tests != 1 {
                let detail = format!("must ask exactly one thing of its path: {}", TESTS.join(", "));
                self.refuse::<()>(place, detail);
            }
        }
        let (path, test) = (path?, test?);
        self.paths.push(path);
        Some(Node::Test { condition: self.paths.len() - 1, test })
    }

    fn path(&mut self, raw: &RawValue, place: &str) -> Option<String> {
        let wanted = "must be a JSON Pointer (RFC 6901) such as /holder/country";
        let Some(path) = text_of(raw) else { return self.refuse(place, wanted) };
        if path.len() > MAX_FILTER_PATH_BYTES {
            return self.refuse(place, format!("must have at most {MAX_FILTER_PATH_BYTES} bytes"));
        }
        let escapes_are_good = path.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !path.starts_with('/') || !escapes_are_good {
            return self.refuse(place, wanted);
        }
        Some(path)
    }

    fn test(&mut self, name: &str, raw: &RawValue, place: &str) -> Option<Test> {
        match name {
            "equals" => self.scalar(raw, place).map(Test::Equals),
            "in" => self.values(raw, place).map(OneOf::new).map(Test::In),
            "exists" => match raw.get() {
                "true" => Some(Test::Exists(true)),
                "false" => Some(Test::Exists(false)),
                _ => self.refuse(place, "must be true or false"),
            },
            "prefix" => match text_of(raw).filter(|prefix| !prefix.is_empty()) {
                Some(prefix) => Some(Test::Prefix(prefix)),
                None => self.refuse(place, "must be a string that is not empty"),
            },
            _ => {
                let Some(limit) = Decimal::parse(raw.get()) else {
                    return self.refuse(place, "must be a number");
                };
                Some(match name {
                    "less_than" => Test::LessThan(limit),
                    "at_most" => Test::AtMost(limit),
                    "more_than" => Test::MoreThan(limit),
                    _ => Test::AtLeast(limit),
                })
            }
        }
    }

    fn values(&mut self, raw: &RawValue, place: &str) -> Option<Vec<Scalar>> {
        let values = match elements_of(raw) {
            Some(values) if (1..=MAX_FILTER_VALUES).contains(&values.len()) => values,
            _ => return self.refuse(place, format!("must be an array of 1 to {MAX_FILTER_VALUES} values")),
        };
        let read: Vec<Option<Scalar>> = (0..)
            .zip(&values)
            .map(|(index, value): (usize, _)| self.scalar(value, &format!("{place}/{index}")))
            .collect();
        read.into_iter().collect()
    }

    fn scalar(&mut self, raw: &RawValue, place: &str) -> Option<Scalar> {
        let scalar = match raw.get().as_bytes().first() {
            Some(b'"') => text_of(raw).map(Scalar::Text),
            Some(b't') => Some(Scalar::Bool(true)),
            Some(b'f') => Some(Scalar::Bool(false)),
            Some(b'n') => Some(Scalar::Null),
            Some(b'-' | b'0'..=b'9') => Decimal::parse(raw.get()).map(Scalar::Number),
            _ => None,
        };
        scalar.or_else(|| self.refuse(place, "must be a string, a number, true, false or null"))
    }
}

fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The members of an object; none where it is none.
fn members_of(raw: &RawValue) -> Option<Members<'_>> {
    struct Object;

    impl<'a> Visitor<'a> for Object {
        type Value = Members<'a>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    // A number would be given as an object with a name of serde_json's own.
    let is_object = raw.get().starts_with('{');
    if is_object { serde_json::Deserializer::from_str(raw.get()).deserialize_map(Object).ok() } else { None }
}

/// The elements of an array; none where it is none.
fn elements_of(raw: &RawValue) -> Option<Vec<&RawValue>> {
    struct Array;

    impl<'a> Visitor<'a> for Array {
        type Value = Vec<&'a RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                elements.push(element);
                // The filter's own length bounds it long before.
                if elements.len() > MAX_FILTER_BYTES {
                    return Err(A::Error::custom("too long"));
                }
            }
            Ok(elements)
        }
    }

    serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Array).ok()
}

/// JSON without the space between its parts.
fn compact(json: &str) -> String {
    let (mut compact, mut in_string, mut is_escaped) = (String::with_capacity(json.len()), false, false);
    for character in json.chars() {
        if in_string {
            in_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        compact.push(character);
    }
    compact
}
