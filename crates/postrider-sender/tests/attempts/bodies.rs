//! Bodies of answers: kept within bounds, and never able to change what the header block decided.

use std::time::{Duration, Instant};

use postrider_core::limits::{MAX_BODY_READ, MAX_KEPT_BODY_BYTES};

use crate::receiver::Receiver;
use crate::setup::{answered, attempt, body};

#[tokio::test]
async fn a_body_is_kept_as_it_came() {
    for (framing, sent, expected) in [
        ("Content-Length: 5", "hello", "hello"),
        ("Content-Length: 0", "", ""),
        ("Transfer-Encoding: chunked", "3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n", "hello"),
        ("Transfer-Encoding: chunked", "0\r\n\r\n", ""),
    ] {
        let receiver = Receiver::answering(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{sent}")).await;
        let report = attempt(&receiver.url("/")).await;
        answered(&report, 200);
        assert_eq!(body(&report), (expected.as_bytes(), false), "{framing}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_never_inflated() {
    let packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len())
            .into_bytes();
    answer.extend_from_slice(packed);
    let receiver = Receiver::answering(answer).await;
    assert_eq!(body(&attempt(&receiver.url("/")).await), (&packed[..], false));
}

#[tokio::test]
async fn of_a_long_body_the_first_16_kib_are_kept() {
    for (length, truncated) in
        [(MAX_KEPT_BODY_BYTES, false), (MAX_KEPT_BODY_BYTES + 1, true), (MAX_KEPT_BODY_BYTES * 40, true)]
    {
        let receiver = Receiver::answering(format!(
            "HTTP/1.1 500 Oops\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        ))
        .await;
        let report = attempt(&receiver.url("/")).await;
        answered(&report, 500);
        assert_eq!(body(&report), (&vec![b'x'; MAX_KEPT_BODY_BYTES][..], truncated), "{length}");
    }
}

#[tokio::test]
async fn an_endless_body_after_2xx_is_received_and_not_read_on() {
    for (framing, piece) in [
        ("X: y", "data "),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Content-Length: 99999999999", "abc"),
    ] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.request().await;
            peer.say(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n")).await;
            peer.say_endlessly(piece).await;
        })
        .await;
        let report = attempt(&receiver.url("/")).await;
        answered(&report, 200);
        let (kept, truncated) = body(&report);
        assert_eq!((kept.len(), truncated), (MAX_KEPT_BODY_BYTES, true), "{framing}");
    }
}

#[tokio::test]
async fn a_dripping_body_after_2xx_is_received_and_read_for_two_seconds() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
        peer.drip("drop ").await;
    })
    .await;
    let began = Instant::now();
    let report = attempt(&receiver.url("/")).await;
    assert!(began.elapsed() >= MAX_BODY_READ);
    answered(&report, 200);
    let (kept, truncated) = body(&report);
    assert!(kept.starts_with(b"drop drop ") && truncated);
    assert!(
        Duration::from_micros(report.timings.total_us) < MAX_BODY_READ,
        "the body is no part of the outcome"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_after_2xx_is_received() {
    for (framing, part) in [
        ("Content-Length: 100", "only this"),
        ("Transfer-Encoding: chunked", "9\r\nonly this\r\n"),
        ("Transfer-Encoding: chunked", "9\r\nonly this\r\nbroken chunk size\r\n"),
        ("Transfer-Encoding: chunked", "9\r\nonly this\r\nFFFFFFFFFFFFFFFFFF\r\n"),
    ] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.request().await;
            peer.say(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}")).await;
        })
        .await;
        let report = attempt(&receiver.url("/")).await;
        answered(&report, 200);
        assert_eq!(body(&report), (&b"only this"[..], true), "{part}");
    }
}

#[tokio::test]
async fn a_reset_in_the_body_after_2xx_is_received() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
        peer.reset();
    })
    .await;
    let report = attempt(&receiver.url("/")).await;
    answered(&report, 200);
    assert!(body(&report).1);
}
