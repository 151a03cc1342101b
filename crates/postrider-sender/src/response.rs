//! What is kept of an answer: its headers and the first bytes of its body. Nothing here changes the outcome.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use postrider_core::attempt::{HeaderLog, ResponseLog};
use postrider_core::limits::{MAX_BODY_READ, MAX_KEPT_BODY_BYTES};
use postrider_core::retry_after::parse_retry_after;
use postrider_core::time::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::limits::{MAX_KEPT_HEADER_BYTES, MAX_KEPT_HEADER_VALUE_BYTES};
use crate::link::Link;

/// What most header logs fit into.
pub(crate) const LOG_BYTES: usize = 512;

/// How the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    /// All of it was read.
    Whole,
    /// There was more than is kept, or it broke off, or it took too long.
    CutOff,
}

/// How long the receiver asked to be left alone. Only with the two statuses that say "not now".
pub(crate) fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<std::time::Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    parse_retry_after(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now)
}

/// Reads as much of the body as the log keeps, for at most [`MAX_BODY_READ`]. The second value tells whether
/// the body was read to its end, so that the connection may be used again.
pub(crate) async fn read(link: &mut Link, headers: &HeaderMap, body: Incoming) -> (ResponseLog, bool) {
    let headers = header_log(headers);
    let mut kept = Vec::new();
    let end = if body.is_end_stream() {
        BodyEnd::Whole
    } else {
        let until = Instant::now() + MAX_BODY_READ;
        let read = link.drive(read_body(body, &mut kept));
        timeout_at(until, read).await.unwrap_or(BodyEnd::CutOff)
    };
    let whole = end == BodyEnd::Whole;
    (ResponseLog { headers, body: Bytes::from(kept), body_truncated: !whole }, whole)
}

/// Copies the body into `kept` up to the limit. A copy, since the pieces are windows into the connection's read
/// buffer and would keep all of it alive.
async fn read_body(mut body: Incoming, kept: &mut Vec<u8>) -> BodyEnd {
    loop {
        match body.frame().await {
            None => return BodyEnd::Whole,
            Some(Err(_cut_off)) => return BodyEnd::CutOff,
            Some(Ok(frame)) => {
                // Trailers are no part of what is kept.
                let Ok(piece) = frame.into_data() else { continue };
                let room = MAX_KEPT_BODY_BYTES - kept.len();
                kept.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() > room {
                    return BodyEnd::CutOff;
                }
            }
        }
    }
}

/// The headers as text, bounded one by one and together.
fn header_log(headers: &HeaderMap) -> HeaderLog {
    let mut log = HeaderLog::with_capacity(LOG_BYTES);
    let mut room = MAX_KEPT_HEADER_BYTES;
    for (name, value) in headers {
        let value = value.as_bytes();
        let shown = &value[..value.len().min(MAX_KEPT_HEADER_VALUE_BYTES)];
        let Some(left) = room.checked_sub(name.as_str().len() + shown.len()) else { break };
        room = left;
        log.push(name.as_str().chars(), shown);
    }
    log
}
