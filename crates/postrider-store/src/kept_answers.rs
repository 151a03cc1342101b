//! Answers that are kept with what a call created, as both databases hold them: sealed, because they may show keys and
//! secrets.

use bytes::Bytes;
use postrider_core::limits::IDEMPOTENCY_KEPT;
use postrider_core::time::Timestamp;

use crate::columns::Unreadable;
use crate::model::once::{Before, Claim, Keep, KeptAnswer};
use crate::seal::{Place, Sealer};

/// A row to be written.
pub(crate) struct Row {
    pub(crate) claim: Claim,
    pub(crate) status: i32,
    pub(crate) answer: Vec<u8>,
    pub(crate) kept_at: i64,
}

impl Row {
    pub(crate) fn of(sealer: &Sealer, keep: &Keep) -> Self {
        let Keep { claim, answer, at } = keep;
        Self {
            claim: *claim,
            status: answer.status.into(),
            answer: sealer.seal(place(&claim.scope), &answer.body),
            kept_at: at.as_ms(),
        }
    }

    /// What was kept up to then is as if it were not there.
    pub(crate) fn forgotten_until(&self) -> i64 {
        forgotten_until(Timestamp::from_ms(self.kept_at))
    }
}

/// What was kept up to then is as if it were not there.
pub(crate) fn forgotten_until(now: Timestamp) -> i64 {
    now.minus(IDEMPOTENCY_KEPT).as_ms()
}

/// What a row says to a call.
pub(crate) fn before(
    sealer: &Sealer,
    claim: Claim,
    body_sha256: &[u8],
    status: i32,
    answer: &[u8],
) -> Result<Before, Unreadable> {
    if claim.body_sha256 != body_sha256 {
        return Ok(Before::OtherBody);
    }
    let status = u16::try_from(status).or(Err(Unreadable("kept_answers.status")))?;
    let body = sealer.open(place(&claim.scope), answer).or(Err(Unreadable("kept_answers.answer")))?;
    Ok(Before::Answered(KeptAnswer { status, body: Bytes::copy_from_slice(&body) }))
}

fn place(scope: &[u8; 32]) -> Place<'_> {
    Place { table: "kept_answers", column: "answer", row: scope }
}
