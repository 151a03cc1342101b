//! Ports that stay free while nobody listens on them.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the system gives ports to outgoing connections: otherwise one of those could sit on the
/// port while the server is down, and it could not come back.
const PORTS: std::ops::Range<u16> = 16_000..32_000;
/// How many are tried before a search is given up.
const MAX_TRIES: u64 = 200;

/// A port of the loopback on which nobody listens just now, chosen by chance, so that tests that run at the same time
/// seldom meet.
pub(crate) fn free() -> std::io::Result<u16> {
    let chance = RandomState::new();
    let mut failure = std::io::Error::other("no port was tried");
    for turn in 0..MAX_TRIES {
        let span = u64::from(PORTS.end - PORTS.start);
        let offset = u16::try_from(chance.hash_one(turn) % span).expect("the span is one of ports");
        match TcpListener::bind((Ipv4Addr::LOCALHOST, PORTS.start + offset)) {
            Ok(_free_again) => return Ok(PORTS.start + offset),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
