//! What is written of event types.

use postrider_core::audit::Deed;
use postrider_core::catalogue::Definition;

use super::once::Keep;

/// A custom event type to be made.
#[derive(Debug, Clone)]
pub struct NewEventType {
    /// What it is.
    pub definition: Definition,
    /// Who makes it, for the audit log.
    pub deed: Deed,
    /// What makes the call happen once, where it has an idempotency key.
    pub keep: Option<Box<Keep>>,
}

/// A change of an event type.
#[derive(Debug, Clone)]
pub struct EventTypeChange {
    /// What the change begins with; none where it is the first of a type that comes with the service.
    pub before: Option<Definition>,
    /// What it makes.
    pub after: Definition,
    /// Who makes it, for the audit log.
    pub deed: Deed,
}

pub(crate) const IS_THERE: &str = "there is an event type of this name already";
pub(crate) const ARE_FULL: &str = "the catalogue has as many custom event types as it may have";
pub(crate) const CHANGED_MEANWHILE: &str =
    "the event type was changed by somebody else at this moment; look at it and try again";
