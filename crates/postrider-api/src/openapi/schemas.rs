//! The wire types as JSON Schemas, each with an example. Tests hold the examples, and every answer that they get,
//! against these.

use serde_json::{Map, Value, json};

use super::describe::schema;

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
    for (name, schema) in
        [general(), accounts(), endpoints(), events(), deliveries(), replays()].into_iter().flatten()
    {
        all.insert(name.to_owned(), schema);
    }
    Value::Object(all)
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
        ("Status", whole(json!({ "status": one_of(&["ok", "ready"]) }), json!({ "status": "ok" }))),
    ]
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
    vec![("Account", account), ("AccountCreated", created), ("AccountInput", input)]
}

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
            "description": "Sent with every request. The service's own names are refused, and values are never shown again",
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

fn endpoints() -> Named {
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
        "health": one_of(&["healthy", "failing"]), "failing_since": nullable(time()),
        "next_probe_at": nullable(time()), "backlog": count(), "last_success_at": nullable(time()),
        "created_at": time(), "updated_at": time(),
    });
    let example = json!({
        "id": ENDPOINT, "account": ACCOUNT, "url": "https://crm.example/hook", "livemode": true,
        "event_types": ["policy.*"], "filter": { "path": "/gross_premium", "at_least": 1000 }, "description": "",
        "headers": { "x-api-key": "•••" }, "timeout_ms": 15_000, "retry_schedule": null, "rate_limit": null,
        "max_in_flight": 10, "ordered": false, "standard_webhooks": false, "state": "enabled",
        "disabled_reason": null, "health": "healthy", "failing_since": null, "next_probe_at": null, "backlog": 0,
        "last_success_at": AT, "created_at": AT, "updated_at": AT,
    });
    let endpoint = whole(with(&base, more), example);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw2Zk3yXq1r0I=";
    let created = whole(
        with(&endpoint, json!({ "secret": text() })),
        example_with(&endpoint, json!({ "secret": secret })),
    );
    let settings = json!({ "properties": settings() });
    let given = json!({
        "account": nullable(account_id()), "livemode": nullable(flag()),
        "secret": nullable(json!({ "type": "string", "minLength": 24, "maxLength": 256, "pattern": "^[!-~]+$" })),
    });
    let example = json!({ "account": ACCOUNT, "livemode": true, "url": "https://crm.example/hook", "event_types": ["policy.*"] });
    let input = object(with(&settings, given), &["url", "event_types"], example);
    let change = json!({ "event_types": ["*"], "max_in_flight": 50 });
    vec![
        ("Endpoint", endpoint),
        ("EndpointCreated", created),
        ("EndpointInput", input),
        ("EndpointChange", object(settings["properties"].clone(), &[], change)),
        ("Filter", filter()),
        ("Secret", whole(json!({ "secret": text() }), json!({ "secret": secret }))),
    ]
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

