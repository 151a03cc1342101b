//! Round robin over accounts, then over each account's lanes, in constant time.

use std::collections::{HashMap, VecDeque};

use postrider_core::account::AccountNo;
use postrider_core::endpoint::EndpointNo;

/// Lanes that may have something to send. Each lane stands in it at most once; its owner sees to that.
#[derive(Debug, Default)]
pub(super) struct Ring {
    accounts: VecDeque<AccountNo>,
    lanes: HashMap<AccountNo, VecDeque<EndpointNo>>,
}

impl Ring {
    /// Puts a lane at the end of its account's turn.
    pub(super) fn push(&mut self, account: AccountNo, lane: EndpointNo) {
        let lanes = self.lanes.entry(account).or_default();
        if lanes.is_empty() {
            self.accounts.push_back(account);
        }
        lanes.push_back(lane);
    }

    /// Whether no lane waits in it.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The next lane of the next account.
    pub(super) fn pop(&mut self) -> Option<EndpointNo> {
        let account = self.accounts.pop_front()?;
        let lanes = self.lanes.get_mut(&account)?;
        let lane = lanes.pop_front();
        if lanes.is_empty() {
            self.lanes.remove(&account);
        } else {
            self.accounts.push_back(account);
        }
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_take_turns_however_many_lanes_each_has() {
        let mut ring = Ring::default();
        for lane in 1..=3 {
            ring.push(AccountNo(1), EndpointNo(lane));
        }
        ring.push(AccountNo(2), EndpointNo(10));
        let order: Vec<i64> = std::iter::from_fn(|| ring.pop()).map(|lane| lane.0).collect();
        assert_eq!(order, [1, 10, 2, 3]);
        assert!(ring.lanes.is_empty() && ring.accounts.is_empty(), "nothing is left behind");
    }
}
