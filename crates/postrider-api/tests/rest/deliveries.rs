//! Deliveries: what is shown of them and their attempts, why they wait, and sending them again.

use postrider_core::attempt::FailureCode;
use serde_json::{Value, json};

use crate::harness::Service;

#[tokio::test]
async fn a_delivered_delivery_is_shown_with_its_attempt() {
    let service = Service::start().await;
    service.receivers.answer_with(200);
    let account = service.account("a").await;
    let endpoint = service.endpoint(&account, json!({})).await;
    let event = service.event(&account).await;
    let id = &event["deliveries"][0]["id"];
    let mut delivery = service.wait_for_delivery(id, |delivery| delivery["status"] == "delivered").await;
    let attempts = delivery.as_object_mut().unwrap().remove("attempts").unwrap();
    assert!(delivery["finished_at"].is_string(), "{delivery}");
    assert_eq!(
        delivery,
        json!({
            "id": id, "event": event["id"], "type": "policy.created", "account": account.id,
            "endpoint": endpoint["id"], "livemode": false, "status": "delivered", "reason": null,
            "attempt_count": 1, "created_at": event["created_at"], "next_attempt_at": null,
            "waiting_for": null, "finished_at": delivery["finished_at"], "resend_of": null,
        })
    );
    assert_eq!(service.get("/v1/deliveries").await["data"], json!([delivery]));

    let [attempt] = attempts.as_array().unwrap().as_slice() else { panic!("one attempt: {attempts}") };
    let headers = attempt["request"]["headers"].as_array().unwrap();
    assert!(headers.iter().any(|header| header["name"] == "X-KASKO-Delivery"), "{headers:?}");
    assert_eq!(
        attempt,
        &json!({
            "number": 1, "probe": false, "started_at": attempt["started_at"],
            "timings": { "dns_ms": null, "connect_ms": 1.5, "tls_ms": null, "first_byte_ms": 0.25, "total_ms": 2.125 },
            "request": { "url": "https://example.com/hook", "headers": headers },
            "response": {
                "status": 200, "headers": [{ "name": "X-Answer", "value": "yes" }], "body": "thanks",
                "body_truncated": false,
            },
            "outcome": "received", "status": 200, "failure": null,
        })
    );
    service.stop().await;
}

#[tokio::test]
async fn a_failed_attempt_is_shown_with_its_code_and_the_next_attempt() {
    let service = Service::start().await;
    service.receivers.answer_with(500);
    let account = service.account("a").await;
    service.endpoint(&account, json!({ "retry_schedule": ["1h"] })).await;
    let event = service.event(&account).await;
    let id = &event["deliveries"][0]["id"];
    let delivery = service.wait_for_delivery(id, |delivery| delivery["attempt_count"] == 1).await;
    assert_eq!(delivery["status"], "pending");
    let next = delivery["next_attempt_at"].as_str().unwrap();
    assert!(delivery["waiting_for"].as_str().unwrap().contains(next), "{delivery}");
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["status"]), (&json!("not_received"), &json!(500)));
    assert_eq!(attempt["failure"], json!({ "code": "status", "detail": "the receiver answered 500" }));
    let response = &attempt["response"];
    assert_eq!((&response["body_base64"], &response["body_truncated"]), (&json!("/wA="), &json!(true)));
    assert!(response.get("body").is_none(), "what is not text is not shown as text: {response}");
    service.stop().await;
}

#[tokio::test]
async fn customers_read_that_an_address_is_forbidden_or_internal_and_the_operator_which() {
    for (code, detail, shown) in [
        (
            FailureCode::AddressBlocked,
            "inside.corp leads to 10.1.2.3, a private address, which deliveries may not reach",
            "inside.corp leads to a forbidden address",
        ),
        (
            FailureCode::ConnectRefused,
            "nothing listens at inside.corp (10.1.2.3:443)",
            "nothing listens at inside.corp (an internal address)",
        ),
    ] {
        let service = Service::start().await;
        let account = service.account("a").await;
        service.receivers.fail_with(code, detail);
        service.endpoint(&account, json!({ "retry_schedule": ["1h"] })).await;
        let event = service.event(&account).await;
        let id = &event["deliveries"][0]["id"];
        let of_operator = service.wait_for_delivery(id, |delivery| delivery["attempt_count"] == 1).await;
        assert_eq!(of_operator["attempts"][0]["failure"]["detail"], detail);
        let path = format!("/v1/deliveries/{}", id.as_str().unwrap());
        let of_customer = service.call(&account.test_key, "GET", &path, "").await;
        assert_eq!(
            of_customer.json()["attempts"][0]["failure"],
            json!({ "code": code.as_str(), "detail": shown })
        );
        assert!(!of_customer.text().contains("10.1.2.3") && !of_customer.text().contains("private"));
        service.stop().await;
    }
}

