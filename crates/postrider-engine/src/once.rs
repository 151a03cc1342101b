//! Creating calls that happen once, however often they are made: the answer is kept in the very commit that creates, so
//! that there is never one without the other.

use postrider_core::limits::IDEMPOTENCY_KEPT;
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use postrider_store::model::once::Keep;

pub use postrider_store::model::once::{Before, Claim, KeptAnswer};

use crate::config::{FORGET_SLICE, PRUNE_PAUSE};
use crate::{Engine, EngineError, Inner};

/// Makes the answer to a call from what the call is about to create.
type Answering<T> = dyn Fn(&T) -> KeptAnswer + Send + Sync;

/// A creating call with an idempotency key, and how its answer is made.
pub struct Once<T: ?Sized> {
    claim: Claim,
    answer: Box<Answering<T>>,
}

impl<T: ?Sized> Once<T> {
    /// `answer` is asked before the commit. Where the call is matched again, it is asked again, and its last answer counts.
    pub fn new(claim: Claim, answer: impl Fn(&T) -> KeptAnswer + Send + Sync + 'static) -> Self {
        Self { claim, answer: Box::new(answer) }
    }

    pub(crate) fn keep(&self, made: &T, at: Timestamp) -> Keep {
        Keep { claim: self.claim, answer: (self.answer)(made), at }
    }
}

/// What is to be kept with a creation, where its call has an idempotency key; `at` is [`Inner::time_for_ages`].
pub(crate) fn keep<T>(once: Option<&Once<T>>, at: Timestamp, made: impl FnOnce() -> T) -> Option<Box<Keep>> {
    once.map(|once| Box::new(once.keep(&made(), at)))
}

impl Engine {
    /// What was answered to an earlier call with the same idempotency key, where that is kept.
    ///
    /// A creating call that gives [`EngineError::AnsweredBefore`] has created nothing, and finds the answer here.
    pub async fn answered_before(&self, claim: Claim) -> Result<Option<Before>, EngineError> {
        Ok(self.0.store.answered_before(claim, self.0.time_for_ages()).await?)
    }
}

impl Inner {
    /// Forgets the answers that have been kept for as long as they are, in slices with pauses.
    pub(crate) async fn forget_answers(&self) -> Result<(), StoreError> {
        let before = self.time_for_ages().minus(IDEMPOTENCY_KEPT);
        while self.store.forget_answers(before, FORGET_SLICE).await? >= FORGET_SLICE {
            tokio::time::sleep(PRUNE_PAUSE).await;
        }
        Ok(())
    }
}
