//! The audit log: who did what, and from where.

use std::collections::BTreeSet;

use postrider_api::ApiOptions;
use postrider_core::audit::Action;
use serde_json::{Value, json};

use crate::harness::{Account, OPERATOR_KEY, Service};

/// What it shows, newest first.
async fn entries(service: &Service, query: &str) -> Vec<Value> {
    service.get(&format!("/v1/audit?limit=250{query}")).await["data"].as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Every call that changes something, with the action that it must leave, in an order in which each can be done. Those
/// that hand in or send events are no changes.
struct Calls<'s> {
    service: &'s Service,
    account: Account,
    done: BTreeSet<(&'static str, String)>,
}

impl Calls<'_> {
    /// Does it, and looks at the one entry that it leaves.
    async fn call(
        &mut self,
        method: &'static str,
        place: &str,
        named: &[&str],
        body: &str,
        action: Action,
    ) -> Value {
        let mut path = place.to_owned();
        for (place, id) in ["{id}", "{link}"].iter().zip(named) {
            path = path.replace(place, id);
        }
        let before = entries(self.service, "").await.len();
        let answer = self.service.operator(&method.to_uppercase(), &path, body).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        let after = entries(self.service, "").await;
        assert_eq!(after.len(), before + 1, "{method} {path} leaves one entry");
        let entry = &after[0];
        assert_eq!(entry["action"], action.as_str(), "{method} {path}");
        assert_eq!(entry["actor"], json!({ "kind": "operator", "id": null }), "{method} {path}");
        assert_eq!(entry["address"], "127.0.0.1");
        assert!(!text(&entry["target"]).is_empty());
        self.done.insert((method, place.to_owned()));
        match answer.status {
            204 => Value::Null,
            _ => answer.json(),
        }
    }

    async fn of_event_types(&mut self) {
        let types = "/v1/event-types";
        self.call("post", types, &[], r#"{"name":"claim.opened"}"#, Action::EventTypeCreated).await;
        let of = "/v1/event-types/{id}";
        let change = r#"{"description":"A claim.","archived":true,"validation":"on"}"#;
        self.call("patch", of, &["claim.opened"], change, Action::EventTypeUpdated).await;
        let entry = &entries(self.service, "&action=event_type.updated").await[0];
        assert_eq!(entry["fields"], json!(["description", "archived"]));
        assert_eq!((&entry["target"], &entry["account"]), (&json!("claim.opened"), &json!("acc_operator")));
    }
}

#[tokio::test]
async fn every_call_that_changes_something_and_every_look_at_a_secret_leaves_an_entry() {
    let service = Service::start().await;
    service.receivers.answer_with(200);
    let account = service.account("Acme").await;
    let mut calls = Calls { service: &service, account, done: BTreeSet::new() };
    let id = calls.account.id.clone();
    let made = calls.call("post", "/v1/accounts", &[], r#"{"name":"New"}"#, Action::AccountCreated).await;
    let new = text(&made["id"]);
    let of = "/v1/accounts/{id}";
    calls.call("patch", of, &[&new], r#"{"name":"Newer"}"#, Action::AccountRenamed).await;
    calls.call("delete", of, &[&new], "", Action::AccountDeleted).await;
    let keys = "/v1/accounts/{id}/keys";
    let key = calls.call("post", keys, &[&id], r#"{"livemode":true}"#, Action::KeyCreated).await;
    calls.call("delete", "/v1/keys/{id}", &[&text(&key["id"])], "", Action::KeyRevoked).await;
    let links = "/v1/accounts/{id}/portal-links";
    let link = calls.call("post", links, &[&id], "", Action::PortalLinkCreated).await;
    let revoke = "/v1/accounts/{id}/portal-links/{link}";
    calls.call("delete", revoke, &[&id, &text(&link["id"])], "", Action::PortalLinkRevoked).await;
    calls.of_event_types().await;
    let body =
        json!({ "account": id, "livemode": false, "url": "https://example.com/a", "event_types": ["*"] });
    let made = calls.call("post", "/v1/endpoints", &[], &body.to_string(), Action::EndpointCreated).await;
    let endpoint = text(&made["id"]);
    let of = "/v1/endpoints/{id}";
    let change = r#"{"url":"https://example.com/b","headers":{"X-Token":"hunter2"},"description":""}"#;
    calls.call("patch", of, &[&endpoint], change, Action::EndpointUpdated).await;
    assert_eq!(entries(&service, "&action=endpoint.updated").await[0]["fields"], json!(["url", "headers"]));
    for (change, action) in [
        ("/v1/endpoints/{id}/pause", Action::EndpointPaused),
        ("/v1/endpoints/{id}/resume", Action::EndpointResumed),
        ("/v1/endpoints/{id}/disable", Action::EndpointDisabled),
        ("/v1/endpoints/{id}/enable", Action::EndpointEnabled),
        ("/v1/endpoints/{id}/test", Action::EndpointTested),
        ("/v1/endpoints/{id}/secret/rotate", Action::SecretRotated),
    ] {
        calls.call("post", change, &[&endpoint], "", action).await;
    }
    let overlap = "/v1/endpoints/{id}/secret/overlap";
    calls.call("delete", overlap, &[&endpoint], "", Action::SecretOverlapEnded).await;
    calls.call("get", "/v1/endpoints/{id}/secret", &[&endpoint], "", Action::SecretRevealed).await;
    let sent = text(&service.event(&calls.account).await["deliveries"][0]["id"]);
    service.wait_for_delivery(&json!(sent), |delivery| delivery["status"] == "delivered").await;
    calls.call("post", "/v1/deliveries/{id}/resend", &[&sent], "", Action::DeliveryResent).await;
    service.operator("POST", &format!("/v1/endpoints/{endpoint}/pause"), "").await;
    let held = text(&service.event(&calls.account).await["deliveries"][0]["id"]);
    calls.call("post", "/v1/deliveries/{id}/cancel", &[&held], "", Action::DeliveryCancelled).await;
    let body = json!({ "endpoint": endpoint }).to_string();
    let replay = calls.call("post", "/v1/replays", &[], &body, Action::ReplayCreated).await;
    let replay = text(&replay["id"]);
    calls.call("post", "/v1/replays/{id}/cancel", &[&replay], "", Action::ReplayCancelled).await;
    calls.call("delete", of, &[&endpoint], "", Action::EndpointDeleted).await;

    // Whoever adds a route that changes something meets this.
    let mut changing: BTreeSet<(&str, String)> =
        BTreeSet::from([("get", "/v1/endpoints/{id}/secret".to_owned())]);
    for (path, methods) in service.get("/openapi.json").await["paths"].as_object().unwrap() {
        for method in ["post", "patch", "delete", "put"] {
            if methods.get(method).is_some() && !path.starts_with("/v1/events") {
                changing.insert((method, path.clone()));
            }
        }
    }
    assert_eq!(calls.done, changing);
    let seen: BTreeSet<String> =
        entries(&service, "").await.iter().map(|entry| text(&entry["action"])).collect();
    let known: BTreeSet<String> = Action::ALL.iter().map(|action| action.as_str().to_owned()).collect();
    assert_eq!(seen, known, "every action can happen");
    service.stop().await;
}

#[tokio::test]
async fn no_secret_no_key_and_no_header_s_value_is_in_it() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    let headers =
        json!({ "secret": "whsec_of_this_test_0123456789abcdef", "headers": { "X-Token": "hunter2" } });
    let endpoint = service.endpoint(&account, headers).await;
    let path = format!("/v1/endpoints/{}", text(&endpoint["id"]));
    service.operator("PATCH", &path, r#"{"headers":{"X-Token":"hunter3"}}"#).await;
    let rotate = format!("{path}/secret/rotate");
    service.operator("POST", &rotate, r#"{"secret":"whsec_another_of_this_test_0123456"}"#).await;
    service.get(&format!("{path}/secret")).await;
    let all = json!(entries(&service, "").await).to_string();
    for secret in ["whsec_", "hunter", OPERATOR_KEY, &account.live_key, &account.test_key] {
        assert!(!all.contains(secret), "{secret}");
    }
    assert_eq!(entries(&service, "&action=endpoint.secret_revealed").await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn what_an_account_does_itself_has_its_key_s_name() {
    let service = Service::start().await;
    let account = service.account("Acme").await;
    let body = r#"{"url":"https://example.com/a","event_types":["*"]}"#;
    let made = service.call(&account.live_key, "POST", "/v1/endpoints", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let keys = service.get(&format!("/v1/accounts/{}/keys", account.id)).await;
    let live =
        keys["data"].as_array().unwrap().iter().find(|key| key["livemode"] == json!(true)).unwrap().clone();
    let entry = &entries(&service, &format!("&account={}", account.id)).await[0];
    assert_eq!(entry["actor"], json!({ "kind": "key", "id": live["id"] }));
    assert_eq!((&entry["target"], &entry["account"]), (&made.json()["id"], &json!(account.id)));
    service.stop().await;
}

#[tokio::test]
async fn it_is_the_operator_s_alone_and_its_filters_are_judged() {
    let service = Service::start().await;
    let (account, other) = (service.account("Acme").await, service.account("Other").await);
    let refused = service.call(&account.live_key, "GET", "/v1/audit", "").await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"));
    for bad in
        ["action=endpoint.exploded", "account=acme", "since=yesterday", "limit=0", "actor=me", "cursor=d1"]
    {
        let refused = service.operator("GET", &format!("/v1/audit?{bad}"), "").await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "bad_parameter"), "{bad}");
    }
    let of_other = entries(&service, &format!("&account={}", other.id)).await;
    assert_eq!(of_other.len(), 1);
    assert_eq!(of_other[0]["target"], json!(other.id));
    assert_eq!(entries(&service, "&action=account.created").await.len(), 3, "the operator's own, too");
    let first = service.get("/v1/audit?limit=1").await;
    let next = text(&first["next_cursor"]);
    assert_eq!(
        service.get(&format!("/v1/audit?limit=1&cursor={next}")).await["data"][0]["target"],
        json!(account.id)
    );
    service.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_tells_who_called_and_nobody_else_does() {
    for (behind_proxy, address) in [(true, "2001:db8::7"), (false, "127.0.0.1")] {
        let service = Service::start_with(ApiOptions { behind_proxy, ..ApiOptions::default() }).await;
        let bearer = format!("Bearer {OPERATOR_KEY}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("X-Forwarded-For", "203.0.113.1, 2001:db8::7"),
        ];
        let mut connection = service.connect().await;
        let made = connection.request("POST", "/v1/accounts", &headers, br#"{"name":"Acme"}"#).await;
        assert_eq!(made.status, 201);
        assert_eq!(entries(&service, "").await[0]["address"], address);
        service.stop().await;
    }
}
