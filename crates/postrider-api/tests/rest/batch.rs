//! Events handed in many at once: all of them or none.

use serde_json::json;

use crate::harness::{Service, event_body, payload};

#[tokio::test]
async fn a_batch_is_accepted_in_its_order_and_byte_for_byte() {
    let service = Service::start().await;
    let (a, b) = (service.account("a").await, service.account("b").await);
    let endpoint = service.endpoint(&b, json!({})).await;
    let odd = r#"{ "id":"x","livemode":true,"policy_id":"1.10","product_id":"c","n":1.10 }"#;
    let events = [
        event_body(&a.id, &payload(false)),
        event_body(&b.id, &payload(false)),
        event_body(&a.id, odd).replace("policy.created", "offer.created"),
    ];
    let answer = service
        .operator("POST", "/v1/events/batch", &format!(r#"{{"events":[{}]}}"#, events.join(" , ")))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let results = answer.json()["results"].as_array().unwrap().clone();
    let about: Vec<_> = results.iter().map(|r| json!([r["account"], r["type"], r["livemode"]])).collect();
    assert_eq!(
        about,
        [
            json!([a.id, "policy.created", false]),
            json!([b.id, "policy.created", false]),
            json!([a.id, "offer.created", true])
        ]
    );
    assert_eq!(results[0]["deliveries"], json!([]));
    assert_eq!(results[1]["deliveries"][0]["endpoint"], endpoint["id"]);
    let path = format!("/v1/events/{}/payload", results[2]["id"].as_str().unwrap());
    assert_eq!(service.operator("GET", &path, "").await.text(), odd);
    assert_eq!(service.stored_events().await, 3);
    service.stop().await;
}

#[tokio::test]
async fn one_bad_event_refuses_the_whole_batch_and_is_named_by_its_index() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let good = event_body(&account.id, &payload(false));
    let batch = |bad: &str| format!(r#"{{"events":[{good},{good},{good},{bad}]}}"#);
    for (bad, pointers) in [
        (good.replace("\"TEST-1\"", "1"), vec!["/events/3/payload/policy_id"]),
        (good.replace("policy.created", "policy.lost"), vec!["/events/3/type"]),
        (good.replace("acc_", "acc_x"), vec!["/events/3/account"]),
        (good.replace("\"type\"", "\"colour\":1,\"type\""), vec!["/events/3/colour"]),
        ("{}".to_owned(), vec!["/events/3/account", "/events/3/type", "/events/3/payload"]),
        ("7".to_owned(), vec!["/events/3"]),
        ("null".to_owned(), vec!["/events/3"]),
        (format!("{},[]", good), vec!["/events/4"]),
    ] {
        let answer = service.operator("POST", "/v1/events/batch", &batch(&bad)).await;
        assert_eq!(
            (answer.status, answer.pointers()),
            (422, pointers.iter().map(|p| (*p).to_owned()).collect()),
            "{bad}"
        );
    }
    assert_eq!(service.stored_events().await, 0);
    assert_eq!(service.operator("POST", "/v1/events/batch", &batch(&good)).await.status, 202);
    assert_eq!(service.stored_events().await, 4);
    service.stop().await;
}

#[tokio::test]
async fn a_batch_holds_1_to_1000_events() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let good = event_body(&account.id, &payload(false));
    let batch = |count: usize| format!(r#"{{"events":[{}]}}"#, vec![good.as_str(); count].join(","));
    for (body, pointer) in [
        (batch(1_001), "/events"),
        (batch(0), "/events"),
        ("{}".to_owned(), "/events"),
        (r#"{"events":null}"#.to_owned(), "/events"),
        (r#"{"events":{}}"#.to_owned(), "/events"),
        (r#"{"events":"all"}"#.to_owned(), "/events"),
        (format!(r#"{{"events":[{good}],"more":1}}"#), "/more"),
        (good.clone(), "/account"),
    ] {
        let answer = service.operator("POST", "/v1/events/batch", &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert_eq!(answer.pointers()[0], pointer, "{}", answer.text());
    }
    let most = service.operator("POST", "/v1/events/batch", &batch(1_000)).await;
    assert_eq!(most.status, 202, "{}", most.text());
    assert_eq!(most.json()["results"].as_array().unwrap().len(), 1_000);
    service.stop().await;
}
