//! Events handed in one by one: what the answer says, and that the payload stays the bytes it was.

use serde_json::{Value, json};

use crate::harness::{Service, event_body, payload};

/// Payloads whose bytes any re-serialisation would change.
const AWKWARD: [&str; 7] = [
    r#"{"id":"a","livemode":false,"policy_id":"b","product_id":"c","x":[1.10,1E400,123456789012345678901234567890,-0.0]}"#,
    "{ \"livemode\" :\tfalse,\r\n  \"id\": \"a\", \"policy_id\":\"b\" , \"product_id\":\"c\" }",
    r#"{"id":"first","id":"second","livemode":false,"livemode":false,"policy_id":"b","product_id":"c"}"#,
    r#"{"id":"\u00e4\/\ud83d\ude00","livemode":false,"policy_id":"ä😀","product_id":"c","z":{"b":1,"a":2}}"#,
    r#"{"id":"a","livemode":false,"policy_id":"b","product_id":"c","gross_premium":99999999999999999999999}"#,
    r#"{"id":"\ud800","livemode":false,"policy_id":"b","product_id":"c","\udfff":"\ud83d\n"}"#,
    r#"{"$serde_json::private::RawValue":"7","livemode":false,"id":"a","policy_id":"b","product_id":"c","z":{"$serde_json::private::Number":"n"}}"#,
];

#[tokio::test]
async fn an_event_is_accepted_with_its_deliveries_and_shown_again() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let first = service.endpoint(&account, json!({})).await;
    let second = service.endpoint(&account, json!({ "event_types": ["policy.*"] })).await;
    service.endpoint(&account, json!({ "event_types": ["offer.created"] })).await;
    service.endpoint(&account, json!({ "livemode": true })).await;

    let accepted = service.event(&account).await;
    let id = accepted["id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    let deliveries = accepted["deliveries"].as_array().unwrap();
    let mut bound: Vec<&Value> = deliveries.iter().map(|delivery| &delivery["endpoint"]).collect();
    bound.sort_by_key(|id| id.to_string());
    assert_eq!(bound, [&first["id"], &second["id"]]);
    assert!(deliveries.iter().all(|delivery| delivery["id"].as_str().unwrap().starts_with("dlv_")));

    let mut expected = json!({
        "id": id, "account": account.id, "type": "policy.created", "livemode": false,
        "created_at": accepted["created_at"],
    });
    let listed = service.get("/v1/events").await;
    assert_eq!(listed["data"], json!([expected]));
    expected["payload"] = serde_json::from_str(&payload(false)).unwrap();
    assert_eq!(service.get(&format!("/v1/events/{id}")).await, expected);
    let mut answered = accepted.clone();
    answered.as_object_mut().unwrap().remove("deliveries");
    expected.as_object_mut().unwrap().remove("payload");
    assert_eq!(answered, expected);
    service.stop().await;
}

#[tokio::test]
async fn a_payload_stays_the_bytes_it_was_all_the_way_to_the_receiver() {
    let service = Service::start().await;
    service.receivers.answer_with(200);
    let account = service.account("a").await;
    service.endpoint(&account, json!({})).await;
    // Short ones are copied out of the body, long ones are not: both ways must give the same.
    let long = AWKWARD[0].replacen("\"a\"", &format!("\"{}\"", "ä".repeat(20_000)), 1);
    for awkward in AWKWARD.into_iter().chain([long.as_str()]) {
        // White space around the value is not part of it.
        let body = event_body(&account.id, &format!(" \r\n\t{awkward}\n "));
        let accepted = service.operator("POST", "/v1/events", &body).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        let accepted = accepted.json();
        let path = format!("/v1/events/{}", accepted["id"].as_str().unwrap());

        let exact = service.operator("GET", &format!("{path}/payload"), "").await;
        assert_eq!((exact.status, exact.header("content-type")), (200, Some("application/json")));
        assert_eq!(exact.text(), awkward);
        let shown = service.operator("GET", &path, "").await.text();
        assert!(shown.ends_with(&format!("\"payload\":{awkward}}}")), "{shown}");

        let delivery = &accepted["deliveries"][0]["id"];
        service.wait_for_delivery(delivery, |delivery| delivery["status"] == "delivered").await;
        assert_eq!(service.receivers.bodies().last().unwrap(), awkward.as_bytes());
    }
    service.stop().await;
}

#[tokio::test]
async fn the_mode_comes_from_the_payload_the_key_or_the_request() {
    let service = Service::start().await;
    let account = service.account("a").await;
    for (key, field, in_payload, expected) in [
        ("operator", "", "true", true),
        ("operator", "", "false", false),
        ("operator", ",\"livemode\":true", "true", true),
        ("operator", ",\"livemode\":null", "false", false),
        ("live", "", "true", true),
        ("test", ",\"livemode\":false", "false", false),
    ] {
        let payload = format!(r#"{{"id":"a","livemode":{in_payload},"policy_id":"b","product_id":"c"}}"#);
        let body =
            format!(r#"{{"account":"{}","type":"offer.created","payload":{payload}{field}}}"#, account.id);
        let answer = match key {
            "operator" => service.operator("POST", "/v1/events", &body).await,
            "live" => service.call(&account.live_key, "POST", "/v1/events", &body).await,
            _ => service.call(&account.test_key, "POST", "/v1/events", &body).await,
        };
        assert_eq!(answer.status, 202, "{body}: {}", answer.text());
        assert_eq!(answer.json()["livemode"], expected, "{body}");
    }
    service.stop().await;
}

#[tokio::test]
async fn the_contracts_examples_are_accepted() {
    let service = Service::start().await;
    let account = service.account("a").await;
    for event_type in service.engine.catalogue().of_platform() {
        let body = format!(
            r#"{{"payload":{},"type":"{}","account":"{}"}}"#,
            event_type.example().unwrap(),
            event_type.name(),
            account.id
        );
        let answer = service.operator("POST", "/v1/events", &body).await;
        assert_eq!(
            (answer.status, answer.json()["deliveries"].clone()),
            (202, json!([])),
            "{}",
            answer.text()
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_an_event_is_not_there() {
    let service = Service::start().await;
    for id in
        ["0", "nonsense", "01935b2c8a0170008000000000000000", "01935B2C8A0170008000000000000000", "batch/x"]
    {
        assert_eq!(service.operator("GET", &format!("/v1/events/{id}"), "").await.status, 404, "{id}");
        assert_eq!(
            service.operator("GET", &format!("/v1/events/{id}/payload"), "").await.status,
            404,
            "{id}"
        );
    }
    service.stop().await;
}
