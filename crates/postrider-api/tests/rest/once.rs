//! `Idempotency-Key`: a creating call that is made again.

use std::collections::BTreeSet;

use serde_json::json;

use crate::client::Answer;
use crate::harness::{OPERATOR_KEY, PATIENCE, Service, event_body, payload};

/// A POST with an idempotency key, on a connection of its own.
async fn post(service: &Service, key: &str, path: &str, body: &str, idempotency_key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Idempotency-Key", idempotency_key)];
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json"));
    }
    let mut connection = service.connect().await;
    let answered = connection.request("POST", path, &headers, body.as_bytes());
    tokio::time::timeout(PATIENCE, answered).await.unwrap()
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// A call that creates: its place in the description, its path, a body, another one, and what counts what it creates.
type Creating = (&'static str, String, String, String, String);

fn event_types() -> Creating {
    let place = "/v1/event-types";
    let (body, other) = (r#"{"name":"claim.opened","example":{"n":1.10}}"#, r#"{"name":"claim.closed"}"#);
    (place, place.to_owned(), body.to_owned(), other.to_owned(), place.to_owned())
}

/// Every call that creates.
async fn creating(service: &Service) -> Vec<Creating> {
    let account = service.account("Acme").await;
    service.receivers.answer_with(200);
    let endpoint = service.endpoint(&account, json!({})).await;
    let endpoint = endpoint["id"].as_str().unwrap().to_owned();
    let ended = service.event(&account).await["deliveries"][0]["id"].clone();
    service.wait_for_delivery(&ended, |delivery| delivery["status"] == "delivered").await;
    let (of_account, ended) = (format!("/v1/accounts/{}", account.id), ended.as_str().unwrap().to_owned());
    let endpoint_body = |url: &str| {
        json!({ "account": account.id, "livemode": false, "url": url, "event_types": ["policy.*"] })
            .to_string()
    };
    let event = |mode: bool| event_body(&account.id, &payload(mode));
    let deliveries = format!("/v1/deliveries?endpoint={endpoint}&limit=250");
    let events = "/v1/events?limit=250".to_owned();
    let call = |place, path: &str, body: &str, other: &str, counted: &str| {
        (place, path.to_owned(), body.to_owned(), other.to_owned(), counted.to_owned())
    };
    let batch = |mode: bool| format!(r#"{{"events":[{},{}]}}"#, event(mode), event(mode));
    vec![
        call(
            "/v1/accounts",
            "/v1/accounts",
            r#"{"name":"One"}"#,
            r#"{"name":"Two"}"#,
            "/v1/accounts?limit=250",
        ),
        call(
            "/v1/accounts/{id}/keys",
            &format!("{of_account}/keys"),
            r#"{"livemode":true}"#,
            r#"{"livemode":false}"#,
            &format!("{of_account}/keys?limit=250"),
        ),
        call(
            "/v1/accounts/{id}/portal-links",
            &format!("{of_account}/portal-links"),
            "",
            r#"{"livemode":true}"#,
            "",
        ),
        event_types(),
        call("/v1/events", "/v1/events", &event(false), &event(true), &events),
        call("/v1/events/batch", "/v1/events/batch", &batch(false), &batch(true), &events),
        call(
            "/v1/endpoints/{id}/test",
            &format!("/v1/endpoints/{endpoint}/test"),
            "",
            r#"{"event_type":"policy.updated"}"#,
            &events,
        ),
        call("/v1/deliveries/{id}/resend", &format!("/v1/deliveries/{ended}/resend"), "", "{}", &deliveries),
        call(
            "/v1/replays",
            "/v1/replays",
            &json!({ "endpoint": endpoint }).to_string(),
            &json!({ "endpoint": endpoint, "status": "delivered" }).to_string(),
            "/v1/replays?limit=250",
        ),
        call(
            "/v1/endpoints",
            "/v1/endpoints",
            &endpoint_body("https://example.com/a"),
            &endpoint_body("https://example.com/b"),
            "/v1/endpoints?limit=250",
        ),
    ]
}

async fn count(service: &Service, path: &str) -> usize {
    match path {
        "" => 0,
        path => service.get(path).await["data"].as_array().unwrap().len(),
    }
}

#[tokio::test]
async fn every_call_that_creates_creates_once_and_gives_the_first_answer_again() {
    let service = Service::start().await;
    for (place, path, body, other, counted) in creating(&service).await {
        let first = post(&service, OPERATOR_KEY, &path, &body, "the-same").await;
        assert!(matches!(first.status, 201 | 202), "{place}: {}", first.text());
        assert!(!is_replayed(&first), "{place}");
        let after_one = count(&service, &counted).await;
        for _again in 0..2 {
            let again = post(&service, OPERATOR_KEY, &path, &body, "the-same").await;
            assert_eq!((again.status, again.text()), (first.status, first.text()), "{place}");
            assert_eq!(again.header("content-type"), first.header("content-type"), "{place}");
            assert!(is_replayed(&again), "{place}");
        }
        let refused = post(&service, OPERATOR_KEY, &path, &other, "the-same").await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"), "{place}");
        assert!(refused.detail().contains("another body"), "{place}: {}", refused.detail());
        // What a replay resends goes on by itself, so it is the replays that are counted, not the deliveries.
        assert_eq!(count(&service, &counted).await, after_one, "{place}");
    }
    service.stop().await;
}

/// A route that creates and does not know of the header would be missing here.
#[tokio::test]
async fn the_description_names_the_header_for_every_call_that_creates_and_no_other() {
    let service = Service::start().await;
    let description = service.get("/openapi.json").await;
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let is_named = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
            let answers = operation["responses"].as_object().unwrap();
            let creates = method == "post" && (answers.contains_key("201") || answers.contains_key("202"));
            assert_eq!(is_named, creates, "{method} {path}");
            if creates {
                described.insert(path.clone());
            }
        }
    }
    let tested: BTreeSet<String> =
        creating(&service).await.iter().map(|(place, ..)| (*place).to_owned()).collect();
    assert_eq!(described, tested);
    service.stop().await;
}

#[tokio::test]
async fn of_many_at_once_one_creates_and_all_get_its_answer() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    let endpoint = service.endpoint(&account, json!({})).await;
    let event = event_body(&account.id, &payload(false));
    let path = format!("/v1/endpoints/{}/test", endpoint["id"].as_str().unwrap());
    for (path, body) in [("/v1/events", event.as_str()), (&path, ""), ("/v1/accounts", r#"{"name":"Twin"}"#)]
    {
        let calls = (0..16).map(|_| post(&service, OPERATOR_KEY, path, body, "twins"));
        let answers = futures_util::future::join_all(calls).await;
        let texts: BTreeSet<(u16, String)> =
            answers.iter().map(|answer| (answer.status, answer.text())).collect();
        assert_eq!(texts.len(), 1, "{path}: {texts:?}");
        assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1, "{path}");
    }
    assert_eq!(service.stored_events().await, 2);
    assert_eq!(service.get("/v1/accounts").await["data"].as_array().unwrap().len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_key_is_its_holder_s_and_its_path_s_own() {
    let service = Service::start().await;
    let (account, other) = (service.account("Acme").await, service.account("Other").await);
    let live = event_body(&account.id, &payload(true));
    let calls = [
        (account.live_key.as_str(), live.clone()),
        (&account.test_key, event_body(&account.id, &payload(false))),
        (&other.live_key, event_body(&other.id, &payload(true))),
        (OPERATOR_KEY, live.clone()),
    ];
    let mut ids = BTreeSet::new();
    for (key, body) in &calls {
        let made = post(&service, key, "/v1/events", body, "1").await;
        assert_eq!(made.status, 202, "{}", made.text());
        ids.insert(made.json()["id"].to_string());
    }
    // One key, two accounts' paths.
    for id in [&account.id, &other.id] {
        let path = format!("/v1/accounts/{id}/keys");
        let made = post(&service, OPERATOR_KEY, &path, r#"{"livemode":true}"#, "1").await;
        assert_eq!(made.status, 201, "{}", made.text());
        ids.insert(made.json()["id"].to_string());
    }
    assert_eq!(ids.len(), 6);
    // Who may not do it now gets no earlier answer either.
    let keys = service.get(&format!("/v1/accounts/{}/keys", account.id)).await;
    let live_keys = keys["data"].as_array().unwrap().iter().filter(|key| key["livemode"] == json!(true));
    for key in live_keys.map(|key| key["id"].as_str().unwrap().to_owned()) {
        service.operator("DELETE", &format!("/v1/keys/{key}"), "").await;
    }
    assert_eq!(post(&service, &account.live_key, "/v1/events", &live, "1").await.status, 401);
    service.stop().await;
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_with_the_same_key() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    let bad = event_body(&account.id, "[]");
    assert_eq!(post(&service, OPERATOR_KEY, "/v1/events", &bad, "again").await.status, 422);
    let good = event_body(&account.id, &payload(false));
    let made = post(&service, OPERATOR_KEY, "/v1/events", &good, "again").await;
    assert_eq!((made.status, is_replayed(&made)), (202, false));
    service.stop().await;
}

#[tokio::test]
async fn the_first_answer_stands_although_the_call_would_be_refused_now() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    let body = event_body(&account.id, &payload(false));
    let first = post(&service, OPERATOR_KEY, "/v1/events", &body, "stands").await;
    assert_eq!(service.operator("DELETE", &format!("/v1/accounts/{}", account.id), "").await.status, 204);
    assert_eq!(post(&service, OPERATOR_KEY, "/v1/events", &body, "fresh").await.status, 422);
    let again = post(&service, OPERATOR_KEY, "/v1/events", &body, "stands").await;
    assert_eq!((again.status, again.text(), is_replayed(&again)), (202, first.text(), true));
    service.stop().await;
}

#[tokio::test]
async fn a_replay_that_is_only_counted_is_counted_anew() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    service.receivers.answer_with(200);
    let endpoint = service.endpoint(&account, json!({})).await;
    let body = json!({ "endpoint": endpoint["id"], "dry_run": true }).to_string();
    for expected in 0..2 {
        let counted = post(&service, OPERATOR_KEY, "/v1/replays", &body, "dry").await;
        assert_eq!((counted.status, is_replayed(&counted)), (200, false));
        assert_eq!(counted.json()["counts"]["matched"], json!(expected), "{}", counted.text());
        let sent = service.event(&account).await["deliveries"][0]["id"].clone();
        service.wait_for_delivery(&sent, |delivery| delivery["status"] == "delivered").await;
    }
    service.stop().await;
}

#[tokio::test]
async fn a_bad_key_is_said_and_nothing_is_created() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    let body = event_body(&account.id, &payload(false));
    for bad in ["", "two words", &"k".repeat(256)] {
        let refused = post(&service, OPERATOR_KEY, "/v1/events", &body, bad).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "bad_parameter"), "{bad}");
        assert!(refused.detail().contains("1 to 255 visible"), "{}", refused.detail());
    }
    assert_eq!(service.stored_events().await, 0);
    service.stop().await;
}
