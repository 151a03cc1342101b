//! What an account's key sees and may do: its own account and its own mode, and nothing of anyone else's.

use serde_json::{Value, json};

use crate::harness::{Account, Service, event_body, payload};

/// An account with a test endpoint and one event with its delivery.
struct Customer {
    account: Account,
    endpoint: String,
    event: String,
    delivery: String,
    replay: String,
}

impl Customer {
    async fn new(service: &Service, name: &str) -> Self {
        let account = service.account(name).await;
        let endpoint = service.endpoint(&account, json!({})).await;
        let event = service.event(&account).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let delivery = text(&event["deliveries"][0]["id"]);
        let endpoint = text(&endpoint["id"]);
        let body = json!({ "endpoint": endpoint }).to_string();
        let replay = text(&service.operator("POST", "/v1/replays", &body).await.json()["id"]);
        Self { account, endpoint, event: text(&event["id"]), delivery, replay }
    }

    /// Every path that names something of this customer's.
    fn paths(&self) -> Vec<(&'static str, String)> {
        let Self { endpoint, event, delivery, replay, .. } = self;
        vec![
            ("GET", format!("/v1/endpoints/{endpoint}")),
            ("PATCH", format!("/v1/endpoints/{endpoint}")),
            ("GET", format!("/v1/endpoints/{endpoint}/secret")),
            ("POST", format!("/v1/endpoints/{endpoint}/secret/rotate")),
            ("DELETE", format!("/v1/endpoints/{endpoint}/secret/overlap")),
            ("POST", format!("/v1/endpoints/{endpoint}/pause")),
            ("POST", format!("/v1/endpoints/{endpoint}/resume")),
            ("POST", format!("/v1/endpoints/{endpoint}/disable")),
            ("POST", format!("/v1/endpoints/{endpoint}/enable")),
            ("GET", format!("/v1/events/{event}")),
            ("GET", format!("/v1/events/{event}/payload")),
            ("GET", format!("/v1/deliveries/{delivery}")),
            ("POST", format!("/v1/deliveries/{delivery}/resend")),
            ("GET", format!("/v1/replays/{replay}")),
            ("POST", format!("/v1/replays/{replay}/cancel")),
            ("DELETE", format!("/v1/endpoints/{endpoint}")),
            ("GET", format!("/v1/accounts/{}", self.account.id)),
            ("PATCH", format!("/v1/accounts/{}", self.account.id)),
            ("DELETE", format!("/v1/accounts/{}", self.account.id)),
        ]
    }
}

#[tokio::test]
async fn what_belongs_to_another_is_not_there_before_anything_else_is_judged() {
    let service = Service::start().await;
    let a = Customer::new(&service, "a").await;
    let b = Customer::new(&service, "b").await;
    for (method, path) in a.paths() {
        // Neither the secret's 403 nor the bad body's 400 may tell that the thing exists.
        let body = if matches!(method, "POST" | "PATCH") { "not JSON" } else { "" };
        let answer = service.call(&b.account.test_key, method, &path, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}");
    }
    let replay = json!({ "endpoint": a.endpoint }).to_string();
    assert_eq!(service.call(&b.account.test_key, "POST", "/v1/replays", &replay).await.status, 404);
    assert_eq!(service.call(&a.account.live_key, "POST", "/v1/replays", &replay).await.status, 404);
    assert_eq!(service.get(&format!("/v1/endpoints/{}", a.endpoint)).await["state"], "enabled");
    service.stop().await;
}

