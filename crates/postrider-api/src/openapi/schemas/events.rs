//! Event types, events and their routing.

use serde_json::{Value, json};

use super::{
    ACCOUNT, AT, DELIVERY, ENDPOINT, EVENT, Named, account_id, example_with, flag, id, nullable, object,
    one_of, text, time, whole, with,
};
use crate::openapi::describe::schema;

pub(super) fn events() -> Named {
    let event_type = whole(
        json!({
            "name": text(), "description": text(), "schema": { "type": "object" }, "example": { "type": "object" },
            "validation": one_of(&["on", "off"]),
        }),
        json!({
            "name": "policy.created", "description": "A policy was created", "schema": { "type": "object" },
            "example": { "id": "lpol_1", "livemode": false }, "validation": "on",
        }),
    );
    let event = whole(
        json!({ "id": id(""), "account": account_id(), "type": text(), "livemode": flag(), "created_at": time() }),
        json!({ "id": EVENT, "account": ACCOUNT, "type": "policy.created", "livemode": true, "created_at": AT }),
    );
    let payload = json!({ "id": "lpol_1", "livemode": true, "policy_id": "LIVE-1", "product_id": "ins_1" });
    let with_payload = whole(
        with(&event, json!({ "payload": { "type": "object" } })),
        example_with(&event, json!({ "payload": payload })),
    );
    let bound = json!({
        "type": "array",
        "items": {
            "type": "object", "required": ["id", "endpoint"], "additionalProperties": false,
            "properties": { "id": id("dlv_"), "endpoint": id("ep_") },
        },
    });
    let accepted = whole(
        with(&event, json!({ "deliveries": bound })),
        example_with(&event, json!({ "deliveries": [{ "id": DELIVERY, "endpoint": ENDPOINT }] })),
    );
    let input = object(
        json!({
            "account": nullable(account_id()), "type": text(), "livemode": nullable(flag()),
            "payload": { "type": "object", "description": "Delivered byte for byte; judged by its type's schema" },
        }),
        &["type", "payload"],
        json!({ "account": ACCOUNT, "type": "policy.created", "payload": payload }),
    );
    let batch = object(
        json!({ "events": { "type": "array", "minItems": 1, "maxItems": 1000, "items": schema("EventInput") } }),
        &["events"],
        json!({ "events": [input["examples"][0]] }),
    );
    let results = whole(
        json!({ "results": { "type": "array", "items": schema("Accepted") } }),
        json!({ "results": [accepted["examples"][0]] }),
    );
    vec![
        ("EventType", event_type),
        ("Event", event),
        ("EventWithPayload", with_payload),
        ("EventInput", input),
        ("Accepted", accepted),
        ("BatchInput", batch),
        ("BatchAccepted", results),
        ("Routing", routing()),
    ]
}

fn routing() -> Value {
    let checks = json!({
        "type": "object", "required": ["mode", "event_type", "filter"], "additionalProperties": false,
        "properties": { "mode": flag(), "event_type": flag(), "filter": nullable(flag()) },
    });
    let row = json!({
        "type": "object", "additionalProperties": false,
        "required": ["endpoint", "url", "matches", "checks", "reason", "filter_pointer", "state"],
        "properties": {
            "endpoint": id("ep_"), "url": text(), "matches": flag(), "checks": checks, "reason": text(),
            "filter_pointer": nullable(text()), "state": one_of(&["enabled", "paused", "disabled"]),
        },
    });
    whole(
        json!({
            "event": id(""), "account": account_id(), "type": text(), "livemode": flag(),
            "data": { "type": "array", "items": row },
        }),
        json!({
            "event": EVENT, "account": ACCOUNT, "type": "policy.created", "livemode": true,
            "data": [{
                "endpoint": ENDPOINT, "url": "https://crm.example/hook", "matches": false,
                "checks": { "mode": true, "event_type": true, "filter": false },
                "reason": "filter: /gross_premium is 999: it is not a number of at least 1000",
                "filter_pointer": "", "state": "enabled",
            }],
        }),
    )
}
