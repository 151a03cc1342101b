//! Whole answers and what they come to.

use std::time::Duration;

use postrider_core::attempt::{FailureCode, Outcome};
use postrider_core::limits::MAX_RETRY_AFTER;

use crate::receiver::Receiver;
use crate::setup::{answered, attempt, body};

#[tokio::test]
async fn every_2xx_is_received_and_nothing_else_is() {
    for status in
        [200, 201, 202, 204, 299, 300, 304, 400, 401, 404, 410, 413, 429, 500, 502, 503, 599, 600, 999]
    {
        let receiver =
            Receiver::answering(format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n")).await;
        let report = attempt(&receiver.url("/")).await;
        answered(&report, status);
        assert_eq!(report.outcome.is_received(), (200..300).contains(&status), "{status}");
        let expected = (!report.outcome.is_received()).then_some(FailureCode::Status);
        assert_eq!(report.outcome.failure_code(), expected);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_never_followed() {
    let elsewhere = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url("/there");
        let receiver = Receiver::answering(format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
        let report = attempt(&receiver.url("/")).await;
        answered(&report, status);
        assert!(!report.outcome.is_received());
        assert_eq!(receiver.requests().len(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let receiver = Receiver::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    answered(&attempt(&receiver.url("/")).await, 201);
}

#[tokio::test]
async fn switching_protocols_is_an_answer_that_is_not_received() {
    let receiver = Receiver::answering(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz",
    )
    .await;
    let report = attempt(&receiver.url("/")).await;
    answered(&report, 101);
    assert!(!report.outcome.is_received());
}

#[tokio::test]
async fn an_http_1_0_receiver_counts_too() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.say("HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil I close").await;
    })
    .await;
    let report = attempt(&receiver.url("/")).await;
    answered(&report, 200);
    assert_eq!(body(&report), (&b"until I close"[..], false));
}

#[tokio::test]
async fn retry_after_is_read_with_429_and_503_alone() {
    let seconds = |n| Some(Duration::from_secs(n));
    for (status, value, expected) in [
        (429, "120", seconds(120)),
        (503, "7", seconds(7)),
        (503, "Sun, 06 Nov 1994 09:49:37 GMT", seconds(3600)),
        (429, "99999999999", Some(MAX_RETRY_AFTER)),
        (429, "soon", None),
        (429, "-5", None),
        (503, "1.5", None),
        (503, "Sun, 06 Nov 1994 08:00:00 GMT", None),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_RETRY_AFTER)),
        (503, "\u{fc}", None),
        (429, "", None),
        (500, "120", None),
        (301, "120", None),
        (200, "120", None),
    ] {
        let receiver = Receiver::answering(format!(
            "HTTP/1.1 {status} Later\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
        let report = attempt(&receiver.url("/")).await;
        let Outcome::Answered { retry_after, .. } = report.outcome else { panic!("{:?}", report.outcome) };
        // A date is read against the moment the answer came, a little after the start.
        let shown = retry_after.map(|wait| wait.as_secs_f64().ceil());
        assert_eq!(shown, expected.map(|wait: Duration| wait.as_secs_f64()), "{status} {value}");
    }
}
