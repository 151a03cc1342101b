//! What the collector's answer means, by the specification of OTLP/HTTP: taken, taken in part, to be sent again, or
//! refused for good. And how long to wait before it is sent again. Pure.

use std::time::Duration;

use postrider_core::attempt::Outcome;
use postrider_core::schedule::Jitter;
use postrider_sender::AttemptReport;
use serde::Deserialize;
use serde_json::Value;

use crate::limits::{FIRST_BACKOFF, MAX_BACKOFF, MAX_REPEATED_CHARS, MAX_TRIES};

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was taken, except for so many spans or points; and what the collector says about it, if anything.
    Taken { rejected: u64, remark: Option<String> },
    /// It was not, but may be later; perhaps after the time that the collector asked for.
    Again { after: Option<Duration>, why: String },
    /// It will never be.
    Refused { why: String },
}

/// The part of the answer's message that matters, for both signals.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Partial,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    rejected_spans: Value,
    rejected_data_points: Value,
    error_message: String,
}

/// A 64-bit number of protobuf's JSON, which may be a text or a number.
fn count(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

impl Verdict {
    /// Only the four statuses of the specification are worth another try, and requests that had no answer at all.
    pub(crate) fn of(report: &AttemptReport) -> Self {
        match &report.outcome {
            Outcome::Answered { status: 200..=299, .. } => {
                let body = report.response.as_ref().map(|response| &*response.body).unwrap_or_default();
                // An answer that can't be read rejects nothing: the status has said that it was taken.
                let Partial { rejected_spans, rejected_data_points, error_message } =
                    serde_json::from_slice::<Answer>(body).unwrap_or_default().partial_success;
                Self::Taken {
                    rejected: count(&rejected_spans).max(count(&rejected_data_points)),
                    remark: Some(shortened(&error_message)).filter(|text| !text.is_empty()),
                }
            }
            Outcome::Answered { status: status @ (429 | 502 | 503 | 504), retry_after } => {
                Self::Again { after: *retry_after, why: format!("it answered {status}") }
            }
            Outcome::Answered { status, .. } => Self::Refused { why: format!("it answered {status}") },
            Outcome::Failed { detail, .. } => Self::Again { after: None, why: detail.clone() },
        }
    }
}

/// How long to wait after so many tries that failed; none where it is not to be tried again.
pub(crate) fn backoff(tries: u32, asked_for: Option<Duration>, jitter: Jitter) -> Option<Duration> {
    if tries >= MAX_TRIES {
        return None;
    }
    let doubled = FIRST_BACKOFF.saturating_mul(1 << tries.saturating_sub(1).min(16));
    // Half of it by chance, so that many services do not come back at once.
    let share = 0.5 + 0.5 * (f64::from(jitter.0) / f64::from(u32::MAX));
    let own = doubled.min(MAX_BACKOFF).mul_f64(share);
    Some(own.max(asked_for.unwrap_or_default()).min(MAX_BACKOFF))
}

/// A text that is not ours, short and in one line.
pub(crate) fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_REPEATED_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use postrider_core::attempt::{FailureCode, RequestLog, ResponseLog, Timings};

    use super::*;

    fn report(outcome: Outcome, body: &str) -> AttemptReport {
        let response = ResponseLog { body: body.to_owned().into(), ..ResponseLog::default() };
        let request = RequestLog::default();
        AttemptReport {
            outcome,
            timings: Timings::default(),
            request,
            response: Some(response),
            not_made: false,
            on_reused_connection: false,
        }
    }

    #[test]
    fn a_success_may_be_one_in_part() {
        let taken = |body: &str| match Verdict::of(&report(
            Outcome::Answered { status: 200, retry_after: None },
            body,
        )) {
            Verdict::Taken { rejected, remark } => (rejected, remark),
            other => panic!("{other:?}"),
        };
        for body in ["{}", "", "<html>", r#"{"partialSuccess":{}}"#, r#"{"partialSuccess":null}"#, "[1"] {
            assert_eq!(taken(body), (0, None), "{body}");
        }
        let partly = r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too\nold"},"more":1}"#;
        assert_eq!(taken(partly), (3, Some("too old".to_owned())));
        assert_eq!(taken(r#"{"partialSuccess":{"rejectedDataPoints":7}}"#), (7, None));
        let long = format!(r#"{{"partialSuccess":{{"errorMessage":"{}"}}}}"#, "ü".repeat(5_000));
        assert_eq!(taken(&long).1, Some("ü".repeat(MAX_REPEATED_CHARS)));
    }

    #[test]
    fn four_statuses_and_silence_are_worth_another_try_and_nothing_else_is() {
        for status in 100..=599 {
            if (200..=299).contains(&status) {
                continue;
            }
            let verdict = Verdict::of(&report(Outcome::Answered { status, retry_after: None }, ""));
            let again = matches!(verdict, Verdict::Again { .. });
            assert_eq!(again, [429, 502, 503, 504].contains(&status), "{status}: {verdict:?}");
        }
        let asked_for = Some(Duration::from_secs(7));
        let throttled = report(Outcome::Answered { status: 429, retry_after: asked_for }, "");
        assert!(matches!(Verdict::of(&throttled), Verdict::Again { after, .. } if after == asked_for));
        for code in FailureCode::ALL {
            let failed = report(Outcome::Failed { code: *code, detail: "why".to_owned() }, "");
            assert_eq!(Verdict::of(&failed), Verdict::Again { after: None, why: "why".to_owned() });
        }
    }

    #[test]
    fn waits_double_within_a_bound_and_end() {
        let ms = |tries, asked_for: Option<u64>, jitter| {
            let wait = backoff(tries, asked_for.map(Duration::from_secs), Jitter(jitter));
            wait.map(|wait| u64::try_from(wait.as_millis()).unwrap())
        };
        assert_eq!(
            [1, 2, 3, 4].map(|tries| ms(tries, None, u32::MAX)),
            [1, 2, 4, 8].map(|s| Some(s * 1_000))
        );
        assert_eq!(ms(1, None, 0), Some(500), "half of it is chance");
        assert_eq!(ms(1, Some(9), 0), Some(9_000), "what the collector asks for");
        assert_eq!(ms(1, Some(3_600), 0), Some(30_000), "within the bound");
        assert_eq!(ms(MAX_TRIES, Some(9), 0), None);
    }
}
