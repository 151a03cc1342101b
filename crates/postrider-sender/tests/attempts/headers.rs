//! Header blocks that are endless, huge, slow or not HTTP at all.

use postrider_core::attempt::FailureCode;
use postrider_core::limits::MAX_RESPONSE_HEADER_BYTES;
use postrider_sender::limits::MAX_RESPONSE_HEADERS;

use crate::receiver::Receiver;
use crate::setup::{answered, attempt, failed_with, short_attempt};

/// A receiver that reads the request, says `begin`, then `piece` without end.
async fn endless(begin: &'static str, piece: &'static str) -> Receiver {
    Receiver::start(move |mut peer| async move {
        peer.request().await;
        peer.say(begin).await;
        peer.say_endlessly(piece).await;
    })
    .await
}

#[tokio::test]
async fn an_endless_header_block_is_cut_off_at_its_limit() {
    for (begin, piece) in [
        ("HTTP/1.1 200 OK\r\n", "X-More: 0123456789abcdef\r\n"),
        ("HTTP/1.1 200 OK\r\nX-Endless: ", "aaaaaaaaaaaaaaaa"),
        ("HTTP/1.1 200 ", "reason "),
    ] {
        let receiver = endless(begin, piece).await;
        let report = attempt(&receiver.url("/")).await;
        let detail = failed_with(&report, FailureCode::InvalidHttp);
        assert!(detail.contains(&receiver.address.to_string()), "{detail}");
    }
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_cut_off_at_the_same_limit() {
    for piece in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"] {
        let receiver = endless("", piece).await;
        let report = attempt(&receiver.url("/")).await;
        let detail = failed_with(&report, FailureCode::InvalidHttp);
        assert!(detail.contains("65536"), "{detail}");
    }
}

#[tokio::test]
async fn a_header_block_may_be_64_kib_and_no_more() {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\nX-Large: ";
    for (size, fits) in [(MAX_RESPONSE_HEADER_BYTES, true), (MAX_RESPONSE_HEADER_BYTES + 1, false)] {
        let filler = "a".repeat(size - start.len() - 4);
        // A long body right behind it must not be counted as header.
        let answer = format!("{start}{filler}\r\n\r\n{}", "b".repeat(70_000));
        let receiver = Receiver::answering(answer).await;
        let report = attempt(&receiver.url("/")).await;
        if fits {
            answered(&report, 200);
        } else {
            failed_with(&report, FailureCode::InvalidHttp);
        }
    }
}

#[tokio::test]
async fn a_response_may_have_so_many_headers_and_no_more() {
    for (count, fits) in [(MAX_RESPONSE_HEADERS, true), (MAX_RESPONSE_HEADERS + 1, false)] {
        let headers = "X: y\r\n".repeat(count - 1);
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
        let receiver = Receiver::answering(answer).await;
        let report = attempt(&receiver.url("/")).await;
        if fits {
            answered(&report, 200);
            assert_eq!(report.response.unwrap().headers.len(), count);
        } else {
            failed_with(&report, FailureCode::InvalidHttp);
        }
    }
}

#[tokio::test]
async fn a_dripping_header_block_is_a_timeout() {
    for begin in ["", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.request().await;
            peer.say(begin).await;
            let status_line = if begin.is_empty() { "HTTP/1.1 200 OK\r\n" } else { "" };
            peer.drip(&format!("{status_line}X-Slow: {}", "a".repeat(10_000))).await;
        })
        .await;
        let report = short_attempt(&receiver.url("/")).await;
        let detail = failed_with(&report, FailureCode::Timeout);
        assert!(detail.contains("no whole header block") && detail.contains("200ms"), "{detail}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_called_so() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "220 mail.example.com ESMTP\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "<html>hello</html>\r\n\r\n",
        "\u{0}\u{1}\u{2}",
    ] {
        let receiver = Receiver::answering(nonsense).await;
        let report = attempt(&receiver.url("/")).await;
        failed_with(&report, FailureCode::InvalidHttp);
    }
}

#[tokio::test]
async fn a_greeting_before_the_request_is_not_an_answer() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.say("220 ftp.example.com ready\r\n").await;
        peer.hang().await;
    })
    .await;
    failed_with(&attempt(&receiver.url("/")).await, FailureCode::InvalidHttp);
}
