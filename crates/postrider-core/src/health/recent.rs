//! The outcomes of an endpoint's last attempts, from which its success rate is shown.

/// How many attempts a success rate covers.
pub const MAX_RECENT_ATTEMPTS: u32 = 100;
/// An endpoint whose success rate is below this is shown as degraded.
pub const DEGRADED_BELOW: f64 = 0.95;

const MASK: u128 = (1 << MAX_RECENT_ATTEMPTS) - 1;

/// The outcomes of the last [`MAX_RECENT_ATTEMPTS`] attempts, probes included, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecentAttempts {
    /// One bit for each, the last one lowest: set where it was received.
    bits: u128,
    count: u32,
}

impl RecentAttempts {
    /// The same with one more attempt.
    #[must_use]
    pub fn with(self, received: bool) -> Self {
        Self {
            bits: (self.bits << 1 | u128::from(received)) & MASK,
            count: (self.count + 1).min(MAX_RECENT_ATTEMPTS),
        }
    }

    /// The same with those of `later` behind its own.
    #[must_use]
    pub fn followed_by(self, later: Self) -> Self {
        let kept = self.bits.checked_shl(later.count).unwrap_or(0);
        Self { bits: (kept | later.bits) & MASK, count: (self.count + later.count).min(MAX_RECENT_ATTEMPTS) }
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The share of them that was received, from 0 to 1; none before the first.
    pub fn success_rate(self) -> Option<f64> {
        (self.count > 0).then(|| f64::from(self.bits.count_ones()) / f64::from(self.count))
    }

    /// One character for each, the last one at the end: `1` where it was received, `0` where not.
    pub fn to_text(self) -> String {
        (0..self.count).rev().map(|place| if self.bits >> place & 1 == 1 { '1' } else { '0' }).collect()
    }

    /// Reads [`Self::to_text`]. None for any other text.
    pub fn from_text(text: &str) -> Option<Self> {
        text.bytes().try_fold(Self::default(), |recent, byte| match byte {
            b'0' => Some(recent.with(false)),
            b'1' => Some(recent.with(true)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rate_is_that_of_the_last_hundred() {
        let mut recent = RecentAttempts::default();
        assert_eq!(recent.success_rate(), None);
        recent = recent.with(false);
        assert_eq!(recent.success_rate(), Some(0.0));
        for _ in 0..99 {
            recent = recent.with(true);
        }
        assert_eq!(recent.success_rate(), Some(0.99));
        assert_eq!(recent.with(true).success_rate(), Some(1.0), "the failure is the 101st from the end");
        assert_eq!(RecentAttempts::from_text("2"), None);
    }

    proptest! {
        #[test]
        fn it_is_the_end_of_the_list_of_outcomes(
            first in proptest::collection::vec(any::<bool>(), 0..250),
            later in proptest::collection::vec(any::<bool>(), 0..250),
        ) {
            let of = |list: &[bool]| list.iter().fold(RecentAttempts::default(), |all, one| all.with(*one));
            let all: Vec<bool> = first.iter().chain(&later).copied().collect();
            prop_assert_eq!(of(&first).followed_by(of(&later)), of(&all));
            let last = &all[all.len().saturating_sub(100)..];
            let text: String = last.iter().map(|one| if *one { '1' } else { '0' }).collect();
            prop_assert_eq!(of(&all).to_text(), text.clone());
            prop_assert_eq!(RecentAttempts::from_text(&text), Some(of(&all)));
        }
    }
}
