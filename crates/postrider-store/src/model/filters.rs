//! Which rows of the log a list shows.

use postrider_core::audit::Action;
use postrider_core::delivery::{Delivery, Status};
use postrider_core::event::Event;
use postrider_core::id::{AccountId, EndpointId, EventId};
use postrider_core::time::Timestamp;

/// Which events a list shows.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this account, deleted ones included.
    pub account: Option<AccountId>,
    /// Of this type.
    pub event_type: Option<String>,
    /// Of this mode.
    pub livemode: Option<bool>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
}

/// Which entries of the audit log a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter {
    /// Of this account, deleted ones included.
    pub account: Option<AccountId>,
    /// Of this action.
    pub action: Option<Action>,
    /// Made at or after.
    pub since: Option<Timestamp>,
    /// Made before.
    pub until: Option<Timestamp>,
}

/// Which deliveries a list shows.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this account, deleted ones included.
    pub account: Option<AccountId>,
    /// Of this endpoint, deleted ones included.
    pub endpoint: Option<EndpointId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Of this event type.
    pub event_type: Option<String>,
    /// Of this mode.
    pub livemode: Option<bool>,
    /// With this status.
    pub status: Option<Status>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
}

impl EventFilter {
    /// Whether an event is to be shown.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        self.account.is_none_or(|wanted| wanted == event.account)
            && self.event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type)
            && self.livemode.is_none_or(|wanted| wanted == event.livemode)
            && self.since.is_none_or(|since| event.created_at >= since)
            && self.until.is_none_or(|until| event.created_at < until)
    }
}

impl DeliveryFilter {
    /// Whether a delivery is to be shown.
    pub(crate) fn wants(&self, delivery: &Delivery) -> bool {
        self.account.is_none_or(|wanted| wanted == delivery.account)
            && self.endpoint.is_none_or(|wanted| wanted == delivery.endpoint)
            && self.event.is_none_or(|wanted| wanted == delivery.event)
            && self.event_type.as_ref().is_none_or(|wanted| *wanted == delivery.event_type)
            && self.livemode.is_none_or(|wanted| wanted == delivery.livemode)
            && self.status.is_none_or(|wanted| wanted == delivery.status)
            && self.since.is_none_or(|since| delivery.created_at >= since)
            && self.until.is_none_or(|until| delivery.created_at < until)
    }
}
