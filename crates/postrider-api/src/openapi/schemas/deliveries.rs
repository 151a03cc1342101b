//! Deliveries, attempts and replays.

use serde_json::{Value, json};

use super::{
    ACCOUNT, AT, DELIVERY, ENDPOINT, EVENT, Named, account_id, count, example_with, flag, id, nullable,
    number, object, one_of, text, time, whole, with,
};
use crate::openapi::describe::schema;

fn failure() -> Value {
    nullable(json!({
        "type": "object", "required": ["code", "detail"], "additionalProperties": false,
        "properties": { "code": text(), "detail": text() },
    }))
}

pub(super) fn deliveries() -> Named {
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
            "request": { "url": "https://crm.example/hook", "headers": [{ "name": "X-KASKO-Event", "value": "policy.created" }] },
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

pub(super) fn replays() -> Named {
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
