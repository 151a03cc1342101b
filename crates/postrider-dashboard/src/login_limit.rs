//! How often a key may be guessed: per address, and over all. Bounded, and kind to whoever errs a few times.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use postrider_core::time::Timestamp;

/// So many wrong keys from one address …
const PER_ADDRESS: u32 = 10;
/// … and so many from all …
const OVER_ALL: u32 = 200;
/// … within this time; then the next must wait.
const WITHIN: Duration = Duration::from_secs(15 * 60);
/// How many addresses are remembered; past it the count over all still holds.
const MAX_ADDRESSES: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Misses {
    since: Timestamp,
    count: u32,
}

/// Who guessed lately.
#[derive(Debug, Default)]
pub(crate) struct LoginLimit {
    addresses: HashMap<IpAddr, Misses>,
    all: Option<Misses>,
}

impl LoginLimit {
    /// How long this address must wait before it may try a key; none where it may now.
    pub(crate) fn must_wait(&self, from: IpAddr, now: Timestamp) -> Option<Duration> {
        self.addresses.get(&network(from)).and_then(|misses| misses.wait(PER_ADDRESS, now))
    }

    /// How long wrong keys of any address are only turned away, because so many came from all of them; none where they
    /// are answered. The right key is let in all the same, or a crowd could lock the operator out.
    pub(crate) fn crowd_waits(&self, now: Timestamp) -> Option<Duration> {
        self.all.and_then(|misses| misses.wait(OVER_ALL, now))
    }

    /// A wrong key came from this address.
    pub(crate) fn missed(&mut self, from: IpAddr, now: Timestamp) {
        let anew = Misses { since: now, count: 0 };
        self.all = Some(self.all.filter(|misses| misses.holds(now)).unwrap_or(anew).plus_one());
        if self.addresses.len() >= MAX_ADDRESSES {
            self.addresses.retain(|_, misses| misses.holds(now));
        }
        if self.addresses.len() < MAX_ADDRESSES || self.addresses.contains_key(&network(from)) {
            let misses = self.addresses.entry(network(from)).or_insert(anew);
            *misses = if misses.holds(now) { misses.plus_one() } else { anew.plus_one() };
        }
    }

    /// The right key came from it: what it missed before is forgiven.
    pub(crate) fn succeeded(&mut self, from: IpAddr) {
        self.addresses.remove(&network(from));
    }
}

impl Misses {
    fn holds(self, now: Timestamp) -> bool {
        now.since(self.since) < WITHIN
    }

    fn plus_one(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }

    fn wait(self, limit: u32, now: Timestamp) -> Option<Duration> {
        (self.count >= limit && self.holds(now)).then(|| WITHIN.saturating_sub(now.since(self.since)))
    }
}

/// One subscriber has a whole /64 of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 @ IpAddr::V4(_) => v4,
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
        let mut limit = LoginLimit::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..10 {
            assert_eq!(limit.must_wait(one, seconds(0)), None);
            limit.missed(one, seconds(0));
        }
        assert_eq!(limit.must_wait(one, seconds(100)), Some(Duration::from_secs(800)));
        assert_eq!(limit.must_wait(other, seconds(100)), None);
        assert_eq!(limit.must_wait(one, seconds(900)), None);
        limit.missed(one, seconds(900));
        assert_eq!(limit.must_wait(one, seconds(900)), None, "it begins anew");
        limit.succeeded(one);
        assert!(limit.addresses.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_crowd_is_limited_as_a_whole() {
        let mut limit = LoginLimit::default();
        for host in 0..10u16 {
            limit.missed(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]), seconds(0));
        }
        let neighbour = IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]);
        assert!(limit.must_wait(neighbour, seconds(1)).is_some());
        for host in 0..=u8::MAX {
            limit.missed(IpAddr::from([198, 51, 100, host]), seconds(0));
        }
        assert!(limit.crowd_waits(seconds(1)).is_some());
        assert!(
            limit.must_wait(IpAddr::from([203, 0, 113, 1]), seconds(1)).is_none(),
            "who has the key gets in"
        );
        for host in 0..10_000u16 {
            let [high, low] = host.to_be_bytes();
            limit.missed(IpAddr::from([10, 0, high, low]), seconds(0));
        }
        assert!(limit.addresses.len() <= MAX_ADDRESSES);
    }
}
