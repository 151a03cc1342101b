//! `/v1/deliveries/stream`: attempts as they end, as server-sent events (the WHATWG's "Server-sent events").
//!
//! The body is made only as fast as the client takes it. One that falls too far behind is told so, and may come back
//! with `Last-Event-ID` to where it was: the log has what it missed.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use postrider_core::attempt::Outcome;
use postrider_core::delivery::DeliverySeq;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::time::Timestamp;
use postrider_engine::{AttemptFeed, AttemptPlace, AttemptSeen, Engine, FeedEnd};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::shown::{FailureShown, failure, ms};
use super::slots::Slot;
use super::{OF_STREAM, filter};
use crate::answer::{Answer, Text, Time};
use crate::call::Call;
use crate::caller::Caller;
use crate::problem::{Code, Problem};
use crate::server::Phase;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What opens every stream: after how many milliseconds a client should come back when it broke off.
const OPENING: &[u8] = b"retry: 2000\n\n";

pub(crate) async fn stream(call: Call) -> Answer {
    let mut query = call.query(OF_STREAM)?;
    let filter = filter(&call, &mut query)?;
    query.finish()?;
    let after = last_event_id(call.headers())?;
    let api = call.api();
    let slot = api.streams.take(call.caller.bounds().map(|(account, _)| account))?;
    let open = Open {
        feed: api.engine.follow_attempts(filter, after),
        engine: api.engine.clone(),
        is_operator: call.caller.is_operator(),
        headers: call.headers().clone(),
        heartbeat: api.stream_heartbeat,
        next_heartbeat: Box::pin(sleep_until(Instant::now() + api.stream_heartbeat)),
        phase: api.phase.clone(),
        _slot: slot,
    };
    let pieces = stream::unfold(Stage::Opening(open), |stage| async {
        let (piece, stage) = stage.next().await?;
        Some((Ok::<_, Infallible>(piece), stage))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // What nginx and its like would otherwise gather is there at once.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// How far a stream has come.
enum Stage {
    Opening(Open),
    Running(Open),
    Ended,
}

/// A stream that runs.
struct Open {
    feed: AttemptFeed,
    engine: Engine,
    is_operator: bool,
    /// The request's, with its key.
    headers: HeaderMap,
    heartbeat: std::time::Duration,
    next_heartbeat: Pin<Box<Sleep>>,
    phase: watch::Receiver<Phase>,
    _slot: Slot,
}

impl Stage {
    /// The next piece of the body, and what follows it.
    async fn next(self) -> Option<(Bytes, Self)> {
        match self {
            Self::Opening(open) => Some((Bytes::from_static(OPENING), Self::Running(open))),
            Self::Running(mut open) => Some(match open.next().await {
                Ok(piece) => (piece, Self::Running(open)),
                Err(end) => (end.piece(), Self::Ended),
            }),
            Self::Ended => None,
        }
    }
}

impl Open {
    async fn next(&mut self) -> Result<Bytes, End> {
        let Self { feed, phase, next_heartbeat, engine, is_operator, .. } = self;
        tokio::select! {
            // In this order: an end and a heartbeat come in time also where attempts never cease.
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => Err(End::ShuttingDown),
            () = next_heartbeat => {
                self.next_heartbeat.as_mut().reset(Instant::now() + self.heartbeat);
                match Caller::known(&self.headers, &self.engine) {
                    Some(_) => Ok(Bytes::from_static(b": still here\n\n")),
                    None => Err(End::KeyRevoked),
                }
            }
            seen = feed.next() => match seen {
                Ok(seen) => Ok(piece(&seen, &outcome_shown(engine, *is_operator, &seen))),
                Err(FeedEnd::TooSlow) => Err(End::TooSlow),
                Err(FeedEnd::Unavailable(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a stream ended: no log to read");
                    Err(End::Unavailable)
                }
            },
        }
    }
}

/// An attempt's outcome as the key's holder may read it.
fn outcome_shown<'a>(engine: &Engine, is_operator: bool, seen: &'a AttemptSeen) -> Cow<'a, Outcome> {
    if is_operator || matches!(seen.outcome, Outcome::Answered { .. }) {
        return Cow::Borrowed(&seen.outcome);
    }
    let url = engine.endpoint(seen.endpoint).map(|view| view.endpoint.settings.url.to_string());
    Cow::Owned(seen.outcome.clone().for_customers(&url.unwrap_or_default()))
}

/// Why a stream ends; the client is told.
enum End {
    TooSlow,
    ShuttingDown,
    Unavailable,
    KeyRevoked,
}

#[derive(Serialize)]
struct EndShown {
    reason: &'static str,
    detail: &'static str,
}

impl End {
    fn piece(&self) -> Bytes {
        let (reason, detail) = match self {
            Self::TooSlow => (
                "too_slow",
                "more attempts ended than were read here; come back with Last-Event-ID, or narrow the stream",
            ),
            Self::ShuttingDown => ("shutting_down", "the service is stopping; come back with Last-Event-ID"),
            Self::Unavailable => {
                ("unavailable", "the log can't be read at the moment; come back with Last-Event-ID")
            }
            Self::KeyRevoked => ("unauthorized", "the key is not valid any more"),
        };
        event(None, "end", &EndShown { reason, detail })
    }
}

/// One attempt of one delivery.
#[derive(Serialize)]
struct Line<'a> {
    delivery: Text<DeliveryId>,
    event: Text<EventId>,
    r#type: &'a str,
    account: Text<AccountId>,
    endpoint: Text<EndpointId>,
    livemode: bool,
    /// Where the delivery stands after the attempt.
    status: &'static str,
    next_attempt_at: Option<Time>,
    attempt: AttemptLine<'a>,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    number: u32,
    probe: bool,
    started_at: Time,
    total_ms: f64,
    outcome: &'static str,
    status: Option<u16>,
    failure: Option<FailureShown<'a>>,
}

fn piece(seen: &AttemptSeen, outcome: &Outcome) -> Bytes {
    let line = Line {
        delivery: Text(seen.delivery),
        event: Text(seen.event),
        r#type: &seen.event_type,
        account: Text(seen.account),
        endpoint: Text(seen.endpoint),
        livemode: seen.livemode,
        status: seen.status().as_str(),
        next_attempt_at: seen.next_attempt_at().map(Text),
        attempt: AttemptLine {
            number: seen.number,
            probe: seen.probe,
            started_at: Text(seen.started_at),
            total_ms: ms(u64::try_from(seen.took.as_micros()).unwrap_or(u64::MAX)),
            outcome: if seen.outcome.is_received() { "received" } else { "not_received" },
            status: seen.outcome.status(),
            failure: failure(outcome),
        },
    };
    event(Some(seen.place), "attempt", &line)
}

/// One event of the stream. JSON has no line breaks of its own, so that its data is one line.
fn event(place: Option<AttemptPlace>, name: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).expect("wire types have text keys and finite numbers");
    let id = place.map_or_else(String::new, |place| format!("id: {}\n", id_of(place)));
    format!("{id}event: {name}\ndata: {json}\n\n").into()
}

