//! Times for people: in UTC, short in tables, whole where the pointer rests.

use std::time::Duration;

use maud::{Markup, html};
use postrider_core::time::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time in a table: the time of day today, with the day before that.
pub(crate) fn short(at: Timestamp, now: Timestamp) -> Markup {
    let whole = at.to_string();
    let is_today = whole.get(..10) == now.to_string().get(..10);
    let shown = if is_today {
        time_of_day(&whole).to_owned()
    } else {
        format!("{} {}", day(&whole), time_of_day(&whole))
    };
    html! { time datetime=(whole) title={ (whole) " · " (ago(at, now)) } { (shown) } }
}

/// A time alone: the day and the time of day with milliseconds.
pub(crate) fn long(at: Timestamp, now: Timestamp) -> Markup {
    let whole = at.to_string();
    let shown = format!("{} {}", day(&whole), whole.get(11..23).unwrap_or_default());
    html! { time datetime=(whole) title={ (whole) " · " (ago(at, now)) } { (shown) } }
}

/// How long ago, or in how long.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}", span(at.since(now))) } else { format!("{} ago", span(now.since(at))) }
}

/// A length of time in its largest unit.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => format!("{} ms", length.as_millis()),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Microseconds for people.
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=9_999 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..=999_999 => format!("{} ms", us / 1_000),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

fn day(whole: &str) -> String {
    let month = whole.get(5..7).and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let name = MONTHS.get(month.saturating_sub(1)).copied().unwrap_or_default();
    format!("{name} {}", whole.get(8..10).unwrap_or_default())
}

fn time_of_day(whole: &str) -> &str {
    whole.get(11..19).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_today_and_have_their_day_before() {
        let now: Timestamp = "2026-11-25T02:14:57.123Z".parse().unwrap();
        let shown = |text: &str| short(text.parse().unwrap(), now).into_string();
        assert!(shown("2026-11-25T01:02:03.4Z").contains(">01:02:03<"));
        assert!(shown("2026-09-04T01:02:03.4Z").contains(">Sep 04 01:02:03<"));
        assert!(long(now, now).into_string().contains(">Nov 25 02:14:57.123<"));
        assert_eq!(ago(now.minus(Duration::from_secs(300)), now), "5 min ago");
        assert_eq!(ago(now.plus(Duration::from_secs(7200)), now), "in 2 h");
    }

    #[test]
    fn lengths_are_in_the_unit_that_reads_best() {
        for (us, shown) in [(0, "0 µs"), (1_250, "1.2 ms"), (167_000, "167 ms"), (15_000_900, "15.00 s")] {
            assert_eq!(micros(us), shown);
        }
    }
}
