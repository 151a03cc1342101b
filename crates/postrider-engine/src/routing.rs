//! Explains an event's routing by today's configuration: where it would go, and why, or why not.

use postrider_core::event::Event;
use postrider_core::filter::{Content, Explanation};

use crate::Engine;
use crate::model::EndpointView;

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
    pub fn routing(&self, event: &Event) -> Vec<Routing> {
        let snapshot = self.0.snapshot.load();
        let Some(entry) = snapshot.account(event.account) else { return Vec::new() };
        let content = Content::of(&event.payload);
        let explain = |endpoint: &std::sync::Arc<postrider_core::endpoint::Endpoint>| Routing {
            view: self.0.view(endpoint),
            mode_matches: endpoint.livemode == event.livemode,
            event_type_matches: endpoint.settings.subscription.matches(&event.event_type),
            filter: endpoint.settings.filter.as_ref().map(|filter| filter.explain(&content)),
        };
        entry.endpoints.iter().map(explain).collect()
    }
}
