//! `Idempotency-Key`: a creating call that is made again gives the first answer again and creates nothing.
//!
//! The answer is kept in the commit that creates, so that it is there whenever what was created is, after a kill and on
//! another node too. It is looked up before the body is judged, because what was right then may not be so any more; and
//! once more where the call was refused, because a twin may have been faster.

use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use postrider_core::text::is_idempotency_key;
use postrider_engine::{Before, Claim, KeptAnswer, Once};
use sha2::{Digest as _, Sha256};

use crate::answer::{self, Answer};
use crate::body::Received;
use crate::call::Call;
use crate::problem::{Code, Problem};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells an answer that was given before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A creating call on its way: what it leaves behind with what it creates, where it has an idempotency key.
pub(crate) struct Asked(Option<(Claim, Kept)>);

/// The answer that was committed with what was created, or was about to be.
type Kept = Arc<Mutex<Option<KeptAnswer>>>;

impl Asked {
    /// For the engine: the answer to this call, with `status`, and with what `shown` makes of what is created.
    pub(crate) fn once<T: ?Sized>(
        &self,
        status: StatusCode,
        shown: impl Fn(&T) -> Bytes + Send + Sync + 'static,
    ) -> Option<Once<T>> {
        let (claim, kept) = self.0.as_ref()?;
        let kept = Arc::clone(kept);
        let answer = move |made: &T| {
            let answer = KeptAnswer { status: status.as_u16(), body: shown(made) };
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
            answer
        };
        Some(Once::new(*claim, answer))
    }
}

/// Runs a creating call whose body was read; what it is asked for is given before it is judged where it was given before.
pub(crate) async fn once(call: &Call, body: &Received, create: impl AsyncFnOnce(Asked) -> Answer) -> Answer {
    let Some(claim) = claim(call, body)? else { return create(Asked(None)).await };
    if let Some(answer) = before(call, claim).await? {
        return Ok(answer);
    }
    let kept = Kept::default();
    match create(Asked(Some((claim, Arc::clone(&kept))))).await {
        Ok(response) => {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(kept.map_or(response, answer))
        }
        Err(problem) => Ok(before(call, claim).await?.ok_or(problem)?),
    }
}

/// What was answered to an earlier call, where it was this very one.
async fn before(call: &Call, claim: Claim) -> Result<Option<Response>, Problem> {
    match call.engine().answered_before(claim).await? {
        None => Ok(None),
        Some(Before::Answered(kept)) => {
            let mut response = answer(kept);
            response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
            Ok(Some(response))
        }
        Some(Before::OtherBody) => Err(Problem::new(
            Code::Conflict,
            "this Idempotency-Key was used with another body within the last 24 hours; use a fresh one for a new call",
        )),
    }
}

fn answer(kept: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    answer::exact_json(status, kept.body)
}

/// The call by its key, if it has one: who makes it, on which path, with which key and body.
fn claim(call: &Call, body: &Received) -> Result<Option<Claim>, Problem> {
    let Some(key) = key(call.headers())? else { return Ok(None) };
    let mut scope = Sha256::new();
    match call.caller.key() {
        Some(id) => scope.update(id.to_string()),
        None => scope.update("operator"),
    }
    // Neither a path nor a key can hold a zero byte.
    for part in [call.path(), key] {
        scope.update([0]);
        scope.update(part);
    }
    Ok(Some(Claim {
        scope: scope.finalize().into(),
        body_sha256: call.engine().run_long(body.bytes().len(), || Sha256::digest(body.bytes())).into(),
    }))
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(key) if is_idempotency_key(value.as_bytes()) && values.next().is_none() => Ok(Some(key)),
        _ => Err(Problem::new(
            Code::BadParameter,
            "Idempotency-Key must be one header of 1 to 255 visible ASCII characters, such as a UUID",
        )),
    }
}

#[cfg(test)]
mod tests {
    use postrider_core::limits::MAX_IDEMPOTENCY_KEY_CHARS;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).expect("a header's value"));
        }
        key(&headers).map(|key| key.map(str::to_owned)).map_err(|problem| problem.code().to_owned())
    }

    #[test]
    fn a_key_is_one_word_of_visible_characters() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"8e03978e-40d5-43e8"]), Ok(Some("8e03978e-40d5-43e8".to_owned())));
        let longest = [b'k'; MAX_IDEMPOTENCY_KEY_CHARS];
        assert_eq!(read(&[&longest]), Ok(Some("k".repeat(255))));
        let too_long = [b'k'; MAX_IDEMPOTENCY_KEY_CHARS + 1];
        for bad in [&[b"".as_slice()] as &[&[u8]], &[&too_long], &[b"two words"], &[b"\xfc"], &[b"a", b"a"]] {
            assert_eq!(read(bad), Err("bad_parameter".to_owned()), "{bad:?}");
        }
    }
}
