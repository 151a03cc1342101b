//! Who may take a slot: the requests in flight, counted by the pace of their lanes, and the turns among lanes.
//!
//! A slot in use can't be taken back, so no lane gets many before its receiver has shown that it answers. Lanes that
//! answer quickly draw on all slots. The others share three quarters of them: *slow* ones, and *new* ones, of which
//! only so many are tried at a time that there is always room for the next. A request that hangs is counted as slow
//! from then on, whatever its lane was when it began.
//!
//! Within each share, accounts are equal: the one with the fewest requests in flight comes first, and none may have more
//! than a multiple of what is left, so that however much one takes, there is room for the next one at once. (Switches
//! share their buffer memory by the same rule, known as dynamic thresholds.)

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use postrider_core::account::AccountNo;
use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_core::time::Timestamp;

use crate::ring::Ring;

/// An answer slower than this, or none, puts a lane on the slow share.
pub(super) const SLOW_ANSWER: Duration = Duration::from_millis(500);
/// A lane whose last quick answer is longer ago counts as new again: whole groups of receivers fall silent at once.
pub(super) const PROVEN_FOR: Duration = Duration::from_secs(60);
/// Of what new and slow lanes have left between them, new lanes are given one part in so many at a time.
const NEWCOMERS: usize = 4;
/// How many times what is left of the slow share one account's slow lanes may have in flight: alone, two thirds of it.
const SLOW_WEIGHT: usize = 2;
/// The same for its new lanes: alone, eight ninths of the share, so that its slow lanes leave room for its new ones.
const NEW_WEIGHT: usize = 8;
/// The same for its quick lanes, of all slots: those of its other lanes count as well, since quick ones may fall silent.
const FAST_WEIGHT: usize = 8;

/// Where the slow share is overrun, the last slots, one in so many, are still kept for quick lanes.
const KEPT_FROM_OVERRUN: usize = 16;

/// How a lane's receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Quickly, of late.
    Fast,
    /// It has not been heard of late.
    New,
    /// Slowly, or not at all.
    Slow,
}

const PACES: [Pace; 3] = [Pace::Fast, Pace::New, Pace::Slow];

/// Which rings a lane stands in; each at most once.
pub(super) type InRings = [bool; PACES.len()];

/// How many of an account's requests in flight count in the share that a pace draws on.
fn in_share(pace: Pace, [fast, new, slow]: [usize; PACES.len()]) -> usize {
    match pace {
        Pace::Fast => fast + new + slow,
        Pace::New | Pace::Slow => new + slow,
    }
}

/// A request in flight.
#[derive(Debug)]
struct Flight {
    account: AccountNo,
    since: Timestamp,
    counted_as: Pace,
    hangs: bool,
}

/// A request that was in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landed {
    /// Whether it was found to hang before it ended.
    pub(super) did_hang: bool,
}

/// The requests in flight and the lanes that want one.
#[derive(Debug)]
pub(super) struct Shares {
    slots: usize,
    used: [usize; PACES.len()],
    /// The same for each account that has any.
    by_account: HashMap<AccountNo, [usize; PACES.len()]>,
    rings: [Ring<EndpointNo>; PACES.len()],
    turn: usize,
    flights: HashMap<DeliverySeq, Flight>,
    /// Requests by their beginning, to find those that hang; some have ended meanwhile.
    watched: VecDeque<(Timestamp, EndpointNo, DeliverySeq)>,
}

