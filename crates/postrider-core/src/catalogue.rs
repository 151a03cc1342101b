//! The event types: the contract's four, which can be handed in, and the operational ones, which the service raises
//! itself. Each has a description, a JSON Schema and an example.
//!
//! Compiles the schemas once; judging a payload is in `payload.rs`.

use std::fmt;

use serde_json::Value;

use crate::payload::{self, Shape};

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
    /// Its name, such as `policy.created`.
    pub name: &'static str,
    /// When it is triggered.
    pub description: &'static str,
    /// Its JSON Schema (2020-12) as text.
    pub schema: &'static str,
    /// An example payload; the contract's are byte for byte.
    pub example: &'static str,
    /// Who raises events of this type.
    pub raised_by: RaisedBy,
    /// The schema, compiled.
    validator: jsonschema::Validator,
    /// What the schema asks for, if that is plain enough to judge a payload at a glance.
    shape: Option<Shape>,
}

impl EventType {
    fn built_in(
        name: &'static str,
        description: &'static str,
        schema: &'static str,
        example: &'static str,
        raised_by: RaisedBy,
    ) -> Self {
        let parsed: Value = serde_json::from_str(schema).expect("a built-in schema is JSON");
        let validator = compiled(&parsed).expect("a built-in schema is a JSON Schema");
        let shape = Shape::of_payload(&parsed);
        Self { name, description, schema, example, raised_by, validator, shape }
    }

    /// The example with its `livemode`, where it has one, set to this mode.
    pub fn example_in_mode(&self, livemode: bool) -> String {
        let Some(mut example) = payload::value(self.example) else { return self.example.to_owned() };
        match example.get_mut("livemode") {
            Some(mode) if *mode != Value::Bool(livemode) => {
                *mode = Value::Bool(livemode);
                example.to_string()
            }
            _ => self.example.to_owned(),
        }
    }

    /// The compiled schema.
    pub(crate) fn validator(&self) -> &jsonschema::Validator {
        &self.validator
    }

    /// What the schema asks for, where a payload can be judged at a glance.
    pub(crate) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }
}

/// Compiles a schema. Formats are words for the reader and judge nothing.
pub(crate) fn compiled(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(false)
        .build(schema)
        .map_err(|why| why.to_string())
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
    /// The contract's four event types, and the operational ones.
    pub fn built_in() -> Self {
        Self(platform_types().into_iter().chain(service_types()).collect())
    }

    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<&EventType> {
        self.0.iter().find(|event_type| event_type.name == name)
    }

    /// Every type, those of the contract first and in its order.
    pub fn all(&self) -> &[EventType] {
        &self.0
    }

    /// The types that the platform hands in.
    pub fn of_platform(&self) -> impl Iterator<Item = &EventType> + Clone {
        self.0.iter().filter(|event_type| event_type.raised_by == RaisedBy::Platform)
    }
}

/// The contract's types.
fn platform_types() -> Vec<EventType> {
    const OFFER: &str = include_str!("catalogue/offer.schema.json");
    const POLICY: &str = include_str!("catalogue/policy.schema.json");
    let built_in = |name, description, schema, example| {
        EventType::built_in(name, description, schema, example, RaisedBy::Platform)
    };
    vec![
        built_in(
            "offer.created",
            "Triggered when an offer has been successfully created.",
            OFFER,
            include_str!("catalogue/offer.created.json"),
        ),
        built_in(
            "policy.created",
            "Triggered when a policy has been successfully created.",
            POLICY,
            include_str!("catalogue/policy.created.json"),
        ),
        built_in(
            "policy.updated",
            "Triggered when a policy has been successfully updated.",
            POLICY,
            include_str!("catalogue/policy.updated.json"),
        ),
        built_in(
            "policy.cancelled",
            "Triggered when a policy has been successfully cancelled.",
            POLICY,
            include_str!("catalogue/policy.cancelled.json"),
        ),
    ]
}

/// The operational types, see `operational.rs`.
fn service_types() -> Vec<EventType> {
    const ENDPOINT: &str = include_str!("catalogue/endpoint.schema.json");
    const DELIVERY: &str = include_str!("catalogue/delivery.schema.json");
    let built_in = |name, description, schema, example| {
        EventType::built_in(name, description, schema, example, RaisedBy::Service)
    };
    vec![
        built_in(
            "endpoint.failing",
            "Raised for the operator when an endpoint began to fail and is only probed now.",
            ENDPOINT,
            include_str!("catalogue/endpoint.failing.json"),
        ),
        built_in(
            "endpoint.recovered",
            "Raised for the operator when a failing endpoint received something again.",
            ENDPOINT,
            include_str!("catalogue/endpoint.recovered.json"),
        ),
        built_in(
            "endpoint.disabled",
            "Raised for the operator when an endpoint was disabled, by hand or by the service.",
            ENDPOINT,
            include_str!("catalogue/endpoint.disabled.json"),
        ),
        built_in(
            "delivery.exhausted",
            "Raised for the operator when deliveries of an endpoint used up their attempts, at most once a minute.",
            DELIVERY,
            include_str!("catalogue/delivery.exhausted.json"),
        ),
    ]
}
