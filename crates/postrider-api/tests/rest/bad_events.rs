//! Events that are refused: with what is wrong and where, nothing stored, and the next request works.

use serde_json::json;

use crate::harness::{Service, event_body, payload};

#[tokio::test]
async fn malformed_json_is_400_and_says_where() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let good = event_body(&account.id, &payload(false));
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for body in [
        "{",
        "nonsense",
        "{\"type\":}",
        "{'type':'policy.created'}",
        "{\"type\":\"policy.created\",}",
        "{\"type\":\"policy.created\"} x",
        &good[..good.len() - 1],
        &good.replace("\"lpol_1\"", "\"lpol\n1\""),
        &good.replace("false", "False"),
        &good.replace("false", "01"),
        "\u{feff}{}",
    ] {
        for path in ["/v1/events", "/v1/events/batch", "/v1/accounts"] {
            let answer = service.operator("POST", path, body).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_json"), "{path} {body}");
            assert!(answer.detail().contains("column"), "{}", answer.detail());
        }
    }
    let empty = service.operator("POST", "/v1/events", " ").await;
    assert_eq!((empty.status, empty.code().as_str()), (400, "malformed_json"));
    let answer = service.operator("POST", "/v1/events", &event_body(&account.id, &nested)).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/payload".to_owned()]), "{}", answer.text());
    assert_eq!(service.stored_events().await, 0);
    service.event(&account).await;
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_400() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let mut body = event_body(&account.id, &payload(false)).into_bytes();
    let place = body.len() - 4;
    body[place] = 0xff;
    let bearer = format!("Bearer {}", account.test_key);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json; charset=UTF-8")];
    let mut connection = service.connect().await;
    let answer = connection.request("POST", "/v1/events", &headers, &body).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_json"));
    assert!(answer.detail().contains(&format!("byte {place}")), "{}", answer.detail());
    service.stop().await;
}

#[tokio::test]
async fn what_is_understood_but_wrong_is_422_with_every_place() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let id = &account.id;
    let good = payload(false);
    let unknown_account = "acc_01935b2c8a0170008000000000000000";
    let event = |more: &str| format!(r#"{{"account":"{id}","type":"policy.created",{more}}}"#);
    for (body, expected) in [
        ("{}".to_owned(), vec!["/account", "/payload", "/type"]),
        ("[]".to_owned(), vec![""]),
        (event_body(unknown_account, &good), vec!["/account"]),
        (event_body("acme", &good), vec!["/account"]),
        (event_body(id, &good).replace("policy.created", "policy.lost"), vec!["/type"]),
        (event_body(id, &good).replace("\"policy.created\"", "7"), vec!["/type"]),
        (event_body(id, &good).replace("\"policy.created\"", "null"), vec!["/type"]),
        (event_body(id, "null"), vec!["/payload"]),
        (event_body(id, "[]"), vec!["/payload"]),
        (event_body(id, "7"), vec!["/payload"]),
        (event_body(id, "\"{}\""), vec!["/payload"]),
        (
            event_body(id, "{}"),
            vec!["/payload/id", "/payload/livemode", "/payload/policy_id", "/payload/product_id"],
        ),
        (event_body(id, &good.replace("\"TEST-1\"", "12345")), vec!["/payload/policy_id"]),
        (
            event_body(id, &good.replace("\"TEST-1\"", "true").replace("\"ins_1\"", "null")),
            vec!["/payload/policy_id", "/payload/product_id"],
        ),
        (event_body(id, &good.replace('}', ",\"assets\":[{\"href\":1}]}")), vec!["/payload/assets/0/href"]),
        (event_body(id, &good.replace('}', ",\"livemode\":true}")), vec!["/payload/livemode"]),
        (
            event_body(id, &good.replace('}', r#","gross_premium":{"$serde_json::private::Number":"1"}}"#)),
            vec!["/payload/gross_premium"],
        ),
        (event(&format!("\"payload\":{good},\"livemode\":true")), vec!["/payload/livemode"]),
        (event(&format!("\"payload\":{good},\"livemode\":\"false\"")), vec!["/livemode"]),
        (event(&format!("\"payload\":{good},\"payload\":{good}")), vec!["/payload"]),
        (event(&format!("\"payload\":{good},\"type\":\"offer.created\"")), vec!["/type"]),
        (event(&format!("\"payload\":{good},\"colour\":1,\"size\":2")), vec!["/colour", "/size"]),
    ] {
        let answer = service.operator("POST", "/v1/events", &body).await;
        let mut pointers = answer.pointers();
        pointers.sort();
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{body}: {}", answer.text());
        assert_eq!(pointers, expected, "{body}: {}", answer.text());
    }
    assert_eq!(service.stored_events().await, 0);
    service.event(&account).await;
    service.stop().await;
}

#[tokio::test]
async fn an_unknown_type_is_answered_with_the_known_ones() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let long = "x".repeat(5_000);
    for name in ["policy.lost", long.as_str()] {
        let body = event_body(&account.id, &payload(false)).replace("policy.created", name);
        let detail = service.operator("POST", "/v1/events", &body).await.detail();
        assert!(detail.contains("policy.cancelled") && detail.len() < 400, "{detail}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_flood_of_faults_is_answered_in_a_bounded_way() {
    let service = Service::start().await;
    let fields: Vec<_> = (0..50_000).map(|n| format!("\"field{n}\":1")).collect();
    let answer = service.operator("POST", "/v1/events", &format!("{{{}}}", fields.join(","))).await;
    assert_eq!((answer.status, answer.pointers().len()), (422, 50));
    assert!(answer.body.len() < 20_000, "{}", answer.body.len());
    let events: Vec<_> = (0..1_000).map(|_| "{}").collect();
    let answer =
        service.operator("POST", "/v1/events/batch", &format!("{{\"events\":[{}]}}", events.join(","))).await;
    assert_eq!((answer.status, answer.pointers().len()), (422, 50));
    service.stop().await;
}

#[tokio::test]
async fn while_the_service_stops_events_are_refused_and_reading_goes_on() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let before = service.event(&account).await;
    service.engine.begin_shutdown();
    let answer = service.operator("POST", "/v1/events", &event_body(&account.id, &payload(false))).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "shutting_down"));
    assert_eq!(service.operator("GET", "/readyz", "").await.status, 503);
    assert_eq!(service.operator("GET", "/healthz", "").await.status, 200);
    assert_eq!(service.get("/v1/events").await["data"][0]["id"], before["id"]);
    assert_eq!(service.stored_events().await, 1);
    assert_eq!(json!(before["deliveries"]), json!([]));
    service.stop().await;
}

#[tokio::test]
async fn an_operational_type_is_the_service_s_own_to_raise() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    for account in [account.id.as_str(), "acc_operator"] {
        let body =
            format!(r#"{{"account":"{account}","type":"endpoint.failing","payload":{{"livemode":false}}}}"#);
        let answer = service.operator("POST", "/v1/events", &body).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/type".to_owned()]), "{}", answer.text());
    }
    let operators = serde_json::json!({
        "account": "acc_operator", "livemode": false, "url": "https://example.com/", "event_types": ["endpoint.*"],
    });
    assert_eq!(service.operator("POST", "/v1/endpoints", &operators.to_string()).await.status, 201);
    assert_eq!(service.operator("DELETE", "/v1/accounts/acc_operator", "").await.status, 409);
    let listed = service.get("/v1/accounts").await;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "the reserved account is not in the list");
    service.stop().await;
}
