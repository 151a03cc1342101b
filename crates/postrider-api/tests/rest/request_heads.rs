//! Heads of requests that RFC 9112 wants refused.

use crate::harness::{OPERATOR_KEY, Service};

#[tokio::test]
async fn a_host_that_is_missing_doubled_or_malformed_is_400_and_closes_the_connection() {
    let service = Service::start().await;
    for hosts in
        ["", "Host: api\r\nHost: api\r\n", "Host: api\r\nHost: other\r\n", "Host: a b\r\n", "Host: u@api\r\n"]
    {
        let mut connection = service.connect().await;
        let head =
            format!("GET /v1/accounts HTTP/1.1\r\n{hosts}Authorization: Bearer {OPERATOR_KEY}\r\n\r\n");
        connection.send(head.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{hosts:?}");
        assert!(answer.detail().contains("Host"), "{}", answer.detail());
        assert!(connection.is_closed().await);
    }
    let mut old = service.connect().await;
    old.send(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.status, 200, "HTTP/1.0 has no Host");
    service.stop().await;
}

#[tokio::test]
async fn a_body_in_another_transfer_coding_is_not_read_as_it_is() {
    let service = Service::start().await;
    for (coding, status) in [("gzip, chunked", 501), ("chunked, chunked", 400), ("chunked", 201)] {
        let mut connection = service.connect().await;
        let request = format!(
            "POST /v1/accounts HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {OPERATOR_KEY}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: {coding}\r\n\r\nc\r\n{{\"name\":\"a\"}}\r\n0\r\n\r\n"
        );
        connection.send(request.as_bytes()).await;
        let answer = connection.try_answer().await;
        // hyper itself refuses some of them, without a body.
        assert_eq!(answer.map_or(400, |answer| answer.status), status, "{coding}");
    }
    service.stop().await;
}

#[tokio::test]
async fn no_other_sites_scripts_may_read_responses() {
    let service = Service::start().await;
    let key = format!("Bearer {OPERATOR_KEY}");
    let origin = [("Origin", "https://elsewhere.example"), ("Authorization", key.as_str())];
    let preflight = [("Origin", "https://elsewhere.example"), ("Access-Control-Request-Method", "POST")];
    let read = service.connect().await.request("GET", "/v1/accounts", &origin, b"").await;
    let asked = service.connect().await.request("OPTIONS", "/v1/accounts", &preflight, b"").await;
    assert_eq!((read.status, asked.status), (200, 405));
    for answer in [read, asked] {
        for header in [
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-allow-methods",
        ] {
            assert_eq!(answer.header(header), None);
        }
    }
    service.stop().await;
}