/// A place as the text that `Last-Event-ID` brings back.
fn id_of(place: AttemptPlace) -> String {
    format!("{:x}-{:x}-{:x}", place.ended_at.as_ms(), place.seq.0, place.number)
}

fn place_of(id: &str) -> Option<AttemptPlace> {
    let mut parts = id.splitn(3, '-').map(|part| {
        let is_hex = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(part, 16).ok().filter(|number| is_hex && *number < 1 << 47)
    });
    let mut number = || i64::try_from(parts.next()??).ok();
    let (ended_ms, seq, attempt) = (number()?, number()?, number()?);
    Some(AttemptPlace {
        ended_at: Timestamp::from_ms(ended_ms),
        seq: DeliverySeq(seq),
        number: u32::try_from(attempt).ok()?,
    })
}

/// Where the client was when its last stream broke off. An empty id says that it has none.
fn last_event_id(headers: &HeaderMap) -> Result<Option<AttemptPlace>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let place = value.to_str().ok().and_then(place_of);
    let wanted = "Last-Event-ID: must be the \"id\" of an event of this stream, as it was given";
    place.map(Some).ok_or_else(|| Problem::new(Code::BadParameter, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_text_and_nothing_else_is_one() {
        let place = AttemptPlace {
            ended_at: Timestamp::from_ms(1_700_000_000_123),
            seq: DeliverySeq(77),
            number: 65_536,
        };
        assert_eq!(place_of(&id_of(place)), Some(place));
        for wrong in ["", "1", "1-2", "1-2-3-4", "1-2-+3", "1--3", "x-1-1", "1-800000000000-1", "1-2-A"] {
            assert_eq!(place_of(wrong), None, "{wrong}");
        }
    }
}
