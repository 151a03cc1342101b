//! Endpoint bodies that are refused: each fault with its place, all of them at once, and nothing changed.

use postrider_core::audit::Who;
use postrider_core::endpoint::EndpointSettings;
use postrider_core::event_type::Subscription;
use postrider_engine::model::EndpointDraft;
use serde_json::{Value, json};

use crate::harness::{OPERATOR_KEY, Service};

/// URLs that no endpoint may have.
fn faulty_urls() -> Vec<Value> {
    vec![
        json!(7),
        json!(null),
        json!("example.com/hook"),
        json!("ftp://example.com/"),
        json!("https://user:pass@example.com/"),
        json!("https://example.com/#top"),
        json!("http://127.0.0.1/"),
        json!("http://0x7f.1/"),
        json!("http://[::1]/"),
        json!("http://[::ffff:10.0.0.1]/"),
        json!("http://169.254.169.254/latest"),
        json!(format!("https://example.com/{}", "x".repeat(2_048))),
        json!("http://[2a00::5efe:10.0.0.1]/"),
        json!("https://a..b.test/"),
        json!(format!("https://{}.test/", "x".repeat(64))),
        json!(format!("https://{}/", ["x"; 150].join("."))),
    ]
}

fn faulty() -> Vec<(&'static str, Value, &'static str)> {
    let many: Vec<_> = (0..101).map(|_| "*").collect();
    let headers: serde_json::Map<String, Value> = (0..21).map(|n| (format!("X-{n}"), json!("a"))).collect();
    let mut faulty: Vec<_> = faulty_urls().into_iter().map(|url| ("url", url, "/url")).collect();
    faulty.extend(vec![
        ("event_types", json!("policy.created"), "/event_types"),
        ("event_types", json!(null), "/event_types"),
        ("event_types", json!([]), "/event_types"),
        ("event_types", json!(many), "/event_types"),
        ("event_types", json!(["*", 7]), "/event_types/1"),
        ("event_types", json!(["*", "policy*"]), "/event_types/1"),
        ("event_types", json!(["policy.created", "policy.lost"]), "/event_types/1"),
        ("filter", json!("policy"), "/filter"),
        ("filter", json!([]), "/filter"),
        ("filter", json!({ "path": "/a" }), "/filter"),
        ("filter", json!({ "path": "a", "exists": true }), "/filter/path"),
        ("filter", json!({ "path": "/a", "matches": ".*" }), "/filter/matches"),
        (
            "filter",
            json!({ "any": [{ "path": "/a", "equals": 1 }, { "path": "/a", "in": 1 }] }),
            "/filter/any/1/in",
        ),
        ("filter", json!({ "path": "/a", "equals": "x".repeat(9_000) }), "/filter"),
        ("description", json!("x".repeat(1_001)), "/description"),
        ("description", json!(["x"]), "/description"),
        ("headers", json!("X-A: b"), "/headers"),
        ("headers", json!(headers), "/headers"),
        ("headers", json!({ "X-A": 7 }), "/headers/X-A"),
        ("headers", json!({ "X A": "b" }), "/headers/X A"),
        ("headers", json!({ "a/b": "c" }), "/headers/a~1b"),
        ("headers", json!({ "Host": "example.com" }), "/headers/Host"),
        ("headers", json!({ "content-type": "text/plain" }), "/headers/content-type"),
        ("headers", json!({ "User-Agent": "me" }), "/headers/User-Agent"),
        ("headers", json!({ "webhook-id": "1" }), "/headers/webhook-id"),
        ("headers", json!({ "x-kasko-signature": "sha1=" }), "/headers/x-kasko-signature"),
        ("headers", json!({ "X-A": "b\r\nX-C: d" }), "/headers/X-A"),
        ("headers", json!({ "X-A": "•••" }), "/headers/X-A"),
        ("headers", json!({ "X-A": "b", "x-a": "c" }), "/headers/x-a"),
        ("timeout_ms", json!(999), "/timeout_ms"),
        ("timeout_ms", json!(60_001), "/timeout_ms"),
        ("timeout_ms", json!("15000"), "/timeout_ms"),
        ("timeout_ms", json!(1500.5), "/timeout_ms"),
        ("timeout_ms", json!(-1), "/timeout_ms"),
        ("retry_schedule", json!("5s,5m"), "/retry_schedule"),
        ("retry_schedule", json!([]), "/retry_schedule"),
        ("retry_schedule", json!(["soon"]), "/retry_schedule"),
        ("retry_schedule", json!(["8d"]), "/retry_schedule"),
        ("retry_schedule", json!([5]), "/retry_schedule/0"),
        ("retry_schedule", json!(vec!["1s"; 31]), "/retry_schedule"),
        ("rate_limit", json!(5), "/rate_limit"),
        ("rate_limit", json!({}), "/rate_limit/per_second"),
        ("rate_limit", json!({ "per_second": 0 }), "/rate_limit/per_second"),
        ("rate_limit", json!({ "per_second": 1, "burst": 0 }), "/rate_limit/burst"),
        ("rate_limit", json!({ "per_second": 1, "per_minute": 1 }), "/rate_limit/per_minute"),
        ("max_in_flight", json!(0), "/max_in_flight"),
        ("max_in_flight", json!(1_001), "/max_in_flight"),
        ("ordered", json!("yes"), "/ordered"),
        ("standard_webhooks", json!(1), "/standard_webhooks"),
        ("colour", json!("red"), "/colour"),
    ]);
    faulty
}

