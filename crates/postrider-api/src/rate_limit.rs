//! Limits the requests per second of each account key, where that is set. The operator's key has no limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use postrider_core::id::KeyId;
use tokio::time::Instant;

/// Keys whose requests are counted at once. Where more are busy within a second, the rest are not limited.
const MAX_KEYS: usize = 16_384;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The requests of each key.
pub(crate) struct RateLimit {
    /// `None` if it is off.
    per_second: Option<u32>,
    keys: Mutex<HashMap<KeyId, Bucket>>,
}

/// How many requests a key has left. One that rests for a second has all of them, and need not be remembered.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
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

impl RateLimit {
    /// `per_second` is how many requests a key may make per second; 0 is no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: Some(per_second).filter(|limit| *limit > 0), keys: Mutex::default() }
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
}

/// Drops what need not be remembered, where a table is full and the new entry is not in it.
fn make_room<K: Eq + Hash, V>(table: &mut HashMap<K, V>, key: &K, most: usize, is_old: impl Fn(&V) -> bool) {
    if table.len() >= most && !table.contains_key(key) {
        table.retain(|_, value| !is_old(value));
    }
}

/// Ignores poisoning: a panic while the lock was held leaves the count correct.
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
        let (limit, now) = (RateLimit::new(4), Instant::now());
        let passes = |key, at| limit.count(key, at).unwrap().may_pass;
        assert_eq!([0; 6].map(|_| passes(key(1), now)), [true, true, true, true, false, false]);
        assert!(passes(key(2), now), "another key has its own");
        let later = now + Duration::from_millis(500);
        assert_eq!([0; 3].map(|_| passes(key(1), later)), [true, true, false]);
        let rested = now + Duration::from_secs(60);
        let counted = limit.count(key(1), rested).unwrap();
        assert_eq!(counted, Counted { per_second: 4, left: 3, may_pass: true }, "no more than one second's");
        assert_eq!(RateLimit::new(0).count(key(1), now), None);
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_for_what_is_new() {
        let (limit, now) = (RateLimit::new(1), Instant::now());
        for number in 0..i64::try_from(MAX_KEYS).unwrap() {
            assert!(limit.count(key(number), now).is_some());
        }
        assert_eq!(limit.count(key(1_000_000), now), None, "full of keys that are busy");
        assert!(limit.count(key(1_000_000), now + Duration::from_secs(1)).is_some());
        assert_eq!(lock(&limit.keys).len(), 1);
    }
}
