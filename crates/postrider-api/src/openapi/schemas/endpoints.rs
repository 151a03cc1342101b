//! Endpoints, their settings and filters.

use serde_json::{Value, json};

use super::{
    ACCOUNT, AT, ENDPOINT, Named, account_id, count, example_with, flag, id, nullable, number, object,
    one_of, text, time, whole, with,
};
use crate::openapi::describe::schema;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw2Zk3yXq1r0I=";

/// What can be set about an endpoint, and what of it is shown in another form.
fn settings() -> Value {
    json!({
        "url": { "type": "string", "format": "uri", "maxLength": 2048, "description": "https, or http; to a public address unless a network is allowed" },
        "event_types": {
            "type": "array", "minItems": 1, "maxItems": 100, "items": { "type": "string", "maxLength": 130 },
            "description": "Names, groups such as `policy.*`, or `*`",
        },
        "filter": nullable(schema("Filter")),
        "description": nullable(json!({ "type": "string", "maxLength": 1000 })),
        "headers": nullable(json!({
            "type": "object", "maxProperties": 20, "additionalProperties": { "type": "string", "maxLength": 4096 },
            "description": "Sent with every request, with the names in the letter case given here. Names that differ only in letter case are the same header; the service's own are refused, and values are never shown again",
        })),
        "timeout_ms": nullable(number(1_000, 60_000)),
        "retry_schedule": nullable(json!({
            "type": "array", "minItems": 1, "maxItems": 30,
            "items": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" },
            "description": "Delays of 1s to 7d; null is the installation's",
        })),
        "rate_limit": nullable(json!({
            "type": "object", "required": ["per_second"], "additionalProperties": false,
            "properties": { "per_second": number(1, 100_000), "burst": nullable(number(1, 100_000)) },
        })),
        "max_in_flight": nullable(number(1, 1_000)),
        "ordered": nullable(flag()),
        "standard_webhooks": nullable(flag()),
    })
}

fn success_rate() -> serde_json::Value {
    json!({
        "type": "number", "minimum": 0, "maximum": 1,
        "description": "The share of the last 100 attempts, probes included, that was answered with 2xx; null before the first attempt. Below 0.95 pages call the endpoint degraded.",
    })
}

pub(super) fn endpoints() -> Named {
    let mut shown = settings();
    for (field, as_shown) in [
        ("description", text()),
        ("headers", json!({ "type": "object", "additionalProperties": { "const": "•••" } })),
        ("timeout_ms", number(1_000, 60_000)),
        ("max_in_flight", number(1, 1_000)),
        ("ordered", flag()),
        ("standard_webhooks", flag()),
    ] {
        shown[field] = as_shown;
    }
    let base = json!({ "properties": shown });
    let more = json!({
        "id": id("ep_"), "account": account_id(), "livemode": flag(),
        "state": one_of(&["enabled", "paused", "disabled"]),
        "disabled_reason": nullable(one_of(&["operator", "gone", "failing"])),
        "health": one_of(&["healthy", "failing"]),
        "attempt_success_rate": nullable(success_rate()),
        "failing_since": nullable(time()),
        "next_probe_at": nullable(time()), "backlog": count(), "last_success_at": nullable(time()),
        "created_at": time(), "updated_at": time(),
        "unreadable": {
            "type": "array",
            "items": one_of(&["secret", "headers"]),
            "description": "What must be set again before anything is sent, because it can't be read any more; usually empty",
        },
        "secret_overlap_until": nullable(time()),
    });
    let example = json!({
        "id": ENDPOINT, "account": ACCOUNT, "url": "https://crm.example/hook", "livemode": true,
        "event_types": ["policy.*"], "filter": { "path": "/gross_premium", "at_least": 1000 }, "description": "",
        "headers": { "X-Api-Key": "•••" }, "timeout_ms": 15_000, "retry_schedule": null, "rate_limit": null,
        "max_in_flight": 10, "ordered": false, "standard_webhooks": false, "state": "enabled",
        "disabled_reason": null, "health": "healthy", "attempt_success_rate": 0.99, "failing_since": null, "next_probe_at": null, "backlog": 0,
        "last_success_at": AT, "created_at": AT, "updated_at": AT,
        "unreadable": [], "secret_overlap_until": null,
    });
    let endpoint = whole(with(&base, more), example);
    let created = whole(
        with(&endpoint, json!({ "secret": text() })),
        example_with(&endpoint, json!({ "secret": SECRET })),
    );
    let settings = json!({ "properties": settings() });
    let given = json!({
        "account": nullable(account_id()), "livemode": nullable(flag()),
        "secret": nullable(json!({ "type": "string", "minLength": 24, "maxLength": 256, "pattern": "^[!-~]+$" })),
    });
    let example = json!({ "account": ACCOUNT, "livemode": true, "url": "https://crm.example/hook", "event_types": ["policy.*"] });
    let input = object(with(&settings, given.clone()), &["url", "event_types"], example);
    let change = json!({ "event_types": ["*"], "max_in_flight": 50 });
    vec![
        ("Endpoint", endpoint),
        ("EndpointCreated", created),
        ("EndpointInput", input),
        ("EndpointChange", object(settings["properties"].clone(), &[], change)),
        ("Filter", filter()),
    ]
    .into_iter()
    .chain(calls(&given))
    .collect()
}

/// What is said about an endpoint beside its settings.
fn calls(given: &Value) -> Named {
    let revealed = whole(
        json!({
            "secret": text(), "next_secret": nullable(text()), "secret_overlap_until": nullable(time()),
        }),
        json!({ "secret": SECRET, "next_secret": null, "secret_overlap_until": null }),
    );
    let rotation = object(
        json!({ "secret": given["secret"], "overlap_seconds": nullable(number(0, 2_592_000)) }),
        &[],
        json!({ "overlap_seconds": 86_400 }),
    );
    let test = object(
        json!({ "event_type": nullable(json!({ "type": "string", "maxLength": 128 })) }),
        &[],
        json!({ "event_type": "policy.created" }),
    );
    vec![("Secret", revealed), ("Rotation", rotation), ("Test", test)]
}

fn filter() -> Value {
    let parts = json!({ "type": "array", "minItems": 1, "maxItems": 63, "items": schema("Filter") });
    let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
    let one = |name: &str, value: &Value| {
        json!({
            "type": "object", "required": ["path", name], "additionalProperties": false,
            "properties": {
                "path": { "type": "string", "maxLength": 512, "pattern": "^(/([^~]|~[01])*)$", "description": "JSON Pointer (RFC 6901)" },
                name: value,
            },
        })
    };
    let joined = |name: &str, value: &Value| json!({ "type": "object", "required": [name], "additionalProperties": false, "properties": { name: value } });
    json!({
        "description": "Which events are wanted by what their payloads say; see docs/filters.md",
        "oneOf": [
            joined("all", &parts), joined("any", &parts), joined("not", &schema("Filter")),
            one("equals", &scalar), one("in", &json!({ "type": "array", "minItems": 1, "maxItems": 100, "items": scalar })),
            one("exists", &flag()), one("prefix", &json!({ "type": "string", "minLength": 1 })),
            one("less_than", &json!({ "type": "number" })), one("at_most", &json!({ "type": "number" })),
            one("more_than", &json!({ "type": "number" })), one("at_least", &json!({ "type": "number" })),
        ],
        "examples": [{ "all": [{ "path": "/holder/country", "in": ["DE", "AT"] }, { "path": "/gross_premium", "at_least": 1000 }] }],
    })
}
