//! Deliveries of the service that come back to it as calls.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Account, OPERATOR_KEY, Service, event_body, payload};

/// A call with the headers of a delivery.
async fn call(service: &Service, key: &str, path: &str, header: (&str, &str), body: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), header];
    service.connect().await.request("POST", path, &headers, body.as_bytes()).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// An account with an endpoint whose URL is a route of this service, and a finished delivery to it.
async fn looping(service: &Service, path: &str) -> (Account, Value, String) {
    let account = service.account("a").await;
    service.receivers.answer_with(200);
    let endpoint = service.endpoint(&account, json!({ "url": format!("https://hooks.example{path}") })).await;
    let event = service.event(&account).await;
    let delivery = &event["deliveries"][0]["id"];
    service.wait_for_delivery(delivery, |row| row["status"] == "delivered").await;
    let guid = text(&event["id"]).to_owned();
    (account, endpoint, guid)
}

#[tokio::test]
async fn every_route_that_makes_events_or_deliveries_refuses_a_delivery_that_comes_back() {
    let service = Service::start().await;
    let (account, endpoint, guid) = looping(&service, "/v1/events").await;
    let deliveries = service.get("/v1/deliveries").await;
    let (ep, dlv) = (text(&endpoint["id"]), text(&deliveries["data"][0]["id"]));
    let event = event_body(&account.id, &payload(false));
    let calls = [
        ("/v1/events".to_owned(), event.clone()),
        ("/v1/events/batch".to_owned(), format!(r#"{{"events":[{event}]}}"#)),
        (format!("/v1/endpoints/{ep}/test"), String::new()),
        (format!("/v1/deliveries/{dlv}/resend"), String::new()),
        ("/v1/replays".to_owned(), json!({ "endpoint": ep }).to_string()),
    ];
    for (path, body) in &calls {
        for header in ["X-KASKO-Delivery", "webhook-id"] {
            let refused = call(&service, &account.test_key, path, (header, &guid), body).await;
            assert_eq!((refused.status, refused.code().as_str()), (508, "loop_detected"), "{path} {header}");
            let detail = refused.detail();
            assert!(detail.contains(ep) && detail.contains("https://hooks.example/v1/events"), "{detail}");
            assert!(detail.contains("X-KASKO-Delivery") && detail.contains(&guid), "{detail}");
        }
    }
    assert_eq!(service.stored_events().await, 1, "nothing was stored");
    // Headers of another service's deliveries, or of none, are no loop.
    for value in ["0".repeat(32).as_str(), "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "", "x"] {
        for (path, body) in &calls[..2] {
            let accepted = call(&service, &account.test_key, path, ("webhook-id", value), body).await;
            assert_eq!(accepted.status, 202, "{path} {value}: {}", accepted.text());
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn what_makes_nothing_is_not_refused() {
    let service = Service::start().await;
    let (account, endpoint, guid) = looping(&service, "/").await;
    let header = ("X-KASKO-Delivery", guid.as_str());
    let dry = json!({ "endpoint": endpoint["id"], "dry_run": true }).to_string();
    assert_eq!(call(&service, &account.test_key, "/v1/replays", header, &dry).await.status, 200);
    let pause = format!("/v1/endpoints/{}/pause", text(&endpoint["id"]));
    assert_eq!(call(&service, &account.test_key, &pause, header, "").await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn the_endpoint_is_named_only_to_those_who_may_see_it() {
    let service = Service::start().await;
    let (owner, endpoint, guid) = looping(&service, "/v1/events").await;
    let other = service.account("other").await;
    for (key, account, sees) in [
        (other.test_key.as_str(), &other, false),
        (owner.live_key.as_str(), &owner, false),
        (owner.test_key.as_str(), &owner, true),
        (OPERATOR_KEY, &owner, true),
    ] {
        let body = event_body(&account.id, &payload(key == owner.live_key));
        let refused = call(&service, key, "/v1/events", ("webhook-id", &guid), &body).await;
        assert_eq!(refused.status, 508);
        assert_eq!(refused.detail().contains(text(&endpoint["id"])), sees, "{}", refused.detail());
        assert_eq!(refused.detail().contains("hooks.example"), sees, "{}", refused.detail());
    }
    service.stop().await;
}

#[tokio::test]
async fn of_several_endpoints_the_one_whose_url_is_this_route_is_named() {
    let service = Service::start().await;
    let account = service.account("a").await;
    service.endpoint(&account, json!({ "url": "https://one.example/hook" })).await;
    let back = service.endpoint(&account, json!({ "url": "https://two.example/v1/events" })).await;
    let event = service.event(&account).await;
    let body = event_body(&account.id, &payload(false));
    let header = ("X-KASKO-Delivery", text(&event["id"]));
    let refused = call(&service, &account.test_key, "/v1/events", header, &body).await;
    assert!(refused.detail().contains(text(&back["id"])), "{}", refused.detail());
    service.stop().await;
}
