//! Lists: walked page by page, narrowed by parameters that are all judged.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::Service;

#[tokio::test]
async fn every_list_is_walked_to_its_end_without_a_gap_or_a_repeat() {
    let service = Service::start().await;
    let mut made: [Vec<String>; 3] = Default::default();
    let mut accounts = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        accounts.push(service.account(name).await);
    }
    let account = &accounts[4];
    made[0].extend(accounts.iter().map(|account| account.id.clone()));
    for _ in 0..5 {
        made[1].push(service.endpoint(account, json!({})).await["id"].as_str().unwrap().to_owned());
    }
    for _ in 0..5 {
        made[2].push(service.event(account).await["id"].as_str().unwrap().to_owned());
    }
    // Newest first; ids made within one millisecond say nothing about that.
    made.iter_mut().for_each(|ids| ids.reverse());
    let [accounts, endpoints, events] = made;
    for (list, expected) in
        [("accounts", accounts), ("endpoints", endpoints), ("events", events), ("deliveries", Vec::new())]
    {
        let mut ids: Vec<String> = Vec::new();
        let mut path = format!("/v1/{list}?limit=2");
        loop {
            let page = service.get(&path).await;
            let rows = page["data"].as_array().unwrap();
            assert!(rows.len() <= 2, "{list}");
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/{list}?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        if list == "deliveries" {
            assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (25, 25));
        } else {
            assert_eq!(ids, expected, "{list}");
        }
        let all = service.get(&format!("/v1/{list}?limit=250")).await;
        let listed: Vec<_> = all["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
        assert_eq!(listed, ids, "{list}");
    }
    service.stop().await;
}

#[tokio::test]
async fn parameters_that_are_unknown_or_wrong_are_400_and_named() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let cursor_of_events = "e0000000000000001";
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=251", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        (&format!("cursor={cursor_of_events}"), "cursor"),
        ("colour=red", "colour"),
        ("Limit=1", "Limit"),
        ("account=acme", "account"),
        ("livemode=yes", "livemode"),
        ("status=lost", "status"),
        ("endpoint=ep_", "endpoint"),
        ("event=zz", "event"),
        ("type=a%20b", "type"),
        ("since=yesterday", "since"),
        ("until=2017-07-18", "until"),
        ("since=2017-07-18T14:37:56+02:00", "%2B"),
    ] {
        let answer = service.operator("GET", &format!("/v1/deliveries?{query}"), "").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_parameter"), "{query}");
        assert!(answer.detail().contains(named), "{query}: {}", answer.detail());
    }
    let both = service.operator("GET", "/v1/deliveries?limit=0&status=lost", "").await.detail();
    assert!(both.contains("limit") && both.contains("status"), "{both}");
    for path in [
        format!("/v1/accounts/{}?x=1", account.id),
        "/v1/event-types/policy.created?x=1".to_owned(),
        "/v1/endpoints?status=pending".to_owned(),
        "/v1/endpoints?state=broken".to_owned(),
        "/v1/events?endpoint=ep_1".to_owned(),
        "/v1/event-types?type=a".to_owned(),
    ] {
        assert_eq!(service.operator("GET", &path, "").await.status, 400, "{path}");
    }
    for path in ["/v1/accounts?x=1", "/v1/endpoints?x=1", "/v1/events?x=1", "/v1/events/batch?x=1"] {
        assert_eq!(service.operator("POST", path, "{}").await.status, 400, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn parameters_narrow_a_list() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let other = service.account("b").await;
    let all = service.endpoint(&account, json!({})).await;
    let offers = service.endpoint(&account, json!({ "event_types": ["offer.*"] })).await;
    service.endpoint(&other, json!({})).await;
    let event = service.event(&account).await;
    service.event(&other).await;
    let path = format!("/v1/endpoints/{}/pause", offers["id"].as_str().unwrap());
    assert_eq!(service.operator("POST", &path, "").await.status, 200);

    let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    let created_at = event["created_at"].as_str().unwrap();
    for (path, count) in [
        ("/v1/endpoints".to_owned(), 3),
        (format!("/v1/endpoints?account={}", account.id), 2),
        ("/v1/endpoints?state=paused".to_owned(), 1),
        ("/v1/endpoints?state=enabled&livemode=false".to_owned(), 2),
        ("/v1/endpoints?livemode=true".to_owned(), 0),
        (format!("/v1/events?account={}", account.id), 1),
        ("/v1/events?type=policy.created&livemode=false".to_owned(), 2),
        ("/v1/events?type=offer.created".to_owned(), 0),
        (format!("/v1/events?since={created_at}"), 2),
        (format!("/v1/events?until={created_at}"), 0),
        (format!("/v1/deliveries?endpoint={}", id(&all)), 1),
        (format!("/v1/deliveries?endpoint={}", id(&offers)), 0),
        (format!("/v1/deliveries?event={}", id(&event)), 1),
        ("/v1/deliveries?status=pending&type=policy.created".to_owned(), 2),
        ("/v1/deliveries?status=delivered".to_owned(), 0),
        ("/v1/deliveries?since=2017-07-18T14:37:56%2B02:00&until=2017-07-19T00:00:00Z".to_owned(), 0),
    ] {
        let page = service.get(&path).await;
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn the_event_types_are_listed_with_schema_and_example() {
    let service = Service::start().await;
    let page = service.get("/v1/event-types").await;
    let names: Vec<_> = page["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(
        json!(names),
        json!(["offer.created", "policy.created", "policy.updated", "policy.cancelled"])
    );
    let first = service.get("/v1/event-types?limit=3").await;
    let rest = service
        .get(&format!("/v1/event-types?limit=3&cursor={}", first["next_cursor"].as_str().unwrap()))
        .await;
    assert_eq!(
        (rest["data"][0]["name"].as_str(), &rest["next_cursor"]),
        (Some("policy.cancelled"), &json!(null))
    );

    let shown = service.get("/v1/event-types/policy.created").await;
    assert_eq!(shown, page["data"][1]);
    assert_eq!(shown["validation"], "on");
    assert_eq!(shown["example"]["policy_id"], "TEST-POLICY-12345");
    assert!(shown["schema"]["required"].as_array().unwrap().contains(&json!("policy_id")));
    assert!(!shown["description"].as_str().unwrap().is_empty());
    assert_eq!(service.operator("GET", "/v1/event-types/policy.lost", "").await.status, 404);
    service.stop().await;
}
