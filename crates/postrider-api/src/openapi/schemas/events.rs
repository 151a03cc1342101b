//! Event types, events and their routing.

use serde_json::{Value, json};

use super::{
    ACCOUNT, AT, DELIVERY, ENDPOINT, EVENT, Named, account_id, example_with, flag, id, nullable, object,
    one_of, text, time, whole, with,
};
use crate::openapi::describe::schema;

pub(super) fn events() -> Named {
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
        ("EventType", event_type()),
        ("EventTypeInput", event_type_input()),
        ("EventTypeChange", event_type_change()),
        ("Event", event),
        ("EventWithPayload", with_payload),
        ("EventInput", input),
        ("Accepted", accepted),
        ("BatchInput", batch),
        ("BatchAccepted", results),
        ("Routing", routing()),
    ]
}

/// A JSON Schema; `true` and `false` are some as well.
fn json_schema() -> Value {
    json!({ "type": ["object", "boolean", "null"], "description": "A JSON Schema (2020-12)" })
}

fn example_payload() -> Value {
    json!({ "type": ["object", "null"], "description": "An example payload, byte for byte as it was given" })
}

fn claim() -> Value {
    json!({
        "name": "claim.opened", "description": "A claim was opened.",
        "schema": { "type": "object", "required": ["claim_id"], "properties": { "claim_id": { "type": "string" } } },
        "example": { "claim_id": "C-1", "livemode": false }, "validation": "on",
    })
}

fn event_type() -> Value {
    let mut shown = claim();
    shown["archived"] = json!(false);
    shown["custom"] = json!(true);
    shown["updated_at"] = json!(AT);
    whole(
        json!({
            "name": text(), "description": text(), "schema": json_schema(), "example": example_payload(),
            "validation": one_of(&["on", "off"]), "archived": flag(), "custom": flag(), "updated_at": nullable(time()),
        }),
        shown,
    )
}

fn event_type_input() -> Value {
    object(
        json!({
            "name": { "type": "string", "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+(\\.[a-zA-Z0-9_-]+)*$" },
            "description": nullable(json!({ "type": "string", "maxLength": 1000 })),
            "schema": json_schema(), "example": example_payload(), "validation": nullable(one_of(&["on", "off"])),
        }),
        &["name"],
        claim(),
    )
}

fn event_type_change() -> Value {
    object(
        json!({
            "description": nullable(json!({ "type": "string", "maxLength": 1000 })),
            "schema": json_schema(), "example": example_payload(), "validation": nullable(one_of(&["on", "off"])),
            "archived": nullable(flag()),
        }),
        &[],
        json!({ "validation": "off", "archived": true }),
    )
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
