//! What the page of a delivery shows: the delivery, its event and endpoint, and a part of its attempts.

use postrider_core::attempt::Attempt;
use postrider_core::delivery::Delivery;
use postrider_core::event::Event;
use postrider_core::time::Timestamp;
use postrider_engine::model::EndpointView;

use super::find;
use crate::refusal::Refusal;
use crate::visit::Visit;

/// How many attempts the timeline shows at once; a failing endpoint's probes can be hundreds.
const SHOWN_ATTEMPTS: usize = 40;

/// Everything that the page shows.
pub(in crate::pages) struct Seen {
    pub(in crate::pages) delivery: Delivery,
    /// None where the endpoint was deleted.
    pub(in crate::pages) endpoint: Option<EndpointView>,
    pub(in crate::pages) event: Event,
    /// The attempts of the timeline, oldest first: the last ones, or those before the number that the address names.
    pub(super) attempts: Vec<Attempt>,
    /// Whether there are earlier ones.
    pub(super) has_earlier: bool,
    /// Before which number the timeline ends.
    pub(super) before: Option<u32>,
    /// The last attempt of all, where the timeline ends before it.
    newest: Option<Attempt>,
    /// The attempt that the address names, where it is not in the timeline.
    named: Option<Attempt>,
    pub(super) now: Timestamp,
}

impl Seen {
    /// Reads it, if the visitor may see it.
    pub(in crate::pages) async fn read(visit: &Visit) -> Result<Self, Refusal> {
        let delivery = find(visit).await?;
        let engine = visit.engine();
        let event = engine.event(delivery.event).await?;
        let number = |name: &str| visit.query.given(name).and_then(|text| text.parse::<u32>().ok());
        let (before, wanted) = (number("before"), number("attempt"));
        // One more than is shown tells whether there are more.
        let mut attempts = engine.last_attempts(&delivery, before, SHOWN_ATTEMPTS + 1).await?;
        let has_earlier = attempts.len() > SHOWN_ATTEMPTS;
        attempts.drain(..attempts.len().saturating_sub(SHOWN_ATTEMPTS));
        let newest = match before {
            Some(_) => engine.last_attempts(&delivery, None, 1).await?.pop(),
            None => None,
        };
        let is_there = |number: u32| attempts.iter().any(|attempt| attempt.number == number);
        let named = match wanted.filter(|number| !is_there(*number)) {
            Some(number) => engine.last_attempts(&delivery, Some(number.saturating_add(1)), 1).await?.pop(),
            None => None,
        };
        let named = named.filter(|attempt| Some(attempt.number) == wanted);
        let is_operator = visit.viewer.scope.is_operator();
        let shown = |attempt: Attempt| if is_operator { attempt } else { attempt.for_customers() };
        Ok(Self {
            endpoint: engine.endpoint(delivery.endpoint).ok(),
            delivery,
            event,
            attempts: attempts.into_iter().map(shown).collect(),
            has_earlier,
            before,
            newest: newest.map(shown),
            named: named.map(shown),
            now: engine.now(),
        })
    }

    /// The last attempt of all.
    pub(super) fn last(&self) -> Option<&Attempt> {
        self.newest.as_ref().or(self.attempts.last())
    }

    /// The attempt that is looked at: the one the address names, or the last of the timeline.
    pub(in crate::pages) fn chosen(&self, visit: &Visit) -> Option<&Attempt> {
        let named: Option<u32> = visit.query.given("attempt").and_then(|text| text.parse().ok());
        let of_number = |number: u32| self.attempts.iter().find(|attempt| attempt.number == number);
        named.and_then(of_number).or(self.named.as_ref()).or(self.attempts.last())
    }

    /// The query of the page that looks at an attempt, beside this part of the timeline.
    pub(in crate::pages) fn looking_at(&self, number: u32) -> String {
        match self.before {
            Some(before) => format!("attempt={number}&before={before}"),
            None => format!("attempt={number}"),
        }
    }
}
