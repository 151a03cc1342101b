//! From what happened to events to spans. The trace of an event is its guid, so that what happens to it later, after a
//! restart or on another node, stands in the same one; a caller's span is linked to.
//!
//! No payload, no header and of a URL the host and the port alone.

use postrider_core::attempt::Outcome;
use postrider_core::id::EventId;
use postrider_core::trace::{SpanId, TraceId};
use postrider_engine::environment::Chance;
use postrider_engine::traces::{Attempted, TakenIn, TraceStep};

use crate::verdict::shortened;
use crate::wire::{Attribute, ERROR, Link, Span, Status, kind, nanos};

/// The flags of W3C Trace Context: sampled, and made of chance (a UUIDv7's last seven bytes are).
const FLAGS: u32 = 0x03;
/// That a linked span's place is known, and is another process.
const IS_REMOTE: u32 = 0x300;

/// The spans of a step.
pub(crate) fn spans_of(step: TraceStep, chance: &dyn Chance, into: &mut Vec<Span>) {
    let fresh = SpanId::new(u64::try_from(chance.bits() & u128::from(u64::MAX)).unwrap_or(1));
    match step {
        TraceStep::TakenIn(taken) => into.extend(taking_in(&taken, fresh)),
        TraceStep::Attempted(attempted) => into.push(attempt(attempted, fresh)),
    }
}

/// A span of this event; its parent, its times and what else it says come after.
fn span(event: EventId, id: SpanId, name: &'static str, (began_us, ended_us): (i64, i64)) -> Span {
    Span {
        trace_id: TraceId::of(event).to_string(),
        span_id: id.to_string(),
        parent_span_id: None,
        flags: FLAGS,
        name,
        kind: kind::INTERNAL,
        start_time_unix_nano: nanos(began_us),
        // A clock that goes back must not make a span that ends before it begins.
        end_time_unix_nano: nanos(ended_us.max(began_us)),
        attributes: Vec::new(),
        links: Vec::new(),
        status: None,
    }
}

/// The event's first span, and the commit's below it.
fn taking_in(taken: &TakenIn, fresh: SpanId) -> [Span; 2] {
    let TakenIn { event, times, .. } = *taken;
    let root = SpanId::taking_in(event);
    let mut ingest = span(event, root, "ingest", (times.began_us, times.ended_us));
    ingest.attributes = vec![
        Attribute::text("postrider.event.id", event),
        Attribute::text("postrider.event.type", &taken.event_type),
        Attribute::text("postrider.account.id", taken.account),
        Attribute::truth("postrider.livemode", taken.livemode),
        Attribute::number("postrider.deliveries", taken.deliveries),
    ];
    if let Some(origin) = taken.origin {
        ingest.kind = kind::SERVER;
        ingest.attributes.push(Attribute::text("http.request.method", "POST"));
        ingest.attributes.push(Attribute::text("http.route", origin.route));
        ingest.links.extend(origin.caller.map(|caller| Link {
            trace_id: caller.trace.to_string(),
            span_id: caller.span.to_string(),
            flags: IS_REMOTE | u32::from(caller.flags),
        }));
    }
    let mut accept = span(event, fresh, "accept", (times.commit_began_us, times.commit_ended_us));
    accept.parent_span_id = Some(root.to_string());
    [ingest, accept]
}

fn attempt(attempted: Attempted, fresh: SpanId) -> Span {
    let took_us = i64::try_from(attempted.timings.total_us).unwrap_or(i64::MAX);
    let ended_us = attempted.began_us.saturating_add(took_us);
    let mut deliver = span(attempted.event, fresh, "deliver", (attempted.began_us, ended_us));
    deliver.parent_span_id = Some(SpanId::taking_in(attempted.event).to_string());
    deliver.kind = kind::CLIENT;
    deliver.status = failure(&attempted.outcome);
    deliver.attributes = attributes(&attempted);
    deliver
}

