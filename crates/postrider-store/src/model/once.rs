//! What makes a creating call happen once: who asked for what, and the answer that was given.

use bytes::Bytes;
use postrider_core::time::Timestamp;

/// A creating call by its idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// SHA-256 of who called, the route, and the idempotency key.
    pub scope: [u8; 32],
    /// SHA-256 of the body.
    pub body_sha256: [u8; 32],
}

/// An answer as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its status; it means something to whoever answered, and nothing here.
    pub status: u16,
    /// The body, which may hold keys and secrets.
    pub body: Bytes,
}

impl std::fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptAnswer({}, …)", self.status)
    }
}

/// What is kept with what a call creates, in the same commit. Where something is kept for its scope already, less than
/// [`postrider_core::limits::IDEMPOTENCY_KEPT`] old, the call creates nothing and is refused as `AnsweredBefore`.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The call.
    pub claim: Claim,
    /// Its answer.
    pub answer: KeptAnswer,
    /// Now.
    pub at: Timestamp,
}

/// What is kept of an earlier call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// It was the same call.
    Answered(KeptAnswer),
    /// It had another body.
    OtherBody,
}
