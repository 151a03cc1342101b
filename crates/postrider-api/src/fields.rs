//! A JSON object of a body, read once without building values: each known field keeps its exact text, and every
//! fault (a wrong type, an unknown or repeated field, something missing) is gathered with its JSON Pointer, so
//! that one answer names them all.
//!
//! Nothing here knows what a field means.

mod reading;

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::RangeInclusive;

use postrider_core::limits::MAX_VIOLATIONS;
use postrider_core::text::TextRule;
use postrider_core::time::{NotATime, Timestamp};
use serde::de::{DeserializeSeed as _, IgnoredAny};
use serde_json::value::RawValue;

use crate::problem::{Code, FieldError, Problem};
use reading::{Object, Objects, elements_of, members_of};

/// A field as it was given: none where it is absent or at fault (which was noted), `Some(None)` where it is null.
pub(crate) type Given<T> = Option<Option<T>>;

/// A name and a text.
type NamedText<'a> = (String, Cow<'a, str>);

/// The fields of one object, by their place in `known`.
pub(crate) struct Fields<'a> {
    /// Where the object is: empty for the body itself, `/events/3` for one within.
    base: Cow<'static, str>,
    known: &'static [&'static str],
    values: Vec<Option<&'a RawValue>>,
    errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// Reads a body that is one object. 400 where it is no JSON, 422 where it is no object.
    pub(crate) fn parse(text: &'a str, known: &'static [&'static str]) -> Result<Self, Problem> {
        if text.trim_ascii().is_empty() {
            return Err(Problem::new(Code::MalformedJson, "the body is empty; it must be a JSON object"));
        }
        Self::read(Cow::Borrowed(""), text, known).map_err(|why| {
            // What is no object may be no JSON either, and then that is what is wrong with it.
            match if why.is_data() { serde_json::from_str::<IgnoredAny>(text).err() } else { Some(why) } {
                None => Problem::invalid_field("", "must be a JSON object"),
                Some(why) => Problem::new(Code::MalformedJson, format!("the body is not JSON: {why}")),
            }
        })
    }

    /// Where the object is: empty for the body itself, `/events/3` for one within.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn read(
        base: Cow<'static, str>,
        text: &'a str,
        known: &'static [&'static str],
    ) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = Object { base, known }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(fields)
    }

    /// The exact text of a field, `null` included. `name` must be one of the known ones.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let place = self.known.iter().position(|known| *known == name);
        place.and_then(|place| self.values.get(place).copied().flatten())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// Notes a fault of a field, or of a place within it: `name` is the pointer without its first slash. Each
    /// place has one fault, the first that was found.
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        if self.errors.len() >= MAX_VIOLATIONS {
            return;
        }
        let pointer = format!("{}/{name}", self.base);
        if self.errors.iter().all(|known| known.pointer != pointer) {
            self.errors.push(FieldError { pointer, detail: detail.into() });
        }
    }

    /// Notes that a field is missing, unless it is there and not null.
    pub(crate) fn require(&mut self, name: &'static str) {
        match self.raw(name) {
            None => self.refuse(name, "is required and missing"),
            Some(raw) if raw.get() == "null" => self.refuse(name, "is required and can't be null"),
            Some(_) => {}
        }
    }

    /// The faults found so far.
    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// The end of judging: all faults at once.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    /// A field read by `read`, whose error says what would be right.
    fn given<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Given<T> {
        let raw = self.raw(name)?;
        if raw.get() == "null" {
            return Some(None);
        }
        match read(raw) {
            Ok(value) => Some(Some(value)),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Given<Cow<'a, str>> {
        self.given(name, |raw| text_of(raw).map_err(str::to_owned))
    }

    /// A string; `null` is a fault.
    pub(crate) fn needed_text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let text = self.text(name)?;
        if text.is_none() {
            self.refuse(name, "must be a string");
        }
        text
    }

    /// A string that follows the rule of its field.
    pub(crate) fn short_text(&mut self, name: &'static str, rule: TextRule) -> Given<Cow<'a, str>> {
        self.given(name, |raw| {
            let text = text_of(raw)?;
            rule.check(&text).map_err(|why| why.to_string())?;
            Ok(text)
        })
    }

    pub(crate) fn boolean(&mut self, name: &'static str) -> Given<bool> {
        self.given(name, |raw| match raw.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
    }

    /// A point in time.
    pub(crate) fn time(&mut self, name: &'static str) -> Given<Timestamp> {
        self.given(name, |raw| {
            let time = text_of(raw).ok().and_then(|text| text.parse().ok());
            time.ok_or_else(|| NotATime.to_string().replacen("not ", "must be ", 1))
        })
    }

    pub(crate) fn whole_number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Given<u32> {
        self.given(name, |raw| {
            let number = raw.get().parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A list of strings, at most `max` of them.
    pub(crate) fn texts(&mut self, name: &'static str, max: usize) -> Given<Vec<Cow<'a, str>>> {
        let elements = self.given(name, |raw| elements_of(raw, max))?;
        let Some(elements) = elements else { return Some(None) };
        let mut texts = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            match text_of(element) {
                Ok(text) => texts.push(text),
                Err(why) => self.refuse(&format!("{name}/{index}"), why),
            }
        }
        (texts.len() == elements.len()).then_some(Some(texts))
    }

    /// An object of at most `max` strings, in the order given.
    pub(crate) fn named_texts(&mut self, name: &'static str, max: usize) -> Given<Vec<NamedText<'a>>> {
        let members = self.given(name, |raw| members_of(raw, max))?;
        let Some(members) = members else { return Some(None) };
        let count = members.len();
        let mut texts = Vec::with_capacity(count);
        for (member, raw) in members {
            match text_of(raw) {
                Ok(text) => texts.push((member, text)),
                Err(why) => self.refuse(&format!("{name}/{}", escaped(&member)), why),
            }
        }
        (texts.len() == count).then_some(Some(texts))
    }

    /// An object of its own fields, judged by `judge`; its faults become this one's.
    pub(crate) fn object<T>(
        &mut self,
        name: &'static str,
        known: &'static [&'static str],
        judge: impl FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Given<T> {
        let base = format!("{}/{name}", self.base);
        let read = |raw: &'a RawValue| {
            Fields::read(Cow::Owned(base), raw.get(), known).map_err(|_why| "must be an object".to_owned())
        };
        let Some(mut inner) = self.given(name, read)? else { return Some(None) };
        let judged = judge(&mut inner);
        self.errors.append(&mut inner.errors);
        judged.map(Some)
    }

    /// A list of 1 to `max` objects, each with the fields `known`. None where it is at fault as a whole.
    pub(crate) fn objects(
        &mut self,
        name: &'static str,
        known: &'static [&'static str],
        max: usize,
    ) -> Option<Vec<Fields<'a>>> {
        let raw = self.raw(name)?;
        let reached = Cell::new(0);
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        let list = Objects { name, known, max, reached: &reached };
        match list.deserialize(&mut deserializer) {
            Ok((_, 0)) => self.refuse(name, format!("must hold 1 to {max} objects, this is empty")),
            Ok((_, count)) if count > max => {
                self.refuse(name, format!("must hold 1 to {max} objects, this holds {count}"));
            }
            Ok((objects, _)) => return Some(objects),
            Err(_) if !raw.get().starts_with('[') => self.refuse(name, "must be an array of objects"),
            Err(_) => self.refuse(&format!("{name}/{}", reached.get()), "must be an object"),
        }
        None
    }
}

/// Returns the text of a JSON string, or what would be right.
fn text_of(raw: &RawValue) -> Result<Cow<'_, str>, &'static str> {
    let inner = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.ok_or("must be a string")?;
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    // The syntax was checked before; only half of a surrogate pair can still be wrong.
    let text = serde_json::from_str(raw.get()).map(Cow::Owned);
    text.map_err(|_lone| "must be Unicode text; an escape from \\uD800 to \\uDFFF needs its other half")
}

/// A name as a part of a JSON Pointer (RFC 6901, section 3).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A name from outside as an answer repeats it: not all of it, if it is long.
pub(crate) fn shown(name: &str) -> String {
    const MAX_CHARS: usize = 80;
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn unknown(known: &[&str]) -> String {
    match known {
        [] => "unknown field; there are none here".to_owned(),
        known => format!("unknown field; known here: {}", known.join(", ")),
    }
}
