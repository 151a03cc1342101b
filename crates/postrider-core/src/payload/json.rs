//! The value of a JSON text, borrowed from it: numbers keep their text, and of equal keys the last one counts.
//!
//! Built to be checked and then dropped. Its size is linear in the text's, and it is never written again.

use std::borrow::Cow;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// The number as it is written.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Members<'a>),
}

/// The members of an object, each key once, in the keys' order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Members<'a> {
    fn new(mut members: Vec<(Cow<'a, str>, Json<'a>)>) -> Self {
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            // Stable: of equal keys the last one stays the last one.
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|later, earlier| {
                let is_same = later.0 == earlier.0;
                if is_same {
                    std::mem::swap(later, earlier);
                }
                is_same
            });
        }
        Self(members)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a member.
    pub(crate) fn find(&self, key: &str) -> Option<&Json<'a>> {
        self.entry(key).map(|(_, _, value)| value)
    }

    /// A member's position, its name and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<(usize, &str, &Json<'a>)> {
        let at = self.0.binary_search_by(|(known, _)| known.as_ref().cmp(key)).ok()?;
        let (key, value) = &self.0[at];
        Some((at, key, value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }
}

/// What the reader builds of a JSON text.
pub(crate) trait FromJson<'a>: Sized {
    fn null() -> Self;
    fn bool(value: bool) -> Self;
    /// `text` is a number by RFC 8259.
    fn number(text: &'a str) -> Self;
    fn string(text: Cow<'a, str>) -> Self;
    fn array(items: Vec<Self>) -> Self;
    /// `members` are in the order of the text; a key may be there more than once.
    fn object(members: Vec<(Cow<'a, str>, Self)>) -> Self;
}

impl<'a> FromJson<'a> for Json<'a> {
    fn null() -> Self {
        Self::Null
    }

    fn bool(value: bool) -> Self {
        Self::Bool(value)
    }

    fn number(text: &'a str) -> Self {
        Self::Number(text)
    }

    fn string(text: Cow<'a, str>) -> Self {
        Self::String(text)
    }

    fn array(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn object(members: Vec<(Cow<'a, str>, Self)>) -> Self {
        Self::Object(Members::new(members))
    }
}

impl<'a> FromJson<'a> for serde_json::Value {
    fn null() -> Self {
        Self::Null
    }

    fn bool(value: bool) -> Self {
        Self::Bool(value)
    }

    fn number(text: &'a str) -> Self {
        // Arbitrary precision: every number of the RFC is one.
        text.parse().map_or(Self::Null, Self::Number)
    }

    fn string(text: Cow<'a, str>) -> Self {
        Self::String(text.into_owned())
    }

    fn array(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn object(members: Vec<(Cow<'a, str>, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(key, value)| (key.into_owned(), value)).collect())
    }
}