#[tokio::test]
async fn each_fault_is_422_with_its_place_at_creation_and_in_a_change() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let made = service.endpoint(&account, json!({ "description": "as it was" })).await;
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    let before = service.get(&path).await;
    for (field, value, pointer) in faulty() {
        let mut body = json!({
            "account": account.id, "livemode": false, "url": "https://example.com/", "event_types": ["*"],
        });
        body[field] = value.clone();
        let created = service.operator("POST", "/v1/endpoints", &body.to_string()).await;
        let change = json!({ field: value, "description": "changed" });
        let changed = if field == "description" {
            service.operator("PATCH", &path, &json!({ field: value }).to_string()).await
        } else {
            service.operator("PATCH", &path, &change.to_string()).await
        };
        for answer in [created, changed] {
            let found = (answer.status, answer.code(), answer.pointers());
            assert_eq!(found, (422, "invalid".to_owned(), vec![pointer.to_owned()]), "{field}: {value}");
        }
    }
    assert_eq!(service.get(&path).await, before);
    assert_eq!(service.get("/v1/endpoints").await["data"].as_array().unwrap().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn all_faults_of_a_body_are_named_at_once() {
    let service = Service::start().await;
    let answer = service
        .operator(
            "POST",
            "/v1/endpoints",
            r#"{"account":"acc_00000000000070008000000000000000","url":"ftp://x/","event_types":[],"event_types":["*"],
                "timeout_ms":1,"rate_limit":{"burst":0},"nonsense":1,"headers":{"Host":"x","X-A":1}}"#,
        )
        .await;
    let mut pointers = answer.pointers();
    pointers.sort();
    let expected = [
        "/account",
        "/event_types",
        "/headers/X-A",
        "/livemode",
        "/nonsense",
        "/rate_limit/burst",
        "/rate_limit/per_second",
        "/timeout_ms",
        "/url",
    ];
    assert_eq!((answer.status, pointers), (422, expected.map(str::to_owned).to_vec()));
    assert!(answer.detail().contains("8 more"), "{}", answer.detail());
    service.stop().await;
}

#[tokio::test]
async fn what_must_be_there_at_creation_is_asked_for() {
    let service = Service::start().await;
    let answer = service.operator("POST", "/v1/endpoints", "{}").await;
    let mut pointers = answer.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/account", "/event_types", "/livemode", "/url"]);
    for account in
        [json!("acc_nonsense"), json!("acc_00000000000070008000000000000000"), json!(7), json!(null)]
    {
        let body = json!({ "account": account, "livemode": true, "url": "https://example.com/", "event_types": ["*"] });
        let answer = service.operator("POST", "/v1/endpoints", &body.to_string()).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/account".to_owned()]), "{account}");
    }
    service.stop().await;
}

