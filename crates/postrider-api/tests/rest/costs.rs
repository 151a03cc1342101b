//! What one request may cost: payloads too expensive to check, filters over long numbers, batches of one long payload, and
//! bodies that are no JSON.

use serde_json::{Value, json};

use crate::harness::{Account, Service};

async fn event_type(service: &Service, name: &str, schema: Value) {
    let body = json!({ "name": name, "schema": schema });
    let made = service.operator("POST", "/v1/event-types", &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

fn event(account: &Account, name: &str, payload: &str) -> String {
    format!(r#"{{"account":"{}","type":"{name}","livemode":false,"payload":{payload}}}"#, account.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_too_expensive_to_check_is_refused_with_its_place() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let branches: Vec<Value> = (0..2_000).map(|n| json!({ "required": [format!("a{n}")] })).collect();
    event_type(
        &service,
        "claim.any",
        json!({ "properties": { "items": { "items": { "anyOf": branches } } } }),
    )
    .await;
    let costly = format!(r#"{{"items":[{}{{"a1999":1}}]}}"#, r#"{"a1999":1},"#.repeat(20_000));
    let refused = service.operator("POST", "/v1/events", &event(&account, "claim.any", &costly)).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "too_expensive"), "{}", refused.text());
    let pointers = refused.pointers();
    assert!(pointers[0].starts_with("/payload/items/"), "{pointers:?}");
    let batch = format!(
        r#"{{"events":[{},{}]}}"#,
        event(&account, "claim.any", r#"{"items":[{"a1":1}]}"#),
        event(&account, "claim.any", &costly)
    );
    let refused = service.operator("POST", "/v1/events/batch", &batch).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "too_expensive"), "{}", refused.text());
    assert!(refused.pointers()[0].starts_with("/events/1/payload/items/"), "{:?}", refused.pointers());
    assert_eq!(service.stored_events().await, 0);
    // What costs more than is done at once, and less than it may, is accepted.
    let fits = format!(r#"{{"items":[{}{{"a1":1}}]}}"#, r#"{"a9":1},"#.repeat(2_000));
    let accepted = service.operator("POST", "/v1/events", &event(&account, "claim.any", &fits)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    service.stop().await;
}

/// Cases 21 and 22: 800 numbers took 12 s, and two such bodies froze the service.
#[tokio::test]
async fn unique_items_are_told_apart_whatever_their_exponents() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let schema = json!({ "properties": { "tags": { "type": "array", "uniqueItems": true } } });
    event_type(&service, "claim.tags", schema).await;
    let tags = |more: &str| {
        let all: Vec<String> = (0..50_000).map(|n| format!("1e-{n}")).collect();
        format!(r#"{{"tags":[{}{more}]}}"#, all.join(","))
    };
    let accepted = service.operator("POST", "/v1/events", &event(&account, "claim.tags", &tags(""))).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let refused =
        service.operator("POST", "/v1/events", &event(&account, "claim.tags", &tags(",10e-7"))).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/payload/tags".to_owned()]));
    assert!(refused.detail().contains("the items 6 and 50000 are equal"), "{}", refused.detail());
    service.stop().await;
}

/// H1 of the attack: this took 14 s of CPU, and its explanation 26 s.
#[tokio::test]
async fn a_filter_over_a_long_number_is_matched_and_explained_in_one_pass() {
    let service = Service::start().await;
    let account = service.account("a").await;
    event_type(&service, "claim.number", json!({})).await;
    let values: Vec<u32> = (1..=100).collect();
    let filter = json!({ "any": vec![json!({ "path": "/n", "in": values }); 25] });
    let endpoint = service.endpoint(&account, json!({ "event_types": ["claim.*"], "filter": filter })).await;
    let number = "7".repeat(1_000_000);
    let body = event(&account, "claim.number", &format!(r#"{{"n":{number}}}"#));
    let accepted = service.operator("POST", "/v1/events", &body).await;
    assert_eq!((accepted.status, &accepted.json()["deliveries"]), (202, &json!([])), "{}", accepted.text());
    let path = format!("/v1/events/{}/routing", accepted.json()["id"].as_str().unwrap());
    let routing = service.get(&path).await;
    assert_eq!(routing["data"][0]["endpoint"], endpoint["id"]);
    assert_eq!(routing["data"][0]["matches"], false);
    assert!(routing["data"][0]["reason"].as_str().unwrap().contains("none of 25"), "{routing}");
    service.stop().await;
}

#[tokio::test]
async fn the_filters_of_one_account_have_a_bound_together() {
    let service = Service::start().await;
    let (account, other) = (service.account("a").await, service.account("b").await);
    let long =
        |count: usize| json!({ "all": vec![json!({ "path": "/n", "equals": "x".repeat(250) }); count] });
    let body = |account: &Account, filter: &Value| {
        json!({ "account": account.id, "livemode": false, "url": "https://example.com/", "event_types": ["*"], "filter": filter })
            .to_string()
    };
    let mut made = Vec::new();
    let refused = loop {
        let answer = service.operator("POST", "/v1/endpoints", &body(&account, &long(28))).await;
        if answer.status != 201 {
            break answer;
        }
        made.push(answer.json()["id"].as_str().unwrap().to_owned());
    };
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/filter".to_owned()]), "{}", refused.text());
    assert!((64..80).contains(&made.len()), "{}", made.len());
    // Others have their own bound; and what is there may become shorter, or stay, whatever the sum is.
    assert_eq!(service.operator("POST", "/v1/endpoints", &body(&other, &long(28))).await.status, 201);
    let path = format!("/v1/endpoints/{}", made[0]);
    let patch = |filter: Value| json!({ "filter": filter }).to_string();
    assert_eq!(service.operator("PATCH", &path, &patch(long(2))).await.status, 200);
    assert_eq!(service.operator("PATCH", &path, &patch(long(28))).await.status, 200);
    let without = service.operator("POST", "/v1/endpoints", &body(&account, &Value::Null)).await.json();
    let path = format!("/v1/endpoints/{}", without["id"].as_str().unwrap());
    let refused = service.operator("PATCH", &path, &patch(long(28))).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/filter".to_owned()]), "{}", refused.text());
    assert_eq!(service.operator("PATCH", &path, &patch(long(1))).await.status, 200);
    assert_eq!(service.operator("PATCH", &path, r#"{"description":"d"}"#).await.status, 200);
    service.stop().await;
}

/// L3: a payload in a batch could be eight times as long as one alone.
#[tokio::test]
async fn a_payload_in_a_batch_is_as_long_as_one_alone_at_most() {
    let service = Service::start().await;
    let account = service.account("a").await;
    event_type(&service, "claim.text", json!({})).await;
    let payload = |bytes: usize| format!(r#"{{"t":"{}"}}"#, "x".repeat(bytes - 8));
    let batch = |bytes: usize| {
        let events = [event(&account, "claim.text", "{}"), event(&account, "claim.text", &payload(bytes))];
        format!(r#"{{"events":[{}]}}"#, events.join(","))
    };
    let refused = service.operator("POST", "/v1/events/batch", &batch(1024 * 1024 + 1)).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "invalid"), "{}", refused.text());
    assert_eq!(refused.pointers(), ["/events/1/payload"]);
    assert!(refused.detail().contains("1 MiB"), "{}", refused.detail());
    assert_eq!(service.stored_events().await, 0);
    assert_eq!(service.operator("POST", "/v1/events/batch", &batch(1024 * 1024)).await.status, 202);
    service.stop().await;
}

/// L9: what is no JSON as a whole was 422 where it did not begin like an object.
#[tokio::test]
async fn a_body_that_is_no_json_is_400_whatever_it_begins_with() {
    let service = Service::start().await;
    for body in [
        "[1,]",
        "[",
        "1.",
        "01",
        "-",
        "\"a",
        "\"\\x\"",
        "tru",
        "nulll",
        "[1]x",
        "7 8",
        "\"a\" \"b\"",
        "[\"\u{1}\"]",
        "{}{",
        "NaN",
    ] {
        for path in ["/v1/events", "/v1/events/batch", "/v1/accounts", "/v1/endpoints"] {
            let refused = service.operator("POST", path, body).await;
            assert_eq!((refused.status, refused.code().as_str()), (400, "malformed_json"), "{path} {body}");
        }
    }
    for body in ["[]", "7", "\"a\"", "null", "true", "[{}]", "1e999999999"] {
        let refused = service.operator("POST", "/v1/events", body).await;
        assert_eq!((refused.status, refused.pointers()), (422, vec![String::new()]), "{body}");
    }
    service.stop().await;
}

/// Unknown, repeated and missing fields by the hundred thousand: as many places as an answer names.
#[tokio::test]
async fn a_body_of_many_wrong_fields_names_a_few_of_them() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let many: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\":1")).collect();
    for body in [format!("{{{}}}", many.join(",")), format!("{{{}}}", vec!["\"type\":1"; 100_000].join(","))]
    {
        let refused = service.operator("POST", "/v1/events", &body).await;
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid"));
        assert!(refused.pointers().len() <= 50, "{}", refused.pointers().len());
        assert!(refused.text().len() < 20_000);
    }
    let deep = format!("{{\"{}\":{{\"x\":1}}}}", "k".repeat(900_000));
    event_type(&service, "claim.none", json!({ "additionalProperties": { "type": "string" } })).await;
    let refused = service.operator("POST", "/v1/events", &event(&account, "claim.none", &deep)).await;
    assert_eq!(
        (refused.status, refused.pointers()),
        (422, vec!["/payload".to_owned()]),
        "{}",
        refused.text().len()
    );
    service.stop().await;
}
