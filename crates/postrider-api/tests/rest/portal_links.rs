//! A customer's ways into the portal.

use postrider_core::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::Service;

fn seconds(from: &Value, to: &Value) -> u64 {
    let at = |time: &Value| time.as_str().unwrap().parse::<Timestamp>().unwrap();
    at(to).since(at(from)).as_secs()
}

#[tokio::test]
async fn a_link_opens_the_account_until_it_is_revoked() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let path = format!("/v1/accounts/{}/portal-links", account.id);
    for (body, livemode, lasts) in [
        ("", Value::Null, 3_600),
        ("{}", Value::Null, 3_600),
        (r#"{"livemode":false,"expires_in_seconds":60}"#, json!(false), 60),
        (r#"{"livemode":true,"expires_in_seconds":null}"#, json!(true), 3_600),
    ] {
        let made = service.operator("POST", &path, body).await;
        assert_eq!(made.status, 201, "{body}: {}", made.text());
        let made = made.json();
        assert_eq!((&made["livemode"], &made["account"]), (&livemode, &json!(account.id)));
        assert_eq!(seconds(&made["created_at"], &made["expires_at"]), lasts, "{body}");
        let token = made["path"].as_str().unwrap().strip_prefix("/portal/").unwrap();
        let opened = service.engine.portal_link(token).await.unwrap();
        assert_eq!((opened.account.to_string(), opened.livemode), (account.id.clone(), livemode.as_bool()));
        let named = format!("{path}/{}", made["id"].as_str().unwrap());
        assert_eq!(service.operator("DELETE", &named, "").await.status, 204);
        assert!(service.engine.portal_link(token).await.is_err());
        assert_eq!(service.operator("DELETE", &named, "").await.status, 404);
    }
    service.stop().await;
}

#[tokio::test]
async fn what_can_not_be_a_link_is_refused_and_other_accounts_links_are_not_there() {
    let service = Service::start().await;
    let (a, b) = (service.account("a").await, service.account("b").await);
    let path = format!("/v1/accounts/{}/portal-links", a.id);
    for (body, place) in [
        (r#"{"expires_in_seconds":59}"#, "/expires_in_seconds"),
        (r#"{"expires_in_seconds":604801}"#, "/expires_in_seconds"),
        (r#"{"expires_in_seconds":"3600"}"#, "/expires_in_seconds"),
        (r#"{"livemode":"yes"}"#, "/livemode"),
        (r#"{"mode":"live"}"#, "/mode"),
    ] {
        let answer = service.operator("POST", &path, body).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![place.to_owned()]), "{body}");
    }
    assert_eq!(service.operator("POST", &path, "nonsense").await.status, 400);
    let reserved = service.operator("POST", "/v1/accounts/acc_operator/portal-links", "").await;
    assert_eq!((reserved.status, reserved.code().as_str()), (409, "conflict"));
    let link = service.operator("POST", &path, "").await.json()["id"].as_str().unwrap().to_owned();
    let of_b = format!("/v1/accounts/{}/portal-links/{link}", b.id);
    assert_eq!(service.operator("DELETE", &of_b, "").await.status, 404);
    assert_eq!(service.operator("DELETE", &format!("{path}/nonsense"), "").await.status, 404);
    for (key, status) in [(&a.test_key, 403), (&a.live_key, 403), (&b.test_key, 404)] {
        assert_eq!(service.call(key, "POST", &path, "nonsense").await.status, status);
        assert_eq!(service.call(key, "DELETE", &format!("{path}/{link}"), "").await.status, status);
    }
    assert_eq!(service.operator("DELETE", &format!("{path}/{link}"), "").await.status, 204);
    service.stop().await;
}
