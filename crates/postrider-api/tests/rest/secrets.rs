//! Rotating an endpoint's secret: by the operator, with an overlap that can be seen and ended.

use serde_json::{Value, json};

use crate::harness::Service;

const OWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw2Zk3yXq1r0I=";

async fn rotate(service: &Service, path: &str, body: Value) -> crate::client::Answer {
    service.operator("POST", &format!("{path}/secret/rotate"), &body.to_string()).await
}

async fn endpoint(service: &Service, more: Value) -> (String, String) {
    let account = service.account("a").await;
    let made = service.endpoint(&account, more).await;
    (format!("/v1/endpoints/{}", made["id"].as_str().unwrap()), made["secret"].as_str().unwrap().to_owned())
}

fn hours_from(earlier: &Value, later: &Value) -> f64 {
    let at = |time: &Value| time.as_str().unwrap().parse::<postrider_core::time::Timestamp>().unwrap();
    at(later).since(at(earlier)).as_secs_f64() / 3600.0
}

#[tokio::test]
async fn a_rotation_shows_the_new_secret_once_and_the_overlap_until_its_end() {
    let service = Service::start().await;
    let (path, old) = endpoint(&service, json!({})).await;
    let rotated = service.operator("POST", &format!("{path}/secret/rotate"), "").await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let rotated = rotated.json();
    let new = rotated["secret"].as_str().unwrap();
    assert!(new.starts_with("whsec_") && new != old, "{new}");
    assert!((hours_from(&rotated["updated_at"], &rotated["secret_overlap_until"]) - 24.0).abs() < 0.01);

    let shown = service.get(&path).await;
    assert_eq!(
        (&shown["secret_overlap_until"], &shown["secret"]),
        (&rotated["secret_overlap_until"], &Value::Null)
    );
    assert!(!shown.to_string().contains("whsec_"));
    let revealed = service.get(&format!("{path}/secret")).await;
    let until = &rotated["secret_overlap_until"];
    assert_eq!(revealed, json!({ "secret": old, "next_secret": new, "secret_overlap_until": until }));

    let second = rotate(&service, &path, json!({})).await;
    assert_eq!((second.status, second.code().as_str()), (409, "conflict"), "{}", second.text());
    assert!(second.detail().contains("overlap"), "{}", second.detail());
    let ended = service.operator("DELETE", &format!("{path}/secret/overlap"), "").await;
    assert_eq!(ended.status, 204);
    let revealed = service.get(&format!("{path}/secret")).await;
    assert_eq!(revealed, json!({ "secret": new, "next_secret": null, "secret_overlap_until": null }));
    assert_eq!(service.get(&path).await["secret_overlap_until"], Value::Null);
    let again = service.operator("DELETE", &format!("{path}/secret/overlap"), "").await;
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"));
    service.stop().await;
}

#[tokio::test]
async fn the_operator_says_which_secret_and_how_long() {
    let service = Service::start().await;
    let (path, _) = endpoint(&service, json!({})).await;
    let now = rotate(&service, &path, json!({ "secret": OWN, "overlap_seconds": 0 })).await.json();
    assert_eq!((&now["secret"], &now["secret_overlap_until"]), (&json!(OWN), &Value::Null));
    assert_eq!(service.get(&format!("{path}/secret")).await["secret"], OWN);
    let later = rotate(&service, &path, json!({ "secret": null, "overlap_seconds": 7_200 })).await.json();
    assert!((hours_from(&later["updated_at"], &later["secret_overlap_until"]) - 2.0).abs() < 0.01);
    service.stop().await;
}

#[tokio::test]
async fn bad_rotations_are_refused_by_place_and_change_nothing() {
    let service = Service::start().await;
    let (path, old) = endpoint(&service, json!({ "standard_webhooks": true })).await;
    for (body, place) in [
        (json!({ "secret": "short" }), "/secret"),
        (json!({ "secret": "x".repeat(257) }), "/secret"),
        (json!({ "secret": 7 }), "/secret"),
        (json!({ "secret": "with spaces in it, which can't be" }), "/secret"),
        (json!({ "secret": "not_of_the_standard_kind" }), "/secret"),
        (json!({ "secret": old }), "/secret"),
        (json!({ "overlap_seconds": -1 }), "/overlap_seconds"),
        (json!({ "overlap_seconds": 1.5 }), "/overlap_seconds"),
        (json!({ "overlap_seconds": "60" }), "/overlap_seconds"),
        (json!({ "overlap_seconds": 2_592_001 }), "/overlap_seconds"),
        (json!({ "overlap": 60 }), "/overlap"),
    ] {
        let answer = rotate(&service, &path, body.clone()).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![place.to_owned()]), "{body}");
        assert!(!answer.text().contains(&old), "a secret is not repeated");
    }
    for (body, status) in [("nonsense", 400), ("[]", 422), ("null", 422)] {
        let answer = service.operator("POST", &format!("{path}/secret/rotate"), body).await;
        assert_eq!(answer.status, status, "{body}");
    }
    let revealed = service.get(&format!("{path}/secret")).await;
    assert_eq!(revealed, json!({ "secret": old, "next_secret": null, "secret_overlap_until": null }));
    service.stop().await;
}

#[tokio::test]
async fn standard_webhooks_can_not_be_switched_on_while_one_of_both_secrets_is_not_of_its_kind() {
    let service = Service::start().await;
    let (path, _) = endpoint(&service, json!({ "secret": "not_of_the_standard_kind" })).await;
    assert_eq!(rotate(&service, &path, json!({})).await.status, 200);
    let on = json!({ "standard_webhooks": true }).to_string();
    let refused = service.operator("PATCH", &path, &on).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/standard_webhooks".to_owned()]));
    assert_eq!(service.operator("DELETE", &format!("{path}/secret/overlap"), "").await.status, 204);
    assert_eq!(service.operator("PATCH", &path, &on).await.status, 200);
    service.stop().await;
}
