//! Endpoints: made, shown, changed, held and deleted.

use serde_json::{Value, json};

use crate::harness::Service;

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn path(endpoint: &Value) -> String {
    format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_endpoint_is_shown_with_all_its_fields_and_its_defaults() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let made = service.endpoint(&account, json!({})).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let expected = json!({
        "id": made["id"], "account": account.id, "url": "https://example.com/hook", "livemode": false,
        "event_types": ["*"], "filter": null, "description": "", "headers": {}, "timeout_ms": 15_000, "retry_schedule": null,
        "rate_limit": null, "max_in_flight": 10, "ordered": false, "standard_webhooks": false,
        "state": "enabled", "disabled_reason": null, "health": "healthy", "attempt_success_rate": null, "failing_since": null,
        "next_probe_at": null, "backlog": 0, "last_success_at": null,
        "created_at": made["created_at"], "updated_at": made["updated_at"],
        "unreadable": [],
        "secret_overlap_until": null,
    });
    assert_eq!(service.get(&path(&made)).await, expected);
    let mut with_secret = expected;
    with_secret["secret"] = made["secret"].clone();
    assert_eq!(made, with_secret);
    service.stop().await;
}

/// Of the last 100 attempts: null before the first, then a share from 0 to 1.
#[tokio::test]
async fn the_success_rate_is_told_once_an_attempt_has_ended() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let made = service.endpoint(&account, json!({})).await;
    assert_eq!(service.get(&path(&made)).await["attempt_success_rate"], json!(null));
    service.receivers.answer_with(200);
    let event = service.event(&account).await;
    service
        .wait_for_delivery(&event["deliveries"][0]["id"], |delivery| delivery["status"] == "delivered")
        .await;
    let shown = service.get(&path(&made)).await;
    assert_eq!((&shown["attempt_success_rate"], &shown["health"]), (&json!(1.0), &json!("healthy")));
    service.stop().await;
}

#[tokio::test]
async fn everything_that_can_be_set_is_kept() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let given = json!({
        "url": "http://EXAMPLE.com:8080/a/../hook?x=1", "livemode": true,
        "event_types": ["offer.created", "policy.*"], "description": "Täglich\ngeprüft", "timeout_ms": 60_000,
        "headers": { "Authorization": "Bearer hunter2", "X-Empty": "" }, "secret": STANDARD_SECRET,
        "retry_schedule": ["1s", "90s", "7d"], "rate_limit": { "per_second": 5 }, "max_in_flight": 1_000,
        "ordered": true, "standard_webhooks": true,
    });
    let made = service.endpoint(&account, given).await;
    for (field, expected) in [
        ("url", json!("http://example.com:8080/hook?x=1")),
        ("livemode", json!(true)),
        ("event_types", json!(["offer.created", "policy.*"])),
        ("description", json!("Täglich\ngeprüft")),
        ("timeout_ms", json!(60_000)),
        ("headers", json!({ "Authorization": "•••", "X-Empty": "•••" })),
        ("secret", json!(STANDARD_SECRET)),
        ("retry_schedule", json!(["1s", "90s", "7d"])),
        ("rate_limit", json!({ "per_second": 5, "burst": 5 })),
        ("max_in_flight", json!(1_000)),
        ("ordered", json!(true)),
        ("standard_webhooks", json!(true)),
    ] {
        assert_eq!(made[field], expected, "{field}");
    }
    service.stop().await;
}

#[tokio::test]
async fn secrets_and_header_values_are_shown_nowhere_but_where_they_must() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let given = json!({ "secret": STANDARD_SECRET, "headers": { "X-Api-Key": "hunter2" } });
    let made = service.endpoint(&account, given).await;
    let path = path(&made);
    let revealed = service.get(&format!("{path}/secret")).await;
    let alone = json!({ "secret": STANDARD_SECRET, "next_secret": null, "secret_overlap_until": null });
    assert_eq!(revealed, alone);
    for answer in [
        service.operator("GET", &path, "").await,
        service.operator("GET", "/v1/endpoints", "").await,
        service.operator("PATCH", &path, r#"{"description":"x"}"#).await,
        service.operator("POST", &format!("{path}/pause"), "").await,
        service.operator("POST", &format!("{path}/resume"), "{}").await,
    ] {
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("whsec_") && !answer.text().contains("hunter2"), "{}", answer.text());
    }
    service.stop().await;
}

