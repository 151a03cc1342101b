//! What becomes of spans with collectors that take, throttle, refuse or are not there; with a clock that stands still.

use std::collections::VecDeque;

use async_trait::async_trait;
use postrider_core::attempt::{FailureCode, Outcome, RequestLog, ResponseLog, Timings};
use postrider_core::delivery::Status;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::time::Timestamp;
use postrider_engine::environment::SystemChance;
use postrider_engine::traces::Attempted;
use postrider_sender::AttemptReport;

use super::*;

/// Answers by a script, and notes what was asked and when.
struct Script {
    answers: Mutex<VecDeque<(Outcome, &'static str)>>,
    asked: Mutex<Vec<(Instant, String)>>,
}

#[async_trait]
impl Transport for Script {
    async fn attempt(&self, request: AttemptRequest) -> AttemptReport {
        self.asked.lock().unwrap().push((Instant::now(), request.url.to_string()));
        serde_json::from_slice::<serde_json::Value>(&request.body).unwrap();
        let (outcome, body) =
            self.answers.lock().unwrap().pop_front().expect("no more is asked than scripted");
        let response = Some(ResponseLog { body: body.into(), ..ResponseLog::default() });
        let (timings, request) = (Timings::default(), RequestLog::default());
        AttemptReport { outcome, timings, request, response, not_made: false, on_reused_connection: false }
    }
}

struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000)
    }
}

fn answered(status: u16) -> (Outcome, &'static str) {
    (Outcome::Answered { status, retry_after: None }, "{}")
}

fn absent() -> (Outcome, &'static str) {
    (Outcome::Failed { code: FailureCode::ConnectRefused, detail: "nothing listens".to_owned() }, "")
}

fn steps(count: usize) -> Vec<TraceStep> {
    let step = |_| {
        TraceStep::Attempted(Attempted {
            event: EventId::new(Timestamp::from_ms(1), 1),
            event_type: "policy.created".into(),
            account: AccountId::OPERATOR,
            livemode: true,
            delivery: DeliveryId::new(Timestamp::from_ms(1), 1),
            endpoint: EndpointId::new(Timestamp::from_ms(1), 1),
            host: "h".to_owned(),
            port: 443,
            number: 1,
            probe: false,
            began_us: 0,
            timings: Timings::default(),
            outcome: Outcome::Answered { status: 200, retry_after: None },
            status: Status::Delivered,
        })
    };
    (0..count).map(step).collect()
}

/// What was counted (exported; dropped as queue_full, rejected, undelivered) and the seconds before each further try.
async fn offered(answers: Vec<(Outcome, &'static str)>, is_stopping: bool) -> ((u64, [u64; 3]), Vec<f64>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), asked: Mutex::default() });
    let means = Means { transport: script.clone(), clock: Arc::new(Frozen), chance: Arc::new(SystemChance) };
    let collector = "http://127.0.0.1:4318/base".parse().unwrap();
    let exporter = Exporter::new(&collector, "node-1", means);
    let (counts, (_stop, mut watched)) = (SpanCounts::default(), watch::channel(is_stopping));
    exporter.spans(steps(10), &counts, &mut watched).await;
    assert!(script.answers.lock().unwrap().is_empty(), "all of the script was asked for");
    let asked = script.asked.lock().unwrap();
    assert!(asked.iter().all(|(_, url)| url == "http://127.0.0.1:4318/base/v1/traces"));
    let waits = asked.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect();
    ((counts.all_exported(), counts.all_dropped().map(|(_, count)| count)), waits)
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_counted_once_however_often_it_was_offered() {
    assert_eq!(offered(vec![answered(200)], false).await, ((10, [0, 0, 0]), vec![]));
    let (counted, waits) = offered(vec![absent(), answered(503), answered(502), answered(200)], false).await;
    assert_eq!(counted, (10, [0, 0, 0]));
    for (wait, most) in waits.into_iter().zip([1.0, 2.0, 4.0]) {
        assert!(wait >= most / 2.0 && wait <= most + 0.01, "{wait} of {most}");
    }
    let asks = (Outcome::Answered { status: 429, retry_after: Some(Duration::from_secs(20)) }, "");
    let (counted, waits) = offered(vec![asks, answered(200)], false).await;
    assert!(counted == (10, [0, 0, 0]) && waits[0] >= 20.0, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_offered_again() {
    for status in [400, 401, 404, 413, 500, 301] {
        assert_eq!(offered(vec![answered(status)], false).await, ((0, [0, 10, 0]), vec![]), "{status}");
    }
    let partly = r#"{"partialSuccess":{"rejectedSpans":"4","errorMessage":"too old"}}"#;
    let answer = (Outcome::Answered { status: 200, retry_after: None }, partly);
    assert_eq!(offered(vec![answer], false).await.0, (6, [0, 4, 0]));
    let absurd = r#"{"partialSuccess":{"rejectedSpans":"4000"}}"#;
    let answer = (Outcome::Answered { status: 200, retry_after: None }, absurd);
    assert_eq!(offered(vec![answer], false).await.0, (0, [0, 10, 0]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_for_ever_and_nothing_waited_for_at_the_end() {
    let (counted, waits) = offered(vec![absent(), absent(), absent(), absent(), absent()], false).await;
    assert_eq!((counted, waits.len()), ((0, [0, 0, 10]), 4));
    assert_eq!(offered(vec![absent()], true).await, ((0, [0, 0, 10]), vec![]));
}
