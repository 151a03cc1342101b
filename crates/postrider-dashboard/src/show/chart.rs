//! Pictures of what ended lately, drawn as SVG here, so that they need no script.

use maud::{Markup, html};
use postrider_core::activity::Counts;
use postrider_core::time::Timestamp;

use super::text::number;

const WIDTH: u32 = 720;
const HEIGHT: u32 = 140;
/// The least height of a bar that stands for something, so that a single failure is seen.
const LEAST: u32 = 2;

/// What all slots hold together.
pub(crate) fn sum(slots: &[(Timestamp, Counts)]) -> (u64, u64) {
    slots.iter().fold((0, 0), |(received, failed), (_, counts)| {
        (received + u64::from(counts.received), failed + u64::from(counts.failed))
    })
}

/// The share that was received, in tenths of a percent; none where nothing ended.
pub(crate) fn success(received: u64, failed: u64) -> Option<String> {
    let all = received + failed;
    // Never "100 %" where something failed.
    let tenths = received.saturating_mul(1_000).checked_div(all)?;
    Some(if failed == 0 { "100 %".to_owned() } else { format!("{}.{} %", tenths / 10, tenths % 10) })
}

/// Bars of received and failed attempts, with a scale.
pub(crate) fn bars(slots: &[(Timestamp, Counts)], about: &str) -> Markup {
    let (received, failed) = sum(slots);
    let highest = slots.iter().map(|(_, counts)| all(*counts)).max().unwrap_or(0);
    let top = nice(highest);
    let said = format!("{about}: {} received, {} failed", number(received), number(failed));
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(said) {
                @for quarter in 0..=3u32 {
                    line class="grid" x1="0" x2=(WIDTH) y1=(quarter * HEIGHT / 4 + 1) y2=(quarter * HEIGHT / 4 + 1) {}
                }
                @for (index, (at, counts)) in slots.iter().enumerate() {
                    (bar(index, slots.len(), *at, *counts, top))
                }
                line class="ground" x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
            }
            span.scale aria-hidden="true" { (number(top)) }
            div.axis aria-hidden="true" {
                @for index in [0, slots.len() / 2, slots.len().saturating_sub(1)] {
                    @if let Some((at, _)) = slots.get(index) { span { (at.to_string().get(11..16).unwrap_or_default()) } }
                }
            }
        }
    }
}

fn bar(index: usize, count: usize, at: Timestamp, counts: Counts, top: u64) -> Markup {
    if all(counts) == 0 {
        return html! {};
    }
    let place = |index: usize| {
        u64::try_from(index).unwrap_or(0) * u64::from(WIDTH) * 100 / u64::try_from(count.max(1)).unwrap_or(1)
    };
    let (left, right) = (place(index), place(index + 1));
    let width = hundredths((right - left).saturating_sub(100).max(60));
    let good = height(counts.received, top);
    let bad = height(counts.failed, top);
    let title = format!(
        "{} UTC: {} received, {} failed",
        at.to_string().get(11..16).unwrap_or_default(),
        number(counts.received.into()),
        number(counts.failed.into())
    );
    html! {
        g {
            title { (title) }
            @if good > 0 { rect class="good" x=(hundredths(left)) y=(HEIGHT - good) width=(width) height=(good) {} }
            @if bad > 0 {
                rect class="bad" x=(hundredths(left)) y=(HEIGHT.saturating_sub(good + bad)) width=(width) height=(bad) {}
            }
        }
    }
}

/// A small line of bars for a table's cell.
pub(crate) fn spark(slots: &[(Timestamp, Counts)]) -> Markup {
    const TALL: u32 = 20;
    let (received, failed) = sum(slots);
    let highest = slots.iter().map(|(_, counts)| all(*counts)).max().unwrap_or(0).max(1);
    let said = format!("Last 24 hours: {} received, {} failed", number(received), number(failed));
    let scaled = |count: u32| match count {
        0 => 0,
        count => u32::try_from(u64::from(count) * u64::from(TALL) / highest).unwrap_or(TALL).max(LEAST),
    };
    html! {
        svg.spark viewBox={ "0 0 " (slots.len() * 4) " " (TALL) } role="img" aria-label=(said) {
            title { (said) }
            @for (index, (_, counts)) in slots.iter().enumerate() {
                @let (good, bad) = (scaled(counts.received), scaled(counts.failed));
                @if all(*counts) == 0 { rect class="none" x=(index * 4) y=(TALL - 1) width="3" height="1" {} }
                @if good > 0 { rect class="good" x=(index * 4) y=(TALL - good) width="3" height=(good) {} }
                @if bad > 0 { rect class="bad" x=(index * 4) y=(TALL.saturating_sub(good + bad)) width="3" height=(bad) {} }
            }
        }
    }
}

fn all(counts: Counts) -> u64 {
    u64::from(counts.received) + u64::from(counts.failed)
}

fn height(count: u32, top: u64) -> u32 {
    match count {
        0 => 0,
        count => {
            let scaled = u64::from(count) * u64::from(HEIGHT) / top.max(1);
            u32::try_from(scaled).unwrap_or(HEIGHT).clamp(LEAST, HEIGHT)
        }
    }
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// The next number at or above `highest` that reads well on a scale.
fn nice(highest: u64) -> u64 {
    let mut unit = 1u64;
    loop {
        for step in [1, 2, 4, 5] {
            let top = step * unit;
            if top >= highest.max(4) {
                return top;
            }
        }
        match unit.checked_mul(10) {
            Some(next) if next <= u64::MAX / 10 => unit = next,
            _ => return highest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_never_rounded_away() {
        assert_eq!(success(0, 0), None);
        assert_eq!(success(5, 0).unwrap(), "100 %");
        assert_eq!(success(999_999, 1).unwrap(), "99.9 %");
        assert_eq!(success(0, 3).unwrap(), "0.0 %");
        let slots = [(Timestamp::from_ms(0), Counts { received: 1_000_000, failed: 1 })];
        assert!(bars(&slots, "x").into_string().contains("class=\"bad\""));
        assert!(spark(&slots).into_string().contains("class=\"bad\""));
    }

    #[test]
    fn the_scale_ends_at_a_number_that_reads_well() {
        for (highest, top) in
            [(0, 4), (4, 4), (7, 10), (11, 20), (390, 400), (401, 500), (u64::MAX, u64::MAX)]
        {
            assert_eq!(nice(highest), top, "{highest}");
        }
    }
}
