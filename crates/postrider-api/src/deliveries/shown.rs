//! Deliveries and attempts as the wire shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::attempt::{Attempt, HeaderLog, Outcome, ResponseLog, Timings};
use postrider_core::delivery::Delivery;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use serde::Serialize;

use crate::answer::{Text, Time};

/// A delivery in a list.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: Text<DeliveryId>,
    event: Text<EventId>,
    r#type: &'a str,
    account: Text<AccountId>,
    endpoint: Text<EndpointId>,
    livemode: bool,
    status: &'static str,
    reason: Option<&'static str>,
    attempt_count: u32,
    created_at: Time,
    next_attempt_at: Option<Time>,
    waiting_for: Option<String>,
    finished_at: Option<Time>,
    resend_of: Option<Text<DeliveryId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptShown<'a>>>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(delivery: &'a Delivery, waiting_for: Option<String>) -> Self {
        Self {
            id: Text(delivery.id),
            event: Text(delivery.event),
            r#type: &delivery.event_type,
            account: Text(delivery.account),
            endpoint: Text(delivery.endpoint),
            livemode: delivery.livemode,
            status: delivery.status.as_str(),
            reason: delivery.cancel_reason.map(|reason| reason.as_str()),
            attempt_count: delivery.attempt_count,
            created_at: Text(delivery.created_at),
            next_attempt_at: delivery.next_attempt_at.map(Text),
            waiting_for,
            finished_at: delivery.finished_at.map(Text),
            resend_of: delivery.resend_of.map(Text),
            attempts: None,
        }
    }

    /// The same with its attempts, oldest first.
    pub(super) fn with_attempts(self, attempts: &'a [Attempt]) -> Self {
        Self { attempts: Some(attempts.iter().map(AttemptShown::new).collect()), ..self }
    }
}

#[derive(Serialize)]
struct AttemptShown<'a> {
    number: u32,
    probe: bool,
    started_at: Time,
    timings: TimingsShown,
    request: RequestShown<'a>,
    response: Option<ResponseShown<'a>>,
    /// `received`, or not.
    outcome: &'static str,
    status: Option<u16>,
    failure: Option<FailureShown<'a>>,
}

/// Milliseconds with fractions; null for a phase that did not happen.
#[derive(Serialize)]
struct TimingsShown {
    dns_ms: Option<f64>,
    connect_ms: Option<f64>,
    tls_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    total_ms: f64,
}

#[derive(Serialize)]
struct RequestShown<'a> {
    url: &'a str,
    headers: Vec<HeaderShown<'a>>,
}

#[derive(Serialize)]
struct HeaderShown<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct ResponseShown<'a> {
    status: Option<u16>,
    headers: Vec<HeaderShown<'a>>,
    /// The body's first bytes, where they are text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// The same in base64, where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    body_truncated: bool,
}

#[derive(Serialize)]
pub(super) struct FailureShown<'a> {
    code: &'static str,
    detail: std::borrow::Cow<'a, str>,
}

impl<'a> AttemptShown<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        let status = attempt.outcome.status();
        Self {
            number: attempt.number,
            probe: attempt.probe,
            started_at: Text(attempt.started_at),
            timings: TimingsShown::new(attempt.timings),
            request: RequestShown { url: &attempt.request.url, headers: headers(&attempt.request.headers) },
            response: attempt.response.as_ref().map(|response| ResponseShown::new(status, response)),
            outcome: if attempt.outcome.is_received() { "received" } else { "not_received" },
            status,
            failure: failure(&attempt.outcome),
        }
    }
}

impl TimingsShown {
    fn new(timings: Timings) -> Self {
        Self {
            dns_ms: timings.dns_us.map(ms),
            connect_ms: timings.connect_us.map(ms),
            tls_ms: timings.tls_us.map(ms),
            first_byte_ms: timings.first_byte_us.map(ms),
            total_ms: ms(timings.total_us),
        }
    }
}

/// Microseconds as milliseconds; a phase is bounded by its deadline, far below what an `f64` holds exactly.
pub(super) fn ms(us: u64) -> f64 {
    // A quotient prints as 0.167, where a product of seconds would print as 0.16699999999999998.
    f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1_000.0
}

impl<'a> ResponseShown<'a> {
    fn new(status: Option<u16>, response: &'a ResponseLog) -> Self {
        let text = text_of(response);
        Self {
            status,
            headers: headers(&response.headers),
            body: text,
            body_base64: text.is_none().then(|| STANDARD.encode(&response.body)),
            body_truncated: response.body_truncated,
        }
    }
}

/// The kept part of a body as text. Where it was cut within a character, the text ends before that.
fn text_of(response: &ResponseLog) -> Option<&str> {
    const MAX_CUT_BYTES: usize = 3;
    match std::str::from_utf8(&response.body) {
        Ok(text) => Some(text),
        Err(why) if why.error_len().is_none() && response.body_truncated => {
            let (good, cut) = response.body.split_at(why.valid_up_to());
            if cut.len() <= MAX_CUT_BYTES { std::str::from_utf8(good).ok() } else { None }
        }
        Err(_) => None,
    }
}

fn headers(log: &HeaderLog) -> Vec<HeaderShown<'_>> {
    log.iter().map(|(name, value)| HeaderShown { name, value }).collect()
}

pub(super) fn failure(outcome: &Outcome) -> Option<FailureShown<'_>> {
    let code = outcome.failure_code()?.as_str();
    let detail = match outcome {
        Outcome::Failed { detail, .. } => detail.as_str().into(),
        Outcome::Answered { status, .. } => format!("the receiver answered {status}").into(),
    };
    Some(FailureShown { code, detail })
}
