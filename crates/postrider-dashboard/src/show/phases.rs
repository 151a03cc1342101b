//! An attempt's time, split into its phases and drawn to scale.

use maud::{Markup, html};
use postrider_core::attempt::Timings;

use super::time::micros;

const WIDTH: u64 = 600;

/// The phases that happened, in their order: a name, a class, how long it took.
fn phases(timings: &Timings) -> Vec<(&'static str, &'static str, u64)> {
    let named = [
        ("DNS", "dns", timings.dns_us),
        ("Connect", "connect", timings.connect_us),
        ("TLS", "tls", timings.tls_us),
        ("First byte", "first-byte", timings.first_byte_us),
    ];
    let mut phases: Vec<_> =
        named.into_iter().filter_map(|(name, class, us)| Some((name, class, us?))).collect();
    let known: u64 = phases.iter().map(|(_, _, us)| us).sum();
    match timings.total_us.checked_sub(known) {
        // Up to the outcome; the body is read after it is decided.
        Some(rest) if rest > 0 => phases.push(("Rest", "rest", rest)),
        _ => {}
    }
    phases
}

/// The picture with its legend.
pub(crate) fn drawn(timings: &Timings) -> Markup {
    let phases = phases(timings);
    let total = phases.iter().map(|(_, _, us)| us).sum::<u64>().max(1);
    let said: Vec<String> = phases.iter().map(|(name, _, us)| format!("{name} {}", micros(*us))).collect();
    let mut left = 0;
    let drawn: Vec<_> = phases
        .iter()
        .map(|(name, class, us)| {
            let (x, width) = (left, (us * WIDTH / total).max(2));
            left += width;
            (*name, *class, *us, x.min(WIDTH - 2), width)
        })
        .collect();
    html! {
        figure.phases {
            svg viewBox={ "0 0 " (WIDTH) " 14" } preserveAspectRatio="none" role="img"
                aria-label={ "Time split: " (said.join(", ")) } {
                @for (name, class, us, x, width) in &drawn {
                    rect class=(class) x=(x) y="0" width=(width) height="14" { title { (name) " " (micros(*us)) } }
                }
            }
            figcaption {
                @for (name, class, us) in &phases {
                    span { i class=(class) {} (name) " " b { (micros(*us)) } }
                }
                span.total { "Total " b { (micros(timings.total_us)) } }
                @if timings.connect_us.is_none() && timings.first_byte_us.is_some() {
                    span.muted { "on a connection that was open already" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_that_happened_is_drawn_and_named() {
        let timings = Timings {
            dns_us: None,
            connect_us: Some(1_500),
            tls_us: None,
            first_byte_us: Some(250),
            total_us: 2_125,
        };
        let shown = drawn(&timings).into_string();
        for (word, there) in
            [("Connect 1.5 ms", true), ("First byte 250 µs", true), ("Rest 375 µs", true), ("TLS", false)]
        {
            assert_eq!(shown.contains(word), there, "{word}: {shown}");
        }
        let nothing = drawn(&Timings::default()).into_string();
        assert!(nothing.contains("0 µs"));
    }
}
