//! Explains an event's routing by today's configuration: where it would go, and why, or why not.

use postrider_core::event::Event;
use postrider_core::filter::Explanation;
use postrider_core::limits::MAX_INLINE_BYTES;

use crate::model::EndpointView;
use crate::snapshot::AccountEntry;
use crate::validation::run_off_shared_threads;
use crate::{Engine, EngineError, Requester};

/// What one endpoint would make of an event.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The endpoint as it stands.
    pub view: EndpointView,
    /// Whether it is of the event's mode.
    pub mode_matches: bool,
    /// Whether it subscribed the event's type.
    pub event_type_matches: bool,
    /// What its filter says; none where it has none.
    pub filter: Option<Explanation>,
}

impl Routing {
    /// Whether the event would go there. State plays no part: what is paused or disabled gets its deliveries, held.
    pub fn matches(&self) -> bool {
        self.mode_matches
            && self.event_type_matches
            && self.filter.as_ref().is_none_or(|explained| explained.matches)
    }
}

impl Engine {
    /// What each endpoint of the event's account would make of it if it were accepted now, in the order in which the
    /// endpoints were made. None of them where the account is deleted.
    ///
    /// `Overloaded` where it takes a slot and none was free in time.
    pub async fn routing(&self, requester: Requester, event: &Event) -> Result<Vec<Routing>, EngineError> {
        let snapshot = self.0.snapshot.load_full();
        let Some(entry) = snapshot.account(event.account) else { return Ok(Vec::new()) };
        let event_type = self.0.event_type(&event.event_type);
        if entry.routing_cost(&event_type, event.livemode, event.payload.len()) <= MAX_INLINE_BYTES {
            return Ok(self.explain(entry, event));
        }
        let _slot = self.0.validation_slots.take(requester).await?;
        Ok(run_off_shared_threads(|| self.explain(entry, event)))
    }

    fn explain(&self, entry: &AccountEntry, event: &Event) -> Vec<Routing> {
        let filters = (entry.filter_bytes() > 0).then(|| entry.filters());
        let collected = filters.map(|filters| (filters, filters.collect(&event.payload)));
        let explain = |(place, endpoint): (usize, &std::sync::Arc<postrider_core::endpoint::Endpoint>)| {
            let explained = endpoint.settings.filter.as_ref().zip(collected.as_ref());
            Routing {
                view: self.0.view(endpoint),
                mode_matches: endpoint.livemode == event.livemode,
                event_type_matches: endpoint.settings.subscription.matches(&event.event_type),
                filter: explained.and_then(|(filter, (filters, collected))| {
                    Some(filter.explain(&collected.of_filter(filters.place(place)?)))
                }),
            }
        };
        entry.endpoints.iter().enumerate().map(explain).collect()
    }
}