fn events() -> Named {
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

fn failure() -> Value {
    nullable(json!({
        "type": "object", "required": ["code", "detail"], "additionalProperties": false,
        "properties": { "code": text(), "detail": text() },
    }))
}

fn deliveries() -> Named {
    let statuses = one_of(&["pending", "delivered", "exhausted", "cancelled"]);
    let reasons = one_of(&["operator", "endpoint_deleted", "account_deleted", "held_too_long"]);
    let delivery = whole(
        json!({
            "id": id("dlv_"), "event": id(""), "type": text(), "account": account_id(), "endpoint": id("ep_"),
            "livemode": flag(), "status": statuses, "reason": nullable(reasons), "attempt_count": count(),
            "created_at": time(), "next_attempt_at": nullable(time()), "waiting_for": nullable(text()),
            "finished_at": nullable(time()), "resend_of": nullable(id("dlv_")),
        }),
        json!({
            "id": DELIVERY, "event": EVENT, "type": "policy.created", "account": ACCOUNT, "endpoint": ENDPOINT,
            "livemode": true, "status": "delivered", "reason": null, "attempt_count": 1, "created_at": AT,
            "next_attempt_at": null, "waiting_for": null, "finished_at": AT, "resend_of": null,
        }),
    );
    let attempt = attempt();
    let with_attempts = whole(
        with(&delivery, json!({ "attempts": { "type": "array", "items": schema("Attempt") } })),
        example_with(&delivery, json!({ "attempts": [attempt["examples"][0]] })),
    );
    vec![
        ("Delivery", delivery),
        ("DeliveryWithAttempts", with_attempts),
        ("Attempt", attempt),
        ("StreamedAttempt", streamed()),
    ]
}

fn attempt() -> Value {
    let headers = json!({
        "type": "array",
        "items": {
            "type": "object", "required": ["name", "value"], "additionalProperties": false,
            "properties": { "name": text(), "value": text() },
        },
    });
    let ms = json!({ "type": "number", "minimum": 0 });
    let timings = json!({
        "type": "object", "additionalProperties": false,
        "required": ["dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms"],
        "properties": {
            "dns_ms": nullable(ms.clone()), "connect_ms": nullable(ms.clone()), "tls_ms": nullable(ms.clone()),
            "first_byte_ms": nullable(ms.clone()), "total_ms": ms,
        },
    });
    let response = json!({
        "type": "object", "additionalProperties": false, "required": ["status", "headers", "body_truncated"],
        "properties": {
            "status": nullable(number(100, 999)), "headers": headers, "body": text(), "body_base64": text(),
            "body_truncated": flag(),
        },
    });
    whole(
        json!({
            "number": { "type": "integer", "minimum": 1 }, "probe": flag(), "started_at": time(), "timings": timings,
            "request": {
                "type": "object", "additionalProperties": false, "required": ["url", "headers"],
                "properties": { "url": text(), "headers": headers },
            },
            "response": nullable(response), "outcome": one_of(&["received", "not_received"]),
            "status": nullable(number(100, 999)), "failure": failure(),
        }),
        json!({
            "number": 1, "probe": false, "started_at": AT,
            "timings": { "dns_ms": 1.2, "connect_ms": 8.5, "tls_ms": 17.1, "first_byte_ms": 40.2, "total_ms": 67.3 },
            "request": { "url": "https://crm.example/hook", "headers": [{ "name": "x-kasko-event", "value": "policy.created" }] },
            "response": { "status": 200, "headers": [], "body": "thanks", "body_truncated": false },
            "outcome": "received", "status": 200, "failure": null,
        }),
    )
}

fn streamed() -> Value {
    let attempt = json!({
        "type": "object", "additionalProperties": false,
        "required": ["number", "probe", "started_at", "total_ms", "outcome", "status", "failure"],
        "properties": {
            "number": { "type": "integer", "minimum": 1 }, "probe": flag(), "started_at": time(),
            "total_ms": { "type": "number", "minimum": 0 }, "outcome": one_of(&["received", "not_received"]),
            "status": nullable(number(100, 999)), "failure": failure(),
        },
    });
    whole(
        json!({
            "delivery": id("dlv_"), "event": id(""), "type": text(), "account": account_id(), "endpoint": id("ep_"),
            "livemode": flag(), "status": one_of(&["pending", "delivered", "exhausted"]),
            "next_attempt_at": nullable(time()), "attempt": attempt,
        }),
        json!({
            "delivery": DELIVERY, "event": EVENT, "type": "policy.created", "account": ACCOUNT, "endpoint": ENDPOINT,
            "livemode": true, "status": "delivered", "next_attempt_at": null,
            "attempt": {
                "number": 1, "probe": false, "started_at": AT, "total_ms": 67.3, "outcome": "received", "status": 200,
                "failure": null,
            },
        }),
    )
}

fn replays() -> Named {
    let selection = json!({
        "status": nullable(one_of(&["delivered", "exhausted", "cancelled"])), "type": nullable(text()),
        "since": nullable(time()), "until": nullable(time()),
    });
    let base = json!({ "properties": selection });
    let counts = json!({
        "type": "object", "required": ["matched", "resent", "skipped"], "additionalProperties": false,
        "properties": { "matched": count(), "resent": count(), "skipped": count() },
    });
    let replay = whole(
        with(
            &base,
            json!({
                "id": id("rpl_"), "account": account_id(), "endpoint": id("ep_"), "livemode": flag(),
                "state": one_of(&["running", "done", "cancelled"]),
                "reason": nullable(one_of(&["by_hand", "endpoint_deleted", "account_deleted"])), "counts": counts,
                "created_at": time(), "finished_at": nullable(time()),
            }),
        ),
        json!({
            "id": "rpl_0197f2b3c4d57e6f8a9b0c1d2e3f4a5f", "account": ACCOUNT, "endpoint": ENDPOINT, "livemode": true,
            "status": "exhausted", "type": null, "since": AT, "until": null, "state": "running", "reason": null,
            "counts": { "matched": 120, "resent": 40, "skipped": 0 }, "created_at": AT, "finished_at": null,
        }),
    );
    let counted = whole(
        with(&base, json!({ "dry_run": { "const": true }, "endpoint": id("ep_"), "counts": counts })),
        json!({
            "dry_run": true, "endpoint": ENDPOINT, "status": "exhausted", "type": null, "since": AT, "until": null,
            "counts": { "matched": 120, "resent": 0, "skipped": 0 },
        }),
    );
    let input = object(
        with(&base, json!({ "endpoint": id("ep_"), "dry_run": nullable(flag()) })),
        &["endpoint"],
        json!({ "endpoint": ENDPOINT, "status": "exhausted", "since": AT, "dry_run": true }),
    );
    vec![("Replay", replay), ("ReplayCount", counted), ("ReplayInput", input)]
}
