//! Event types that the operator adds and changes.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Account, Service, event_body, payload};

const TYPES: &str = "/v1/event-types";

fn schema() -> Value {
    json!({ "type": "object", "required": ["claim"], "properties": { "claim": { "type": "string" } } })
}

fn path(name: &str) -> String {
    format!("{TYPES}/{name}")
}

async fn create(service: &Service, body: &Value) -> Answer {
    service.operator("POST", TYPES, &body.to_string()).await
}

async fn patch(service: &Service, name: &str, body: &Value) -> Answer {
    service.operator("PATCH", &path(name), &body.to_string()).await
}

fn event(account: &Account, name: &str, payload: &str) -> String {
    format!(r#"{{"account":"{}","type":"{name}","livemode":false,"payload":{payload}}}"#, account.id)
}

/// The one place that an answer names, and what it says there.
fn fault(answer: &Answer) -> (String, String) {
    assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{}", answer.text());
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), 1, "{}", answer.text());
    let text = |name: &str| errors[0][name].as_str().unwrap().to_owned();
    (text("pointer"), text("detail"))
}

#[tokio::test]
async fn a_custom_type_is_made_listed_subscribed_and_its_events_are_judged() {
    let service = Service::start().await;
    service.receivers.answer_with(200);
    let account = service.account("a").await;
    let groups = service.endpoint(&account, json!({ "event_types": ["claim.*"] })).await;
    service.endpoint(&account, json!({ "event_types": ["policy.*"] })).await;
    let body = format!(
        r#"{{"name":"claim.opened","description":"A claim was opened.","schema":{},"example":{{ "claim" : "C-1","n":1.10 }}}}"#,
        schema()
    );
    let made = service.operator("POST", TYPES, &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.text().contains(r#"{ "claim" : "C-1","n":1.10 }"#), "byte for byte: {}", made.text());
    let shown = service.get(&path("claim.opened")).await;
    assert_eq!(shown, made.json());
    assert_eq!(
        (&shown["validation"], &shown["archived"], &shown["custom"]),
        (&json!("on"), &json!(false), &json!(true))
    );
    assert_eq!(service.get(TYPES).await["data"][4], shown);
    let named = service.endpoint(&account, json!({ "event_types": ["claim.opened"] })).await;

    let bad =
        service.operator("POST", "/v1/events", &event(&account, "claim.opened", r#"{"claim":7}"#)).await;
    assert_eq!(fault(&bad).0, "/payload/claim");
    let sent =
        service.operator("POST", "/v1/events", &event(&account, "claim.opened", r#"{"claim":"C-2"}"#)).await;
    let to: Vec<_> =
        sent.json()["deliveries"].as_array().unwrap().iter().map(|one| one["endpoint"].clone()).collect();
    assert_eq!((sent.status, to), (202, vec![groups["id"].clone(), named["id"].clone()]));

    let test = format!("/v1/endpoints/{}/test", named["id"].as_str().unwrap());
    let tried = service.operator("POST", &test, "").await;
    assert_eq!((tried.status, &tried.json()["type"]), (202, &json!("claim.opened")), "{}", tried.text());
    let sent = service.get(&format!("/v1/events/{}/payload", tried.json()["id"].as_str().unwrap())).await;
    assert_eq!(sent, shown["example"]);
    service.stop().await;
}

#[tokio::test]
async fn a_type_of_nothing_but_a_name_takes_any_object() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let made = create(
        &service,
        &json!({ "name": "Any_thing-1", "description": null, "schema": null, "validation": null }),
    )
    .await;
    let shown = made.json();
    assert_eq!((made.status, &shown["schema"], &shown["example"]), (201, &Value::Null, &Value::Null));
    for (payload, expected) in [(r#"{"a":[1]}"#, 202), ("[]", 422), (r#"{"livemode":true}"#, 422)] {
        let answer = service.operator("POST", "/v1/events", &event(&account, "Any_thing-1", payload)).await;
        assert_eq!(answer.status, expected, "{payload}: {}", answer.text());
    }
    let endpoint = service.endpoint(&account, json!({})).await;
    let test = format!("/v1/endpoints/{}/test", endpoint["id"].as_str().unwrap());
    let refused = service.operator("POST", &test, r#"{"event_type":"Any_thing-1"}"#).await;
    assert_eq!(fault(&refused).0, "/event_type");
    service.stop().await;
}

#[tokio::test]
async fn what_can_not_be_a_type_is_refused_with_its_place() {
    let service = Service::start().await;
    let before = service.get(TYPES).await;
    let mut deep = json!(true);
    for _level in 0..70 {
        deep = json!({ "not": deep });
    }
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({ "name": null }), "/name"),
        (json!({ "name": 7 }), "/name"),
        (json!({ "name": "claim.*" }), "/name"),
        (json!({ "name": "<script>" }), "/name"),
        (json!({ "name": "claim.opened", "description": 7 }), "/description"),
        (json!({ "name": "claim.opened", "description": "x".repeat(1_001) }), "/description"),
        (json!({ "name": "claim.opened", "description": "a\0b" }), "/description"),
        (json!({ "name": "claim.opened", "validation": true }), "/validation"),
        (json!({ "name": "claim.opened", "archived": true }), "/archived"),
        (json!({ "name": "claim.opened", "schema": 7 }), "/schema"),
        (json!({ "name": "claim.opened", "schema": { "type": "text" } }), "/schema/type"),
        (json!({ "name": "claim.opened", "schema": { "$ref": "https://example.com/x" } }), "/schema/$ref"),
        (json!({ "name": "claim.opened", "schema": { "$comment": "x".repeat(70_000) } }), "/schema"),
        (json!({ "name": "claim.opened", "example": [] }), "/example"),
        (json!({ "name": "claim.opened", "schema": schema(), "example": { "claim": 7 } }), "/example/claim"),
    ] {
        assert_eq!(fault(&create(&service, &body).await).0, pointer, "{body}");
    }
    let (pointer, detail) =
        fault(&create(&service, &json!({ "name": "claim.opened", "schema": deep })).await);
    assert!(pointer.starts_with("/schema/not/") && detail.contains("deeper"), "{pointer} {detail}");
    for taken in ["policy.created", "endpoint.failing"] {
        let answer = create(&service, &json!({ "name": taken })).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "conflict"), "{}", answer.text());
    }
    assert_eq!(service.get(TYPES).await, before);
    service.stop().await;
}

#[tokio::test]
async fn a_change_holds_for_the_next_event_and_null_brings_back_what_comes_with_the_service() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let before = service.get(&path("policy.created")).await;
    let send = async |expected: u16| {
        let answer = service.operator("POST", "/v1/events", &event(&account, "policy.created", "{}")).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    };
    send(422).await;
    let off =
        patch(&service, "policy.created", &json!({ "validation": "off", "description": "Ours." })).await;
    assert_eq!(
        (off.status, &off.json()["validation"], &off.json()["custom"]),
        (200, &json!("off"), &json!(false))
    );
    send(202).await;
    let on = patch(&service, "policy.created", &json!({ "validation": "on", "description": null })).await;
    assert_eq!(on.json()["description"], before["description"]);
    send(422).await;
    let refused = patch(&service, "policy.created", &json!({ "schema": schema() })).await;
    let (pointer, detail) = fault(&refused);
    assert!(pointer == "/schema" && detail.contains("own example"), "{pointer}: {detail}");
    let both =
        patch(&service, "policy.created", &json!({ "schema": schema(), "example": { "claim": "C" } })).await;
    assert_eq!((both.status, &both.json()["schema"]), (200, &schema()), "{}", both.text());
    let back = patch(&service, "policy.created", &json!({ "schema": null, "example": null })).await.json();
    assert_eq!((&back["schema"], &back["example"]), (&before["schema"], &before["example"]));

    assert_eq!(fault(&patch(&service, "policy.created", &json!({ "name": "policy.made" })).await).0, "/name");
    assert_eq!(patch(&service, "no.such", &json!({})).await.status, 404);
    let services = patch(&service, "endpoint.failing", &json!({ "validation": "off" })).await;
    assert_eq!((services.status, services.code().as_str()), (409, "conflict"), "{}", services.text());
    service.stop().await;
}

#[tokio::test]
async fn an_archived_type_takes_nothing_new_and_what_was_there_stays() {
    let service = Service::start().await;
    service.receivers.answer_with(200);
    let account = service.account("a").await;
    create(&service, &json!({ "name": "claim.opened", "example": {} })).await;
    let endpoint = service.endpoint(&account, json!({ "event_types": ["claim.opened"] })).await;
    let sent = service.operator("POST", "/v1/events", &event(&account, "claim.opened", "{}")).await.json();
    let delivery = sent["deliveries"][0]["id"].clone();
    service.wait_for_delivery(&delivery, |shown| shown["status"] == "delivered").await;
    let archived = patch(&service, "claim.opened", &json!({ "archived": true })).await;
    assert_eq!((archived.status, &archived.json()["archived"]), (200, &json!(true)));
    assert_eq!(service.get(TYPES).await["data"][4]["archived"], true, "still listed");

    let of_endpoint = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
    let new = json!({
        "account": account.id, "livemode": false, "url": "https://example.com/", "event_types": ["*", "claim.opened"],
    });
    let batch = format!(
        r#"{{"events":[{},{}]}}"#,
        event_body(&account.id, &payload(false)),
        event(&account, "claim.opened", "{}")
    );
    for (path, body, pointer) in [
        ("/v1/events", event(&account, "claim.opened", "{}"), "/type"),
        ("/v1/events/batch", batch, "/events/1/type"),
        ("/v1/endpoints", new.to_string(), "/event_types/1"),
        (&format!("{of_endpoint}/test"), r#"{"event_type":"claim.opened"}"#.to_owned(), "/event_type"),
    ] {
        let (found, detail) = fault(&service.operator("POST", path, &body).await);
        assert!(found == pointer && detail.contains("archived"), "{path}: {found} {detail}");
    }
    // What was subscribed before may stay.
    let stays = json!({ "event_types": ["claim.opened", "policy.*"] }).to_string();
    assert_eq!(service.operator("PATCH", &of_endpoint, &stays).await.status, 200);
    let resend = format!("/v1/deliveries/{}/resend", delivery.as_str().unwrap());
    let again = service.operator("POST", &resend, "").await;
    assert_eq!(again.status, 202, "{}", again.text());
    service.wait_for_delivery(&again.json()["id"], |shown| shown["status"] == "delivered").await;

    patch(&service, "claim.opened", &json!({ "archived": false })).await;
    let sent = service.operator("POST", "/v1/events", &event(&account, "claim.opened", "{}")).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    service.stop().await;
}

#[tokio::test]
async fn whoever_has_a_key_reads_them_and_only_the_operator_changes_them() {
    let service = Service::start().await;
    let account = service.account("a").await;
    create(&service, &json!({ "name": "claim.opened" })).await;
    let read = service.call(&account.test_key, "GET", &path("claim.opened"), "").await;
    assert_eq!(read.status, 200);
    for (method, path) in
        [("POST", TYPES.to_owned()), ("PATCH", path("claim.opened")), ("PATCH", path("no.such"))]
    {
        let refused = service.call(&account.live_key, method, &path, r#"{"name":"x"}"#).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"), "{method} {path}");
    }
    let sent = service
        .call(&account.test_key, "POST", "/v1/events", r#"{"type":"claim.opened","payload":{}}"#)
        .await;
    assert_eq!(sent.status, 202, "the mode is the key's: {}", sent.text());
    service.stop().await;
}
