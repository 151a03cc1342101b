//! The contract's scheme: `sha1=` and the HMAC-SHA1 of the body, keyed with the whole secret as it is written.
//!
//! It knows nothing of JSON: the bytes signed are the bytes sent.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use crate::VerifyError;

/// What the header's value begins with.
const PREFIX: &[u8; 5] = b"sha1=";
/// How many hex digits follow it.
const HEX_DIGITS: usize = 40;

/// The value of `X-KASKO-Signature` for `body`: `sha1=` and 40 lower-case hex digits.
///
/// The key is the secret's UTF-8 as a whole, `whsec_` included, as in the PHP sample of the contract.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let value = header_value(secret, body);
    std::str::from_utf8(&value).expect("hex digits are ASCII").to_owned()
}

/// Whether `header` is what [`sign`] gives for this secret and body. The time taken does not depend on where
/// the two differ.
///
/// # Errors
/// [`VerifyError::MalformedSignature`] where it isn't `sha1=` and 40 lower-case hex digits,
/// [`VerifyError::Mismatch`] where it is that, but another one.
pub fn verify(secret: &str, body: &[u8], header: &str) -> Result<(), VerifyError> {
    let digits = header.as_bytes().strip_prefix(PREFIX).ok_or(VerifyError::MalformedSignature)?;
    if digits.len() != HEX_DIGITS || !digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(VerifyError::MalformedSignature);
    }
    let expected = header_value(secret, body);
    if bool::from(expected.as_slice().ct_eq(header.as_bytes())) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// The header's value without an allocation.
fn header_value(secret: &str, body: &[u8]) -> [u8; PREFIX.len() + HEX_DIGITS] {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    let digest = mac.finalize().into_bytes();

    let mut value = [0; PREFIX.len() + HEX_DIGITS];
    let (prefix, digits) = value.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        pair[0] = hex_digit(byte >> 4);
        pair[1] = hex_digit(byte & 0xf);
    }
    value
}

const fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[nibble as usize]
}
