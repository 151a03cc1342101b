//! Reads a request's body: JSON by its own word, within its limit, within a time, within the memory that all
//! bodies share. What is inside is judged elsewhere.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use postrider_core::limits::{MAX_BATCH_BODY_BYTES, MAX_REQUEST_BODY_BYTES};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Api;
use crate::fields::Fields;
use crate::problem::{Code, Problem};

const KIB: usize = 1024;

/// The memory that bodies share: one permit for each KiB, and enough for at least one batch.
pub(crate) fn memory(bytes: usize) -> Arc<Semaphore> {
    let kib = bytes.max(MAX_BATCH_BODY_BYTES) / KIB;
    Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS)))
}

/// Which limit holds for a body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// 1 MiB.
    Request,
    /// 8 MiB.
    Batch,
}

impl Limit {
    fn bytes(self) -> usize {
        match self {
            Self::Request => MAX_REQUEST_BODY_BYTES,
            Self::Batch => MAX_BATCH_BODY_BYTES,
        }
    }

    fn refusal(self) -> Problem {
        Problem::new(
            Code::BodyTooLarge,
            match self {
                Self::Request => "the body is longer than 1 MiB (1,048,576 bytes)",
                Self::Batch => "the body is longer than 8 MiB (8,388,608 bytes); send smaller batches",
            },
        )
    }
}

/// A body that was read; its share of the memory is given back when it is dropped.
pub(crate) struct Received {
    bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Received {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Refuses any field of a body that may be left out.
    pub(crate) fn has_no_fields(&self) -> Result<(), Problem> {
        if self.is_empty() { Ok(()) } else { Fields::parse(self.text()?, &[])?.finish() }
    }

    /// The body as text, which JSON is.
    pub(crate) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.bytes).map_err(|why| {
            let place = why.valid_up_to();
            Problem::new(Code::MalformedJson, format!("the body is not UTF-8 text, from byte {place} on"))
        })
    }
}

/// Reads a body. An empty one needs no content type.
pub(crate) async fn read(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
    limit: Limit,
) -> Result<Received, Problem> {
    if body.is_end_stream() {
        return Ok(Received { bytes: Bytes::new(), _share: None });
    }
    check_type(headers)?;
    let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > limit.bytes()) {
        return Err(limit.refusal());
    }
    let share = Share::none_yet(&api.body_memory, announced.unwrap_or(limit.bytes()))?;
    let collected = tokio::time::timeout(api.body_timeout, collect(body, limit, share)).await;
    collected.unwrap_or_else(|_elapsed| {
        let seconds = api.body_timeout.as_secs();
        Err(Problem::new(Code::BodyTimeout, format!("the body was not there within {seconds} s")))
    })
}

async fn collect(mut body: Body, limit: Limit, mut share: Share) -> Result<Received, Problem> {
    let first = next_data(&mut body).await?;
    if first.len() > limit.bytes() {
        return Err(limit.refusal());
    }
    share.grow_to(first.len())?;
    // Nearly every body comes in one piece, which needs no copy.
    if body.is_end_stream() || first.is_empty() {
        return Ok(Received { bytes: first, _share: Some(share.permit) });
    }
    let mut whole = Vec::new();
    let mut piece = first;
    while !piece.is_empty() {
        let length = whole.len().saturating_add(piece.len());
        if length > limit.bytes() {
            return Err(limit.refusal());
        }
        share.grow_to(length)?;
        // No more than the share, whatever was announced.
        whole.reserve_exact(share.bytes().saturating_sub(whole.len()));
        whole.extend_from_slice(&piece);
        piece = next_data(&mut body).await?;
    }
    Ok(Received { bytes: whole.into(), _share: Some(share.permit) })
}

/// The next piece of the body that is not empty; an empty one at the end.
async fn next_data(body: &mut Body) -> Result<Bytes, Problem> {
    while let Some(frame) = body.frame().await {
        let broken = |why| Problem::new(Code::MalformedJson, format!("the body broke off: {why}"));
        match frame.map_err(broken)?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(data),
            // An empty piece, or trailers: nothing of the body.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(Bytes::new())
}

/// The part of the shared memory that one body holds. It is taken as bytes arrive: what a client only announces
/// must take nothing from others. Never waited for, so that bodies that are half there can't block each other.
struct Share {
    memory: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
    /// How many permits the whole body needs at most.
    most: usize,
}

impl Share {
    /// Nothing yet of what a body of up to `most` bytes needs.
    fn none_yet(memory: &Arc<Semaphore>, most: usize) -> Result<Self, Problem> {
        Ok(Self { memory: Arc::clone(memory), permit: permits(memory, 0)?, most: most.div_ceil(KIB) })
    }

    fn bytes(&self) -> usize {
        self.permit.num_permits() * KIB
    }

    /// Takes twice as much where `bytes` do not fit, so that a long body asks seldom.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.permit.num_permits();
        let needed = bytes.div_ceil(KIB);
        if needed > held {
            let wanted = needed.max(self.most.min(2 * held));
            self.permit.merge(permits(&self.memory, wanted - held)?);
        }
        Ok(())
    }
}

fn permits(memory: &Arc<Semaphore>, kib: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let kib = u32::try_from(kib).unwrap_or(u32::MAX);
    let taken = Arc::clone(memory).try_acquire_many_owned(kib);
    taken.map_err(|_full| {
        Problem::new(Code::Overloaded, "too many requests are being read at once; nothing was stored")
    })
}

/// Refuses a body that says it is not JSON in UTF-8.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new(Code::UnsupportedMediaType, detail));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("compressed bodies are not read; send it without Content-Encoding".to_owned());
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the body has no Content-Type; send Content-Type: application/json".to_owned());
    };
    let text = value.to_str().unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        let shown: String = text.chars().take(80).collect();
        let hint = if shown.starts_with("application/x-www-form-urlencoded") {
            " (what curl sends with -d unless told otherwise: add -H 'Content-Type: application/json')"
        } else {
            ""
        };
        return refuse(format!("the Content-Type is \"{shown}\"{hint}; it must be application/json"));
    }
    let is_other_charset = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset")
                && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    };
    if parts.any(is_other_charset) {
        return refuse("JSON is read as UTF-8 alone; send it so and leave the charset out".to_owned());
    }
    Ok(())
}
