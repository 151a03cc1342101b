//! What the operator makes of event types: custom ones, and changes of the contract's. Judged before it is kept.
//!
//! A schema and an example always fit each other, whether payloads are judged or not.

use crate::event_type::is_event_type_name;
use crate::limits::{MAX_CUSTOM_EVENT_TYPES, MAX_EVENT_TYPE_BYTES, MAX_EXAMPLE_BYTES};
use crate::payload::{self, PayloadRefused, PayloadValidator, Violation};
use crate::text;
use crate::time::Timestamp;

use super::built_in::BuiltIn;
use super::{Catalogue, EventType, RaisedBy, schema};

/// What the operator made of an event type: all of a custom one, and of a built-in one what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The type's name.
    pub name: String,
    /// When it is triggered; none: the built-in's own words, or nothing.
    pub description: Option<String>,
    /// A JSON Schema as text; none: the built-in's own, or none at all.
    pub schema: Option<String>,
    /// An example payload as text; none: the built-in's own, or none at all.
    pub example: Option<String>,
    /// Whether payloads are judged by the schema.
    pub validation: bool,
    /// Whether it is out of use.
    pub archived: bool,
    /// When it was made, or first changed.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is to change about a type; what is `None` stays. Within, none brings back what is built in, or nothing.
#[derive(Debug, Clone, Default)]
pub struct TypePatch {
    /// Another description.
    pub description: Option<Option<String>>,
    /// Another schema.
    pub schema: Option<Option<String>>,
    /// Another example.
    pub example: Option<Option<String>>,
    /// Judge payloads, or not.
    pub validation: Option<bool>,
    /// Put it out of use, or back.
    pub archived: Option<bool>,
}

/// Why a type can't be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeRefused {
    /// There is one of this name.
    IsThere,
    /// There are as many as there may be.
    Full,
    /// The service raises it itself.
    IsTheServices,
    /// These places are wrong. The pointers begin at the definition: `/schema/properties/x`.
    Faults(Vec<Violation>),
}

/// Which parts of a definition the caller gives.
#[derive(Debug, Clone, Copy)]
struct Changes {
    description: bool,
    /// A schema that stays is not held against bounds that are newer than it.
    schema: bool,
    /// An example that does not match is a fault of the example if it is given, and of the schema otherwise.
    example: bool,
}

impl Catalogue {
    /// Judges a custom type that is to be added.
    pub fn judge_new(&self, definition: Definition) -> Result<EventType, TypeRefused> {
        if self.get(&definition.name).is_some() {
            return Err(TypeRefused::IsThere);
        }
        if self.count_custom() >= MAX_CUSTOM_EVENT_TYPES {
            return Err(TypeRefused::Full);
        }
        let is_name = is_event_type_name(&definition.name);
        match EventType::judged(None, definition, Changes { description: true, schema: true, example: true })
        {
            Ok(made) if is_name => Ok(made),
            judged => {
                let mut faults = if is_name { Vec::new() } else { vec![not_a_name()] };
                faults.extend(judged.err().into_iter().flatten());
                Err(TypeRefused::Faults(faults))
            }
        }
    }

    /// A type as it was kept.
    pub(super) fn read(&self, definition: Definition) -> Result<EventType, String> {
        let built_in = self.get(&definition.name).and_then(|known| known.built_in);
        if built_in.is_some_and(|known| known.raised_by == RaisedBy::Service) {
            return Err("the service raises events of this type itself now".to_owned());
        }
        let mut event_type = EventType {
            name: definition.name.as_str().into(),
            built_in,
            definition: Some(definition),
            payload_validator: PayloadValidator::of_anything(),
        };
        if event_type.is_validated()
            && let Some(text) = event_type.schema()
        {
            event_type.payload_validator = schema::read_stored(text)
                .map_err(|fault| format!("schema{}: {}", fault.pointer, fault.detail))?;
        }
        Ok(event_type)
    }
}

impl EventType {
    /// A type that comes with the service, as it comes.
    pub(super) fn untouched(known: &'static BuiltIn) -> Self {
        let payload_validator =
            schema::read_new(known.schema).expect("a built-in schema is a JSON Schema within its bounds");
        Self { name: known.name.into(), built_in: Some(known), definition: None, payload_validator }
    }

    /// What the operator made of it, to be kept.
    pub fn definition(&self) -> Option<&Definition> {
        self.definition.as_ref()
    }

