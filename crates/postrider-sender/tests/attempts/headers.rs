//! Header blocks that are endless, huge, slow or not HTTP at all.

use postrider_core::attempt::FailureCode;
use postrider_core::limits::MAX_RESPONSE_HEADER_BYTES;
use postrider_sender::limits::MAX_KEPT_HEADER_BYTES;

use crate::receiver::Receiver;
use crate::setup::{answered, attempt, body, failed_with, short_attempt};

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
async fn a_response_may_have_any_number_of_headers() {
    for count in [100, 101, 1_000, 10_000] {
        let headers = "X: y\r\n".repeat(count - 1);
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
        let receiver = Receiver::answering(answer).await;
        let report = attempt(&receiver.url("/")).await;
        answered(&report, 200);
        let kept = report.response.unwrap().headers.len();
        assert_eq!(kept, count.min(MAX_KEPT_HEADER_BYTES / "xy".len()));
    }
}

/// Only the status line and the end of the header block decide. Each of these was sent by some server.
#[tokio::test]
async fn after_a_2xx_line_and_a_complete_block_the_delivery_is_received() {
    for rest in [
        "X-Folded: one\r\n two\r\nContent-Length: 0\r\n",
        "Content-Length : 0\r\n",
        "X: \0\r\nContent-Length: 0\r\n",
        "\0\0\r\nContent-Length: 0\r\n",
        "no colon\r\nContent-Length: 0\r\n",
        "Bad Name: x\r\nContent-Length: 0\r\n",
        ": no name\r\nContent-Length: 0\r\n",
        "X: bell\u{7}\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nContent-Length: 1\r\n",
        "Content-Length: +2\r\nConnection: close\r\n",
        "Content-Length: many\r\nConnection: close\r\n",
        "Content-Length: 0\nX: y\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n",
    ] {
        for version in ["HTTP/1.1", "HTTP/1.0", "http/1.1"] {
            let receiver = Receiver::start(move |mut peer| async move {
                peer.request().await;
                peer.say(format!("{version} 202 Taken\r\n{rest}\r\n")).await;
            })
            .await;
            let report = attempt(&receiver.url("/")).await;
            answered(&report, 202);
            let logged = report.response.unwrap().headers;
            assert!(
                !logged.as_text().contains("bell") && !logged.as_text().contains('\u{fffd}'),
                "{logged:?}"
            );
        }
    }
}

#[tokio::test]
async fn http_1_0_with_the_chunked_coding_is_read() {
    let receiver = Receiver::answering(
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let report = attempt(&receiver.url("/")).await;
    answered(&report, 200);
    assert_eq!(body(&report), (&b"ok"[..], false));
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
        "HTTP/1.1 100 Continue\r\n\r\n<html>\r\n\r\n",
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
