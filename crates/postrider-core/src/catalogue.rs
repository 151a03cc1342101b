//! The event types that can be handed in: the contract's four, each with description, JSON Schema and example.
//!
//! Compiles the schemas once; judging a payload is in `payload.rs`.

use std::fmt;

use serde_json::Value;

/// An event type of the catalogue.
pub struct EventType {
    /// Its name, such as `policy.created`.
    pub name: &'static str,
    /// When it is triggered.
    pub description: &'static str,
    /// Its JSON Schema (2020-12) as text.
    pub schema: &'static str,
    /// An example payload, byte for byte from the contract.
    pub example: &'static str,
    /// The schema, compiled.
    validator: jsonschema::Validator,
}

impl EventType {
    fn built_in(
        name: &'static str,
        description: &'static str,
        schema: &'static str,
        example: &'static str,
    ) -> Self {
        let parsed: Value = serde_json::from_str(schema).expect("a built-in schema is JSON");
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(false)
            .build(&parsed)
            .expect("a built-in schema is a JSON Schema");
        Self { name, description, schema, example, validator }
    }

    /// The compiled schema.
    pub(crate) fn validator(&self) -> &jsonschema::Validator {
        &self.validator
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventType").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All event types, found by name.
#[derive(Debug)]
pub struct Catalogue(Vec<EventType>);

impl Catalogue {
    /// The contract's four event types.
    pub fn built_in() -> Self {
        const OFFER: &str = include_str!("catalogue/offer.schema.json");
        const POLICY: &str = include_str!("catalogue/policy.schema.json");
        Self(vec![
            EventType::built_in(
                "offer.created",
                "Triggered when an offer has been successfully created.",
                OFFER,
                include_str!("catalogue/offer.created.json"),
            ),
            EventType::built_in(
                "policy.created",
                "Triggered when a policy has been successfully created.",
                POLICY,
                include_str!("catalogue/policy.created.json"),
            ),
            EventType::built_in(
                "policy.updated",
                "Triggered when a policy has been successfully updated.",
                POLICY,
                include_str!("catalogue/policy.updated.json"),
            ),
            EventType::built_in(
                "policy.cancelled",
                "Triggered when a policy has been successfully cancelled.",
                POLICY,
                include_str!("catalogue/policy.cancelled.json"),
            ),
        ])
    }

    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<&EventType> {
        self.0.iter().find(|event_type| event_type.name == name)
    }

    /// Every type, in the order of the contract.
    pub fn all(&self) -> &[EventType] {
        &self.0
    }
}
