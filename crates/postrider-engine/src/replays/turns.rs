//! Whose replay is taken further next: accounts take turns, however many replays each of them runs.

use std::collections::{HashMap, VecDeque};

use postrider_core::endpoint::EndpointNo;
use postrider_core::id::AccountId;
use postrider_core::replay::Replay;

/// The running replays of one account, in their turn.
pub(super) type Replays = VecDeque<(EndpointNo, Replay)>;

/// All running replays.
#[derive(Debug, Default)]
pub(super) struct Turns {
    accounts: VecDeque<AccountId>,
    replays: HashMap<AccountId, Replays>,
}

impl Turns {
    pub(super) fn of(running: Vec<(EndpointNo, Replay)>) -> Self {
        let mut turns = Self::default();
        for (no, replay) in running {
            let own = turns.replays.entry(replay.account).or_default();
            if own.is_empty() {
                turns.accounts.push_back(replay.account);
            }
            own.push_back((no, replay));
        }
        turns
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// How many accounts take turns.
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Takes out the account whose turn it is, with its replays.
    pub(super) fn next(&mut self) -> Option<(AccountId, Replays)> {
        let account = self.accounts.pop_front()?;
        let replays = self.replays.remove(&account)?;
        Some((account, replays))
    }

    /// Puts an account behind the others with what is left of its replays.
    pub(super) fn put_back(&mut self, account: AccountId, replays: Replays) {
        if !replays.is_empty() {
            self.accounts.push_back(account);
            self.replays.insert(account, replays);
        }
    }
}
