//! The retry schedule: how long to wait after each failed attempt.
//!
//! The jitter's chance is an argument.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MIN_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);
const MAX_DELAYS: usize = 30;
/// The largest share of a delay by which chance moves it, either way.
const JITTER: f64 = 0.1;

/// Fresh chance for one decision, made by the caller: any 32 random bits.
#[derive(Debug, Clone, Copy)]
pub struct Jitter(pub u32);

/// Delays after each failed attempt; one more attempt than delays is made in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

/// Why something is not a retry schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleRefused {
    /// No delay, or too many.
    #[error("a retry schedule has 1 to {MAX_DELAYS} delays, this has {0}")]
    Count(usize),
    /// A delay out of range.
    #[error("delay {0:?} is not between 1s and 7d")]
    Range(String),
    /// A delay that is not a duration.
    #[error("\"{0}\" is not a duration such as 5s, 30m, 2h or 1d")]
    NotADuration(String),
}

impl Default for RetrySchedule {
    /// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h: ten attempts in a little over three days.
    fn default() -> Self {
        const HOUR: u64 = 3600;
        let seconds = [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self(seconds.map(Duration::from_secs).to_vec())
    }
}

impl RetrySchedule {
    /// A schedule of 1 to 30 delays of 1 s to 7 days each.
    pub fn new(delays: Vec<Duration>) -> Result<Self, ScheduleRefused> {
        if delays.is_empty() || delays.len() > MAX_DELAYS {
            return Err(ScheduleRefused::Count(delays.len()));
        }
        match delays.iter().find(|delay| !(MIN_DELAY..=MAX_DELAY).contains(delay)) {
            Some(wrong) => Err(ScheduleRefused::Range(show_duration(*wrong))),
            None => Ok(Self(delays)),
        }
    }

    /// A schedule from texts such as `["1s", "5m"]`.
    pub fn from_texts<T: AsRef<str>>(texts: &[T]) -> Result<Self, ScheduleRefused> {
        if texts.is_empty() || texts.len() > MAX_DELAYS {
            return Err(ScheduleRefused::Count(texts.len()));
        }
        Self::new(texts.iter().map(|text| parse_duration(text.as_ref())).collect::<Result<_, _>>()?)
    }

    /// The delays, without jitter.
    pub fn delays(&self) -> &[Duration] {
        &self.0
    }

    /// The delays as texts that [`Self::from_texts`] reads.
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(|delay| show_duration(*delay)).collect()
    }

    /// The longest time that may lie between two attempts of one delivery by this schedule: its longest delay, jitter
    /// included, and an hour for the attempt itself and for waiting its turn.
    pub fn longest_wait(&self) -> Duration {
        let longest = self.0.iter().max().copied().unwrap_or_default();
        longest.mul_f64(1.0 + JITTER) + Duration::from_secs(3600)
    }

    /// How long to wait after the `failed`-th failed attempt (from 1), moved by up to ±10 % by `jitter`.
    /// None when that was the last one.
    pub fn delay_after(&self, failed: u32, jitter: Jitter) -> Option<Duration> {
        let index = usize::try_from(failed.checked_sub(1)?).ok()?;
        let delay = self.0.get(index)?;
        let share = 1.0 - JITTER + 2.0 * JITTER * (f64::from(jitter.0) / f64::from(u32::MAX));
        Some(delay.mul_f64(share))
    }
}

impl FromStr for RetrySchedule {
    type Err = ScheduleRefused;

    /// Reads `1s,2s,5m`.
    fn from_str(text: &str) -> Result<Self, ScheduleRefused> {
        Self::from_texts(&text.split(',').map(str::trim).collect::<Vec<_>>())
    }
}

impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_texts().join(","))
    }
}

/// Reads a duration of one number and one unit: `500ms`, `5s`, `30m`, `2h`, `1d`. `NotADuration` for anything else.
pub fn parse_duration(text: &str) -> Result<Duration, ScheduleRefused> {
    let refused = || ScheduleRefused::NotADuration(text.chars().take(40).collect());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().or(Err(refused()))?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refused)
}

/// Shows a duration in the largest unit that divides it.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (unit_ms, unit) = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit_ms, _)| ms >= *unit_ms && ms.is_multiple_of(*unit_ms))
        .unwrap_or((1, "ms"));
    format!("{}{unit}", ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_makes_ten_attempts_in_a_little_over_three_days() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.to_string(), "5s,5m,30m,2h,5h,10h,14h,20h,1d");
        assert_eq!(schedule.delays().len() + 1, 10);
        let whole: Duration = schedule.delays().iter().sum();
        assert!((Duration::from_secs(72 * 3600)..Duration::from_secs(80 * 3600)).contains(&whole));
    }

    #[test]
    fn after_the_last_delay_there_is_no_more() {
        let schedule: RetrySchedule = "1s,2s".parse().unwrap();
        let middle = Jitter(u32::MAX / 2);
        let delays: Vec<_> =
            (0..4).map(|n| schedule.delay_after(n, middle).map(|d| d.as_secs_f64().round())).collect();
        assert_eq!(delays, [None, Some(1.0), Some(2.0), None]);
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_place() {
        let refused = |text: &str| text.parse::<RetrySchedule>().expect_err(text).to_string();
        assert_eq!(refused(""), "\"\" is not a duration such as 5s, 30m, 2h or 1d");
        assert_eq!(refused("5s,soon"), "\"soon\" is not a duration such as 5s, 30m, 2h or 1d");
        assert_eq!(refused("5"), "\"5\" is not a duration such as 5s, 30m, 2h or 1d");
        assert_eq!(
            refused("99999999999999999999s"),
            "\"99999999999999999999s\" is not a duration such as 5s, 30m, 2h or 1d"
        );
        assert_eq!(refused("999ms"), "delay \"999ms\" is not between 1s and 7d");
        assert_eq!(refused("8d"), "delay \"8d\" is not between 1s and 7d");
        assert_eq!(refused(&["1s"; 31].join(",")), "a retry schedule has 1 to 30 delays, this has 31");
    }

    proptest! {
        #[test]
        fn jitter_stays_within_ten_percent(bits: u32, seconds in 1u64..=7 * 24 * 3600) {
            let delay = Duration::from_secs(seconds);
            let schedule = RetrySchedule::new(vec![delay]).unwrap();
            let jittered = schedule.delay_after(1, Jitter(bits)).unwrap().as_secs_f64() / delay.as_secs_f64();
            prop_assert!((0.899_999..=1.100_001).contains(&jittered));
        }

        #[test]
        fn a_schedule_survives_its_text(seconds in proptest::collection::vec(1u64..=604_800, 1..=30)) {
            let schedule = RetrySchedule::new(seconds.into_iter().map(Duration::from_secs).collect()).unwrap();
            prop_assert_eq!(schedule.to_string().parse::<RetrySchedule>(), Ok(schedule));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _unused = text.parse::<RetrySchedule>();
        }
    }
}
