//! A JSON object of a body, read once without building values: each known field keeps its exact text, and every
//! fault (a wrong type, an unknown or repeated field, something missing) is gathered with its JSON Pointer, so
//! that one answer names them all.
//!
//! Nothing here knows what a field means.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::ops::RangeInclusive;

use postrider_core::limits::MAX_VIOLATIONS;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::problem::{Code, FieldError, Problem};

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
            if why.is_data() {
                Problem::invalid_field("", "must be a JSON object")
            } else {
                Problem::new(Code::MalformedJson, format!("the body is not JSON: {why}"))
            }
        })
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
        let pointer = format!("{}/{name}", self.base);
        if self.errors.len() < MAX_VIOLATIONS && self.errors.iter().all(|known| known.pointer != pointer) {
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

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The faults found so far.
    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// The end of judging: all faults at once.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    /// A field where `null` has a meaning: none where it is absent or faulty, `Some(None)` where it is null.
    fn given<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Option<Option<T>> {
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

    pub(crate) fn text(&mut self, name: &'static str) -> Option<Option<Cow<'a, str>>> {
        self.given(name, |raw| text_of(raw).ok_or_else(|| "must be a string".to_owned()))
    }

    /// A string; `null` is a fault.
    pub(crate) fn needed_text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let text = self.text(name)?;
        if text.is_none() {
            self.refuse(name, "must be a string");
        }
        text
    }

    /// A string of at most `max_chars` characters.
    pub(crate) fn short_text(
        &mut self,
        name: &'static str,
        max_chars: usize,
    ) -> Option<Option<Cow<'a, str>>> {
        self.given(name, |raw| {
            let text = text_of(raw).ok_or_else(|| "must be a string".to_owned())?;
            if text.chars().count() > max_chars {
                return Err(format!("must have at most {max_chars} characters"));
            }
            Ok(text)
        })
    }

    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<Option<bool>> {
        self.given(name, |raw| match raw.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
    }

    pub(crate) fn whole_number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<Option<u32>> {
        self.given(name, |raw| {
            let number = raw.get().parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A list of strings, at most `max` of them.
    pub(crate) fn texts(&mut self, name: &'static str, max: usize) -> Option<Option<Vec<Cow<'a, str>>>> {
        let elements = self.given(name, |raw| elements_of(raw, max))?;
        let Some(elements) = elements else { return Some(None) };
        let mut texts = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            match text_of(element) {
                Some(text) => texts.push(text),
                None => self.refuse(&format!("{name}/{index}"), "must be a string"),
            }
        }
        (texts.len() == elements.len()).then_some(Some(texts))
    }

    /// An object of at most `max` strings, in the order given.
    pub(crate) fn named_texts(
        &mut self,
        name: &'static str,
        max: usize,
    ) -> Option<Option<Vec<(String, Cow<'a, str>)>>> {
        let members = self.given(name, |raw| members_of(raw, max))?;
        let Some(members) = members else { return Some(None) };
        let count = members.len();
        let mut texts = Vec::with_capacity(count);
        for (member, raw) in members {
            match text_of(raw) {
                Some(text) => texts.push((member, text)),
                None => self.refuse(&format!("{name}/{}", escaped(&member)), "must be a string"),
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
    ) -> Option<Option<T>> {
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

/// The text of a JSON string; none where it is something else or has an escape that is no character.
fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
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

/// The elements of an array of at most `max`.
fn elements_of(raw: &RawValue, max: usize) -> Result<Vec<&RawValue>, String> {
    struct Elements(usize);

    impl<'a> Visitor<'a> for Elements {
        type Value = (Vec<&'a RawValue>, usize);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while elements.len() < self.0
                && let Some(element) = seq.next_element()?
            {
                elements.push(element);
            }
            let count = elements.len() + count_rest(&mut seq)?;
            Ok((elements, count))
        }
    }

    let read = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Elements(max));
    match read {
        Ok((elements, count)) if count <= max => Ok(elements),
        Ok((_, count)) => Err(format!("must have at most {max} entries, this has {count}")),
        Err(_) => Err("must be an array of strings".to_owned()),
    }
}

/// The members of an object of at most `max`, repeated names included.
fn members_of(raw: &RawValue, max: usize) -> Result<Vec<(String, &RawValue)>, String> {
    struct Members(usize);

    impl<'a> Visitor<'a> for Members {
        type Value = (Vec<(String, &'a RawValue)>, usize);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            let mut count = 0;
            while count < self.0
                && let Some(member) = map.next_entry()?
            {
                members.push(member);
                count += 1;
            }
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok((members, count))
        }
    }

    let read = serde_json::Deserializer::from_str(raw.get()).deserialize_map(Members(max));
    match read {
        Ok((members, count)) if count <= max => Ok(members),
        Ok((_, count)) => Err(format!("must have at most {max} entries, this has {count}")),
        Err(_) => Err("must be an object of strings".to_owned()),
    }
}

/// How many elements are left, all of them passed over.
fn count_rest<'a, A: SeqAccess<'a>>(seq: &mut A) -> Result<usize, A::Error> {
    let mut count = 0;
    while seq.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Reads one object into [`Fields`].
struct Object {
    base: Cow<'static, str>,
    known: &'static [&'static str],
}

impl<'a> DeserializeSeed<'a> for Object {
    type Value = Fields<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Fields<'a>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Object {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let Self { base, known } = self;
        let mut fields = Fields { base, known, values: vec![None; known.len()], errors: Vec::new() };
        while let Some(key) = map.next_key_seed(Key(known))? {
            let value: &'a RawValue = map.next_value()?;
            match key {
                Err(name) => {
                    fields.refuse(&escaped(&name), unknown(known));
                }
                Ok(place) if fields.values[place].is_some() => fields.refuse(known[place], "is there twice"),
                Ok(place) => fields.values[place] = Some(value),
            }
        }
        Ok(fields)
    }
}

/// Reads a key: its place among the known ones, or the name itself.
struct Key(&'static [&'static str]);

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name).ok_or_else(|| shown(name)))
    }
}

/// Reads an array of objects, and counts those beyond `max` without keeping them. `reached` is the index at which
/// it stands, so that an error has its place.
struct Objects<'c> {
    name: &'static str,
    known: &'static [&'static str],
    max: usize,
    reached: &'c Cell<usize>,
}

impl<'a> DeserializeSeed<'a> for Objects<'_> {
    type Value = (Vec<Fields<'a>>, usize);

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Objects<'_> {
    type Value = (Vec<Fields<'a>>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while objects.len() < self.max {
            let index = objects.len();
            self.reached.set(index);
            let base = Cow::Owned(format!("/{}/{index}", self.name));
            match seq.next_element_seed(Object { base, known: self.known })? {
                Some(object) => objects.push(object),
                None => return Ok((objects, index)),
            }
        }
        let count = objects.len() + count_rest(&mut seq)?;
        Ok((objects, count))
    }
}
