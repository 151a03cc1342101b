//! Why a pending delivery waits, in plain words, as far as its endpoint tells.

use std::collections::HashMap;

use postrider_core::delivery::{Delivery, Status};
use postrider_core::endpoint::{DisabledReason, State};
use postrider_core::id::EndpointId;
use postrider_core::time::Timestamp;
use postrider_engine::Engine;
use postrider_engine::model::EndpointView;

/// Tells why deliveries wait; asks for each endpoint once.
pub(super) struct Reasons<'e> {
    engine: &'e Engine,
    endpoints: HashMap<EndpointId, Option<EndpointView>>,
    now: Timestamp,
}

impl<'e> Reasons<'e> {
    pub(super) fn new(engine: &'e Engine) -> Self {
        Self { engine, endpoints: HashMap::new(), now: engine.now() }
    }

    /// Why this delivery waits; none for one that came to its end.
    pub(super) fn of(&mut self, delivery: &Delivery) -> Option<String> {
        if delivery.status != Status::Pending {
            return None;
        }
        let look_up = |engine: &Engine| engine.endpoint(delivery.endpoint).ok();
        let view = self.endpoints.entry(delivery.endpoint).or_insert_with(|| look_up(self.engine));
        let Some(view) = view else {
            return Some("its endpoint was deleted; it is about to be cancelled".to_owned());
        };
        Some(held(view).unwrap_or_else(|| next(view, delivery, self.now)))
    }
}

/// The text for customers; the operator finds the cause in the log.
const UNREADABLE: &str = "the endpoint's secret or headers can't be used any more; check its URL, give it a new secret and set its headers again";

/// Why the endpoint's deliveries are held, where they are.
fn held(view: &EndpointView) -> Option<String> {
    let why = match view.state {
        State::Enabled if !view.endpoint.is_readable() => UNREADABLE,
        State::Enabled => return None,
        State::Paused => "the endpoint is paused; resume it",
        State::Disabled(DisabledReason::Operator) => "the endpoint was disabled by hand; enable it",
        State::Disabled(DisabledReason::Gone) => "the endpoint answered 410 Gone and is disabled; enable it",
        State::Disabled(DisabledReason::Failing) => "the endpoint failed for days and is disabled; enable it",
    };
    Some(why.to_owned())
}

/// What an enabled endpoint's delivery waits for.
fn next(view: &EndpointView, delivery: &Delivery, now: Timestamp) -> String {
    if let Some(failing) = view.health.failing {
        return format!(
            "the endpoint is failing since {}; the next probe, of one of its deliveries, is at {}",
            failing.since, failing.next_probe_at
        );
    }
    match (view.health.closed_until.filter(|until| *until > now), delivery.next_attempt_at) {
        (Some(until), _) => format!("the endpoint requested a delay until {until} (Retry-After)"),
        (None, Some(at)) if at > now => format!("the next attempt of its retry schedule, at {at}"),
        (None, _) => "its turn".to_owned(),
    }
}
