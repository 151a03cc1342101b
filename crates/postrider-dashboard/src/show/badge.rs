//! Small marks: a delivery's status, an endpoint's state and health, a mode.

use maud::{Markup, html};
use postrider_core::attempt::Outcome;
use postrider_core::delivery::Status;
use postrider_core::endpoint::{DisabledReason, State};
use postrider_engine::model::EndpointView;

/// A mark that says neither good nor bad.
pub(crate) fn plain(text: &str) -> Markup {
    badge("test", text)
}

/// A mark of what is out of use.
pub(crate) fn off(text: &str) -> Markup {
    badge("off", text)
}

fn badge(kind: &str, text: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (text) } }
}

/// Where a delivery stands.
pub(crate) fn status(status: Status) -> Markup {
    match status {
        Status::Pending => badge("wait", "Pending"),
        Status::Delivered => badge("good", "Delivered"),
        Status::Exhausted => badge("bad", "Exhausted"),
        Status::Cancelled => badge("off", "Cancelled"),
    }
}

/// What an attempt came to.
pub(crate) fn outcome(outcome: &Outcome) -> Markup {
    match outcome {
        Outcome::Answered { status, .. } if outcome.is_received() => badge("good", &status.to_string()),
        Outcome::Answered { status, .. } => badge("bad", &status.to_string()),
        Outcome::Failed { code, .. } => badge("bad", code.as_str()),
    }
}

/// How an endpoint stands: what was decided about it, or how it does.
pub(crate) fn endpoint(view: &EndpointView) -> Markup {
    match view.state {
        State::Paused => badge("off", "Paused"),
        State::Disabled(reason) => badge(
            "bad",
            match reason {
                DisabledReason::Operator => "Disabled",
                DisabledReason::Gone => "Disabled: gone",
                DisabledReason::Failing => "Disabled: failing",
            },
        ),
        State::Enabled if view.health.is_failing() => badge("bad", "Failing"),
        State::Enabled if view.health.is_degraded() => badge("wait", "Degraded"),
        State::Enabled if has_no_traffic(view) => badge("off", "No traffic yet"),
        State::Enabled => badge("good", "Healthy"),
    }
}

/// Whether no attempt to it has ended yet. The release before this one kept no success rate.
fn has_no_traffic(view: &EndpointView) -> bool {
    let health = &view.health;
    health.recent.is_empty() && health.run.is_none() && health.last_success_at.is_none()
}

/// Live or test.
pub(crate) fn mode(livemode: bool) -> Markup {
    if livemode { badge("live", "Live") } else { badge("test", "Test") }
}
