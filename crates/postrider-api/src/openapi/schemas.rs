//! The wire types as JSON Schemas, each with an example. Tests hold the examples, and every answer that they get,
//! against these.

mod deliveries;
mod endpoints;
mod events;

use postrider_core::audit::Action;
use serde_json::{Map, Value, json};

/// An object with exactly these properties; all of them are always there.
fn whole(properties: Value, example: Value) -> Value {
    let names: Vec<String> =
        properties.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    object(properties, &names.iter().map(String::as_str).collect::<Vec<_>>(), example)
}

fn object(properties: Value, required: &[&str], example: Value) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        "examples": [example],
    })
}

fn id(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{prefix}[0-9a-f]{{32}}$") })
}

fn account_id() -> Value {
    json!({ "type": "string", "pattern": "^acc_([0-9a-f]{32}|operator)$" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// The same or null.
fn nullable(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(Value::String(kind)) => schema["type"] = json!([kind, "null"]),
        _ => return json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    if let Some(choices) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        choices.push(Value::Null);
    }
    schema
}

fn one_of(choices: &[&str]) -> Value {
    json!({ "type": "string", "enum": choices })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number(least: u32, most: u32) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

/// A schema's properties with some more.
fn with(base: &Value, more: Value) -> Value {
    let mut properties = base["properties"].clone();
    if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
        all.extend(more);
    }
    properties
}

/// A schema's example with some more.
fn example_with(base: &Value, more: Value) -> Value {
    let mut example = base["examples"][0].clone();
    if let (Some(all), Value::Object(more)) = (example.as_object_mut(), more) {
        all.extend(more);
    }
    example
}

const ACCOUNT: &str = "acc_0197f2b3c4d57e6f8a9b0c1d2e3f4a5b";
const ENDPOINT: &str = "ep_0197f2b3c4d57e6f8a9b0c1d2e3f4a5c";
const EVENT: &str = "0197f2b3c4d57e6f8a9b0c1d2e3f4a5d";
const DELIVERY: &str = "dlv_0197f2b3c4d57e6f8a9b0c1d2e3f4a5e";
const AT: &str = "2026-01-05T07:31:36.460Z";

/// Every schema by its name.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    for (name, schema) in all_named() {
        all.insert(name.to_owned(), schema);
    }
    Value::Object(all)
}

fn all_named() -> impl Iterator<Item = (&'static str, Value)> {
    let deliveries = deliveries::deliveries().into_iter().chain(deliveries::replays());
    general()
        .into_iter()
        .chain(accounts())
        .chain(endpoints::endpoints())
        .chain(events::events())
        .chain(deliveries)
}

type Named = Vec<(&'static str, Value)>;

fn general() -> Named {
    let problem = object(
        json!({
            "type": text(), "title": text(), "status": number(400, 599), "detail": text(),
            "code": json!({ "type": "string", "pattern": "^[a-z_]+$", "description": "A stable word for programs" }),
            "request_id": text(),
            "errors": {
                "type": "array",
                "items": {
                    "type": "object", "required": ["pointer", "detail"], "additionalProperties": false,
                    "properties": {
                        "pointer": { "type": "string", "description": "JSON Pointer (RFC 6901) into the body" },
                        "detail": text(),
                    },
                },
            },
        }),
        &["type", "title", "status", "detail", "code", "request_id"],
        json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "code": "not_found",
            "detail": "there is no such thing, or it belongs to someone else",
            "request_id": "req_5f2c1a9be3d0474200000007",
        }),
    );
    let nothing = json!({
        "type": "object", "properties": {}, "additionalProperties": false, "maxProperties": 0, "examples": [{}],
    });
    vec![
        ("Problem", problem),
        ("Nothing", nothing),
        ("Node", node()),
        ("AuditEntry", audit_entry()),
        ("Status", whole(json!({ "status": one_of(&["ok", "ready"]) }), json!({ "status": "ok" }))),
    ]
}

