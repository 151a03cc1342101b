//! HTTP itself: paths, methods, the connection's life, what may be done without a key.

use std::time::Duration;

use postrider_api::ApiOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{PATIENCE, Service};

const OPERATOR: (&str, &str) = ("Authorization", "Bearer op_the_operators_key_of_this_test");

#[tokio::test]
async fn health_needs_no_key() {
    let service = Service::start().await;
    for (path, expected) in [("/healthz", r#"{"status":"ok"}"#), ("/readyz", r#"{"status":"ready"}"#)] {
        let answer = service.connect().await.request("GET", path, &[], b"").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, expected));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_404_with_or_without_a_key() {
    let service = Service::start().await;
    for path in ["/", "/v1", "/v1/", "/v2/events", "/v1/events/", "/v1/accounts/a/b", "/v1/audits", "/%00"] {
        for headers in [&[][..], &[OPERATOR]] {
            let answer = service.connect().await.request("POST", path, headers, b"{}").await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_wrong_method_is_405_and_names_the_right_ones() {
    let service = Service::start().await;
    for (method, path, allowed) in [
        ("PUT", "/v1/accounts", "GET,HEAD,POST"),
        ("DELETE", "/v1/events", "GET,HEAD,POST"),
        ("POST", "/v1/accounts/acc_1", "GET,HEAD,PATCH,DELETE"),
        ("GET", "/v1/endpoints/ep_1/pause", "POST"),
        ("PUT", "/v1/events/batch", "POST"),
        ("OPTIONS", "/v1/deliveries", "GET,HEAD"),
        ("BREW", "/healthz", "GET,HEAD"),
    ] {
        let answer = service.connect().await.request(method, path, &[OPERATOR], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_connection_serves_on_after_every_kind_of_refusal() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let mut connection = service.connect().await;
    let json = ("Content-Type", "application/json");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let two_mib = vec![b' '; 2 * 1024 * 1024];
    let mut ids = Vec::new();
    for (method, path, headers, body, status) in [
        ("POST", "/v1/events", vec![OPERATOR, json], &b"{"[..], 400),
        ("POST", "/v1/events", vec![json], b"{\"some\":\"body\"}", 401),
        ("POST", "/v1/nowhere", vec![OPERATOR, json], b"{\"some\":\"body\"}", 404),
        ("DELETE", "/v1/events", vec![OPERATOR, json], b"{\"some\":\"body\"}", 405),
        ("POST", "/v1/events", vec![OPERATOR, json], &two_mib, 413),
        ("POST", "/v1/events", vec![], &two_mib, 401),
        ("POST", "/v1/events", vec![OPERATOR, form], b"a=b", 415),
        ("POST", "/v1/events", vec![OPERATOR, json], b"{}", 422),
        ("GET", "/v1/events", vec![OPERATOR, json], b"{\"a GET\":\"with a body\"}", 200),
        ("GET", "/v1/accounts", vec![OPERATOR], b"", 200),
    ] {
        let answer =
            tokio::time::timeout(PATIENCE, connection.request(method, path, &headers, body)).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        ids.push(answer.header("x-request-id").unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10, "every request has an id of its own");
    drop(account);
    service.stop().await;
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let service = Service::start().await;
    let mut connection = service.connect().await;
    // The client reads a body by its length, which an answer to HEAD has without the body: one per connection.
    connection
        .send(
            format!(
                "HEAD /v1/accounts HTTP/1.1\r\nHost: api\r\nConnection: close\r\n{}: {}\r\n\r\n",
                OPERATOR.0, OPERATOR.1
            )
            .as_bytes(),
        )
        .await;
    let mut all = String::new();
    connection.stream.read_to_string(&mut all).await.unwrap();
    assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with("\r\n\r\n"), "{all}");
    service.stop().await;
}

#[tokio::test]
async fn a_request_id_from_outside_is_not_taken_over() {
    let service = Service::start().await;
    let headers = [OPERATOR, ("X-Request-Id", "mine")];
    let answer = service.connect().await.request("GET", "/v1/accounts", &headers, b"").await;
    assert_ne!(answer.header("x-request-id"), Some("mine"));
    service.stop().await;
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let service = Service::start().await;
    let mut connection = service.connect().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: api\r\n\r\n";
    let lost = "GET /lost HTTP/1.1\r\nHost: api\r\n\r\n";
    connection.send(format!("{get}{lost}{get}").as_bytes()).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(connection.answer().await.status);
    }
    assert_eq!(statuses, [200, 404, 200]);
    service.stop().await;
}

#[tokio::test]
async fn a_header_block_that_never_ends_or_is_too_long_closes_the_connection() {
    let options = ApiOptions {
        header_timeout: Duration::from_millis(500),
        first_byte_timeout: Duration::from_millis(500),
        ..ApiOptions::default()
    };
    let service = Service::start_with(options).await;
    let mut unfinished = service.connect().await;
    unfinished.send(b"GET /healthz HTTP/1.1\r\nHost: api\r\nX-Slow").await;
    assert!(tokio::time::timeout(PATIENCE, unfinished.is_closed()).await.unwrap());
    let mut idle = service.connect().await;
    assert!(tokio::time::timeout(PATIENCE, idle.is_closed()).await.unwrap());
    assert_eq!(service.operator("GET", "/healthz", "").await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let options =
        ApiOptions { max_connections: 1, write_timeout: Duration::from_millis(50), ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let mut greedy = service.connect().await;
    // Answers enough to fill every buffer between the two, and none of them read.
    let many = format!("GET /v1/event-types HTTP/1.1\r\nHost: api\r\n{}: {}\r\n\r\n", OPERATOR.0, OPERATOR.1)
        .repeat(3_000);
    let sent = async {
        // The write fails or waits once the service reads no more; either is what is wanted.
        greedy.stream.write_all(many.as_bytes()).await.is_ok()
    };
    let freed = async { service.operator("GET", "/healthz", "").await.status };
    let (_, status) =
        tokio::join!(tokio::time::timeout(PATIENCE, sent), tokio::time::timeout(PATIENCE, freed));
    assert_eq!(status.unwrap(), 200, "the only connection became free again");
    service.stop().await;
}
