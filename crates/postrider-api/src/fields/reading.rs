//! How objects and arrays are taken apart in one pass, each value left as its exact text. Bounded: what exceeds a
//! count is passed over, not kept.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fields, escaped, shown, unknown};

/// The elements of an array of at most `max`.
pub(super) fn elements_of(raw: &RawValue, max: usize) -> Result<Vec<&RawValue>, String> {
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
pub(super) fn members_of(raw: &RawValue, max: usize) -> Result<Vec<(String, &RawValue)>, String> {
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
pub(super) struct Object {
    pub(super) base: Cow<'static, str>,
    pub(super) known: &'static [&'static str],
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
pub(super) struct Objects<'c> {
    pub(super) name: &'static str,
    pub(super) known: &'static [&'static str],
    pub(super) max: usize,
    pub(super) reached: &'c Cell<usize>,
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
