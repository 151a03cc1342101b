//! An event as it was accepted: a type, a mode and a payload whose bytes never change.

use bytes::Bytes;

use crate::account::AccountNo;
use crate::id::{AccountId, EventId};
use crate::time::Timestamp;

/// One occurrence handed in by the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The guid, as it stands in `X-KASKO-Delivery`.
    pub id: EventId,
    /// The store's number for its account.
    pub account_no: AccountNo,
    /// Whose it is.
    pub account: AccountId,
    /// The event type's name.
    pub event_type: String,
    /// Live or test.
    pub livemode: bool,
    /// The payload, byte for byte as it was handed in.
    pub payload: Bytes,
    /// When it was accepted.
    pub created_at: Timestamp,
}
