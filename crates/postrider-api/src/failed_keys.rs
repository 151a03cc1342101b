//! Keys that are tried and not known, counted per client address. An address that has used up its failures is refused before
//! its next key is judged, so that a guess tells nothing; what was accepted from it within the last hour still is. Where the
//! client's address can't be determined, nobody is refused, and the answers to failures are delayed.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postrider_core::client_address::client_network;
use postrider_core::fair_share::{FairPool, Shares};
use postrider_core::id::AccountId;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::problem::{Code, Problem};
use crate::seldom::Seldom;

/// An address gets a failure back after so long.
const REGAINED_AFTER: Duration = Duration::from_secs(30);
/// Addresses whose failures are remembered. Failures of further ones are delayed like those without an address.
const MAX_ADDRESSES: usize = 16_384;
/// How long a key that was accepted from an address passes whatever fails there.
const ACCEPTED_FOR: Duration = Duration::from_secs(3_600);
/// Pairs of an address and a key that was accepted from it, of which an account has at most a sixteenth part.
const ACCEPTED: Shares = Shares { total: 16_384, reserved: 256, largest: 1_024, guaranteed: 16 };
/// How long the answer to a failure without an address is delayed.
const DELAY: Duration = Duration::from_secs(3);
/// Answers that are delayed at once; further failures are refused at once, so that they take no connections from others.
const MAX_DELAYED: usize = 256;

/// What is remembered of failed and accepted keys.
pub(crate) struct FailedKeys {
    /// How many failures an address has.
    failures: u32,
    /// Whether there was any: looked at before the table's lock.
    is_any: AtomicBool,
    addresses: Mutex<HashMap<IpAddr, Failures>>,
    accepted: Mutex<Accepted>,
    delayed: Semaphore,
    hasher: RandomState,
    began: Instant,
    log: Seldom,
}

/// The failures of an address that it has not got back yet.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: f64,
    at: Instant,
}

#[derive(Debug)]
struct Accepted {
    pool: FairPool<AccountId>,
    at: HashMap<(IpAddr, u64), (Option<AccountId>, Instant)>,
    swept_at: Instant,
}

impl FailedKeys {
    /// `failures` is how many an address has before it is refused.
    pub(crate) fn new(failures: u32) -> Self {
        let began = Instant::now();
        Self {
            failures: failures.max(1),
            is_any: AtomicBool::new(false),
            addresses: Mutex::default(),
            accepted: Mutex::new(Accepted {
                pool: FairPool::new(ACCEPTED),
                at: HashMap::new(),
                swept_at: began,
            }),
            delayed: Semaphore::new(MAX_DELAYED),
            hasher: RandomState::new(),
            began,
            log: Seldom::new(),
        }
    }

    /// A key and the address it comes from as one number, which nobody outside can predict.
    pub(crate) fn hash(&self, address: IpAddr, key: &[u8]) -> u64 {
        self.hasher.hash_one((client_network(address), key))
    }

    /// Returns how long this address must wait until its keys are judged again; `None` if they are. The request's `key`
    /// passes if it was accepted from there within the last hour.
    pub(crate) fn must_wait<K: AsRef<[u8]>>(
        &self,
        address: IpAddr,
        key: impl FnOnce() -> Option<K>,
        now: Instant,
    ) -> Option<Duration> {
        if !self.is_any.load(Ordering::Relaxed) {
            return None;
        }
        let network = client_network(address);
        let wait = lock(&self.addresses).get(&network)?.wait(self.failures, now)?;
        // Without a key there is nothing to guess.
        let hash = self.hash(address, key()?.as_ref());
        let accepted = lock(&self.accepted).at.get(&(network, hash)).copied();
        let is_recent = accepted.is_some_and(|(_, at)| now.duration_since(at) < ACCEPTED_FOR);
        (!is_recent).then_some(wait)
    }

    /// A key of this account, or of the operator, was accepted from this address.
    pub(crate) fn accepted(&self, address: IpAddr, hash: u64, account: Option<AccountId>, now: Instant) {
        lock(&self.accepted).note((client_network(address), hash), account, now);
    }

    /// An unknown key came. Returns whether its answer is to be delayed, because the failures of its address can't be
    /// counted.
    fn count(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let Some(network) = address.map(client_network) else { return true };
        self.is_any.store(true, Ordering::Relaxed);
        let mut addresses = lock(&self.addresses);
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&network) {
            addresses.retain(|_, failures| failures.left(now) > 0.0);
            if addresses.len() >= MAX_ADDRESSES {
                return true;
            }
        }
        let failures = addresses.entry(network).or_insert(Failures { count: 0.0, at: now });
        *failures = Failures { count: failures.left(now) + 1.0, at: now };
        false
    }

    /// Counts an unknown key, and delays the answer where that is all that can be done. Gives the answer.
    pub(crate) async fn refuse(&self, address: Option<IpAddr>, refusal: Problem) -> Problem {
        let must_delay = self.count(address, Instant::now());
        if let Some(suppressed) = self.log.turn(self.began.elapsed()) {
            let address = address.map(tracing::field::display);
            tracing::warn!(address, suppressed, "unknown API key refused");
        }
        if !must_delay {
            return refusal;
        }
        let Ok(_delayed) = self.delayed.try_acquire() else {
            return Problem::new(Code::RateLimited, "too many unknown keys are being tried; try again later");
        };
        tokio::time::sleep(DELAY).await;
        refusal
    }
}

impl Failures {
    /// How many of them count at this time.
    fn left(self, now: Instant) -> f64 {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() / REGAINED_AFTER.as_secs_f64();
        (self.count - regained).max(0.0)
    }

