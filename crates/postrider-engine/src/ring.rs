//! The order in which accounts are served that wait for a share of something: the one that uses least of it first, round
//! robin among equals, then in each account's own order. Costs the logarithm of the number of accounts.

use std::collections::{BTreeSet, HashMap, VecDeque};

use postrider_core::account::AccountNo;

/// Those that wait, by account.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    accounts: HashMap<AccountNo, Waiting<T>>,
    /// By use, then by turn.
    order: BTreeSet<(usize, u64, AccountNo)>,
    next_turn: u64,
}

/// Those of one account.
#[derive(Debug)]
struct Waiting<T> {
    used: usize,
    turn: u64,
    items: VecDeque<T>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { accounts: HashMap::new(), order: BTreeSet::new(), next_turn: 0 }
    }
}

impl<T> Ring<T> {
    /// Puts something at the end of its account's own order. The account uses so much at the moment.
    pub(crate) fn push(&mut self, account: AccountNo, item: T, used: usize) {
        if let Some(waiting) = self.accounts.get_mut(&account) {
            return waiting.items.push_back(item);
        }
        self.insert(account, used, VecDeque::from([item]));
    }

    fn insert(&mut self, account: AccountNo, used: usize, items: VecDeque<T>) {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.order.insert((used, turn, account));
        self.accounts.insert(account, Waiting { used, turn, items });
    }

    /// Takes note of how much an account uses now.
    pub(crate) fn set_used(&mut self, account: AccountNo, used: usize) {
        let Some(waiting) = self.accounts.get_mut(&account) else { return };
        if waiting.used != used {
            self.order.remove(&(waiting.used, waiting.turn, account));
            waiting.used = used;
            self.order.insert((used, waiting.turn, account));
        }
    }

    /// Whether nobody waits in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The account whose turn it is, and what it waits for first.
    pub(crate) fn first(&self) -> Option<(AccountNo, &T)> {
        let (_, _, account) = self.order.first()?;
        Some((*account, self.accounts.get(account)?.items.front()?))
    }

    /// Takes that out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let (used, _, account) = self.order.pop_first()?;
        let mut items = self.accounts.remove(&account)?.items;
        let item = items.pop_front();
        if !items.is_empty() {
            self.insert(account, used, items);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use postrider_core::endpoint::EndpointNo;

    use super::*;

    #[test]
    fn accounts_take_turns_however_many_each_has() {
        let mut ring = Ring::default();
        for lane in 1..=3 {
            ring.push(AccountNo(1), EndpointNo(lane), 0);
        }
        ring.push(AccountNo(2), EndpointNo(10), 0);
        let order: Vec<i64> = std::iter::from_fn(|| ring.pop()).map(|lane| lane.0).collect();
        assert_eq!(order, [1, 10, 2, 3]);
        assert!(ring.accounts.is_empty() && ring.is_empty(), "nothing is left behind");
    }

    #[test]
    fn whoever_uses_least_comes_first() {
        let mut ring = Ring::default();
        ring.push(AccountNo(1), EndpointNo(1), 3);
        ring.push(AccountNo(2), EndpointNo(2), 2);
        ring.push(AccountNo(3), EndpointNo(3), 2);
        ring.set_used(AccountNo(1), 1);
        ring.set_used(AccountNo(2), 5);
        let order: Vec<i64> = std::iter::from_fn(|| ring.pop()).map(|lane| lane.0).collect();
        assert_eq!(order, [1, 3, 2]);
    }
}
