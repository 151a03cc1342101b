//! Payloads that memory had no room for: read again when they are sent, and bounded while they are in flight.
//!
//! Without a bound, every request in flight could hold one. Requests to receivers that are slow or not known yet can't
//! hold them all: what they are given leaves a quarter to those that answer quickly. Nor can one account: the one that
//! holds least comes first, and none may hold more than a multiple of what is left.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postrider_core::account::AccountNo;
use tokio::sync::oneshot;

use crate::Inner;
use crate::config::STORE_PAUSE;
use crate::lanes::Dispatch;
use crate::ring::Ring;

/// Bytes are counted in pieces of this size, and each payload has at least one.
const PIECE_BYTES: usize = 1_024;
/// How many times what is left one account may hold: alone, two thirds of it. A first payload is always let in.
const WEIGHT: usize = 2;

/// The room for payloads that were read again.
#[derive(Debug)]
pub(crate) struct Rereads {
    state: Mutex<State>,
    pieces: usize,
    /// What those that may hold on to it for long can have of it.
    unproven_pieces: usize,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    used_by_unproven: usize,
    by_account: HashMap<AccountNo, usize>,
    /// Those that wait: for quick receivers, and for others.
    waiting: [Ring<Waiter>; 2],
}

#[derive(Debug)]
struct Waiter {
    pieces: usize,
    ready: oneshot::Sender<()>,
}

/// What a payload is about to have, or has, of the room.
#[derive(Debug, Clone, Copy)]
struct Claim {
    account: AccountNo,
    pieces: usize,
    proven: bool,
}

/// Room for one payload, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    rereads: &'a Rereads,
    claim: Claim,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut state = self.rereads.lock();
        state.count(self.claim, false);
        self.rereads.let_in(&mut state);
    }
}

/// A place in the queue. Whoever goes away gives back what it was given at that moment.
struct Place<'a> {
    rereads: &'a Rereads,
    claim: Claim,
    ready: oneshot::Receiver<()>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.ready.close();
        if self.ready.try_recv().is_ok() {
            drop(Room { rereads: self.rereads, claim: self.claim });
        }
    }
}

impl Rereads {
    pub(crate) fn new(bytes: usize) -> Self {
        let pieces = (bytes / PIECE_BYTES).max(1);
        Self { state: Mutex::default(), pieces, unproven_pieces: (pieces / 4 * 3).max(1) }
    }

    /// Waits for room. A payload larger than all of it goes when it is alone.
    pub(crate) async fn room(&self, account: AccountNo, payload_bytes: u32, proven: bool) -> Room<'_> {
        let wanted = usize::try_from(payload_bytes).unwrap_or(usize::MAX).div_ceil(PIECE_BYTES).max(1);
        let claim = Claim { account, pieces: wanted.min(self.limit(proven)), proven };
        let (ready, waits) = oneshot::channel();
        let mut place = Place { rereads: self, claim, ready: waits };
        {
            let mut state = self.lock();
            let used = state.of(account);
            state.waiting[usize::from(!proven)].push(account, Waiter { pieces: claim.pieces, ready }, used);
            self.let_in(&mut state);
        }
        (&mut place.ready).await.expect("a waiter is let in before it is dropped");
        Room { rereads: self, claim }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self, proven: bool) -> usize {
        if proven { self.pieces } else { self.unproven_pieces }
    }

    /// Lets in whoever may have room now. Whoever comes first in its queue is waited for, so that a large one has its turn.
    fn let_in(&self, state: &mut State) {
        for proven in [true, false] {
            let queue = usize::from(!proven);
            while let Some((account, waiter)) = state.waiting[queue].first() {
                let claim = Claim { account, pieces: waiter.pieces, proven };
                if !self.fits(state, claim) {
                    break;
                }
                let Some(waiter) = state.waiting[queue].pop() else { break };
                if waiter.ready.send(()).is_ok() {
                    state.count(claim, true);
                }
            }
        }
    }

    fn fits(&self, state: &State, claim: Claim) -> bool {
        let is_full = state.used + claim.pieces > self.pieces
            || (!claim.proven && state.used_by_unproven + claim.pieces > self.unproven_pieces);
        let own = state.of(claim.account);
        let left = self.limit(claim.proven).saturating_sub(state.used);
        !is_full && (own == 0 || own + claim.pieces <= WEIGHT * left)
    }
}

impl State {
    fn of(&self, account: AccountNo) -> usize {
        self.by_account.get(&account).copied().unwrap_or(0)
    }

    /// Counts a payload in or out.
    fn count(&mut self, Claim { account, pieces, proven }: Claim, is_in: bool) {
        let changed = |used: usize| if is_in { used + pieces } else { used.saturating_sub(pieces) };
        self.used = changed(self.used);
        if !proven {
            self.used_by_unproven = changed(self.used_by_unproven);
        }
        let own = changed(self.of(account));
        match own {
            0 => drop(self.by_account.remove(&account)),
            own => drop(self.by_account.insert(account, own)),
        }
        for queue in &mut self.waiting {
            queue.set_used(account, own);
        }
    }
}

impl Inner {
    /// Waits for the room for a dispatch's payload.
    pub(crate) async fn payload_room(&self, dispatch: &Dispatch) -> Room<'_> {
        let account = dispatch.endpoint.account_no;
        self.rereads.room(account, dispatch.item.payload_bytes, dispatch.proven).await
    }

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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const KIB: u32 = 1_024;

    /// As many of these as are let in at once.
    fn take_all(rereads: &Rereads, account: i64, kib: u32, proven: bool) -> Vec<Room<'_>> {
        let next = || rereads.room(AccountNo(account), kib * KIB, proven).now_or_never();
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn however_much_one_account_takes_another_has_room_at_once() {
        for proven in [true, false] {
            let rereads = Rereads::new(1_200 * 1_024);
            let taken = take_all(&rereads, 1, 10, proven);
            assert!(taken.len() >= 50, "{}", taken.len());
            for account in 2..=4 {
                let of_other = take_all(&rereads, account, 10, proven);
                assert!(!of_other.is_empty(), "account {account}");
                std::mem::forget(of_other);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_holds_least_is_let_in_first_and_a_large_one_has_its_turn() {
        let rereads = Rereads::new(100 * 1_024);
        let mut held = take_all(&rereads, 1, 10, true);
        let mut first = Box::pin(rereads.room(AccountNo(1), 10 * KIB, true));
        let mut large = Box::pin(rereads.room(AccountNo(2), 5_000 * KIB, true));
        assert!((&mut first).now_or_never().is_none() && (&mut large).now_or_never().is_none());
        while held.len() > 1 {
            held.pop();
            assert!((&mut large).now_or_never().is_none() && (&mut first).now_or_never().is_none());
        }
        held.pop();
        let large = (&mut large).now_or_never().expect("it is alone");
        assert!((&mut first).now_or_never().is_none());
        drop(large);
        assert!((&mut first).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_away_leaves_nothing_behind() {
        let rereads = Rereads::new(10 * 1_024);
        let held = take_all(&rereads, 1, 1, true);
        let mut waits = Box::pin(rereads.room(AccountNo(1), KIB, true));
        assert!((&mut waits).now_or_never().is_none());
        drop(held);
        drop(waits);
        let gone = Box::pin(rereads.room(AccountNo(1), KIB, true));
        drop(gone);
        let used = rereads.lock().used;
        assert_eq!(used, 0);
        let alone = rereads.room(AccountNo(2), 10 * KIB, true).now_or_never();
        assert!(alone.is_some(), "all of it is free");
    }
}