#[tokio::test]
async fn the_other_mode_of_the_same_account_is_not_there() {
    let service = Service::start().await;
    let a = Customer::new(&service, "a").await;
    for (method, path) in a.paths().into_iter().filter(|(_, path)| !path.contains("accounts")) {
        let answer = service.call(&a.account.live_key, method, &path, "").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_key_works_on_what_is_its_own() {
    let service = Service::start().await;
    let a = Customer::new(&service, "a").await;
    let key = &a.account.test_key;
    for (method, path) in a.paths() {
        let body = if method == "PATCH" { "{}" } else { "" };
        let answer = service.call(key, method, &path, body).await;
        let expected = match path.as_str() {
            path if path.contains("/secret") || path.contains("accounts") => 403,
            path if path.ends_with("/resend") => 409,
            // One with nothing to send is done very soon.
            path if path.ends_with("/cancel") && answer.status == 409 => 409,
            _ if method == "DELETE" => 204,
            _ => 200,
        };
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text());
    }
    for (method, body) in [("GET", ""), ("POST", r#"{"name":"mine"}"#), ("POST", "not JSON")] {
        assert_eq!(service.call(key, method, "/v1/accounts", body).await.status, 403, "{method}");
    }
    for path in ["/v1/event-types", "/v1/event-types/policy.created"] {
        assert_eq!(service.call(key, "GET", path, "").await.status, 200, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn lists_show_a_key_its_own_account_and_mode_alone() {
    let service = Service::start().await;
    let a = Customer::new(&service, "a").await;
    let b = Customer::new(&service, "b").await;
    let account = &a.account;
    for list in ["endpoints", "events", "deliveries", "replays"] {
        let ids = async |key: &str, query: &str| {
            let answer = service.call(key, "GET", &format!("/v1/{list}{query}"), "").await;
            assert_eq!(answer.status, 200, "{list}{query}: {}", answer.text());
            let page = answer.json();
            page["data"].as_array().unwrap().iter().map(|row| row["account"].clone()).collect::<Vec<_>>()
        };
        let own = vec![json!(account.id)];
        assert_eq!(ids(&account.test_key, "").await, own, "{list}");
        let named = format!("?account={}&livemode=false", account.id);
        assert_eq!(ids(&account.test_key, &named).await, own, "{list}");
        assert!(ids(&account.live_key, "").await.is_empty(), "{list}");
        for other in [format!("?account={}", b.account.id), "?livemode=true".to_owned()] {
            let answer = service.call(&account.test_key, "GET", &format!("/v1/{list}{other}"), "").await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{list}{other}");
        }
        assert_eq!(service.get(&format!("/v1/{list}")).await["data"].as_array().unwrap().len(), 2, "{list}");
    }
    let foreign = format!("/v1/deliveries?endpoint={}", b.endpoint);
    let page = service.call(&account.test_key, "GET", &foreign, "").await.json();
    assert_eq!(page, json!({ "data": [], "next_cursor": null }));
    service.stop().await;
}

#[tokio::test]
async fn a_key_implies_account_and_mode_and_naming_others_is_forbidden() {
    let service = Service::start().await;
    let a = service.account("a").await;
    let b = service.account("b").await;
    let made = service
        .call(&a.live_key, "POST", "/v1/endpoints", r#"{"url":"https://example.com/","event_types":["*"]}"#)
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        (made.json()["account"].as_str(), made.json()["livemode"].as_bool()),
        (Some(a.id.as_str()), Some(true))
    );

    let own = format!(r#"{{"type":"policy.created","payload":{}}}"#, payload(true));
    let accepted = service.call(&a.live_key, "POST", "/v1/events", &own).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    assert_eq!(accepted.json()["account"], json!(a.id));
    let named = event_body(&a.id, &payload(true));
    assert_eq!(service.call(&a.live_key, "POST", "/v1/events", &named).await.status, 202);

    let with = |name: &str, value: Value| {
        let mut body = json!({ "url": "https://example.com/", "event_types": ["*"] });
        body[name] = value;
        body.to_string()
    };
    for (path, body) in [
        ("/v1/endpoints", with("account", json!(b.id))),
        ("/v1/endpoints", with("account", json!("nonsense"))),
        ("/v1/endpoints", with("livemode", json!(false))),
        ("/v1/events", event_body(&b.id, &payload(true))),
        ("/v1/events", own.replace("{\"type\"", "{\"livemode\":false,\"type\"")),
        ("/v1/events/batch", format!(r#"{{"events":[{own},{}]}}"#, event_body(&b.id, &payload(true)))),
    ] {
        let answer = service.call(&a.live_key, "POST", path, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{path} {body}");
    }
    // The payload's own mode is no field of the request: it is understood, and wrong.
    let other_mode = format!(r#"{{"type":"policy.created","payload":{}}}"#, payload(false));
    let answer = service.call(&a.live_key, "POST", "/v1/events", &other_mode).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/payload/livemode".to_owned()]));
    assert_eq!(service.stored_events().await, 2);
    service.stop().await;
}
