//! The event types: the contract's four and those that the operator adds, which can be handed in, and the operational
//! ones, which the service raises itself. Each has a description and, mostly, a JSON Schema and an example.
//!
//! Compiles the schemas once; judging a payload is in `payload.rs`, what may become of a type in `definition.rs`.

mod built_in;
mod definition;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::event_type::Pattern;
use crate::payload::{self, PayloadValidator, Violation};
use crate::time::Timestamp;
use built_in::{BuiltIn, CONTRACT, SERVICE};
pub use definition::{Definition, TypePatch, TypeRefused};
#[cfg(test)]
pub(crate) use schema::compiled;

/// Who raises events of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaisedBy {
    /// The platform hands them in.
    Platform,
    /// The service itself, for the operator's account.
    Service,
}

/// An event type of the catalogue.
pub struct EventType {
    name: Arc<str>,
    /// What it is without anybody's doing; none for a custom one.
    built_in: Option<&'static BuiltIn>,
    /// What the operator made of it; none for a built-in one that nobody touched.
    definition: Option<Definition>,
    payload_validator: PayloadValidator,
}

impl EventType {
    /// Its name, such as `policy.created`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name to be kept: it is in memory once.
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// When it is triggered; may be empty.
    pub fn description(&self) -> &str {
        let own = self.definition.as_ref().and_then(|own| own.description.as_deref());
        own.or(self.built_in.map(|known| known.description)).unwrap_or_default()
    }

    /// Its JSON Schema (2020-12) as text. A type without one takes any object.
    pub fn schema(&self) -> Option<&str> {
        let own = self.definition.as_ref().and_then(|own| own.schema.as_deref());
        own.or(self.built_in.map(|known| known.schema))
    }

    /// An example payload; the contract's are byte for byte.
    pub fn example(&self) -> Option<&str> {
        let own = self.definition.as_ref().and_then(|own| own.example.as_deref());
        own.or(self.built_in.map(|known| known.example))
    }

    /// Whether payloads are judged by the schema. Off, any object passes.
    pub fn is_validated(&self) -> bool {
        self.definition.as_ref().is_none_or(|own| own.validation)
    }

    /// Whether it is out of use: no new events and no new subscriptions.
    pub fn is_archived(&self) -> bool {
        self.definition.as_ref().is_some_and(|own| own.archived)
    }

    /// Whether it comes with the service, changed or not.
    pub fn is_built_in(&self) -> bool {
        self.built_in.is_some()
    }

    /// Who raises events of this type.
    pub fn raised_by(&self) -> RaisedBy {
        self.built_in.map_or(RaisedBy::Platform, |known| known.raised_by)
    }

    /// When the operator last changed or made it.
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.definition.as_ref().map(|own| own.updated_at)
    }

    /// The example with its `livemode`, where it has one, set to this mode; none where there is no example.
    pub fn example_in_mode(&self, livemode: bool) -> Option<String> {
        let text = self.example()?;
        let Some(mut example) = payload::value(text) else { return Some(text.to_owned()) };
        Some(match example.get_mut("livemode") {
            Some(mode) if *mode != Value::Bool(livemode) => {
                *mode = Value::Bool(livemode);
                example.to_string()
            }
            _ => text.to_owned(),
        })
    }

    /// Where the schema exceeds a bound that is newer than it, as pointers from its root. It stays in force; payloads that
    /// take too many steps by it are refused.
    pub fn exceeded_bounds(&self) -> &[Violation] {
        self.payload_validator.exceeded()
    }

    /// What payloads are checked by.
    pub(crate) fn payload_validator(&self) -> &PayloadValidator {
        &self.payload_validator
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventType").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All event types, found by name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The contract's, the service's, and then the custom ones in the order they were made.
    types: Vec<Arc<EventType>>,
    places: HashMap<Arc<str>, usize>,
}

impl Catalogue {
    /// The contract's four event types, and the operational ones.
    pub fn built_in() -> Self {
        static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| {
            let mut catalogue = Catalogue { types: Vec::new(), places: HashMap::new() };
            for known in CONTRACT.iter().chain(SERVICE) {
                catalogue.put(EventType::untouched(known).into());
            }
            catalogue
        });
        BUILT_IN.clone()
    }

    /// The built-in types, and what the operator made of them and added. What can't be used of that is left out and named,
    /// with the reason: it was judged when it was written, perhaps by another version of the service.
    pub fn new(definitions: Vec<Definition>) -> (Self, Vec<(String, String)>) {
        Self::built_in().read_again(definitions)
    }

    /// The same after some of that has changed; what has not is taken from here.
    pub fn read_again(&self, mut definitions: Vec<Definition>) -> (Self, Vec<(String, String)>) {
        definitions.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        let mut catalogue = Self::built_in();
        let mut left_out = Vec::new();
        for definition in definitions {
            let name = definition.name.clone();
            if let Some(known) = self.get(&name).filter(|known| known.definition() == Some(&definition)) {
                catalogue.put(Arc::clone(known));
                continue;
            }
            match catalogue.read(definition) {
                Ok(event_type) => catalogue.put(event_type.into()),
                Err(why) => left_out.push((name, why)),
            }
        }
        (catalogue, left_out)
    }

    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<EventType>> {
        self.places.get(name).and_then(|place| self.types.get(*place))
    }

    /// Every type, those of the contract first and in its order.
    pub fn all(&self) -> &[Arc<EventType>] {
        &self.types
    }

    /// The types that the platform hands in, archived ones among them: those of the contract first and in its order, then
    /// the custom ones in the order they were made.
    pub fn of_platform(&self) -> impl Iterator<Item = &Arc<EventType>> + Clone {
        self.types.iter().filter(|event_type| event_type.raised_by() == RaisedBy::Platform)
    }

    /// The types of which new events are taken from the platform, in that order.
    pub fn in_use(&self) -> impl Iterator<Item = &Arc<EventType>> + Clone {
        self.of_platform().filter(|event_type| !event_type.is_archived())
    }

    /// Returns whether a pattern matches only operational events, which the service raises for the operator's account.
    pub fn is_operational(&self, pattern: &Pattern) -> bool {
        let stands_for = |raised_by: RaisedBy| {
            self.types.iter().any(|known| known.raised_by() == raised_by && pattern.matches(known.name()))
        };
        *pattern != Pattern::Any && stands_for(RaisedBy::Service) && !stands_for(RaisedBy::Platform)
    }

    /// How many types the operator added.
    pub fn count_custom(&self) -> usize {
        self.types.iter().filter(|event_type| !event_type.is_built_in()).count()
    }

    /// Puts in a type, or what became of it.
    pub fn put(&mut self, event_type: Arc<EventType>) {
        match self.places.get(event_type.name()) {
            Some(place) => self.types[*place] = event_type,
            None => {
                self.places.insert(event_type.shared_name(), self.types.len());
                self.types.push(event_type);
            }
        }
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::built_in()
    }
}