    /// Judges a change made at this time, and gives what the type becomes by it.
    pub fn changed(&self, patch: TypePatch, at: Timestamp) -> Result<Self, TypeRefused> {
        if self.raised_by() == RaisedBy::Service {
            return Err(TypeRefused::IsTheServices);
        }
        let mut definition = self.definition.clone().unwrap_or_else(|| Definition {
            name: self.name().to_owned(),
            description: None,
            schema: None,
            example: None,
            validation: true,
            archived: false,
            created_at: at,
            updated_at: at,
        });
        let changes = Changes {
            description: patch.description.is_some(),
            schema: patch.schema.is_some(),
            example: patch.example.is_some(),
        };
        let TypePatch { description, schema, example, validation, archived } = patch;
        definition.description = description.unwrap_or(definition.description);
        definition.schema = schema.unwrap_or(definition.schema);
        definition.example = example.unwrap_or(definition.example);
        definition.validation = validation.unwrap_or(definition.validation);
        definition.archived = archived.unwrap_or(definition.archived);
        definition.updated_at = at;
        Self::judged(self.built_in, definition, changes).map_err(TypeRefused::Faults)
    }

    /// The names of the fields in which another state of the type differs, as in the API.
    pub fn fields_changed_in(&self, after: &Self) -> Vec<&'static str> {
        let all = [
            ("description", self.description() != after.description()),
            ("schema", self.schema() != after.schema()),
            ("example", self.example() != after.example()),
            ("validation", self.is_validated() != after.is_validated()),
            ("archived", self.is_archived() != after.is_archived()),
        ];
        all.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// Checks a definition. A description that the caller does not change stays as it is.
    fn judged(
        built_in: Option<&'static BuiltIn>,
        definition: Definition,
        changes: Changes,
    ) -> Result<Self, Vec<Violation>> {
        let mut faults = Vec::new();
        let name = definition.name.as_str().into();
        let mut made = Self {
            name,
            built_in,
            definition: Some(definition),
            payload_validator: PayloadValidator::of_anything(),
        };
        if changes.description
            && let Err(why) = text::DESCRIPTION.check(made.description())
        {
            faults.push(Violation { pointer: "/description".to_owned(), detail: why.to_string() });
        }
        let read = if changes.schema { schema::read_new } else { schema::read_stored };
        let by_schema = match made.schema().map(read) {
            None => Some(PayloadValidator::of_anything()),
            Some(Ok(validator)) => Some(validator),
            Some(Err(fault)) => {
                faults.push(Violation { pointer: format!("/schema{}", fault.pointer), ..fault });
                None
            }
        };
        if let (Some(example), Some(validator)) = (made.example(), &by_schema) {
            faults.extend(example_faults(example, validator, changes.example));
        }
        if let Some(validator) = by_schema
            && made.is_validated()
        {
            made.payload_validator = validator;
        }
        if faults.is_empty() { Ok(made) } else { Err(faults) }
    }
}

fn not_a_name() -> Violation {
    let detail = format!(
        "must be an event type's name such as claim.opened: parts of letters, digits, \"_\" and \"-\", joined by dots, at most {MAX_EVENT_TYPE_BYTES} characters"
    );
    Violation { pointer: "/name".to_owned(), detail }
}

/// What is wrong with an example by itself and by its type's schema.
fn example_faults(example: &str, validator: &PayloadValidator, is_given: bool) -> Vec<Violation> {
    if example.len() > MAX_EXAMPLE_BYTES {
        let detail = format!("must have at most {MAX_EXAMPLE_BYTES} bytes, this has {}", example.len());
        return vec![Violation { pointer: "/example".to_owned(), detail }];
    }
    let has_mode = payload::value(example).is_some_and(|value| value.get("livemode").is_some());
    let checked = validator.check(example, (!has_mode).then_some(false));
    let Err(faults) = checked.map_err(PayloadRefused::into_violations) else { return Vec::new() };
    if is_given {
        let placed = |fault: Violation| Violation { pointer: format!("/example{}", fault.pointer), ..fault };
        return faults.into_iter().map(placed).collect();
    }
    let first = faults.first().map(|fault| format!("\"{}\" {}", fault.pointer, fault.detail));
    let detail = format!(
        "would reject the type's own example ({}); give a fitting example with it",
        first.unwrap_or_default()
    );
    vec![Violation { pointer: "/schema".to_owned(), detail }]
}
