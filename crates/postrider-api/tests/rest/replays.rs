//! Replays: counted, made, watched to their end, cancelled; and everything that can be wrong about one.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Account, PATIENCE, Service};

/// An account with an endpoint to which so many events have been delivered.
async fn delivered(service: &Service, events: usize) -> (Account, String) {
    service.receivers.answer_with(200);
    let account = service.account("a").await;
    let endpoint = service.endpoint(&account, json!({})).await["id"].as_str().unwrap().to_owned();
    for _ in 0..events {
        let event = service.event(&account).await;
        let id = &event["deliveries"][0]["id"];
        service.wait_for_delivery(id, |delivery| delivery["status"] == "delivered").await;
    }
    (account, endpoint)
}

async fn wait_for(service: &Service, id: &Value, state: &str) -> Value {
    let path = format!("/v1/replays/{}", id.as_str().unwrap());
    let began = Instant::now();
    loop {
        let replay = service.get(&path).await;
        if replay["state"] == state {
            return replay;
        }
        assert!(began.elapsed() < PATIENCE, "{replay}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_replay_is_counted_made_and_sends_each_event_of_its_range_again() {
    let service = Service::start().await;
    let (account, endpoint) = delivered(&service, 3).await;
    let body = json!({ "endpoint": endpoint, "type": "policy.created", "since": "2017-07-18T12:37:56Z" });
    let mut counting = body.clone();
    counting["dry_run"] = json!(true);
    let counted = service.call(&account.test_key, "POST", "/v1/replays", &counting.to_string()).await;
    assert_eq!(counted.status, 200, "{}", counted.text());
    assert_eq!(
        counted.json(),
        json!({
            "dry_run": true, "endpoint": endpoint, "status": null, "type": "policy.created",
            "since": "2017-07-18T12:37:56.000Z", "until": null,
            "counts": { "matched": 3, "resent": 0, "skipped": 0 },
        })
    );
    assert_eq!(service.get("/v1/replays").await["data"], json!([]), "counting stores nothing");

    let made = service.call(&account.test_key, "POST", "/v1/replays", &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!((&made["state"], &made["finished_at"]), (&json!("running"), &Value::Null));
    let done = wait_for(&service, &made["id"], "done").await;
    assert_eq!(
        done,
        json!({
            "id": made["id"], "account": account.id, "endpoint": endpoint, "livemode": false, "status": null,
            "type": "policy.created", "since": "2017-07-18T12:37:56.000Z", "until": null, "state": "done",
            "reason": null, "counts": { "matched": 3, "resent": 3, "skipped": 0 },
            "created_at": made["created_at"], "finished_at": done["finished_at"],
        })
    );
    assert_eq!(service.get("/v1/replays").await["data"], json!([done]));
    let began = Instant::now();
    while service.receivers.bodies().len() < 6 {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    let resent = service.get("/v1/deliveries?limit=3").await;
    assert!(resent["data"].as_array().unwrap().iter().all(|delivery| delivery["resend_of"].is_string()));
    service.stop().await;
}

#[tokio::test]
async fn a_replay_that_waits_is_the_only_one_of_its_endpoint_and_can_be_cancelled() {
    let service = Service::start().await;
    let (account, endpoint) = delivered(&service, 1).await;
    service.operator("POST", &format!("/v1/endpoints/{endpoint}/pause"), "").await;
    let body = json!({ "endpoint": endpoint }).to_string();
    let made = service.operator("POST", "/v1/replays", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let second = service.operator("POST", "/v1/replays", &body).await;
    assert_eq!((second.status, second.code().as_str()), (409, "conflict"));
    assert!(second.detail().contains("is running"), "{}", second.detail());

    let cancel = format!("/v1/replays/{}/cancel", made["id"].as_str().unwrap());
    let cancelled = service.call(&account.test_key, "POST", &cancel, "").await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let cancelled = cancelled.json();
    assert_eq!((&cancelled["state"], &cancelled["reason"]), (&json!("cancelled"), &json!("by_hand")));
    assert_eq!(service.operator("POST", &cancel, "").await.json(), cancelled, "it stays as it is");

    service.operator("POST", &format!("/v1/endpoints/{endpoint}/resume"), "").await;
    let next = service.operator("POST", "/v1/replays", &body).await.json();
    wait_for(&service, &next["id"], "done").await;
    let done = format!("/v1/replays/{}/cancel", next["id"].as_str().unwrap());
    assert_eq!(service.operator("POST", &done, "").await.status, 409, "there is nothing left to cancel");
    let disable = format!("/v1/endpoints/{endpoint}/disable");
    assert_eq!(service.operator("POST", &disable, "").await.status, 200);
    assert_eq!(service.operator("POST", "/v1/replays", &body).await.status, 409, "of a disabled endpoint");
    service.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_replay_is_named_and_nothing_is_stored() {
    let service = Service::start().await;
    let (account, endpoint) = delivered(&service, 1).await;
    for (body, pointers) in [
        (json!({}), vec!["/endpoint"]),
        (json!({ "endpoint": null }), vec!["/endpoint"]),
        (json!({ "endpoint": 7 }), vec!["/endpoint"]),
        (json!({ "endpoint": "*" }), vec!["/endpoint"]),
        (json!({ "endpoint": endpoint, "status": "pending" }), vec!["/status"]),
        (json!({ "endpoint": endpoint, "status": "lost", "type": "no type" }), vec!["/status", "/type"]),
        (json!({ "endpoint": endpoint, "since": "yesterday", "until": 5 }), vec!["/since", "/until"]),
        (
            json!({ "endpoint": endpoint, "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z" }),
            vec!["/until"],
        ),
        (json!({ "endpoint": endpoint, "dry_run": "yes" }), vec!["/dry_run"]),
        (json!({ "endpoint": endpoint, "events": [] }), vec!["/events"]),
    ] {
        let answer = service.operator("POST", "/v1/replays", &body.to_string()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        assert_eq!(answer.pointers(), pointers, "{body}: {}", answer.text());
    }
    for body in ["", "nonsense", "{"] {
        assert_eq!(service.operator("POST", "/v1/replays", body).await.status, 400, "{body}");
    }
    let all = service.call(&account.test_key, "POST", "/v1/replays", r#"{"endpoint":"*"}"#).await;
    assert_eq!(all.status, 403, "only the operator is told what \"*\" is about");
    for unknown in ["ep_none", "ep_018bcfe568007a07bed90003f67f9e1d"] {
        let body = json!({ "endpoint": unknown, "status": "lost" }).to_string();
        assert_eq!(service.operator("POST", "/v1/replays", &body).await.status, 404, "{unknown}");
    }
    for query in ["?state=done", "?limit=0", "?cursor=d0000000000000001", "?endpoint=x"] {
        assert_eq!(service.operator("GET", &format!("/v1/replays{query}"), "").await.status, 400, "{query}");
    }
    assert_eq!(service.get("/v1/replays").await["data"], json!([]));
    service.stop().await;
}

#[tokio::test]
async fn replays_are_listed_newest_first_page_by_page() {
    let service = Service::start().await;
    let (account, endpoint) = delivered(&service, 1).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let body = json!({ "endpoint": endpoint }).to_string();
        let replay = service.operator("POST", "/v1/replays", &body).await.json();
        wait_for(&service, &replay["id"], "done").await;
        made.insert(0, replay["id"].clone());
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/replays?endpoint={endpoint}&limit=2{cursor}");
        let page = service.call(&account.test_key, "GET", &path, "").await.json();
        listed.extend(page["data"].as_array().unwrap().iter().map(|replay| replay["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
    service.stop().await;
}
