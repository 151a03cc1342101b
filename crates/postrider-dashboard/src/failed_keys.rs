//! How often a key or a link may be guessed: per client address, and over all. Bounded, and kind to whoever errs a few times.
//! What was accepted from an address within the last hour is accepted there however much fails.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use postrider_core::client_address::client_network;
use postrider_core::time::Timestamp;

/// So many failures of all addresses …
const OVER_ALL: u32 = 200;
/// … or of one within this time; then the next try must wait.
const WITHIN: Duration = Duration::from_secs(15 * 60);
/// How many addresses are remembered; past it the count over all still holds.
const MAX_ADDRESSES: usize = 4_096;
/// How long what was accepted from an address is remembered.
const ACCEPTED_FOR: Duration = Duration::from_secs(3_600);
/// How many pairs of an address and what was accepted from it are remembered; the oldest gives way.
const MAX_ACCEPTED: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Timestamp,
    count: u32,
}

/// What failed lately, and what was accepted.
#[derive(Debug)]
pub(crate) struct FailedKeys {
    /// How many failures an address has.
    per_address: u32,
    addresses: HashMap<IpAddr, Failures>,
    all: Option<Failures>,
    accepted: HashMap<(IpAddr, [u8; 32]), Timestamp>,
}

impl FailedKeys {
    pub(crate) fn new(per_address: u32) -> Self {
        Self { per_address, addresses: HashMap::new(), all: None, accepted: HashMap::new() }
    }

    /// How long this address must wait before the next key from it is judged; `None` if it is now.
    pub(crate) fn must_wait(&self, from: IpAddr, now: Timestamp) -> Option<Duration> {
        self.addresses.get(&client_network(from)).and_then(|failures| failures.wait(self.per_address, now))
    }

    /// Whether this key, by its SHA-256, was accepted from the address within the last hour.
    pub(crate) fn was_accepted(&self, from: IpAddr, sha256: [u8; 32], now: Timestamp) -> bool {
        let at = self.accepted.get(&(client_network(from), sha256));
        at.is_some_and(|at| now.since(*at) < ACCEPTED_FOR)
    }

    /// Whether any key was accepted from the address within the last hour.
    pub(crate) fn has_accepted(&self, from: IpAddr, now: Timestamp) -> bool {
        let network = client_network(from);
        self.accepted.iter().any(|((known, _), at)| *known == network && now.since(*at) < ACCEPTED_FOR)
    }

    /// How long failures of any address are only turned away, because so many came from all of them; `None` if they are
    /// answered. The right key is let in all the same, or a crowd could lock the operator out.
    pub(crate) fn crowd_waits(&self, now: Timestamp) -> Option<Duration> {
        self.all.and_then(|failures| failures.wait(OVER_ALL, now))
    }

    /// A wrong key came from this address, or from one that can't be determined.
    pub(crate) fn failed(&mut self, from: Option<IpAddr>, now: Timestamp) {
        let none_yet = Failures { since: now, count: 0 };
        self.all = Some(self.all.filter(|failures| failures.count_still(now)).unwrap_or(none_yet).plus_one());
        let Some(network) = from.map(client_network) else { return };
        if self.addresses.len() >= MAX_ADDRESSES {
            self.addresses.retain(|_, failures| failures.count_still(now));
        }
        if self.addresses.len() < MAX_ADDRESSES || self.addresses.contains_key(&network) {
            let failures = self.addresses.entry(network).or_insert(none_yet);
            *failures = if failures.count_still(now) { failures.plus_one() } else { none_yet.plus_one() };
        }
    }

    /// A key was accepted from this address.
    pub(crate) fn accepted(&mut self, from: IpAddr, sha256: [u8; 32], now: Timestamp) {
        let key = (client_network(from), sha256);
        if self.accepted.len() >= MAX_ACCEPTED && !self.accepted.contains_key(&key) {
            let oldest = self.accepted.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.accepted.remove(&oldest));
        }
        self.accepted.insert(key, now);
    }

    /// What failed at this address is forgiven: whoever has the operator key is no guesser.
    pub(crate) fn forgive(&mut self, from: IpAddr) {
        self.addresses.remove(&client_network(from));
    }
}

impl Failures {
    fn count_still(self, now: Timestamp) -> bool {
        now.since(self.since) < WITHIN
    }

    fn plus_one(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }

    fn wait(self, limit: u32, now: Timestamp) -> Option<Duration> {
        (self.count >= limit && self.count_still(now)).then(|| WITHIN.saturating_sub(now.since(self.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1_000)
    }

    #[test]
    fn ten_wrong_keys_from_an_address_close_it_for_the_rest_of_a_quarter_of_an_hour() {
        let mut keys = FailedKeys::new(10);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..10 {
            assert_eq!(keys.must_wait(one, seconds(0)), None);
            keys.failed(Some(one), seconds(0));
        }
        assert_eq!(keys.must_wait(one, seconds(100)), Some(Duration::from_secs(800)));
        assert_eq!(keys.must_wait(other, seconds(100)), None);
        assert_eq!(keys.must_wait(one, seconds(900)), None);
        keys.failed(Some(one), seconds(900));
        assert_eq!(keys.must_wait(one, seconds(900)), None, "it begins again");
        keys.forgive(one);
        assert!(keys.addresses.is_empty());
    }

    #[test]
    fn what_was_accepted_from_an_address_passes_there_for_an_hour() {
        let mut keys = FailedKeys::new(1);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        keys.accepted(one, [1; 32], seconds(0));
        assert!(keys.was_accepted(one, [1; 32], seconds(3_599)) && keys.has_accepted(one, seconds(3_599)));
        assert!(!keys.was_accepted(one, [1; 32], seconds(3_600)), "an hour has passed");
        assert!(
            !keys.was_accepted(one, [2; 32], seconds(1)) && !keys.was_accepted(other, [1; 32], seconds(1))
        );
        for host in 0..u16::try_from(2 * MAX_ACCEPTED).unwrap() {
            let [high, low] = host.to_be_bytes();
            keys.accepted(IpAddr::from([10, 0, high, low]), [1; 32], seconds(i64::from(host)));
        }
        assert_eq!(keys.accepted.len(), MAX_ACCEPTED);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_crowd_is_limited_as_a_whole() {
        let mut keys = FailedKeys::new(10);
        for host in 0..10u16 {
            keys.failed(Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host])), seconds(0));
        }
        let neighbour = IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]);
        assert!(keys.must_wait(neighbour, seconds(1)).is_some());
        for host in 0..=u8::MAX {
            keys.failed(Some(IpAddr::from([198, 51, 100, host])), seconds(0));
        }
        assert!(keys.crowd_waits(seconds(1)).is_some());
        assert!(
            keys.must_wait(IpAddr::from([203, 0, 113, 1]), seconds(1)).is_none(),
            "who has the key gets in"
        );
        for host in 0..10_000u16 {
            let [high, low] = host.to_be_bytes();
            keys.failed(Some(IpAddr::from([10, 0, high, low])), seconds(0));
        }
        assert!(keys.addresses.len() <= MAX_ADDRESSES);
    }
}
