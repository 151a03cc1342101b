//! An endpoint's health in words: what counts, how far it has come, and what follows. The rules are those that hold here.

use std::time::Duration;

use maud::{Markup, html};
use postrider_core::health::{FailureRun, HealthRules};
use postrider_core::time::Timestamp;
use postrider_engine::model::EndpointView;

use super::time;

/// The note about an enabled endpoint's health; nothing while its last attempt was received and its success rate is good.
pub(crate) fn note(view: &EndpointView, rules: &HealthRules, now: Timestamp) -> Markup {
    let health = &view.health;
    html! {
        @if let Some(failing) = health.failing {
            div.alarm {
                p { strong { "Failing " } "since " (time::long(failing.since, now)) ". One delivery at a time is sent as a probe, the next " (time::ago(failing.next_probe_at, now)) ". No delivery is exhausted meanwhile." }
                p { "The newest failed delivery below shows what went wrong. A resend by hand is the next probe, at once." }
                (rule(view, rules))
            }
        } @else if let Some(run) = health.run {
            div.note {
                p { strong { (count(run.attempts)) } " since " (time::long(run.since, now)) ". " (towards_failing(view, &run, rules, now)) }
                (rule(view, rules))
            }
        } @else if health.is_degraded() {
            div.note {
                p { strong { "Degraded. " } (success_rate(view)) " of the last 100 attempts were received; below 95 % an endpoint counts as degraded. Its deliveries are sent as usual." }
            }
        }
    }
}

fn count(attempts: u32) -> String {
    if attempts == 1 { "1 failed attempt".to_owned() } else { format!("{attempts} failed attempts in a row") }
}

/// What is still missing until the endpoint counts as failing.
fn towards_failing(view: &EndpointView, run: &FailureRun, rules: &HealthRules, now: Timestamp) -> String {
    if view.endpoint.settings.ordered {
        return "It delivers in order: the delivery at the head is retried by its schedule, and the others wait.".to_owned();
    }
    let deliveries = run.deliveries.iter().flatten().count();
    let mut missing = Vec::new();
    match rules.failures.saturating_sub(run.failures) {
        0 => {}
        1 => missing.push("1 more failure".to_owned()),
        more => missing.push(format!("{more} more failures")),
    }
    if deliveries < rules.deliveries {
        missing.push(format!("failures of {} more deliveries", rules.deliveries - deliveries));
    }
    if now.since(run.since) < rules.over {
        missing.push(format!("failures over {}", shown(rules.over)));
    }
    match missing.as_slice() {
        [] => "With the next failure it counts as failing.".to_owned(),
        missing => format!("It counts as failing after {}.", missing.join(" and ")),
    }
}

/// The whole rule, for whoever wants to read it.
fn rule(view: &EndpointView, rules: &HealthRules) -> Markup {
    let probes: Vec<String> = rules.probe_delays.iter().map(|delay| shown(*delay)).collect();
    html! {
        details {
            summary { "When does an endpoint count as failing, and what follows?" }
            @if view.endpoint.settings.ordered {
                p { "An endpoint that delivers in order never counts as failing." }
            } @else {
                p { "It counts as failing after " (rules.failures) " failures in a row, of at least " (rules.deliveries) " deliveries and over at least " (shown(rules.over)) ". From then on one delivery at a time is sent as a probe, after " (probes.join(", ")) ", and then at the last of these intervals. A probe uses up no attempt of its delivery. The first success makes it healthy." }
            }
            p { "An attempt answered with 429 or 503 and " code { "Retry-After" } " is no failure in this sense: nothing is sent until then." }
            p { (disabling(rules)) }
        }
    }
}

fn disabling(rules: &HealthRules) -> String {
    match rules.disable_after {
        Some(after) => format!(
            "It is disabled once its attempts have failed for {} without a success, and at least {} of them; more than {} \
             without any attempt (or more than the longest delay of its retry schedule, if that is longer) begin this \
             anew, and time in which the service was stopped does not count. A 410 Gone disables it at once. Its deliveries are held then, \
             and sent once it is enabled.",
            shown(after),
            rules.disable_attempts,
            shown(rules.longest_gap)
        ),
        None => "Failures never disable it; a 410 Gone does at once.".to_owned(),
    }
}

/// Why an endpoint was disabled for failing.
pub(crate) fn why_disabled(rules: &HealthRules) -> String {
    match rules.disable_after {
        Some(after) => format!("Its attempts failed for {} or longer without a success.", shown(after)),
        None => "Its attempts failed for days without a success.".to_owned(),
    }
}

/// The success rate in per cent, or a dash before the first attempt.
pub(crate) fn success_rate(view: &EndpointView) -> String {
    match view.health.recent.success_rate() {
        Some(rate) => format!("{} %", (rate * 100.0).floor()),
        None => "–".to_owned(),
    }
}

/// A duration in its largest unit.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        seconds if seconds >= 86_400 && seconds % 86_400 == 0 => (seconds / 86_400, "day"),
        seconds if seconds >= 3_600 && seconds % 3_600 == 0 => (seconds / 3_600, "hour"),
        seconds if seconds >= 60 && seconds % 60 == 0 => (seconds / 60, "minute"),
        seconds => (seconds, "second"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_their_largest_whole_unit() {
        for (seconds, text) in [
            (30, "30 seconds"),
            (60, "1 minute"),
            (900, "15 minutes"),
            (108_000, "30 hours"),
            (432_000, "5 days"),
        ] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn what_is_said_of_disabling_is_the_rule_that_holds() {
        let off = HealthRules { disable_after: None, ..HealthRules::default() };
        assert!(disabling(&HealthRules::default()).contains("for 5 days without a success, and at least 10"));
        assert!(!disabling(&off).contains("without a success"));
    }
}
