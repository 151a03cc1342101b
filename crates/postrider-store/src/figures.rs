//! Figures that are counted where things happen and read when somebody asks: atomics alone, no lock and no allocation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most bounds that a histogram has.
const MAX_BOUNDS: usize = 16;

/// How often values fell below each of a few bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what lies above them all.
    counts: [AtomicU64; MAX_BOUNDS + 1],
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The upper bounds, inclusive.
    pub bounds: &'static [u64],
    /// How many values lay at or below each bound, and last how many there were.
    pub at_most: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Histogram {
    /// An empty one with these bounds, rising, at most sixteen.
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= MAX_BOUNDS, "a histogram has few bounds");
        Self { bounds, counts: [const { AtomicU64::new(0) }; MAX_BOUNDS + 1], sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn count(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// How it stands.
    pub fn read(&self) -> Counted {
        let counts = self.counts[..=self.bounds.len()].iter().map(|count| count.load(Ordering::Relaxed));
        let mut so_far = 0;
        let at_most = counts
            .map(|count| {
                so_far += count;
                so_far
            })
            .collect();
        Counted { bounds: self.bounds, at_most, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// Bounds for times in microseconds: 250 µs to a minute.
pub const TIMES_US: &[u64] = &[
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    15_000_000, 60_000_000,
];
/// Bounds for numbers of things that went together.
pub const SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048];

/// What a store counts of its commits and reads.
#[derive(Debug)]
pub struct StoreFigures {
    /// How long each took, from its first statement to its end, in microseconds.
    pub commit_us: Histogram,
    /// How many requests shared each.
    pub commit_size: Histogram,
    /// How many came to nothing.
    pub failed: AtomicU64,
    /// How many statements ended without an answer, so that their outcome had to be found out.
    pub unknown_outcomes: AtomicU64,
    /// What reads took so far, in steps of SQLite's machine (some tens for each row that is looked at); a server of its own
    /// does not tell. It grows a thousand at a time.
    pub read_steps: AtomicU64,
}

impl Default for StoreFigures {
    fn default() -> Self {
        Self {
            commit_us: Histogram::new(TIMES_US),
            commit_size: Histogram::new(SIZES),
            failed: AtomicU64::new(0),
            unknown_outcomes: AtomicU64::new(0),
            read_steps: AtomicU64::new(0),
        }
    }
}

impl StoreFigures {
    /// Counts a commit of so many requests, or one that failed.
    pub fn committed(&self, took: Duration, requests: usize, is_done: bool) {
        if is_done {
            self.commit_us.count(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            self.commit_size.count(u64::try_from(requests).unwrap_or(u64::MAX));
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_tells_how_many_values_lay_at_or_below_each_bound() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            histogram.count(value);
        }
        assert_eq!(histogram.read(), Counted { bounds: &[10, 20], at_most: vec![2, 4, 6], sum: 1_062 });
    }

    #[test]
    fn only_what_was_committed_has_a_time_and_a_size() {
        let figures = StoreFigures::default();
        figures.committed(Duration::from_micros(300), 3, true);
        figures.committed(Duration::from_secs(1), 5, false);
        assert_eq!((figures.commit_us.read().sum, figures.commit_size.read().sum), (300, 3));
        assert_eq!(figures.failed.load(Ordering::Relaxed), 1);
    }
}
