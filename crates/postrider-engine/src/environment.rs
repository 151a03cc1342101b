//! The clock and chance as the engine sees them, so that a test can replace both.

use std::time::{SystemTime, UNIX_EPOCH};

use postrider_core::schedule::Jitter;
use postrider_core::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
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
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("an operating system without random numbers can't make keys or ids");
    }
}
