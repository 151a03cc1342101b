//! An account's keys: issued and shown once, listed with their last use, revoked at once.

use serde_json::{Value, json};

use crate::harness::Service;

#[tokio::test]
async fn a_key_is_issued_works_in_its_mode_and_stops_at_once_when_it_is_revoked() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let path = format!("/v1/accounts/{}/keys", account.id);
    for livemode in [true, false] {
        let made = service.operator("POST", &path, &json!({ "livemode": livemode }).to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let key = made["secret_key"].as_str().unwrap();
        assert!(key.starts_with(if livemode { "sk_live_" } else { "sk_test_" }));
        assert_eq!((&made["account"], &made["livemode"]), (&json!(account.id), &json!(livemode)));
        assert_eq!(made["last_used_at"], Value::Null);
        let other_mode = format!("/v1/endpoints?livemode={}", !livemode);
        assert_eq!(service.call(key, "GET", "/v1/endpoints", "").await.status, 200);
        assert_eq!(service.call(key, "GET", &other_mode, "").await.status, 403);
        let listed = service.get(&path).await;
        assert_eq!(listed["data"][0]["id"], made["id"], "the newest first");
        assert!(listed["data"][0]["last_used_at"].is_string(), "{listed}");
        assert!(!listed.to_string().contains("sk_"), "a key is shown once");

        let named = format!("/v1/keys/{}", made["id"].as_str().unwrap());
        assert_eq!(service.operator("DELETE", &named, "").await.status, 204);
        assert_eq!(service.call(key, "GET", "/v1/endpoints", "").await.status, 401);
        assert_eq!(service.operator("DELETE", &named, "").await.status, 404);
    }
    assert_eq!(service.call(&account.test_key, "GET", "/v1/endpoints", "").await.status, 200, "others go on");
    service.stop().await;
}

#[tokio::test]
async fn keys_are_paged() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let path = format!("/v1/accounts/{}/keys", account.id);
    let whole = service.get(&path).await;
    let first = service.get(&format!("{path}?limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.get(&format!("{path}?limit=1&cursor={cursor}")).await;
    assert_eq!(second["next_cursor"], Value::Null);
    assert_eq!(whole["data"], json!([first["data"][0], second["data"][0]]));
    assert_eq!(service.operator("GET", &format!("{path}?limit=0"), "").await.status, 400);
    assert_eq!(service.operator("GET", &format!("{path}?cursor=a0000000000000001"), "").await.status, 400);
    service.stop().await;
}

#[tokio::test]
async fn what_can_not_be_a_key_is_refused() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let path = format!("/v1/accounts/{}/keys", account.id);
    for (body, status) in [
        ("", 400),
        ("nonsense", 400),
        ("{}", 422),
        (r#"{"livemode":null}"#, 422),
        (r#"{"livemode":"true"}"#, 422),
        (r#"{"livemode":true,"name":"x"}"#, 422),
    ] {
        assert_eq!(service.operator("POST", &path, body).await.status, status, "{body}");
    }
    for path in ["/v1/accounts/acc_nothing/keys", "/v1/accounts/acc_01935b2c8a0170008000000000000000/keys"] {
        assert_eq!(service.operator("POST", path, r#"{"livemode":true}"#).await.status, 404, "{path}");
        assert_eq!(service.operator("GET", path, "").await.status, 404, "{path}");
    }
    for path in ["/v1/keys/key_nothing", "/v1/keys/key_01935b2c8a0170008000000000000000"] {
        assert_eq!(service.operator("DELETE", path, "").await.status, 404, "{path}");
    }
    let reserved = service.operator("POST", "/v1/accounts/acc_operator/keys", r#"{"livemode":true}"#).await;
    assert_eq!((reserved.status, reserved.code().as_str()), (409, "conflict"));
    assert_eq!(service.get(&path).await["data"].as_array().unwrap().len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn an_account_s_key_neither_sees_nor_makes_nor_revokes_keys() {
    let service = Service::start().await;
    let (a, b) = (service.account("a").await, service.account("b").await);
    let path = format!("/v1/accounts/{}/keys", a.id);
    let listed = service.get(&path).await["data"].clone();
    let of_test = listed.as_array().unwrap().iter().find(|key| key["livemode"] == false).unwrap();
    let named = format!("/v1/keys/{}", of_test["id"].as_str().unwrap());
    for (key, status, of_key) in [(&a.test_key, 403, 403), (&a.live_key, 403, 404), (&b.test_key, 404, 404)] {
        assert_eq!(service.call(key, "GET", &path, "").await.status, status);
        assert_eq!(service.call(key, "POST", &path, "nonsense").await.status, status);
        assert_eq!(service.call(key, "DELETE", &named, "").await.status, of_key);
    }
    assert_eq!(service.get(&path).await["data"].as_array().unwrap().len(), 2);
    service.stop().await;
}