#[tokio::test]
async fn secrets_are_judged_and_standard_webhooks_needs_one_of_its_kind() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let post = async |more: Value| {
        let mut body = json!({
            "account": account.id, "livemode": false, "url": "https://example.com/", "event_types": ["*"],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service.operator("POST", "/v1/endpoints", &body.to_string()).await
    };
    for more in [
        json!({ "secret": "short" }),
        json!({ "secret": "x".repeat(257) }),
        json!({ "secret": "with spaces in it, which can't be" }),
        json!({ "secret": 7 }),
        json!({ "secret": "not_of_the_standard_kind", "standard_webhooks": true }),
    ] {
        let answer = post(more.clone()).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/secret".to_owned()]), "{more}");
        assert!(!answer.text().contains("kind\""), "a secret is not repeated: {}", answer.text());
    }
    let made = post(json!({ "secret": "not_of_the_standard_kind" })).await;
    assert_eq!(made.status, 201);
    let path = format!("/v1/endpoints/{}", made.json()["id"].as_str().unwrap());
    let answer = service.operator("PATCH", &path, r#"{"standard_webhooks":true}"#).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/standard_webhooks".to_owned()]));
    service.stop().await;
}

#[tokio::test]
async fn what_never_changes_is_refused_in_a_change() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let made = service.endpoint(&account, json!({})).await;
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    for (body, pointer) in [
        (json!({ "account": account.id }), "/account"),
        (json!({ "livemode": true }), "/livemode"),
        (json!({ "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }), "/secret"),
        (json!({ "state": "paused" }), "/state"),
    ] {
        let answer = service.operator("PATCH", &path, &body.to_string()).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![pointer.to_owned()]), "{body}");
    }
    assert_eq!(service.operator("PATCH", &path, "").await.status, 400);
    service.stop().await;
}

#[tokio::test]
async fn past_the_most_endpoints_of_an_account_the_answer_is_409() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let body = json!({
        "account": account.id, "livemode": false, "url": "https://example.com/", "event_types": ["*"],
    })
    .to_string();
    let mut connection = service.connect().await;
    let bearer = format!("Bearer {}", account.test_key);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    for _ in 0..1_000 {
        let made = connection.request("POST", "/v1/endpoints", &headers, body.as_bytes()).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let refused = connection.request("POST", "/v1/endpoints", &headers, body.as_bytes()).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"), "{}", refused.text());

    // With so many endpoints, a batch can cause more deliveries than one request may.
    let event = format!(r#"{{"type":"policy.created","payload":{}}}"#, crate::harness::payload(false));
    let batch = format!(r#"{{"events":[{}]}}"#, vec![event; 11].join(","));
    let refused = connection.request("POST", "/v1/events/batch", &headers, batch.as_bytes()).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "too_many_deliveries"), "{}", refused.text());
    assert_eq!(service.stored_events().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_customer_reads_that_an_address_is_forbidden_and_the_operator_why() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let body = json!({ "url": "http://10.0.0.1/", "event_types": ["*"] });
    let refused = service.call(&account.test_key, "POST", "/v1/endpoints", &body.to_string()).await;
    assert_eq!(refused.status, 422);
    let detail = &refused.json()["errors"][0]["detail"];
    assert_eq!(detail, "leads to a forbidden address; use a public one");
    let body =
        json!({ "account": account.id, "livemode": false, "url": "http://10.0.0.1/", "event_types": ["*"] });
    let refused = service.operator("POST", "/v1/endpoints", &body.to_string()).await;
    let detail = &refused.json()["errors"][0]["detail"];
    assert_eq!(detail, "10.0.0.1 is a private address, which deliveries may not reach");
    service.stop().await;
}

#[tokio::test]
async fn a_url_from_before_a_rule_may_be_sent_back_and_no_other_like_it() {
    let service = Service::start().await;
    let account = service.account("a").await;
    // Made by a release that did not know the rule.
    let old = "http://a..b.test/";
    let settings = EndpointSettings::new(old.parse().unwrap(), Subscription::parse(&["*"]).unwrap());
    let draft =
        EndpointDraft { account: account.id.parse().unwrap(), livemode: false, settings, secret: None };
    let made = service.engine.by(Who::SERVICE).create_endpoint(draft).await.unwrap();
    let path = format!("/v1/endpoints/{}", made.endpoint.id);
    let change = |url: &str| json!({ "url": url, "description": "changed" }).to_string();
    for (key, url, status) in [
        (account.test_key.as_str(), old, 200),
        (OPERATOR_KEY, old, 200),
        (account.test_key.as_str(), "http://c..d.test/", 422),
        (account.test_key.as_str(), "http://my_host.test/", 200),
        (account.test_key.as_str(), old, 422),
    ] {
        let changed = service.call(key, "PATCH", &path, &change(url)).await;
        assert_eq!(changed.status, status, "{url}: {}", changed.text());
    }
    service.stop().await;
}
