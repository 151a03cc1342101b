//! Content filters and the explanation of an event's routing.

use serde_json::{Value, json};

use crate::harness::{Account, Service};

/// Hands in a test event with these fields in its payload.
async fn event(service: &Service, account: &Account, premium: Value) -> Value {
    let body = json!({
        "account": account.id, "type": "policy.created",
        "payload": {
            "id": "lpol_1", "livemode": false, "policy_id": "TEST-1", "product_id": "ins_1",
            "gross_premium": premium,
        },
    });
    let accepted = service.operator("POST", "/v1/events", &body.to_string()).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    accepted.json()
}

fn endpoints_of(event: &Value) -> Vec<&Value> {
    event["deliveries"].as_array().unwrap().iter().map(|delivery| &delivery["endpoint"]).collect()
}

#[tokio::test]
async fn an_endpoint_with_a_filter_gets_only_what_the_filter_wants() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let all = service.endpoint(&account, json!({})).await;
    assert_eq!(all["filter"], json!(null));
    let filter = json!({ "path": "/gross_premium", "at_least": 1000 });
    let large = service.endpoint(&account, json!({ "filter": filter })).await;
    assert_eq!(large["filter"], filter);
    assert_eq!(endpoints_of(&event(&service, &account, json!(999)).await), [&all["id"]]);
    assert_eq!(endpoints_of(&event(&service, &account, json!(1000)).await), [&all["id"], &large["id"]]);
    // A change holds for the next event, and null takes the filter away.
    let path = format!("/v1/endpoints/{}", large["id"].as_str().unwrap());
    let other = json!({ "filter": { "not": filter } });
    let changed = service.operator("PATCH", &path, &other.to_string()).await.json();
    assert_eq!(changed["filter"], other["filter"]);
    assert_eq!(endpoints_of(&event(&service, &account, json!(1000)).await), [&all["id"]]);
    assert_eq!(service.operator("PATCH", &path, r#"{"filter":null}"#).await.json()["filter"], json!(null));
    assert_eq!(endpoints_of(&event(&service, &account, json!(1)).await), [&all["id"], &large["id"]]);
    service.stop().await;
}

#[tokio::test]
async fn a_filter_is_shown_as_it_was_given() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let filter = r#"{"any":[{"path":"/n","at_least":1.10},{"path":"/n","equals":12345678901234567890123}]}"#;
    let body = format!(
        r#"{{"account":"{}","livemode":false,"url":"https://example.com/","event_types":["*"],"filter": {filter} }}"#,
        account.id
    );
    let made = service.operator("POST", "/v1/endpoints", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.text().contains(&format!(r#""filter":{filter}"#)), "{}", made.text());
    service.stop().await;
}

#[tokio::test]
async fn routing_says_of_each_endpoint_whether_it_matches_today_and_why() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let stranger = service.account("b").await;
    service.endpoint(&stranger, json!({})).await;
    let made = event(&service, &account, json!(1999)).await;
    assert_eq!(endpoints_of(&made), Vec::<&Value>::new(), "there was no endpoint then");
    let filter = json!({ "all": [
        { "path": "/livemode", "exists": true }, { "path": "/gross_premium", "less_than": 1000 },
    ] });
    let endpoints = [
        (json!({}), true, "the endpoint's event types (*) match policy.created"),
        (
            json!({ "event_types": ["offer.*"] }),
            false,
            "the endpoint's event types (offer.*) do not match policy.created",
        ),
        (json!({ "livemode": true }), false, "the endpoint is for live events, this is a test event"),
        (
            json!({ "filter": filter }),
            false,
            "filter: /gross_premium is 1999: it is not a number less than 1000",
        ),
        (
            json!({ "filter": { "not": filter } }),
            true,
            "filter: /gross_premium is 1999: it is not a number less than 1000",
        ),
    ];
    let mut expected = Vec::new();
    for (more, matches, reason) in &endpoints {
        let endpoint = service.endpoint(&account, more.clone()).await;
        expected.push((endpoint["id"].clone(), *matches, (*reason).to_owned()));
    }
    let path = format!("/v1/events/{}/routing", made["id"].as_str().unwrap());
    let shown = service.get(&path).await;
    assert_eq!((&shown["event"], &shown["type"]), (&made["id"], &json!("policy.created")));
    let rows = shown["data"].as_array().unwrap();
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            let reason = row["reason"].as_str().unwrap().to_owned();
            (row["endpoint"].clone(), row["matches"].as_bool().unwrap(), reason)
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(rows[3]["filter_pointer"], json!("/all/1"));
    assert_eq!(rows[3]["checks"], json!({ "mode": true, "event_type": true, "filter": false }));
    assert_eq!(rows[0]["checks"], json!({ "mode": true, "event_type": true, "filter": null }));

    // A key sees its own mode's endpoints, and nobody else's event.
    let own = service.call(&account.test_key, "GET", &path, "").await.json();
    assert_eq!(own["data"].as_array().unwrap().len(), 4);
    for key in [&account.live_key, &stranger.test_key] {
        assert_eq!(service.call(key, "GET", &path, "").await.status, 404);
    }
    // Paused or disabled makes no difference to where an event goes.
    let pause = format!("/v1/endpoints/{}/pause", expected[0].0.as_str().unwrap());
    service.operator("POST", &pause, "").await;
    let shown = service.get(&path).await;
    assert_eq!((&shown["data"][0]["matches"], &shown["data"][0]["state"]), (&json!(true), &json!("paused")));
    service.operator("DELETE", &format!("/v1/accounts/{}", account.id), "").await;
    assert_eq!(service.get(&path).await["data"], json!([]));
    service.stop().await;
}
