//! Who may call at all: Bearer and Basic, and what is neither.

use postrider_api::ApiOptions;

use crate::harness::Service;

/// `op_the_operators_key_of_this_test:` in base64.
const BASIC: &str = "Basic b3BfdGhlX29wZXJhdG9yc19rZXlfb2ZfdGhpc190ZXN0Og==";

#[tokio::test]
async fn a_key_counts_as_bearer_or_as_the_user_name_of_basic() {
    let service = Service::start().await;
    for authorization in
        ["Bearer op_the_operators_key_of_this_test", "bearer op_the_operators_key_of_this_test", BASIC]
    {
        let mut connection = service.connect().await;
        let answer =
            connection.request("GET", "/v1/accounts", &[("Authorization", authorization)], b"").await;
        assert_eq!(answer.status, 200, "{authorization}");
    }
    service.stop().await;
}

#[tokio::test]
async fn without_a_known_key_the_answer_is_401_whatever_is_asked() {
    let service =
        Service::start_with(ApiOptions { failed_keys_per_address: u32::MAX, ..ApiOptions::default() }).await;
    let unknown: &[&[(&str, &str)]] = &[
        &[],
        &[("Authorization", "Bearer nobody")],
        &[("Authorization", "Bearer")],
        &[("Authorization", "Basic !!!")],
        &[("Authorization", "Basic bm9ib2R5Og==")],
        &[("Authorization", "Digest op_the_operators_key_of_this_test")],
        &[("Authorization", "op_the_operators_key_of_this_test")],
        &[("Authorization", "Bearer op_the_operators_key_of_this_test"), ("Authorization", BASIC)],
    ];
    for headers in unknown {
        for (method, path) in [
            ("GET", "/v1/accounts"),
            ("POST", "/v1/events"),
            ("GET", "/v1/endpoints/ep_nothing"),
            ("DELETE", "/v1/accounts/acc_nothing"),
            ("GET", "/v1/deliveries?limit=wrong"),
        ] {
            let mut connection = service.connect().await;
            let answer = connection.request(method, path, headers, b"").await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{method} {path}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn the_key_is_never_repeated_in_an_answer() {
    let service = Service::start().await;
    let answer = service.call("sk_live_hunter2", "GET", "/v1/events", "").await;
    assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    service.stop().await;
}

#[tokio::test]
async fn the_keys_of_a_deleted_account_are_unknown() {
    let service = Service::start().await;
    let account = service.account("short-lived").await;
    assert_eq!(service.call(&account.test_key, "GET", "/v1/events", "").await.status, 200);
    let path = format!("/v1/accounts/{}", account.id);
    assert_eq!(service.operator("DELETE", &path, "").await.status, 204);
    for key in [&account.test_key, &account.live_key] {
        assert_eq!(service.call(key, "GET", "/v1/events", "").await.status, 401);
    }
    service.stop().await;
}
