//! The event types that come with the service: texts alone.

use super::RaisedBy;

/// What a built-in type is without anybody's doing.
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) schema: &'static str,
    pub(super) example: &'static str,
    pub(super) raised_by: RaisedBy,
}

const OFFER: &str = include_str!("offer.schema.json");
const POLICY: &str = include_str!("policy.schema.json");
const ENDPOINT: &str = include_str!("endpoint.schema.json");
const DELIVERY: &str = include_str!("delivery.schema.json");

/// The contract's types, in its order.
pub(super) static CONTRACT: &[BuiltIn] = &[
    BuiltIn {
        name: "offer.created",
        description: "Triggered when an offer has been successfully created.",
        schema: OFFER,
        example: include_str!("offer.created.json"),
        raised_by: RaisedBy::Platform,
    },
    BuiltIn {
        name: "policy.created",
        description: "Triggered when a policy has been successfully created.",
        schema: POLICY,
        example: include_str!("policy.created.json"),
        raised_by: RaisedBy::Platform,
    },
    BuiltIn {
        name: "policy.updated",
        description: "Triggered when a policy has been successfully updated.",
        schema: POLICY,
        example: include_str!("policy.updated.json"),
        raised_by: RaisedBy::Platform,
    },
    BuiltIn {
        name: "policy.cancelled",
        description: "Triggered when a policy has been successfully cancelled.",
        schema: POLICY,
        example: include_str!("policy.cancelled.json"),
        raised_by: RaisedBy::Platform,
    },
];

/// The operational types, see `operational.rs`.
pub(super) static SERVICE: &[BuiltIn] = &[
    BuiltIn {
        name: "endpoint.failing",
        description: "Raised for the operator when an endpoint began to fail and is only probed now.",
        schema: ENDPOINT,
        example: include_str!("endpoint.failing.json"),
        raised_by: RaisedBy::Service,
    },
    BuiltIn {
        name: "endpoint.recovered",
        description: "Raised for the operator when a failing endpoint received something again.",
        schema: ENDPOINT,
        example: include_str!("endpoint.recovered.json"),
        raised_by: RaisedBy::Service,
    },
    BuiltIn {
        name: "endpoint.disabled",
        description: "Raised for the operator when an endpoint was disabled, by hand or by the service.",
        schema: ENDPOINT,
        example: include_str!("endpoint.disabled.json"),
        raised_by: RaisedBy::Service,
    },
    BuiltIn {
        name: "delivery.exhausted",
        description: "Raised for the operator when deliveries of an endpoint used up their attempts, at most once a minute.",
        schema: DELIVERY,
        example: include_str!("delivery.exhausted.json"),
        raised_by: RaisedBy::Service,
    },
];
