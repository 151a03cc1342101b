//! Reads request bodies: JSON content type, size limit, timeouts, and a memory budget that all bodies share and of which
//! each account has a part. What is inside is judged elsewhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use postrider_core::body_pace::{BODY_GROWS_WITHIN, BodyPace};
use postrider_core::fair_share::{Exhausted, FairPool, Shares};
use postrider_core::id::AccountId;
use postrider_core::limits::{MAX_BATCH_BODY_BYTES, MAX_REQUEST_BODY_BYTES};
use tokio::time::Instant;

use crate::Api;
use crate::caller::Caller;
use crate::fields::Fields;
use crate::problem::{Code, Problem};

const KIB: usize = 1024;

/// The least memory for bodies: room for a batch, as much left free beside it, and a batch of the operator.
const MIN_MEMORY_BYTES: usize = 3 * MAX_BATCH_BODY_BYTES;
/// One account has at most one part in so many.
const PARTS_PER_ACCOUNT: usize = 4;
/// The memory that the bodies of all requests share, in KiB.
pub(crate) struct BodyMemory(Mutex<FairPool<AccountId>>);

impl BodyMemory {
    /// A batch's part is the operator's only; of the rest an account has at most a quarter, and past one request's body at
    /// most as much as it leaves free.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let total = bytes.max(MIN_MEMORY_BYTES) / KIB;
        let batch = MAX_BATCH_BODY_BYTES / KIB;
        let shares = Shares {
            total,
            reserved: batch,
            largest: (total / PARTS_PER_ACCOUNT).max(batch),
            guaranteed: MAX_REQUEST_BODY_BYTES / KIB,
        };
        Arc::new(Self(Mutex::new(FairPool::new(shares))))
    }

    fn pool(&self) -> MutexGuard<'_, FairPool<AccountId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    _share: Option<Share>,
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
    caller: Caller,
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
    let holder = caller.bounds().map(|(account, _)| account);
    let share = Share::none_yet(&api.body_memory, holder, announced.unwrap_or(limit.bytes()));
    let collected = tokio::time::timeout(api.body_timeout, collect(body, limit, share)).await;
    collected.unwrap_or_else(|_elapsed| {
        let seconds = api.body_timeout.as_secs();
        Err(Problem::new(Code::BodyTimeout, format!("the body did not arrive within {seconds} s")))
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
        return Ok(Received { bytes: first, _share: Some(share) });
    }
    let (mut pace, began) = (BodyPace::default(), Instant::now());
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
        let deadline = pace.next_within(length, began.elapsed()).map(|at| began + at);
        piece = in_time(deadline, next_data(&mut body)).await?;
    }
    Ok(Received { bytes: whole.into(), _share: Some(share) })
}

/// Waits for the next piece, until `deadline` where there is one.
async fn in_time(
    deadline: Option<Instant>,
    piece: impl Future<Output = Result<Bytes, Problem>>,
) -> Result<Bytes, Problem> {
    let Some(deadline) = deadline else { return piece.await };
    tokio::time::timeout_at(deadline, piece).await.unwrap_or_else(|_elapsed| {
        let seconds = BODY_GROWS_WITHIN.as_secs();
        let detail = format!("the body arrives too slowly: it has hardly grown within {seconds} s");
        Err(Problem::new(Code::BodyTimeout, detail))
    })
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
    memory: Arc<BodyMemory>,
    holder: Option<AccountId>,
    kib: usize,
    /// How much the whole body needs at most.
    most_kib: usize,
}

impl Share {
    /// Nothing yet of what a body of up to `most` bytes needs.
    fn none_yet(memory: &Arc<BodyMemory>, holder: Option<AccountId>, most: usize) -> Self {
        Self { memory: Arc::clone(memory), holder, kib: 0, most_kib: most.div_ceil(KIB) }
    }

    fn bytes(&self) -> usize {
        self.kib * KIB
    }

    /// Takes twice as much where `bytes` do not fit, so that a long body asks seldom; or as much as there is.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let needed = bytes.div_ceil(KIB);
        if needed <= self.kib {
            return Ok(());
        }
        let wanted = needed.max(self.most_kib.min(2 * self.kib));
        let mut pool = self.memory.pool();
        let taken = match pool.take(self.holder, wanted - self.kib) {
            Err(_) if wanted > needed => pool.take(self.holder, needed - self.kib).map(|()| needed),
            taken => taken.map(|()| wanted),
        };
        drop(pool);
        self.kib = taken.map_err(|why| Problem::new(Code::Overloaded, refusal(why)))?;
        Ok(())
    }
}

