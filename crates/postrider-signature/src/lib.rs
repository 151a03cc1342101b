//! Signs and verifies webhooks: the `X-KASKO-Signature` of the contract, and Standard Webhooks v1.
//!
//! For senders and receivers alike, so it stays tiny: no I/O, no clock (`now` is an argument), and it never
//! parses a body. Comparisons with a secret's outcome take the same time whatever differs.
//!
//! ```
//! use postrider_signature::kasko;
//!
//! let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
//! let body = b"{}";
//! let header = kasko::sign(secret, body);
//! assert_eq!(header, "sha1=205d9b79bcc779bd36121006c1f235b76b2b43a2");
//! assert!(kasko::verify(secret, body, &header).is_ok());
//! ```

pub mod kasko;
pub mod standard;

/// Why a request must not be believed. Whatever the variant: drop the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature header does not have the scheme's form at all.
    #[error("the signature header does not have the form of this scheme")]
    MalformedSignature,
    /// The signature is not the one that this secret gives for this body.
    #[error("the signature does not match: another secret, or the body was changed")]
    Mismatch,
    /// The timestamp header is not a whole number of seconds.
    #[error("the timestamp header is not a whole number of seconds since 1970")]
    MalformedTimestamp,
    /// The timestamp lies further back than the tolerance: perhaps an old request played again.
    #[error("the timestamp is too old")]
    TimestampTooOld,
    /// The timestamp lies further ahead than the tolerance: one of the two clocks is wrong.
    #[error("the timestamp lies in the future")]
    TimestampInFuture,
}

/// The README's examples, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
