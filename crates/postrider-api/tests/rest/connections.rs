//! The bound on connections as clients meet it: whoever just sits there makes room for whoever wants something.

use std::time::Duration;

use postrider_api::ApiOptions;
use serde_json::json;

use crate::client::Connection;
use crate::harness::{OPERATOR_KEY, PATIENCE, Service, event_body, payload};

/// As many as one address may have, and more than all together may.
async fn crowd(service: &Service, size: usize) -> Vec<Connection> {
    let mut crowd = Vec::new();
    for _ in 0..size {
        crowd.push(service.connect().await);
    }
    crowd
}

#[tokio::test]
async fn whatever_idle_connections_there_are_probes_scrapes_and_events_are_served() {
    let options = ApiOptions { max_connections: 8, behind_proxy: true, ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let account = service.account("a").await;
    let silent = crowd(&service, 32).await;
    let mut half_sent = crowd(&service, 32).await;
    for connection in &mut half_sent {
        // It may be closed already.
        drop(tokio::io::AsyncWriteExt::write_all(&mut connection.stream, b"GET /healthz HTTP/1.1\r\n").await);
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(service.operator("GET", path, "").await.status, 200, "{path}");
    }
    let body = event_body(&account.id, &payload(false));
    assert_eq!(service.call(&account.test_key, "POST", "/v1/events", &body).await.status, 202);
    drop((silent, half_sent));
    service.stop().await;
}

#[tokio::test]
async fn one_keys_unfinished_bodies_take_no_connection_from_another_account() {
    let options = ApiOptions { max_connections: 8, behind_proxy: true, ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let (hostile, other) = (service.account("hostile").await, service.account("other").await);
    let mut held = crowd(&service, 8).await;
    for connection in &mut held {
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: 1000\r\n\r\n{{",
            hostile.test_key
        );
        connection.send(head.as_bytes()).await;
    }
    let body = event_body(&other.id, &payload(false));
    let accepted = service.call(&other.test_key, "POST", "/v1/events", &body);
    assert_eq!(tokio::time::timeout(PATIENCE, accepted).await.unwrap().status, 202);
    drop(held);
    service.stop().await;
}

#[tokio::test]
async fn an_idle_connection_makes_room_and_one_that_is_served_does_not() {
    let options = ApiOptions { max_connections: 2, behind_proxy: true, ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let mut idle = service.connect().await;
    assert_eq!(idle.request("GET", "/healthz", &[], b"").await.status, 200);
    // A stream that is read is a request that is being served.
    let mut stream = service.connect().await;
    let head = format!(
        "GET /v1/deliveries/stream HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {OPERATOR_KEY}\r\n\r\n"
    );
    stream.send(head.as_bytes()).await;
    let mut first = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream.stream, &mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    for _ in 0..3 {
        assert_eq!(service.operator("GET", "/v1/accounts", "").await.status, 200);
    }
    assert!(tokio::time::timeout(PATIENCE, idle.is_closed()).await.unwrap());
    let account = service.account("a").await;
    service.endpoint(&account, json!({})).await;
    service.receivers.answer_with(200);
    service.event(&account).await;
    let mut text = String::new();
    while !text.contains("event: attempt") {
        let mut buffer = [0; 4_096];
        let read = tokio::io::AsyncReadExt::read(&mut stream.stream, &mut buffer);
        let count = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        assert!(count > 0, "the stream was closed: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    service.stop().await;
}

#[tokio::test]
async fn without_a_proxy_one_address_has_a_quarter_and_is_refused_when_all_of_it_is_served() {
    let options = ApiOptions { max_connections: 64, ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = service.connect().await;
        let head = format!(
            "GET /v1/deliveries/stream HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {OPERATOR_KEY}\r\n\r\n"
        );
        stream.send(head.as_bytes()).await;
        let mut first = [0; 12];
        tokio::io::AsyncReadExt::read_exact(&mut stream.stream, &mut first).await.unwrap();
        streams.push(stream);
    }
    let mut next = service.connect().await;
    assert!(tokio::time::timeout(PATIENCE, next.is_closed()).await.unwrap());
    drop(streams);
    service.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed_before_one_that_is_kept_alive() {
    let options = ApiOptions {
        first_byte_timeout: Duration::from_millis(50),
        keep_alive: Duration::from_secs(3_600),
        ..ApiOptions::default()
    };
    let service = Service::start_with(options).await;
    let mut kept = service.connect().await;
    assert_eq!(kept.request("GET", "/healthz", &[], b"").await.status, 200);
    let mut silent = service.connect().await;
    assert!(tokio::time::timeout(PATIENCE, silent.is_closed()).await.unwrap());
    assert_eq!(kept.request("GET", "/healthz", &[], b"").await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_keep_alive() {
    let options = ApiOptions { keep_alive: Duration::from_millis(50), ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let mut idle = service.connect().await;
    assert_eq!(idle.request("GET", "/healthz", &[], b"").await.status, 200);
    assert!(tokio::time::timeout(PATIENCE, idle.is_closed()).await.unwrap());
    assert_eq!(
        ApiOptions::default().keep_alive,
        Duration::from_secs(75),
        "longer than load balancers keep theirs"
    );
    service.stop().await;
}