fn attributes(attempted: &Attempted) -> Vec<Attribute> {
    let failure = attempted.outcome.failure_code();
    let mut attributes = vec![
        Attribute::text("postrider.event.id", attempted.event),
        Attribute::text("postrider.event.type", &attempted.event_type),
        Attribute::text("postrider.account.id", attempted.account),
        Attribute::truth("postrider.livemode", attempted.livemode),
        Attribute::text("postrider.delivery.id", attempted.delivery),
        Attribute::text("postrider.delivery.status", attempted.status.as_str()),
        Attribute::text("postrider.endpoint.id", attempted.endpoint),
        Attribute::number("postrider.attempt.number", attempted.number),
        Attribute::truth("postrider.attempt.probe", attempted.probe),
        Attribute::text("postrider.attempt.outcome", failure.map_or("received", |code| code.as_str())),
        Attribute::text("http.request.method", "POST"),
        Attribute::text("server.address", &attempted.host),
        Attribute::number("server.port", attempted.port),
    ];
    if let Some(status) = attempted.outcome.status() {
        attributes.push(Attribute::number("http.response.status_code", status));
    }
    if let Some(code) = failure {
        attributes.push(Attribute::text("error.type", code));
    }
    let timings = &attempted.timings;
    let phases = [
        ("postrider.attempt.dns_us", timings.dns_us),
        ("postrider.attempt.connect_us", timings.connect_us),
        ("postrider.attempt.tls_us", timings.tls_us),
        ("postrider.attempt.first_byte_us", timings.first_byte_us),
    ];
    let took = |(name, us): (&'static str, Option<u64>)| Some(Attribute::number(name, us?));
    attributes.extend(phases.into_iter().filter_map(took));
    attributes
}

/// What a span of an attempt that was not received says about it.
fn failure(outcome: &Outcome) -> Option<Status> {
    let message = match outcome {
        _ if outcome.is_received() => return None,
        Outcome::Answered { status, .. } => format!("the receiver answered {status}"),
        Outcome::Failed { detail, .. } => shortened(detail),
    };
    Some(Status { message, code: ERROR })
}

#[cfg(test)]
mod tests {
    use postrider_core::attempt::{FailureCode, Timings};
    use postrider_core::delivery::Status;
    use postrider_core::id::{AccountId, DeliveryId, EndpointId};
    use postrider_core::time::Timestamp;
    use postrider_core::trace::CallerSpan;
    use postrider_engine::traces::{Origin, TakingTimes};
    use serde_json::{Value, json};

    use super::*;

    struct Fixed;

    impl Chance for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xab);
        }
    }

    const AT_US: i64 = 1_700_000_000_000_000;

    fn event() -> EventId {
        EventId::new(Timestamp::from_ms(AT_US / 1_000), 7)
    }

    fn taken(origin: Option<Origin>) -> TraceStep {
        TraceStep::TakenIn(TakenIn {
            event: event(),
            event_type: "policy.created".into(),
            account: AccountId::OPERATOR,
            livemode: false,
            deliveries: 2,
            origin,
            times: TakingTimes {
                began_us: AT_US,
                commit_began_us: AT_US + 100,
                commit_ended_us: AT_US + 1_100,
                ended_us: AT_US + 1_200,
            },
        })
    }

    fn attempted(outcome: Outcome) -> TraceStep {
        TraceStep::Attempted(Attempted {
            event: event(),
            event_type: "policy.created".into(),
            account: AccountId::OPERATOR,
            livemode: false,
            delivery: DeliveryId::new(Timestamp::from_ms(5), 1),
            endpoint: EndpointId::new(Timestamp::from_ms(5), 1),
            host: "receiver.example".to_owned(),
            port: 443,
            number: 3,
            probe: false,
            began_us: AT_US,
            timings: Timings { tls_us: Some(250), total_us: 1_500, ..Timings::default() },
            outcome,
            status: Status::Pending,
        })
    }

    fn shown(step: TraceStep) -> Vec<Value> {
        let mut spans = Vec::new();
        let counted = step.spans();
        spans_of(step, &Fixed, &mut spans);
        assert_eq!(u64::try_from(spans.len()).unwrap(), counted, "as many as are counted");
        spans.iter().map(|span| serde_json::to_value(span).unwrap()).collect()
    }

    fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
        let all = span["attributes"].as_array().unwrap();
        all.iter().find(|one| one["key"] == key).map_or(&Value::Null, |one| &one["value"])
    }

    #[test]
    fn taking_in_is_the_first_span_with_the_commit_below_it() {
        let spans = shown(taken(None));
        let guid = event().to_string();
        assert_eq!((&spans[0]["traceId"], &spans[0]["spanId"]), (&json!(guid), &json!(guid[16..])));
        assert_eq!(spans[0].get("parentSpanId"), None);
        assert_eq!((&spans[0]["kind"], spans[0].get("links")), (&json!(1), None));
        assert_eq!(spans[0]["endTimeUnixNano"], "1700000000001200000");
        assert_eq!(spans[1]["traceId"], spans[0]["traceId"]);
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(spans[1]["spanId"], "abababababababab");
        assert_eq!(spans[1]["startTimeUnixNano"], "1700000000000100000");
        assert_eq!(spans[1]["endTimeUnixNano"], "1700000000001100000");
    }

    #[test]
    fn a_caller_is_linked_to_and_not_gone_on_with() {
        let caller = CallerSpan::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let spans = shown(taken(Some(Origin { route: "/v1/events", began_us: AT_US - 5, caller })));
        assert_eq!(spans[0]["traceId"], event().to_string());
        let link = json!([{ "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "flags": 0x301 }]);
        assert_eq!((&spans[0]["links"], &spans[0]["kind"]), (&link, &json!(2)));
        assert_eq!(attribute(&spans[0], "http.route"), &json!({ "stringValue": "/v1/events" }));
    }

    #[test]
    fn an_attempt_says_where_it_went_and_what_it_came_to() {
        let received = &shown(attempted(Outcome::Answered { status: 204, retry_after: None }))[0];
        assert_eq!((&received["name"], &received["kind"]), (&json!("deliver"), &json!(3)));
        assert_eq!(received["parentSpanId"], event().to_string()[16..]);
        assert_eq!(received["endTimeUnixNano"], "1700000000001500000");
        assert_eq!((received.get("status"), attribute(received, "error.type")), (None, &Value::Null));
        for (key, value) in [
            ("postrider.attempt.outcome", json!({ "stringValue": "received" })),
            ("postrider.attempt.number", json!({ "intValue": "3" })),
            ("postrider.attempt.probe", json!({ "boolValue": false })),
            ("postrider.attempt.tls_us", json!({ "intValue": "250" })),
            ("postrider.delivery.status", json!({ "stringValue": "pending" })),
            ("http.response.status_code", json!({ "intValue": "204" })),
            ("server.address", json!({ "stringValue": "receiver.example" })),
            ("postrider.attempt.dns_us", Value::Null),
        ] {
            assert_eq!(attribute(received, key), &value, "{key}");
        }
        let refused = &shown(attempted(Outcome::Answered { status: 503, retry_after: None }))[0];
        assert_eq!(refused["status"], json!({ "message": "the receiver answered 503", "code": 2 }));
        assert_eq!(attribute(refused, "error.type"), &json!({ "stringValue": "status" }));
        let detail = "x".repeat(5_000);
        let failed = &shown(attempted(Outcome::Failed { code: FailureCode::Timeout, detail }))[0];
        assert_eq!(failed["status"]["message"].as_str().unwrap().len(), 300);
        assert_eq!(attribute(failed, "error.type"), &json!({ "stringValue": "timeout" }));
    }
}
