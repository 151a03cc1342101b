//! Limits at the edge: so many requests per second with one account key, where that is set, and answers to unknown keys
//! that come the later the more of them an address has tried. A key that is known is never slowed by the second, and
//! the operator's never by the first.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use postrider_core::id::KeyId;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Keys whose requests are counted at once. Where more are busy within a second, the rest are not limited.
const MAX_KEYS: usize = 16_384;
/// Addresses whose failures are remembered at once.
const MAX_ADDRESSES: usize = 4_096;
/// Answers that are held back at once; further ones are 429 at once, so that they take no connections from others.
const MAX_HELD_BACK: usize = 256;
/// Some failures of an address cost nothing; the next one waits so long, and each one after it twice as long …
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// … up to this …
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// … until there was none for so long.
const FORGET_AFTER: Duration = Duration::from_secs(60);

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is counted at the edge.
pub(crate) struct Edge {
    /// None where it is off.
    per_second: Option<u32>,
    free_failures: u32,
    keys: Mutex<HashMap<KeyId, Bucket>>,
    addresses: Mutex<HashMap<IpAddr, Failures>>,
    held_back: Semaphore,
}

/// How many requests a key has left. One that rests for a second has all of them, and need not be remembered.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    at: Instant,
}

/// What a key's request comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    per_second: u32,
    left: u32,
    /// Whether it may be done.
    pub(crate) may_pass: bool,
}

impl Counted {
    /// The headers of draft-ietf-httpapi-ratelimit-headers.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let Self { per_second, left, .. } = self;
        let values = [
            (RATE_LIMIT_POLICY, format!("\"key\";q={per_second};w=1")),
            (RATE_LIMIT, format!("\"key\";r={left};t=1")),
        ];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

impl Edge {
    /// `per_second` is how many requests a key may make per second; 0 is no limit. `free_failures` is how many unknown
    /// keys of one address are answered at once.
    pub(crate) fn new(per_second: u32, free_failures: u32) -> Self {
        Self {
            per_second: Some(per_second).filter(|limit| *limit > 0),
            free_failures,
            keys: Mutex::default(),
            addresses: Mutex::default(),
            held_back: Semaphore::new(MAX_HELD_BACK),
        }
    }

    /// Whether requests are counted at all.
    pub(crate) fn is_limiting(&self) -> bool {
        self.per_second.is_some()
    }

    /// Counts a request with this key. None where it is not limited.
    pub(crate) fn count(&self, key: KeyId, now: Instant) -> Option<Counted> {
        let per_second = self.per_second?;
        let most = f64::from(per_second);
        let mut keys = lock(&self.keys);
        make_room(&mut keys, &key, MAX_KEYS, |bucket| {
            now.duration_since(bucket.at) >= Duration::from_secs(1)
        });
        if keys.len() >= MAX_KEYS && !keys.contains_key(&key) {
            return None;
        }
        let bucket = keys.entry(key).or_insert(Bucket { left: most, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + since * most).min(most);
        bucket.at = now;
        let may_pass = bucket.left >= 1.0;
        if may_pass {
            bucket.left -= 1.0;
        }
        // At most `per_second`, and not negative.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=u32::MAX")]
        let left = bucket.left as u32;
        Some(Counted { per_second, left, may_pass })
    }

    /// Counts an unknown key from this address; gives how long the answer is to wait.
    fn failed(&self, address: IpAddr, now: Instant) -> Duration {
        let address = network_of(address);
        let is_forgotten = |failures: &Failures| now.duration_since(failures.at) >= FORGET_AFTER;
        let mut addresses = lock(&self.addresses);
        make_room(&mut addresses, &address, MAX_ADDRESSES, is_forgotten);
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&address) {
            // So many at once are one attack: all that are new share the longest wait.
            return LONGEST_WAIT;
        }
        let failures = addresses.entry(address).or_insert(Failures { count: 0, at: now });
        if is_forgotten(failures) {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.at = now;
        match failures.count.checked_sub(self.free_failures.saturating_add(1)) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_WAIT.saturating_mul(1 << doublings.min(16)).min(LONGEST_WAIT),
        }
    }

    /// Waits as long as the answer to an unknown key from this address is held back; false where too many are already.
    pub(crate) async fn hold_back(&self, address: IpAddr) -> bool {
        let wait = self.failed(address, Instant::now());
        if wait.is_zero() {
            return true;
        }
        let Some(_held) = self.place() else { return false };
        tokio::time::sleep(wait).await;
        true
    }

    fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.held_back.try_acquire().ok()
    }
}

/// Drops what need not be remembered, where a table is full and the new entry is not in it.
fn make_room<K: Eq + Hash, V>(table: &mut HashMap<K, V>, key: &K, most: usize, is_old: impl Fn(&V) -> bool) {
    if table.len() >= most && !table.contains_key(key) {
        table.retain(|_, value| !is_old(value));
    }
}

/// The address, or the network that one customer of IPv6 has.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => IpAddr::V4(mapped),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        },
    }
}

/// A count stays right whatever happened to whoever held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::time::Timestamp;

    fn key(number: i64) -> KeyId {
        KeyId::new(Timestamp::from_ms(number), 0)
    }

    #[test]
    fn a_key_has_so_many_requests_a_second_and_gets_them_back_with_time() {
        let (edge, now) = (Edge::new(4, 10), Instant::now());
        let passes = |key, at| edge.count(key, at).unwrap().may_pass;
        assert_eq!([0; 6].map(|_| passes(key(1), now)), [true, true, true, true, false, false]);
        assert!(passes(key(2), now), "another key has its own");
        let later = now + Duration::from_millis(500);
        assert_eq!([0; 3].map(|_| passes(key(1), later)), [true, true, false]);
        let rested = now + Duration::from_secs(60);
        let counted = edge.count(key(1), rested).unwrap();
        assert_eq!(counted, Counted { per_second: 4, left: 3, may_pass: true }, "no more than one second's");
        assert_eq!(Edge::new(0, 10).count(key(1), now), None);
    }

    #[test]
    fn failures_cost_more_and_more_time_and_are_forgotten() {
        let (edge, now) = (Edge::new(0, 10), Instant::now());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..10 {
            assert_eq!(edge.failed(address, now), Duration::ZERO);
        }
        let waits = [0; 8].map(|_| edge.failed(address, now).as_millis());
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(edge.failed("192.0.2.2".parse().unwrap(), now), Duration::ZERO);
        assert_eq!(edge.failed(address, now + FORGET_AFTER), Duration::ZERO);
    }

    #[test]
    fn the_tables_are_bounded_and_make_room_for_what_is_new() {
        let (edge, now) = (Edge::new(1, 10), Instant::now());
        for number in 0..i64::try_from(MAX_KEYS).unwrap() {
            assert!(edge.count(key(number), now).is_some());
        }
        assert_eq!(edge.count(key(1_000_000), now), None, "full of keys that are busy");
        assert!(edge.count(key(1_000_000), now + Duration::from_secs(1)).is_some());
        assert_eq!(lock(&edge.keys).len(), 1);
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() {
            edge.failed(IpAddr::V4(number.into()), now);
        }
        let new: IpAddr = "203.0.113.1".parse().unwrap();
        assert_eq!(edge.failed(new, now), LONGEST_WAIT);
        assert_eq!(edge.failed(new, now + FORGET_AFTER), Duration::ZERO);
        assert_eq!(lock(&edge.addresses).len(), 1);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