    /// How long until there is a failure left of so many.
    fn wait(self, of: u32, now: Instant) -> Option<Duration> {
        let missing = self.left(now) - (f64::from(of) - 1.0);
        (missing > 0.0).then(|| REGAINED_AFTER.mul_f64(missing))
    }
}

impl Accepted {
    fn note(&mut self, key: (IpAddr, u64), account: Option<AccountId>, now: Instant) {
        if let Some((_, at)) = self.at.get_mut(&key) {
            *at = now;
            return;
        }
        if self.pool.take(account, 1).is_err() {
            // Looks through all of them seldom, however often it is full.
            if now.duration_since(self.swept_at) < Duration::from_secs(60) {
                return;
            }
            self.swept_at = now;
            let pool = &mut self.pool;
            self.at.retain(|_, (account, at)| {
                let is_recent = now.duration_since(*at) < ACCEPTED_FOR;
                if !is_recent {
                    pool.give_back(*account, 1);
                }
                is_recent
            });
            if self.pool.take(account, 1).is_err() {
                return;
            }
        }
        self.at.insert(key, (account, now));
    }
}

/// Ignores poisoning: a panic while the lock was held leaves the count correct.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES: u32 = 10;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn refusal() -> Problem {
        Problem::new(Code::Unauthorized, "no")
    }

    #[test]
    fn an_address_that_has_used_up_its_failures_waits_and_gets_them_back_one_by_one() {
        let (keys, now) = (FailedKeys::new(FAILURES), Instant::now());
        let one = address("192.0.2.1");
        for _ in 0..FAILURES {
            assert_eq!(keys.must_wait(one, || Some(b"guess"), now), None);
            assert!(!keys.count(Some(one), now));
        }
        assert_eq!(keys.must_wait(one, || Some(b"guess"), now), Some(REGAINED_AFTER));
        assert_eq!(keys.must_wait(address("192.0.2.2"), || Some(b"guess"), now), None);
        let later = now + REGAINED_AFTER;
        assert_eq!(keys.must_wait(one, || Some(b"guess"), later), None);
        keys.count(Some(one), later);
        assert!(keys.must_wait(one, || Some(b"guess"), later).is_some(), "one came back, and one was used");
        assert_eq!(keys.must_wait(one, || Some(b"guess"), later + 10 * REGAINED_AFTER), None);
    }

    #[test]
    fn a_key_that_was_accepted_from_there_within_an_hour_passes_and_no_other() {
        let (keys, now) = (FailedKeys::new(FAILURES), Instant::now());
        let (one, other) = (address("2001:db8::1"), address("2001:db8:0:1::1"));
        keys.accepted(one, keys.hash(one, b"right"), Some(AccountId::from_bytes([1; 16])), now);
        for _ in 0..FAILURES {
            keys.count(Some(one), now);
            keys.count(Some(other), now);
        }
        assert_eq!(keys.must_wait(address("2001:db8::2"), || Some(b"right"), now), None, "the same network");
        assert!(keys.must_wait(one, || Some(b"wrong"), now).is_some());
        assert!(keys.must_wait(other, || Some(b"right"), now).is_some(), "it was accepted elsewhere");
        keys.lock_out(one, now + ACCEPTED_FOR);
        assert!(keys.must_wait(one, || Some(b"right"), now + ACCEPTED_FOR).is_some(), "an hour has passed");
    }

    impl FailedKeys {
        fn lock_out(&self, address: IpAddr, now: Instant) {
            for _ in 0..FAILURES {
                self.count(Some(address), now);
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_no_account_takes_all_of_it() {
        let (keys, now) = (FailedKeys::new(FAILURES), Instant::now());
        let [one, other] = [1, 2].map(|byte| Some(AccountId::from_bytes([byte; 16])));
        let nth = |number: u32| IpAddr::V4(number.into());
        for number in 0..20_000 {
            let hash = keys.hash(nth(number), b"one");
            keys.accepted(nth(number), hash, one, now);
        }
        assert_eq!(lock(&keys.accepted).at.len(), ACCEPTED.largest);
        keys.accepted(nth(1), keys.hash(nth(1), b"other"), other, now);
        keys.accepted(nth(1), keys.hash(nth(1), b"operator"), None, now);
        assert_eq!(lock(&keys.accepted).at.len(), ACCEPTED.largest + 2);
        let later = now + ACCEPTED_FOR;
        keys.accepted(nth(30_000), keys.hash(nth(30_000), b"one"), one, later);
        assert_eq!(lock(&keys.accepted).at.len(), 1, "what is over makes room");
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() {
            assert!(!keys.count(Some(nth(number)), now));
        }
        assert!(keys.count(Some(nth(1_000_000)), now), "it is delayed");
        assert!(!keys.count(Some(nth(1)), now), "who is known is counted on");
        assert!(!keys.count(Some(nth(1_000_000)), now + 20 * REGAINED_AFTER));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_address_answers_are_delayed_and_only_so_many_at_once() {
        let keys = FailedKeys::new(1);
        let began = Instant::now();
        assert_eq!(keys.refuse(Some(address("192.0.2.1")), refusal()).await.code(), "unauthorized");
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(keys.refuse(None, refusal()).await.code(), "unauthorized");
            assert_eq!(began.elapsed(), DELAY);
        }
        let many = futures_util::future::join_all((0..=MAX_DELAYED).map(|_| keys.refuse(None, refusal())));
        let refused = many.await.iter().filter(|problem| problem.code() == "rate_limited").count();
        assert_eq!(refused, 1);
    }
}
