//! What a JSON Schema asks for where it asks for plain things alone: types, fields, required fields and items.
//!
//! Derived once for each event type, for `glance.rs`. A schema with any other keyword that judges has no shape and
//! is left to the full check.

use serde_json::{Map, Value};

use crate::json_types::Types;

/// Reads a schema's `type`.
fn types_of(value: &Value) -> Option<Types> {
    match value {
        // A whole number is a number, too.
        Value::String(name) if name == "number" => Some(Types(Types::NUMBER.0 | Types::INTEGER.0)),
        Value::String(name) => Types::of_name(name),
        Value::Array(names) => names.iter().try_fold(Types(0), |types, name| {
            if name.is_string() { Some(Types(types.0 | types_of(name)?.0)) } else { None }
        }),
        _ => None,
    }
}

/// What a value must look like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(super) types: Types,
    /// The fields that an object may or must have, at most 64; others may hold anything.
    members: Vec<(Box<str>, Shape)>,
    /// Which of `members` must be there, a bit for each.
    pub(super) required: u64,
    items: Option<Box<Shape>>,
}

/// Lets everything pass.
pub(super) static ANYTHING: Shape =
    Shape { types: Types::ANY, members: Vec::new(), required: 0, items: None };

impl Shape {
    /// The shape of a whole payload. None where the schema asks for more than a shape can say.
    pub(crate) fn of_payload(schema: &Value) -> Option<Self> {
        let mut shape = Self::of(schema)?;
        // A payload's mode is read as well, and must be recognised where it is there twice.
        shape.place_or_new("livemode")?;
        Some(shape)
    }

    fn of(schema: &Value) -> Option<Self> {
        let mut shape = Self { types: Types::ANY, members: Vec::new(), required: 0, items: None };
        let keywords = match schema {
            Value::Bool(true) => return Some(shape),
            Value::Object(keywords) => keywords,
            _ => return None,
        };
        for (keyword, value) in keywords {
            match keyword.as_str() {
                // Words for the reader. Formats are not judged.
                "$schema" | "$comment" | "title" | "description" | "format" => {}
                "type" => shape.types = types_of(value)?,
                "items" => shape.items = Some(Box::new(Self::of(value)?)),
                "properties" | "required" => {}
                _ => return None,
            }
        }
        shape.take_members(keywords)?;
        Some(shape)
    }

    fn take_members(&mut self, keywords: &Map<String, Value>) -> Option<()> {
        if let Some(properties) = keywords.get("properties") {
            for (name, schema) in properties.as_object()? {
                let place = self.place_or_new(name)?;
                self.members[place].1 = Self::of(schema)?;
            }
        }
        if let Some(required) = keywords.get("required") {
            for name in required.as_array()? {
                let place = self.place_or_new(name.as_str()?)?;
                self.required |= 1 << place;
            }
        }
        Some(())
    }

    /// The place of a member, which is added if it is new. None where there are too many.
    fn place_or_new(&mut self, name: &str) -> Option<usize> {
        if let Some(place) = self.members.iter().position(|(known, _)| **known == *name) {
            return Some(place);
        }
        if self.members.len() == 64 {
            return None;
        }
        self.members.push((name.into(), Self::of(&Value::Bool(true))?));
        Some(self.members.len() - 1)
    }

    /// The place and the shape of the member of this name.
    pub(super) fn member(&self, name: &str) -> Option<(usize, &Self)> {
        let place = self.members.iter().position(|(known, _)| **known == *name)?;
        Some((place, &self.members[place].1))
    }

    /// What an array's items must look like.
    pub(super) fn item(&self) -> &Self {
        self.items.as_deref().unwrap_or(&ANYTHING)
    }
}
