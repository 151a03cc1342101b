//! Events that wait to be accepted, of both stores: each account has a share of the room, and accounts take turns.
//!
//! However much one account hands in, the next one's events are let in, and are in the next commit or the one after it.

use std::collections::{HashMap, VecDeque};

use postrider_core::account::AccountNo;

use crate::model::NewEvent;

/// What an account may have waiting beside its first request is one part in so many of what is left: alone, a third of
/// the queue, and however many accounts take all they can, there is room for the next.
const PARTS: usize = 2;

/// How much events are, or how much may wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Events and deliveries.
    pub(crate) rows: usize,
    /// Payload bytes.
    pub(crate) bytes: usize,
}

impl Size {
    /// The size of events.
    pub(crate) fn of(events: &[NewEvent]) -> Self {
        Self {
            rows: events.iter().map(|new| 1 + new.deliveries.len()).sum(),
            bytes: events.iter().map(|new| new.event.payload.len()).sum(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_add(other.rows), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_sub(other.rows), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    fn fits(self, room: Self) -> bool {
        self.rows <= room.rows && self.bytes <= room.bytes
    }
}

/// What waits.
pub(crate) trait Request {
    /// Its events.
    fn events(&self) -> &[NewEvent];
}

/// Requests that wait, by account. A request for several accounts, the operator's batch, is nobody's and has no share.
#[derive(Debug)]
pub(crate) struct AcceptQueue<T> {
    limits: Size,
    size: Size,
    turns: VecDeque<Option<AccountNo>>,
    waiting: HashMap<Option<AccountNo>, Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    requests: VecDeque<(T, Size)>,
    size: Size,
}

impl<T: Request> AcceptQueue<T> {
    /// An empty queue with room for so much.
    pub(crate) fn new(limits: Size) -> Self {
        Self { limits, size: Size::default(), turns: VecDeque::new(), waiting: HashMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Puts a request behind those of its account; false where there is no room for it. One that is larger than the whole
    /// queue goes into an empty one, so that it is slow and not impossible.
    pub(crate) fn push(&mut self, request: T) -> bool {
        let (account, size) = (only_account(request.events()), Size::of(request.events()));
        let own = self.waiting.get(&account).map(|waiting| waiting.size);
        let left = self.limits.minus(self.size);
        let share = Size { rows: left.rows / PARTS, bytes: left.bytes / PARTS };
        let share_is_full = account.is_some() && own.is_some_and(|own| !own.plus(size).fits(share));
        if share_is_full || (!size.fits(left) && !self.is_empty()) {
            return false;
        }
        self.size = self.size.plus(size);
        if own.is_none() {
            self.turns.push_back(account);
        }
        let new = || Waiting { requests: VecDeque::new(), size: Size::default() };
        let waiting = self.waiting.entry(account).or_insert_with(new);
        waiting.size = waiting.size.plus(size);
        waiting.requests.push_back((request, size));
        true
    }

    /// The size of the request whose turn it is.
    pub(crate) fn next_size(&self) -> Option<Size> {
        let waiting = self.waiting.get(self.turns.front()?)?;
        waiting.requests.front().map(|(_, size)| *size)
    }

    /// Takes the request whose turn it is; its account has the next turn behind the others.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let account = self.turns.pop_front()?;
        let waiting = self.waiting.get_mut(&account)?;
        let (request, size) = waiting.requests.pop_front()?;
        waiting.size = waiting.size.minus(size);
        self.size = self.size.minus(size);
        if waiting.requests.is_empty() {
            self.waiting.remove(&account);
        } else {
            self.turns.push_back(account);
        }
        Some(request)
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limits);
    }
}

/// The account to which all of these events belong, where it is one.
fn only_account(events: &[NewEvent]) -> Option<AccountNo> {
    let account = events.first()?.event.account_no;
    events.iter().all(|new| new.event.account_no == account).then_some(account)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postrider_core::event::Event;
    use postrider_core::id::{AccountId, EventId};
    use postrider_core::time::Timestamp;

    use super::*;

    const LIMITS: Size = Size { rows: 1_000, bytes: 1_000_000 };

    fn events(accounts: &[i64], bytes: usize) -> Vec<NewEvent> {
        let at = Timestamp::from_ms(1);
        let event = |account| Event {
            id: EventId::new(at, 1),
            account_no: AccountNo(account),
            account: AccountId::new(at, 1),
            event_type: "policy.created".to_owned(),
            livemode: false,
            payload: Bytes::from(vec![b' '; bytes]),
            created_at: at,
        };
        let new =
            |account: &i64| NewEvent { event: event(*account), config_version: 1, deliveries: Vec::new() };
        accounts.iter().map(new).collect()
    }

    struct Job(i64, Vec<NewEvent>);

    impl Request for Job {
        fn events(&self) -> &[NewEvent] {
            &self.1
        }
    }

    /// As many requests of an account as are let in.
    fn fill(queue: &mut AcceptQueue<Job>, account: i64, bytes: usize) -> usize {
        let next = || queue.push(Job(0, events(&[account], bytes))).then_some(());
        std::iter::from_fn(next).count()
    }

    #[test]
    fn whatever_others_take_there_is_room_for_the_next_account_in_rows_and_in_bytes() {
        for bytes in [1, 10_000] {
            let mut queue = AcceptQueue::new(LIMITS);
            let alone = fill(&mut queue, 1, bytes);
            let all = LIMITS.rows.min(LIMITS.bytes / bytes);
            assert!((all / 3..=all / 3 + 1).contains(&alone), "a third of {all}, not {alone}");
            let taken: Vec<usize> = (2..=8).map(|account| fill(&mut queue, account, bytes)).collect();
            assert!(taken.iter().all(|taken| *taken > 0), "{taken:?}");
        }
    }

    #[test]
    fn accounts_take_turns_and_each_keeps_its_order() {
        let mut queue = AcceptQueue::new(LIMITS);
        for request in [10, 11, 12] {
            assert!(queue.push(Job(request, events(&[1], 1))));
        }
        assert!(queue.push(Job(20, events(&[2], 1))) && queue.push(Job(30, events(&[1, 2], 1))));
        assert_eq!(queue.next_size(), Some(Size { rows: 1, bytes: 1 }));
        let order: Vec<i64> = std::iter::from_fn(|| queue.pop()).map(|job| job.0).collect();
        assert_eq!(order, [10, 20, 30, 11, 12]);
        assert!(queue.is_empty() && queue.waiting.is_empty() && queue.size == Size::default());
    }

    #[test]
    fn one_that_is_larger_than_the_queue_goes_alone() {
        let mut queue = AcceptQueue::new(LIMITS);
        let large = || Job(1, events(&[1; 2_000], 1));
        let small = || Job(2, events(&[2], 1));
        assert!(queue.push(large()) && !queue.push(small()));
        assert_eq!(queue.pop().map(|job| job.0), Some(1));
        assert!(queue.push(small()) && !queue.push(large()));
        queue.clear();
        assert!(queue.is_empty());
    }
}
