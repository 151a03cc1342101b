//! Sending an endpoint an example.

use serde_json::{Value, json};

use crate::harness::Service;

fn path(endpoint: &Value) -> String {
    format!("/v1/endpoints/{}/test", endpoint["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_test_sends_the_example_in_the_endpoint_s_mode_to_it_alone() {
    let service = Service::start().await;
    service.receivers.answer_with(200);
    let account = service.account("a").await;
    let live = service
        .endpoint(&account, json!({ "livemode": true, "event_types": ["policy.cancelled", "offer.*"] }))
        .await;
    service.endpoint(&account, json!({ "livemode": true })).await;
    for (body, expected) in [
        ("", "offer.created"),
        ("{}", "offer.created"),
        (r#"{"event_type":"policy.cancelled"}"#, "policy.cancelled"),
        // What it has not subscribed can be tried as well.
        (r#"{"event_type":"policy.updated"}"#, "policy.updated"),
    ] {
        let answer = service.call(&account.live_key, "POST", &path(&live), body).await;
        assert_eq!(answer.status, 202, "{body}: {}", answer.text());
        let accepted = answer.json();
        assert_eq!((&accepted["type"], &accepted["livemode"]), (&json!(expected), &json!(true)), "{body}");
        assert_eq!(accepted["deliveries"].as_array().unwrap().len(), 1);
        assert_eq!(accepted["deliveries"][0]["endpoint"], live["id"]);
        service.wait_for_delivery(&accepted["deliveries"][0]["id"], |d| d["status"] == "delivered").await;
        let payload = service.get(&format!("/v1/events/{}/payload", accepted["id"].as_str().unwrap())).await;
        let mut example = service.get(&format!("/v1/event-types/{expected}")).await["example"].clone();
        example["livemode"] = json!(true);
        assert_eq!(payload, example);
    }
    service.stop().await;
}

#[tokio::test]
async fn the_operator_s_own_endpoints_are_tried_with_operational_events() {
    let service = Service::start().await;
    let operator = json!({
        "account": "acc_operator", "livemode": true, "url": "https://example.com/ops", "event_types": ["*"],
    });
    let made = service.operator("POST", "/v1/endpoints", &operator.to_string()).await.json();
    let answer = service.operator("POST", &path(&made), "").await;
    assert_eq!(
        (answer.status, &answer.json()["type"]),
        (202, &json!("endpoint.failing")),
        "{}",
        answer.text()
    );
    service.stop().await;
}

#[tokio::test]
async fn what_can_not_be_a_test_is_refused() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let endpoint = service.endpoint(&account, json!({})).await;
    for body in [
        json!({ "event_type": "no.such.type" }),
        json!({ "event_type": "endpoint.failing" }),
        json!({ "event_type": "" }),
        json!({ "event_type": 7 }),
    ] {
        let answer = service.operator("POST", &path(&endpoint), &body.to_string()).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/event_type".to_owned()]), "{body}");
    }
    assert_eq!(service.operator("POST", &path(&endpoint), "nonsense").await.status, 400);
    let unknown = service.operator("POST", &path(&endpoint), r#"{"type":"policy.created"}"#).await;
    assert_eq!((unknown.status, unknown.pointers()), (422, vec!["/type".to_owned()]));
    let disable = path(&endpoint).replace("/test", "/disable");
    assert_eq!(service.operator("POST", &disable, "").await.status, 200);
    let disabled = service.operator("POST", &path(&endpoint), "").await;
    assert_eq!((disabled.status, disabled.code().as_str()), (409, "conflict"));
    let stored = service.get(&format!("/v1/events?account={}", account.id)).await;
    assert_eq!(stored["data"], json!([]));
    service.stop().await;
}