impl Shares {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            used: [0; PACES.len()],
            by_account: HashMap::new(),
            rings: Default::default(),
            turn: 0,
            flights: HashMap::new(),
            watched: VecDeque::new(),
        }
    }

    /// How many requests are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.used.iter().sum()
    }

    /// Whether a lane of this pace and account may have one more request in flight.
    pub(super) fn may(&self, pace: Pace, account: AccountNo) -> bool {
        let [_, new, slow] = self.used;
        let [own_fast, own_new, own_slow] = self.of(account);
        let share = (self.slots * 3 / 4).max(1);
        let free = share.saturating_sub(new + slow);
        let free_slots = self.slots.saturating_sub(self.in_flight());
        // Quick ones that fell silent together may have overrun the share: whoever has nothing in flight goes all the same.
        let is_entitled =
            new + slow > share && own_new + own_slow == 0 && free_slots > self.slots / KEPT_FROM_OVERRUN;
        let room = match pace {
            Pace::Fast => own_fast + own_new + own_slow < FAST_WEIGHT * free_slots,
            Pace::New => {
                let trials = (share.saturating_sub(slow) / NEWCOMERS).max(1).saturating_sub(new);
                is_entitled || (own_new < NEW_WEIGHT * trials && own_new + own_slow < NEW_WEIGHT * free)
            }
            // The rest of the share is for those that may turn out to be quick.
            Pace::Slow => {
                let is_full = new + slow >= (share - self.slots / 8).max(1);
                is_entitled || (!is_full && own_new + own_slow < SLOW_WEIGHT * free)
            }
        };
        room && free_slots > 0
    }

    /// How many requests of an account are in flight, by pace.
    fn of(&self, account: AccountNo) -> [usize; PACES.len()] {
        self.by_account.get(&account).copied().unwrap_or_default()
    }

    /// Counts a request of an account in, out, or from one pace to another.
    fn count(&mut self, account: AccountNo, from: Option<Pace>, to: Option<Pace>) {
        let own = self.by_account.entry(account).or_default();
        if let Some(pace) = from {
            own[pace as usize] -= 1;
            self.used[pace as usize] -= 1;
        }
        if let Some(pace) = to {
            own[pace as usize] += 1;
            self.used[pace as usize] += 1;
        }
        let own = *own;
        if own == [0; PACES.len()] {
            self.by_account.remove(&account);
        }
        for pace in PACES {
            self.rings[pace as usize].set_used(account, in_share(pace, own));
        }
    }

    /// Puts a lane at the end of its turn; it must not stand in that ring yet.
    pub(super) fn enter(&mut self, pace: Pace, account: AccountNo, no: EndpointNo) {
        let in_flight = in_share(pace, self.of(account));
        self.rings[pace as usize].push(account, no, in_flight);
    }

    /// The next lane by turns, and the ring that it stood in. Its pace may be another one meanwhile.
    pub(super) fn pop(&mut self) -> Option<(EndpointNo, Pace)> {
        self.turn = (self.turn + 1) % PACES.len();
        for n in 0..PACES.len() {
            let pace = PACES[(self.turn + n) % PACES.len()];
            // Where the account with the fewest in flight may have no more, no other may.
            if let Some((account, _)) = self.rings[pace as usize].first()
                && self.may(pace, account)
                && let Some(no) = self.rings[pace as usize].pop()
            {
                return Some((no, pace));
            }
        }
        None
    }

    /// A request begins.
    pub(super) fn begin(
        &mut self,
        pace: Pace,
        account: AccountNo,
        no: EndpointNo,
        seq: DeliverySeq,
        now: Timestamp,
    ) {
        self.count(account, None, Some(pace));
        self.flights.insert(seq, Flight { account, since: now, counted_as: pace, hangs: false });
        self.watched.push_back((now, no, seq));
    }

    /// Whether a delivery's request is in flight.
    pub(super) fn is_in_flight(&self, seq: DeliverySeq) -> bool {
        self.flights.contains_key(&seq)
    }

    /// A request has ended. None where it was not in flight (any more).
    pub(super) fn end(&mut self, seq: DeliverySeq) -> Option<Landed> {
        let flight = self.flights.remove(&seq)?;
        self.count(flight.account, Some(flight.counted_as), None);
        Some(Landed { did_hang: flight.hangs })
    }

    /// The next request that has been in flight for too long at `now`, once for each; the endpoint it belongs to.
    pub(super) fn next_that_hangs(&mut self, now: Timestamp) -> Option<EndpointNo> {
        self.forget_ended();
        let (since, no, seq) = self.watched.front().copied()?;
        if now.since(since) <= SLOW_ANSWER {
            return None;
        }
        self.watched.pop_front();
        let flight = self.flights.get_mut(&seq)?;
        flight.hangs = true;
        let (account, before) = (flight.account, flight.counted_as);
        flight.counted_as = Pace::Slow;
        self.count(account, Some(before), Some(Pace::Slow));
        Some(no)
    }

    /// When [`Self::next_that_hangs`] may make room for a lane that waits for it.
    pub(super) fn next_look(&mut self) -> Option<Timestamp> {
        if self.rings[Pace::New as usize].is_empty() {
            return None;
        }
        self.forget_ended();
        self.watched.front().map(|(since, ..)| since.plus(SLOW_ANSWER + Duration::from_millis(1)))
    }

    /// Drops what has ended from the front of the watch, so that the front is in flight.
    fn forget_ended(&mut self) {
        while let Some((since, _, seq)) = self.watched.front()
            && self.flights.get(seq).is_none_or(|flight| flight.since != *since)
        {
            self.watched.pop_front();
        }
    }
}
