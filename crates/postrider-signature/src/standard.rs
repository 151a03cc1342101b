//! Standard Webhooks v1: HMAC-SHA256 over `id.timestamp.body`, several signatures in one header, and a
//! timestamp against requests played again.
//!
//! Source: the Standard Webhooks specification, "Signature scheme" and "Verifying signatures". The asymmetric
//! `v1a` is not done here; its signatures in a header are passed over.

use std::fmt::{self, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::VerifyError;

/// How far a timestamp may lie from the receiver's clock, either way, unless the receiver knows better.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How many signatures of one header are looked at; a rotation needs two.
pub const MAX_SIGNATURES: usize = 16;

/// What a secret begins with when it is shown; not part of the key.
const SECRET_PREFIX: &str = "whsec_";
/// What a signature begins with.
const VERSION: &str = "v1,";
/// The standard base64 of 32 bytes.
const BASE64_BYTES: usize = 44;

/// The text is not a secret of this scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It does not begin with `whsec_`.
    #[error("a Standard Webhooks secret begins with \"whsec_\"")]
    Prefix,
    /// What follows is not standard base64 of at least one byte.
    #[error("what follows \"whsec_\" is not standard base64")]
    Base64,
}

/// The key of a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`: the bytes behind the prefix.
///
/// # Errors
/// [`KeyError`] where the text isn't `whsec_` and standard base64 (padded, RFC 4648 section 4).
pub fn key_from_secret(secret: &str) -> Result<Vec<u8>, KeyError> {
    let encoded = secret.strip_prefix(SECRET_PREFIX).ok_or(KeyError::Prefix)?;
    let key = STANDARD.decode(encoded).or(Err(KeyError::Base64))?;
    if key.is_empty() { Err(KeyError::Base64) } else { Ok(key) }
}

/// One signature for `webhook-signature`: `v1,` and the base64 of the HMAC-SHA256.
///
/// `id` is the value of `webhook-id`, `timestamp_seconds` that of `webhook-timestamp`. During a rotation the
/// header holds one such text per key, separated by spaces.
pub fn sign(key: &[u8], id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
    let mut encoded = [0; BASE64_BYTES];
    let mut signature = String::with_capacity(VERSION.len() + BASE64_BYTES);
    signature.push_str(VERSION);
    signature.push_str(signature_base64(key, id, timestamp_seconds, body, &mut encoded));
    signature
}

/// Whether one of the `v1` signatures in `signature_header` is right under one of `keys`, and the timestamp is
/// not further than `tolerance` from `now_seconds` ([`DEFAULT_TOLERANCE`] suits most).
///
/// `timestamp_header` and `signature_header` are the headers' values as they came. Signatures of other versions
/// are passed over, and so is what follows the first [`MAX_SIGNATURES`]. Every pair is compared in constant
/// time, and all of them, so the time taken does not tell which one matched.
///
/// # Errors
/// The timestamp is judged first. [`VerifyError::MalformedSignature`] where no `v1` signature is there at all.
pub fn verify<K: AsRef<[u8]>>(
    keys: impl IntoIterator<Item = K>,
    id: &str,
    timestamp_header: &str,
    signature_header: &str,
    body: &[u8],
    now_seconds: i64,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    let timestamp_seconds = read_timestamp(timestamp_header, now_seconds, tolerance)?;
    let candidates = || {
        let listed = signature_header.split(' ').filter(|text| !text.is_empty()).take(MAX_SIGNATURES);
        listed.filter_map(|text| text.strip_prefix(VERSION))
    };
    if candidates().next().is_none() {
        return Err(VerifyError::MalformedSignature);
    }
    let mut found = Choice::from(0);
    let mut encoded = [0; BASE64_BYTES];
    for key in keys {
        let expected = signature_base64(key.as_ref(), id, timestamp_seconds, body, &mut encoded);
        for candidate in candidates() {
            found |= expected.as_bytes().ct_eq(candidate.as_bytes());
        }
    }
    if bool::from(found) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// The timestamp, if it is one and near enough to now.
///
/// Only digits (and a leading minus) are taken, in the one form that [`sign`] writes: `+1` or `01` would be
/// signed as `1` and so could be changed on the way without being noticed.
fn read_timestamp(header: &str, now_seconds: i64, tolerance: Duration) -> Result<i64, VerifyError> {
    let digits = header.strip_prefix('-').unwrap_or(header);
    let canonical = digits == "0" && digits.len() == header.len() || !digits.starts_with('0');
    if !canonical || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VerifyError::MalformedTimestamp);
    }
    let timestamp: i64 = header.parse().or(Err(VerifyError::MalformedTimestamp))?;
    if now_seconds.abs_diff(timestamp) <= tolerance.as_secs() {
        Ok(timestamp)
    } else if timestamp < now_seconds {
        Err(VerifyError::TimestampTooOld)
    } else {
        Err(VerifyError::TimestampInFuture)
    }
}

/// The signature's base64, written into `encoded`.
fn signature_base64<'a>(
    key: &[u8],
    id: &str,
    timestamp_seconds: i64,
    body: &[u8],
    encoded: &'a mut [u8; BASE64_BYTES],
) -> &'a str {
    let mut signed = Signed(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"));
    write!(signed, "{id}.{timestamp_seconds}.").expect("writing into a hash cannot fail");
    signed.0.update(body);
    let digest = signed.0.finalize().into_bytes();
    let length =
        STANDARD.encode_slice(digest, encoded).expect("44 bytes hold the base64 of a SHA-256 digest");
    std::str::from_utf8(&encoded[..length]).expect("base64 is ASCII")
}

/// Feeds formatted text straight into the hash, so that nothing is put together in memory first.
struct Signed(Hmac<Sha256>);

impl fmt::Write for Signed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}