fn refusal(why: Exhausted) -> &'static str {
    match why {
        Exhausted::Share => {
            "this account sends too many large requests at once; nothing was stored, try again in a moment"
        }
        Exhausted::Pool => {
            "too many requests are being read at once; nothing was stored, try again in a moment"
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.pool().give_back(self.holder, self.kib);
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    const MIB: usize = 1024 * KIB;

    fn account(number: u8) -> Option<AccountId> {
        Some(AccountId::from_bytes([number; 16]))
    }

    /// A body of which only so much has arrived.
    fn unfinished(
        memory: &Arc<BodyMemory>,
        holder: Option<AccountId>,
        bytes: usize,
    ) -> Result<Share, Problem> {
        let mut share = Share::none_yet(memory, holder, MAX_BATCH_BODY_BYTES);
        share.grow_to(bytes).map(|()| share)
    }

    #[test]
    fn one_account_with_unfinished_batches_leaves_the_others_and_the_operator_their_part() {
        let memory = BodyMemory::new(64 * MIB);
        let batch = MAX_BATCH_BODY_BYTES - 1;
        let held: Vec<Share> = std::iter::from_fn(|| unfinished(&memory, account(1), batch).ok()).collect();
        assert_eq!(held.len(), 2, "a quarter");
        let refused = unfinished(&memory, account(1), MIB).err().unwrap();
        assert_eq!(refused.code(), "overloaded");
        let other = unfinished(&memory, account(2), batch).unwrap();
        assert!(unfinished(&memory, None, batch).is_ok());
        // However many accounts do the same, the next one's events are read.
        let crowd: Vec<Share> = (3..=9)
            .flat_map(|number| {
                let memory = Arc::clone(&memory);
                std::iter::from_fn(move || unfinished(&memory, account(number), batch).ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(unfinished(&memory, account(100), MIB).is_ok());
        assert!(unfinished(&memory, None, batch).is_ok());
        drop((held, other, crowd));
        assert!(memory.pool().is_empty(), "everything is given back");
    }

    #[test]
    fn the_least_memory_has_room_for_a_batch_of_each_kind_of_caller() {
        let memory = BodyMemory::new(0);
        let own = unfinished(&memory, account(1), MAX_BATCH_BODY_BYTES).unwrap();
        let operators = unfinished(&memory, None, MAX_BATCH_BODY_BYTES).unwrap();
        assert!(unfinished(&memory, account(2), MIB).is_ok());
        drop((own, operators));
    }

    /// A body that arrives in pieces with pauses; `None` is one that never comes.
    fn in_pieces(pieces: Vec<Option<usize>>, pause: Duration) -> Body {
        let pieces = stream::iter(pieces).then(move |length| async move {
            tokio::time::sleep_until(Instant::now() + pause).await;
            match length {
                Some(length) => Ok::<_, std::io::Error>(Bytes::from(vec![b' '; length])),
                None => std::future::pending().await,
            }
        });
        Body::from_stream(pieces)
    }

    async fn collected(body: Body) -> (Result<usize, String>, Duration) {
        let memory = BodyMemory::new(0);
        let share = Share::none_yet(&memory, account(1), MAX_BATCH_BODY_BYTES);
        let began = Instant::now();
        let read = collect(body, Limit::Batch, share).await;
        assert!(read.is_err() || !memory.pool().is_empty());
        let length = read.map(|received| received.bytes().len()).map_err(|why| why.code().to_owned());
        assert!(memory.pool().is_empty(), "its memory is free again");
        (length, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_that_stops_arriving_gives_its_memory_back_after_five_seconds() {
        let stalled = in_pieces(vec![Some(MIB), None], Duration::ZERO);
        let (read, took) = collected(stalled).await;
        assert_eq!((read, took), (Err("body_timeout".to_owned()), BODY_GROWS_WITHIN));
        // A byte now and then is no growth.
        let trickle =
            in_pieces(std::iter::once(Some(MIB)).chain(vec![Some(1); 60]).collect(), Duration::from_secs(1));
        let (read, took) = collected(trickle).await;
        assert_eq!(read, Err("body_timeout".to_owned()));
        assert!(took <= 2 * BODY_GROWS_WITHIN, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_served() {
        let small = in_pieces(vec![Some(1_000); 20], Duration::from_secs(1));
        assert_eq!(collected(small).await.0, Ok(20_000), "20 KB in 20 s");
        let large = in_pieces(vec![Some(MIB / 4); 32], Duration::from_millis(900));
        assert_eq!(collected(large).await.0, Ok(8 * MIB), "8 MiB in 29 s");
    }
}
