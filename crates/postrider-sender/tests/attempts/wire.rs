//! What stands on the wire.

use bytes::Bytes;
use postrider_sender::{AttemptRequest, Sender, SenderConfig, Transport as _};

use crate::receiver::{OK, Receiver};
use crate::setup::{BODY, answered, attempt, config, header, request, sender};

#[tokio::test]
async fn the_request_is_exactly_what_the_contract_says() {
    let receiver = Receiver::answering(OK).await;
    answered(&attempt(&receiver.url("/hooks/policy?tenant=a%20b&x=%C3%A4")).await, 200);
    let expected = format!(
        "POST /hooks/policy?tenant=a%20b&x=%C3%A4 HTTP/1.1\r\n\
         Host: {}\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {}\r\n\
         User-Agent: Postrider/{}\r\n\
         Accept: */*\r\n\
         X-KASKO-Event: policy.created\r\n\
         X-KASKO-Delivery: baf59150\r\n\
         \r\n",
        receiver.address,
        BODY.len(),
        env!("CARGO_PKG_VERSION"),
    );
    let request = receiver.requests().remove(0);
    assert_eq!(String::from_utf8(request).unwrap(), expected + std::str::from_utf8(BODY).unwrap());
}

#[tokio::test]
async fn bodies_of_any_size_and_content_arrive_byte_for_byte() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();
    let large: Vec<u8> = (0..1024 * 1024_u32).map(|i| (i % 251) as u8).collect();
    for body in [vec![], vec![0, 255, 13, 10, 13, 10], large] {
        let report = sender
            .attempt(AttemptRequest { body: Bytes::from(body.clone()), ..request(&receiver.url("/")) })
            .await;
        answered(&report, 200);
        let received = receiver.requests().pop().unwrap();
        let end = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert!(received[end..] == body, "{} bytes", body.len());
        let head = String::from_utf8(received[..end].to_vec()).unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    }
}

#[tokio::test]
async fn headers_that_belong_to_the_sender_can_not_be_overridden() {
    let receiver = Receiver::answering(OK).await;
    let mut attempt = request(&receiver.url("/"));
    attempt.headers = vec![
        header("HOST", "elsewhere"),
        header("content-length", "3"),
        header("content-type", "text/plain"),
        header("content-encoding", "gzip"),
        header("transfer-encoding", "chunked"),
        header("accept-encoding", "gzip"),
        header("user-agent", "me"),
        header("connection", "close"),
        header("expect", "100-continue"),
        header("upgrade", "websocket"),
        header("te", "trailers"),
        header("trailer", "x"),
        header("x-own", "first"),
        header("x-own", "second"),
    ];
    answered(&sender().attempt(attempt).await, 200);
    let request = String::from_utf8(receiver.requests().remove(0)).unwrap();
    let mut names: Vec<&str> = request
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .lines()
        .skip(1)
        .filter_map(|line| line.split(':').next())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["Accept", "Content-Length", "Content-Type", "Host", "User-Agent", "x-own", "x-own"],
        "{request}"
    );
    assert!(
        request.contains("application/json") && request.contains(&receiver.address.to_string()),
        "{request}"
    );
}

#[tokio::test]
async fn header_names_go_out_exactly_as_they_are_given() {
    let receiver = Receiver::answering(OK).await;
    let mut attempt = request(&receiver.url("/"));
    attempt.headers = vec![
        header("X-KASKO-Event", "1"),
        header("X-ACMEv2-Delivery", "2"),
        header("SOAPAction", "3"),
        header("X-API-KEY", "4"),
        header("x_lower.case!", "5"),
        header("x-KASKO-event", "6"),
    ];
    answered(&sender().attempt(attempt.clone()).await, 200);
    let request = String::from_utf8(receiver.requests().remove(0)).unwrap();
    for (name, value) in &attempt.headers {
        let line = format!("\r\n{name}: {}\r\n", value.to_str().unwrap());
        assert!(request.contains(&line), "{line} in {request}");
    }
}

#[tokio::test]
async fn an_endpoint_s_own_accept_replaces_that_of_the_sender() {
    let receiver = Receiver::answering(OK).await;
    let mut attempt = request(&receiver.url("/"));
    attempt.headers = vec![header("ACCEPT", "application/json")];
    answered(&sender().attempt(attempt).await, 200);
    let request = String::from_utf8(receiver.requests().remove(0)).unwrap().to_lowercase();
    assert!(request.contains("\r\naccept: application/json\r\n"), "{request}");
    assert_eq!(request.matches("\r\naccept:").count(), 1, "{request}");
}

#[tokio::test]
async fn every_character_that_a_url_may_hold_can_be_sent() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();
    let odd: String = (' '..='~').filter(|c| !matches!(c, '#' | '?')).collect();
    for path in [
        format!("/{odd}"),
        format!("/?{odd}?ä"),
        "/ä/日本".to_owned(),
        "?only=query".to_owned(),
        String::new(),
    ] {
        let url = receiver.url(&path);
        let report = sender.attempt(request(&url)).await;
        answered(&report, 200);
    }
    let lines: Vec<String> = receiver
        .requests()
        .iter()
        .map(|request| String::from_utf8_lossy(request).lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(lines[2], "POST /%C3%A4/%E6%97%A5%E6%9C%AC HTTP/1.1");
    assert_eq!(lines[3..], ["POST /?only=query HTTP/1.1", "POST / HTTP/1.1"]);
}

#[tokio::test]
async fn the_user_agent_is_configuration_and_a_bad_one_is_refused() {
    let receiver = Receiver::answering(OK).await;
    let sender = Sender::new(SenderConfig { user_agent: "Kasko/7".to_owned(), ..config() }).unwrap();
    answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
    assert!(String::from_utf8_lossy(&receiver.requests()[0]).contains("\r\nUser-Agent: Kasko/7\r\n"));

    for bad in ["line\nbreak", "", " outside", "outside ", "t\u{e4}b", "tab\t", &"x".repeat(257)] {
        let refused = Sender::new(SenderConfig { user_agent: bad.to_owned(), ..config() });
        assert!(refused.is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn an_ipv6_receiver_is_reached_and_named_with_brackets() {
    let receiver = Receiver::start_at("[::1]:0", |mut peer| async move {
        peer.request().await;
        peer.say(OK).await;
    })
    .await;
    answered(&attempt(&receiver.url("/six")).await, 200);
    let host = format!("\r\nHost: [::1]:{}\r\n", receiver.address.port());
    assert!(String::from_utf8_lossy(&receiver.requests()[0]).contains(&host));
}