#[tokio::test]
async fn a_pending_delivery_says_why_it_waits() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let endpoint = service.endpoint(&account, json!({})).await;
    let path = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
    let event = service.event(&account).await;
    let waiting_for = async || {
        let shown =
            service.get(&format!("/v1/deliveries/{}", event["deliveries"][0]["id"].as_str().unwrap())).await;
        let listed = service.get("/v1/deliveries").await;
        assert_eq!(listed["data"][0]["waiting_for"], shown["waiting_for"]);
        shown["waiting_for"].as_str().unwrap().to_owned()
    };
    assert_eq!(waiting_for().await, "its turn");
    service.operator("POST", &format!("{path}/pause"), "").await;
    assert!(waiting_for().await.contains("paused"));
    service.operator("POST", &format!("{path}/disable"), "").await;
    assert!(waiting_for().await.contains("disabled"));
    assert_eq!(service.get(&path).await["backlog"], 1);
    service.stop().await;
}

#[tokio::test]
async fn a_finished_delivery_is_sent_again_as_a_new_one_with_the_same_event() {
    let service = Service::start().await;
    service.receivers.answer_with(200);
    let account = service.account("a").await;
    service.endpoint(&account, json!({})).await;
    let event = service.event(&account).await;
    let id = &event["deliveries"][0]["id"];
    service.wait_for_delivery(id, |delivery| delivery["status"] == "delivered").await;

    let path = format!("/v1/deliveries/{}/resend", id.as_str().unwrap());
    let resent = service.operator("POST", &path, "").await;
    assert_eq!(resent.status, 202, "{}", resent.text());
    let resent = resent.json();
    assert_eq!(
        (&resent["resend_of"], &resent["event"], &resent["status"]),
        (id, &event["id"], &json!("pending"))
    );
    assert_ne!(&resent["id"], id);
    let again = service.wait_for_delivery(&resent["id"], |delivery| delivery["status"] == "delivered").await;
    assert_eq!(&again["resend_of"], id);
    let bodies = service.receivers.bodies();
    assert_eq!((bodies.len(), &bodies[0]), (2, &bodies[1]));

    let with_field = service.operator("POST", &path, r#"{"now":true}"#).await;
    assert_eq!((with_field.status, with_field.pointers()), (422, vec!["/now".to_owned()]));
    service.stop().await;
}

#[tokio::test]
async fn what_is_pending_or_bound_for_a_disabled_endpoint_is_not_sent_again() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let endpoint = service.endpoint(&account, json!({})).await;
    let resend = async |event: &Value| {
        let id = event["deliveries"][0]["id"].as_str().unwrap();
        service.operator("POST", &format!("/v1/deliveries/{id}/resend"), "{}").await
    };
    let pending = service.event(&account).await;
    let answer = resend(&pending).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "conflict"));

    service.receivers.answer_with(200);
    let other = service.account("b").await;
    let of_other = service.endpoint(&other, json!({})).await;
    let delivered = service.event(&other).await;
    service.wait_for_delivery(&delivered["deliveries"][0]["id"], |d| d["status"] == "delivered").await;
    let disable = format!("/v1/endpoints/{}/disable", of_other["id"].as_str().unwrap());
    assert_eq!(service.operator("POST", &disable, "").await.status, 200);
    let answer = resend(&delivered).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "conflict"), "{}", answer.text());
    assert_eq!(service.get("/v1/deliveries").await["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        service.get(&format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap())).await["backlog"],
        1
    );
    service.stop().await;
}

#[tokio::test]
async fn a_pending_delivery_is_cancelled_once_and_never_sent_afterwards() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let endpoint = service.endpoint(&account, json!({})).await;
    let path = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
    service.operator("POST", &format!("{path}/pause"), "").await;
    let event = service.event(&account).await;
    let id = event["deliveries"][0]["id"].as_str().unwrap();
    let cancel = format!("/v1/deliveries/{id}/cancel");
    for (body, status) in [("nonsense", 400), (r#"{"why":1}"#, 422), ("[]", 422)] {
        assert_eq!(service.operator("POST", &cancel, body).await.status, status, "{body}");
    }
    // An account's key cancels what is its own.
    let cancelled = service.call(&account.test_key, "POST", &cancel, "").await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let cancelled = cancelled.json();
    assert_eq!((&cancelled["status"], &cancelled["reason"]), (&json!("cancelled"), &json!("operator")));
    assert_eq!((&cancelled["next_attempt_at"], &cancelled["waiting_for"]), (&Value::Null, &Value::Null));
    let again = service.operator("POST", &cancel, "").await;
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"), "{}", again.text());
    assert_eq!(service.get(&path).await["backlog"], 0);
    service.receivers.answer_with(200);
    service.operator("POST", &format!("{path}/resume"), "").await;
    let later = service.event(&account).await;
    service.wait_for_delivery(&later["deliveries"][0]["id"], |d| d["status"] == "delivered").await;
    assert_eq!(service.receivers.bodies().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_a_delivery_is_not_there() {
    let service = Service::start().await;
    for id in ["nonsense", "dlv_", "dlv_01935b2c8a0170008000000000000000"] {
        assert_eq!(service.operator("GET", &format!("/v1/deliveries/{id}"), "").await.status, 404, "{id}");
        let resend = format!("/v1/deliveries/{id}/resend");
        assert_eq!(service.operator("POST", &resend, "not JSON").await.status, 404, "{id}");
    }
    service.stop().await;
}
