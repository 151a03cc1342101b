//! Payloads that memory had no room for: read again when they are sent, and bounded while they are in flight.
//!
//! Without a bound, every request in flight could hold one. Requests to receivers that are slow or not known yet can't
//! hold them all: what they are given leaves a quarter to those that answer quickly.

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Inner;
use crate::config::STORE_PAUSE;
use crate::lanes::Dispatch;

/// Bytes are counted in pieces of this size, and each payload has at least one.
const PIECE_BYTES: usize = 1_024;

/// The room for payloads that were read again.
#[derive(Debug)]
pub(crate) struct Rereads {
    all: Semaphore,
    pieces: u32,
    /// What those that may hold on to it for long can have of it.
    unproven: Semaphore,
    unproven_pieces: u32,
}

/// Room for one payload, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    _of_all: SemaphorePermit<'a>,
    _of_unproven: Option<SemaphorePermit<'a>>,
}

impl Rereads {
    pub(crate) fn new(bytes: usize) -> Self {
        let pieces = u32::try_from(bytes / PIECE_BYTES).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        let unproven_pieces = (pieces / 4 * 3).max(1);
        let semaphore = |pieces: u32| Semaphore::new(usize::try_from(pieces).unwrap_or(usize::MAX));
        Self { all: semaphore(pieces), pieces, unproven: semaphore(unproven_pieces), unproven_pieces }
    }

    /// Waits for room, first come, first served. A payload larger than all of it goes when it is alone.
    pub(crate) async fn room(&self, payload_bytes: u32, proven: bool) -> Room<'_> {
        let piece = u32::try_from(PIECE_BYTES).unwrap_or(u32::MAX);
        let wanted = payload_bytes.div_ceil(piece).max(1);
        let of_unproven = match proven {
            true => None,
            false => Some(acquire(&self.unproven, wanted.min(self.unproven_pieces)).await),
        };
        let of_all = acquire(&self.all, wanted.min(self.pieces)).await;
        Room { _of_all: of_all, _of_unproven: of_unproven }
    }
}

async fn acquire(semaphore: &Semaphore, pieces: u32) -> SemaphorePermit<'_> {
    semaphore.acquire_many(pieces).await.expect("these semaphores are never closed")
}

impl Inner {
    /// Reads a payload that memory had no room for. `Err` where the store could not say.
    pub(crate) async fn read_payload(&self, dispatch: &Dispatch) -> Result<Option<Bytes>, ()> {
        match self.store.payloads(vec![dispatch.item.seq]).await {
            Ok(mut payloads) => Ok(payloads.pop().flatten()),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a payload could not be read; trying again"
                );
                tokio::time::sleep(STORE_PAUSE).await;
                Err(())
            }
        }
    }
}
