//! Accounts, from their creation to their end.

use serde_json::json;

use crate::harness::Service;

#[tokio::test]
async fn an_account_is_made_with_keys_that_are_shown_once() {
    let service = Service::start().await;
    let made = service.operator("POST", "/v1/accounts", r#"{"name":"Ümlaut & Söhne"}"#).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(made["name"], "Ümlaut & Söhne");
    assert!(made["id"].as_str().unwrap().starts_with("acc_"));
    assert!(made["secret_keys"]["live"].as_str().unwrap().starts_with("sk_live_"));
    assert!(made["secret_keys"]["test"].as_str().unwrap().starts_with("sk_test_"));
    let created_at = made["created_at"].as_str().unwrap();
    assert!(created_at.ends_with('Z') && created_at.len() == "2017-07-18T12:37:56.000Z".len());

    let shown = service.get(&format!("/v1/accounts/{}", made["id"].as_str().unwrap())).await;
    assert_eq!(shown, json!({ "id": made["id"], "name": made["name"], "created_at": made["created_at"] }));
    let listed = service.get("/v1/accounts").await;
    assert_eq!(listed, json!({ "data": [shown], "next_cursor": null }));
    service.stop().await;
}

#[tokio::test]
async fn an_account_is_renamed_and_deleted() {
    let service = Service::start().await;
    let account = service.account("old").await;
    let path = format!("/v1/accounts/{}", account.id);
    let renamed = service.operator("PATCH", &path, r#"{"name":"new"}"#).await;
    assert_eq!((renamed.status, renamed.json()["name"].as_str().unwrap()), (200, "new"));
    assert_eq!(service.get(&path).await["name"], "new");

    let deleted = service.operator("DELETE", &path, "").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for (method, body) in [("GET", ""), ("PATCH", r#"{"name":"x"}"#), ("DELETE", "")] {
        assert_eq!(service.operator(method, &path, body).await.status, 404, "{method}");
    }
    assert_eq!(service.get("/v1/accounts").await["data"], json!([]));
    service.stop().await;
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_with_its_place() {
    let service = Service::start().await;
    let long = json!({ "name": "x".repeat(201) }).to_string();
    for (body, pointers) in [
        ("{}", vec!["/name"]),
        (r#"{"name":null}"#, vec!["/name"]),
        (r#"{"name":7}"#, vec!["/name"]),
        (r#"{"name":" "}"#, vec!["/name"]),
        (r#"{"name":"a\nb"}"#, vec!["/name"]),
        (&long, vec!["/name"]),
        (r#"{"name":"a","name":"b"}"#, vec!["/name"]),
        (r#"{"name":"a","colour":"red"}"#, vec!["/colour"]),
        (r#"{"a/b~c":1}"#, vec!["/a~1b~0c", "/name"]),
        (r#"["name"]"#, vec![""]),
        ("7", vec![""]),
    ] {
        let answer = service.operator("POST", "/v1/accounts", body).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec_of(&pointers)), "{body}");
    }
    assert_eq!(service.get("/v1/accounts").await["data"], json!([]));
    service.account(&"ä".repeat(200)).await;
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_an_account_is_not_there() {
    let service = Service::start().await;
    for id in [
        "nonsense",
        "acc_",
        "acc_01935b2c8a0170008000000000000000",
        "%FF%FE",
        "ep_01935b2c8a0170008000000000000000",
    ] {
        for (method, body) in [("GET", ""), ("PATCH", "not even JSON"), ("DELETE", "")] {
            let answer = service.operator(method, &format!("/v1/accounts/{id}"), body).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {id}");
        }
    }
    service.stop().await;
}

fn vec_of(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
