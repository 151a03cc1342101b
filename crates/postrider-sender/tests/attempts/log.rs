//! What is kept of an attempt.

use http::HeaderValue;
use postrider_core::field_name::FieldName;
use postrider_sender::limits::{MAX_KEPT_HEADER_BYTES, MAX_KEPT_HEADER_VALUE_BYTES};
use postrider_sender::{AttemptRequest, Transport as _};

use crate::receiver::{OK, Receiver};
use crate::setup::{BODY, answered, attempt, request, sender, sender_with_names};

#[tokio::test]
async fn the_request_is_kept_as_sent_with_sensitive_values_masked() {
    let receiver = Receiver::answering(OK).await;
    let mut token = HeaderValue::from_static("Bearer very-secret");
    token.set_sensitive(true);
    let mut headers = request(&receiver.url("/")).headers;
    headers.push((FieldName::parse("AUTHORIZATION").unwrap(), token));
    let url = receiver.url("/hook?a=b");
    let report = sender().attempt(AttemptRequest { headers, ..request(&url) }).await;

    assert_eq!(report.request.url, url);
    let (address, length) = (receiver.address.to_string(), BODY.len().to_string());
    let shown: Vec<(&str, &str)> = report.request.headers.iter().collect();
    assert_eq!(
        shown,
        [
            ("Host", address.as_str()),
            ("Content-Type", "application/json"),
            ("Content-Length", length.as_str()),
            ("User-Agent", concat!("Postrider/", env!("CARGO_PKG_VERSION"))),
            ("Accept", "*/*"),
            ("X-KASKO-Event", "policy.created"),
            ("X-KASKO-Delivery", "baf59150"),
            ("AUTHORIZATION", "•••"),
        ]
    );
    let sent = String::from_utf8(receiver.requests().remove(0)).unwrap();
    assert!(sent.contains("\r\nAUTHORIZATION: Bearer very-secret\r\n"), "{sent}");
    for (name, _) in &shown {
        assert!(sent.contains(&format!("\r\n{name}: ")), "{name} stands in the log as it stood on the wire");
    }
}

#[tokio::test]
async fn the_response_headers_are_kept_in_order_as_text() {
    let mut answer = b"HTTP/1.1 404 Gone Fishing\r\nServer: x/1\r\nX-Odd: caf\xe9\r\n".to_vec();
    answer.extend_from_slice(b"Set-Cookie: a=1\r\nContent-Length: 0\r\nX-Empty:\r\n\r\n");
    let receiver = Receiver::answering(answer).await;
    let report = attempt(&receiver.url("/")).await;
    answered(&report, 404);
    let response = report.response.unwrap();
    let shown: Vec<(&str, &str)> = response.headers.iter().collect();
    assert_eq!(
        shown,
        [
            ("server", "x/1"),
            ("x-odd", "caf\u{fffd}"),
            ("set-cookie", "a=1"),
            ("content-length", "0"),
            ("x-empty", "")
        ]
    );
}

#[tokio::test]
async fn the_kept_response_headers_are_bounded() {
    let long = "v".repeat(MAX_KEPT_HEADER_VALUE_BYTES + 1);
    let headers: String = (0..14).map(|i| format!("X-{i}: {long}\r\n")).collect();
    let receiver =
        Receiver::answering(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n")).await;
    let report = attempt(&receiver.url("/")).await;
    answered(&report, 200);
    let kept = report.response.unwrap().headers;
    assert!(kept.iter().all(|(_, value)| value.len() <= MAX_KEPT_HEADER_VALUE_BYTES));
    assert!(
        kept.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= MAX_KEPT_HEADER_BYTES
    );
    assert!(!kept.is_empty());
}

#[tokio::test]
async fn the_phases_that_took_place_have_their_times_and_the_others_none() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender_with_names(|_| Ok(vec!["127.0.0.1".parse().unwrap()]));
    let url = format!("http://timed.example:{}/", receiver.address.port());

    let fresh = sender.attempt(request(&url)).await.timings;
    assert!(fresh.dns_us.is_some() && fresh.connect_us.is_some() && fresh.first_byte_us.is_some());
    assert_eq!(fresh.tls_us, None);
    let parts = fresh.dns_us.unwrap() + fresh.connect_us.unwrap() + fresh.first_byte_us.unwrap();
    assert!(parts <= fresh.total_us, "{fresh:?}");

    let reused = sender.attempt(request(&url)).await.timings;
    assert_eq!((reused.dns_us, reused.connect_us, reused.tls_us), (None, None, None));
    assert!(reused.first_byte_us.unwrap() <= reused.total_us);
}
