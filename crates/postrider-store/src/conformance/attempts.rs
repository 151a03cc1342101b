//! Attempts: everything kept of a request comes back as it was.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::attempt::{Attempt, FailureCode, HeaderLog, Outcome, RequestLog, ResponseLog, Timings};
use postrider_core::delivery::Next;
use postrider_core::limits::MAX_KEPT_BODY_BYTES;

use super::Backend;
use super::world::{World, attempt, batch};
use crate::model::Record;

fn answered(status: u16, retry_after: Option<Duration>, response: Option<ResponseLog>) -> Attempt {
    let outcome = Outcome::Answered { status, retry_after };
    Attempt { response, outcome, ..attempt(1, Next::Delivered, postrider_core::time::Timestamp::from_ms(0)) }
}

fn samples() -> Vec<Attempt> {
    let full = ResponseLog {
        headers: HeaderLog::from_iter([("x-a", "1"), ("x-a", "2"), ("x-\"quoted\"", " \u{fffd} \\: ")]),
        body: Bytes::from(vec![0xff; MAX_KEPT_BODY_BYTES]),
        body_truncated: true,
    };
    let mut samples = vec![
        answered(200, None, Some(ResponseLog::default())),
        answered(100, None, None),
        answered(999, Some(Duration::from_millis(1_500)), Some(full.clone())),
        answered(
            503,
            Some(Duration::from_secs(24 * 3600)),
            Some(ResponseLog { body_truncated: false, ..full }),
        ),
    ];
    for code in FailureCode::ALL.iter().filter(|code| **code != FailureCode::Status) {
        let outcome = Outcome::Failed { code: *code, detail: format!("{code}: in plain words") };
        samples.push(Attempt { outcome, ..answered(200, None, None) });
    }
    let timings = Timings {
        dns_us: Some(0),
        connect_us: Some(1),
        tls_us: Some(u64::from(u32::MAX)),
        first_byte_us: Some(60_000_000),
        total_us: 60_000_001,
    };
    let request = RequestLog {
        url: "https://receiver.example/hook?q=ä#none".to_owned(),
        headers: HeaderLog::from_iter([("host", "receiver.example"), ("authorization", "…")]),
    };
    samples.push(Attempt { probe: true, timings, request, ..answered(410, None, None) });
    samples
}

/// Outcomes of every kind, with and without a response, the largest body.
pub async fn every_field_of_an_attempt_survives(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    for sample in samples() {
        let accepted = world.accept(&lane).await;
        let sample = Attempt { started_at: world.now(), ..sample };
        let record =
            Record { attempt: Some(sample.clone()), ..world.outcome(accepted, 1, Next::Waits, world.now()) };
        world.store.record(batch(vec![record]).into()).await.unwrap();
        assert_eq!(world.store.attempts(accepted.seq).await.unwrap(), [sample]);
    }
}

/// A receiver chooses what it sends, so no text of an attempt keeps the attempt from the log. U+0000, which not every
/// database can hold, becomes U+FFFD; everything else is kept, and so are the outcomes recorded with it.
pub async fn an_attempt_is_logged_whatever_text_it_holds(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let attempt_with = |nul: char| {
        let headers = |text: &str| HeaderLog::from_text(text.replace('\0', &nul.to_string())).unwrap();
        Attempt {
            request: RequestLog {
                url: format!("https://receiver.example/a{nul}b\u{7f}\u{10ffff}"),
                headers: headers("X-\0: \0\u{1}\u{202e}\n"),
            },
            response: Some(ResponseLog {
                headers: headers("X-Odd\0: a\0\u{85}\u{fffd}\nX-Empty: \n"),
                body: Bytes::from_static(b"\0\xff\xed\xa0\x80"),
                body_truncated: false,
            }),
            ..answered(500, None, None)
        }
    };
    let failed = |nul: char| {
        let detail = format!("{nul}the certificate is for \u{1b}[0m{nul} ☃{}", "x".repeat(1024 * 1024));
        let outcome = Outcome::Failed { code: FailureCode::TlsWrongHost, detail };
        Attempt { response: None, outcome, ..attempt_with(nul) }
    };
    for (given, logged) in
        [(attempt_with('\0'), attempt_with('\u{fffd}')), (failed('\0'), failed('\u{fffd}'))]
    {
        let (odd, beside) = (world.accept(&lane).await, world.accept(&lane).await);
        let at = world.now();
        let [given, logged] = [given, logged].map(|attempt| Attempt { started_at: at, ..attempt });
        let record = Record { attempt: Some(given), ..world.outcome(odd, 1, Next::Waits, at) };
        let records = vec![record, world.outcome(beside, 1, Next::Delivered, at)];
        world.store.record(batch(records).into()).await.unwrap();
        assert_eq!(world.store.attempts(odd.seq).await.unwrap(), [logged]);
        assert_eq!(world.store.attempts(beside.seq).await.unwrap().len(), 1);
    }
}

/// In their order, each delivery's own, also after many.
pub async fn attempts_come_oldest_first_and_survive_a_reopen(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let (first, second) = (world.accept(&lane).await, world.accept(&lane).await);
    for number in 1..=40 {
        world.record(second, number, Next::Waits).await;
        world.record(first, number, Next::Waits).await;
    }
    let world = world.reopen().await;
    for accepted in [first, second] {
        let attempts = world.store.attempts(accepted.seq).await.unwrap();
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    }
    let nobody = postrider_core::delivery::DeliverySeq(second.seq.0 + 1);
    assert_eq!(world.store.attempts(nobody).await.unwrap(), []);
}

/// The newest of them, or those right before a number; never those of another delivery.
pub async fn the_last_attempts_come_without_the_others(backend: &dyn Backend) {
    let world = World::new(backend).await;
    let lane = world.lane().await;
    let (first, second) = (world.accept(&lane).await, world.accept(&lane).await);
    for number in 1..=9 {
        world.record(second, number, Next::Waits).await;
        world.record(first, number, Next::Waits).await;
    }
    for (before, limit, expected) in [
        (None, 3, &[7, 8, 9][..]),
        (Some(7), 3, &[4, 5, 6]),
        (Some(2), 3, &[1]),
        (Some(1), 3, &[]),
        (Some(0), 3, &[]),
        (Some(u32::MAX), 1, &[9]),
        (None, 100, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ] {
        for accepted in [first, second] {
            let attempts = world.store.last_attempts(accepted.seq, before, limit).await.unwrap();
            let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
            assert_eq!(numbers, expected, "the last {limit} before {before:?}");
        }
    }
}
