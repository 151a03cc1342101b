//! Who did what to the configuration, and who has seen a secret: what the audit log keeps, and never a secret itself.

use std::net::IpAddr;

use crate::id::{AccountId, KeyId, LinkId};
use crate::time::Timestamp;

/// Whose hand it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Whoever holds the operator key, through the API.
    Operator,
    /// Whoever holds this key of an account, through the API.
    Key(KeyId),
    /// The operator in the dashboard.
    Dashboard,
    /// A customer in the portal, by this link.
    Portal(LinkId),
    /// The service itself.
    Service,
}

impl Actor {
    /// The stable name of its kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Key(_) => "key",
            Self::Dashboard => "dashboard",
            Self::Portal(_) => "portal",
            Self::Service => "service",
        }
    }

    /// The id of the key or of the link.
    pub fn id(self) -> Option<String> {
        match self {
            Self::Key(id) => Some(id.to_string()),
            Self::Portal(id) => Some(id.to_string()),
            Self::Operator | Self::Dashboard | Self::Service => None,
        }
    }

    /// What [`Self::kind`] and [`Self::id`] give.
    pub fn from_texts(kind: &str, id: Option<&str>) -> Option<Self> {
        match (kind, id) {
            ("operator", None) => Some(Self::Operator),
            ("dashboard", None) => Some(Self::Dashboard),
            ("service", None) => Some(Self::Service),
            ("key", Some(id)) => id.parse().ok().map(Self::Key),
            ("portal", Some(id)) => id.parse().ok().map(Self::Portal),
            _ => None,
        }
    }
}

/// Who did it, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// Whose hand it was.
    pub actor: Actor,
    /// The other side of the connection; none for the service itself.
    pub address: Option<IpAddr>,
}

impl Who {
    /// The service itself.
    pub const SERVICE: Self = Self { actor: Actor::Service, address: None };

    /// What was done by this hand.
    pub fn did(self, action: Action, account: AccountId, target: impl ToString, at: Timestamp) -> Deed {
        Deed { who: self, action, account, target: target.to_string(), fields: Vec::new(), at }
    }
}

macro_rules! actions {
    ($($(#[$about:meta])* $action:ident = $text:literal),* $(,)?) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$about])* $action,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$action),*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $text,)*
                }
            }
        }
    };
}

actions! {
    /// An account was made.
    AccountCreated = "account.created",
    /// An account was given another name.
    AccountRenamed = "account.renamed",
    /// An account was deleted, with its keys and endpoints.
    AccountDeleted = "account.deleted",
    /// A further key was issued.
    KeyCreated = "key.created",
    /// A key was revoked.
    KeyRevoked = "key.revoked",
    /// A link into the portal was made.
    PortalLinkCreated = "portal_link.created",
    /// A link into the portal was revoked.
    PortalLinkRevoked = "portal_link.revoked",
    /// An event type was added to the catalogue.
    EventTypeCreated = "event_type.created",
    /// An event type was changed; the fields are named.
    EventTypeUpdated = "event_type.updated",
    /// An endpoint was made.
    EndpointCreated = "endpoint.created",
    /// An endpoint's settings were changed; the fields are named.
    EndpointUpdated = "endpoint.updated",
    /// An endpoint was paused.
    EndpointPaused = "endpoint.paused",
    /// A paused endpoint was resumed.
    EndpointResumed = "endpoint.resumed",
    /// An endpoint was enabled.
    EndpointEnabled = "endpoint.enabled",
    /// An endpoint was disabled, by hand or by the service itself.
    EndpointDisabled = "endpoint.disabled",
    /// An endpoint was deleted.
    EndpointDeleted = "endpoint.deleted",
    /// An endpoint was sent an example.
    EndpointTested = "endpoint.tested",
    /// An endpoint's secret was shown.
    SecretRevealed = "endpoint.secret_revealed",
    /// An endpoint was given another secret.
    SecretRotated = "endpoint.secret_rotated",
    /// The overlap of a rotation was ended by hand.
    SecretOverlapEnded = "endpoint.secret_overlap_ended",
    /// A delivery was sent again.
    DeliveryResent = "delivery.resent",
    /// A delivery was cancelled.
    DeliveryCancelled = "delivery.cancelled",
    /// A replay was made.
    ReplayCreated = "replay.created",
    /// A replay was cancelled.
    ReplayCancelled = "replay.cancelled",
}

impl Action {
    /// What [`Self::as_str`] gives.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }
}

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Who, and from where.
    pub who: Who,
    /// What.
    pub action: Action,
    /// Whose thing it was done to.
    pub account: AccountId,
    /// The id of the thing.
    pub target: String,
    /// The names of the fields that changed, where some did.
    pub fields: Vec<&'static str>,
    /// When.
    pub at: Timestamp,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number; later ones are higher.
    pub no: i64,
    /// Who, and from where.
    pub who: Who,
    /// What, by the action's name. A node of a newer version may have written one that this one does not know.
    pub action: String,
    /// Whose thing it was done to.
    pub account: AccountId,
    /// The id of the thing.
    pub target: String,
    /// The names of the fields that changed.
    pub fields: Vec<String>,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_and_actions_are_read_as_they_are_written() {
        for actor in [
            Actor::Operator,
            Actor::Key(KeyId::from_bytes([1; 16])),
            Actor::Dashboard,
            Actor::Portal(LinkId::from_bytes([2; 16])),
            Actor::Service,
        ] {
            assert_eq!(Actor::from_texts(actor.kind(), actor.id().as_deref()), Some(actor));
        }
        assert_eq!(Actor::from_texts("key", None), None);
        assert_eq!(Actor::from_texts("operator", Some("key_1")), None);
        for action in Action::ALL {
            assert_eq!(Action::from_text(action.as_str()), Some(*action));
        }
        assert_eq!(Action::from_text("endpoint.exploded"), None);
    }
}