#[tokio::test]
async fn a_change_changes_what_it_names_and_nothing_else() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let given = json!({
        "headers": { "X-One": "1" }, "retry_schedule": ["5s"], "description": "before",
        "rate_limit": { "per_second": 5, "burst": 9 }, "timeout_ms": 1_000, "max_in_flight": 3,
    });
    let made = service.endpoint(&account, given).await;
    let path = path(&made);
    let mut expected = service.get(&path).await;
    for (patch, changed) in [
        (json!({}), json!({})),
        (json!({ "url": "https://example.org/" }), json!({ "url": "https://example.org/" })),
        (json!({ "event_types": ["policy.*"] }), json!({ "event_types": ["policy.*"] })),
        (
            json!({ "headers": { "SOAPAction": "2", "X-API-KEY": "3", "x-lower": "4" } }),
            json!({ "headers": { "SOAPAction": "•••", "X-API-KEY": "•••", "x-lower": "•••" } }),
        ),
        (
            json!({ "ordered": true, "standard_webhooks": true }),
            json!({ "ordered": true, "standard_webhooks": true }),
        ),
        (
            json!({ "rate_limit": { "per_second": 7 } }),
            json!({ "rate_limit": { "per_second": 7, "burst": 7 } }),
        ),
        // Null goes back to the default.
        (
            json!({ "rate_limit": null, "retry_schedule": null }),
            json!({ "rate_limit": null, "retry_schedule": null }),
        ),
        (
            json!({ "timeout_ms": null, "max_in_flight": null }),
            json!({ "timeout_ms": 15_000, "max_in_flight": 10 }),
        ),
        (json!({ "description": null, "headers": null }), json!({ "description": "", "headers": {} })),
    ] {
        let answer = service.operator("PATCH", &path, &patch.to_string()).await;
        assert_eq!(answer.status, 200, "{patch}: {}", answer.text());
        expected.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        let mut shown = answer.json();
        shown["updated_at"] = expected["updated_at"].clone();
        assert_eq!(shown, expected, "{patch}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_paused_resumed_disabled_and_enabled() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let made = service.endpoint(&account, json!({})).await;
    for (call, status, state, reason) in [
        ("pause", 200, "paused", json!(null)),
        ("pause", 200, "paused", json!(null)),
        ("resume", 200, "enabled", json!(null)),
        ("disable", 200, "disabled", json!("operator")),
        ("pause", 409, "disabled", json!("operator")),
        ("resume", 409, "disabled", json!("operator")),
        ("enable", 200, "enabled", json!(null)),
    ] {
        let answer = service.operator("POST", &format!("{}/{call}", path(&made)), "").await;
        assert_eq!(answer.status, status, "{call}: {}", answer.text());
        let shown = service.get(&path(&made)).await;
        assert_eq!((&shown["state"], &shown["disabled_reason"]), (&json!(state), &reason), "{call}");
    }
    let with_field = service.operator("POST", &format!("{}/pause", path(&made)), r#"{"for":"1h"}"#).await;
    assert_eq!((with_field.status, with_field.pointers()), (422, vec!["/for".to_owned()]));
    service.stop().await;
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone_and_its_deliveries_are_cancelled_but_stay_in_the_log() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let made = service.endpoint(&account, json!({})).await;
    let event = service.event(&account).await;
    assert_eq!(service.operator("DELETE", &path(&made), "").await.status, 204);
    for (method, body) in [("GET", ""), ("PATCH", "{}"), ("DELETE", "")] {
        assert_eq!(service.operator(method, &path(&made), body).await.status, 404, "{method}");
    }
    let id = &event["deliveries"][0]["id"];
    let ended = service.wait_for_delivery(id, |delivery| delivery["status"] != "pending").await;
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("cancelled"), &json!("endpoint_deleted")));
    assert!(ended["finished_at"].is_string());
    assert_eq!(service.event(&account).await["deliveries"], json!([]));
    service.stop().await;
}
