//! The clock and chance as the engine sees them, so that a test can replace both.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use postrider_core::schedule::Jitter;
use postrider_core::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// The same as exactly as the clock can tell, in microseconds since 1970.
    fn now_us(&self) -> i64 {
        self.now().as_ms().saturating_mul(1_000)
    }
}

/// Makes chance.
pub trait Chance: Send + Sync + 'static {
    /// Fills `bytes` with fresh, unpredictable chance.
    fn fill(&self, bytes: &mut [u8]);

    /// 128 fresh random bits.
    fn bits(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }

    /// Fresh chance for one retry.
    fn jitter(&self) -> Jitter {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Jitter(u32::from_le_bytes(bytes))
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }

    fn now_us(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
    }
}

/// The operating system's random numbers, drawn in bulk: a system call for each id would cost more than the id.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemChance;

/// Bytes drawn at a time, per thread.
const DRAWN_BYTES: usize = 1_024;

/// Random bytes that were drawn and not given out yet: those from `next` on.
struct Drawn {
    bytes: [u8; DRAWN_BYTES],
    next: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; DRAWN_BYTES], next: DRAWN_BYTES }) };
}

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > DRAWN_BYTES {
            return draw(bytes);
        }
        DRAWN.with_borrow_mut(|drawn| {
            if DRAWN_BYTES - drawn.next < bytes.len() {
                draw(&mut drawn.bytes);
                drawn.next = 0;
            }
            let given = &mut drawn.bytes[drawn.next..drawn.next + bytes.len()];
            bytes.copy_from_slice(given);
            // What is given out may become a key: it must not stay here.
            given.fill(0);
            drawn.next += bytes.len();
        });
    }
}

fn draw(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("an operating system without random numbers can't make keys or ids");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bytes_are_given_out_twice() {
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let mut bytes = [0; 16];
            SystemChance.fill(&mut bytes);
            assert!(seen.insert(bytes) && bytes != [0; 16]);
        }
        let mut long = vec![0; 3 * DRAWN_BYTES];
        SystemChance.fill(&mut long);
        assert!(long.chunks(DRAWN_BYTES).all(|part| part.iter().any(|byte| *byte != 0)));
    }
}