fn node() -> Value {
    whole(
        json!({
            "id": { "type": "string", "pattern": "^node_[0-9]+$" }, "name": text(), "version": text(),
            "this": { "type": "boolean", "description": "Whether it is the one that answers" },
            "started_at": time(), "seen_at": time(),
            "pending": { "type": "integer", "minimum": 0, "description": "Pending deliveries that it has taken on" },
            "leases": {
                "type": "integer", "minimum": 0, "description": "Endpoints that only it may send to just now",
            },
        }),
        json!({
            "id": "node_7", "name": "postrider-4711", "version": "0.1.0", "this": true, "started_at": AT, "seen_at": AT,
            "pending": 12, "leases": 3,
        }),
    )
}

fn audit_entry() -> Value {
    let kinds = ["operator", "key", "dashboard", "portal", "service"];
    let actor = json!({
        "type": "object", "required": ["kind", "id"], "additionalProperties": false,
        "properties": {
            "kind": one_of(&kinds),
            "id": { "type": ["string", "null"], "description": "The key's or the portal link's name" },
        },
    });
    let actions: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    whole(
        json!({
            "at": time(), "actor": actor,
            "address": { "type": ["string", "null"], "description": "The other side of the connection" },
            "action": one_of(&actions), "account": account_id(),
            "target": { "type": "string", "description": "The id of what it was done to" },
            "fields": { "type": "array", "items": text(), "description": "The names of the fields that changed" },
        }),
        json!({
            "at": AT, "actor": { "kind": "operator", "id": null }, "address": "203.0.113.7",
            "action": "endpoint.updated", "account": "acc_0193a7d54c7f7cc08f3e2b1a09d8c7b6",
            "target": "ep_0193a7d54c7f7cc08f3e2b1a09d8c7b7", "fields": ["url", "timeout_ms"],
        }),
    )
}

fn accounts() -> Named {
    let account = whole(
        json!({ "id": account_id(), "name": text(), "created_at": time() }),
        json!({ "id": ACCOUNT, "name": "Acme insurance", "created_at": AT }),
    );
    let keys = json!({
        "type": "object", "required": ["live", "test"], "additionalProperties": false,
        "properties": {
            "live": { "type": "string", "pattern": "^sk_live_" }, "test": { "type": "string", "pattern": "^sk_test_" },
        },
    });
    let shown = json!({ "live": "sk_live_0b1c…", "test": "sk_test_9f3e…" });
    let created = whole(
        with(&account, json!({ "secret_keys": keys })),
        example_with(&account, json!({ "secret_keys": shown })),
    );
    let name = json!({ "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$" });
    let input = object(json!({ "name": name }), &["name"], json!({ "name": "Acme insurance" }));
    let key = whole(
        json!({
            "id": id("key_"), "account": account_id(), "livemode": flag(), "created_at": time(),
            "last_used_at": nullable(time()),
        }),
        json!({
            "id": "key_0197f2b3c4d57e6f8a9b0c1d2e3f4a60", "account": ACCOUNT, "livemode": true, "created_at": AT,
            "last_used_at": AT,
        }),
    );
    let secret_key = json!({ "type": "string", "pattern": "^sk_(live|test)_" });
    let issued = json!({ "secret_key": "sk_live_0b1c…", "last_used_at": null });
    let key_created = whole(with(&key, json!({ "secret_key": secret_key })), example_with(&key, issued));
    let key_input = object(json!({ "livemode": flag() }), &["livemode"], json!({ "livemode": true }));
    let link = whole(
        json!({
            "id": id("lnk_"), "account": account_id(), "livemode": nullable(flag()),
            "path": { "type": "string", "pattern": "^/portal/" }, "created_at": time(), "expires_at": time(),
        }),
        json!({
            "id": "lnk_0197f2b3c4d57e6f8a9b0c1d2e3f4a61", "account": ACCOUNT, "livemode": null,
            "path": "/portal/pl_0b1c…", "created_at": AT, "expires_at": AT,
        }),
    );
    let link_input = object(
        json!({ "livemode": nullable(flag()), "expires_in_seconds": nullable(number(60, 604_800)) }),
        &[],
        json!({ "livemode": true, "expires_in_seconds": 3_600 }),
    );
    vec![
        ("PortalLink", link),
        ("PortalLinkInput", link_input),
        ("Account", account),
        ("AccountCreated", created),
        ("AccountInput", input),
        ("Key", key),
        ("KeyCreated", key_created),
        ("KeyInput", key_input),
    ]
}
