//! Several nodes on one store, as the engine sees them.

use std::collections::BTreeSet;

use postrider_core::account::AccountNo;
use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::{AccountId, EndpointId};
use postrider_core::time::Timestamp;

/// What other nodes brought about, and what became of this one, since it was asked before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// This node was taken for dead and has begun anew: nothing in the store is its own any more.
    pub started_over: bool,
    /// It is certain again that this node is alive, see [`crate::Store::may_send`].
    pub may_send_again: bool,
    /// Nodes are gone, and what they had waiting for a time is nobody's now.
    pub others_are_gone: bool,
    /// A statement whose outcome was unknown has ended: deliveries may be this node's without its memory knowing them.
    pub may_be_stranded: bool,
    /// Accounts in which something has changed, deleted ones included.
    pub changed: BTreeSet<AccountNo>,
    /// Event types were made or changed.
    pub event_types: bool,
    /// Endpoints with pending deliveries that are no node's.
    pub free: BTreeSet<EndpointNo>,
    /// Deliveries of this node that were cancelled by hand at another one. One may be told of more than once.
    pub cancelled: BTreeSet<(EndpointNo, DeliverySeq)>,
}

impl News {
    /// Whether there is nothing new.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Something that belongs to an account, by what callers know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// An account.
    Account(AccountId),
    /// An endpoint.
    Endpoint(EndpointId),
    /// A key, by the SHA-256 of its text.
    Key([u8; 32]),
}

/// A node: one start of a process that serves from this store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number; none is given twice.
    pub no: i64,
    /// What people call it.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Whether it is this one.
    pub is_self: bool,
    /// When it started, by the store's clock.
    pub started_at: Timestamp,
    /// When it last said that it lives, by the store's clock.
    pub seen_at: Timestamp,
    /// How many pending deliveries are its own.
    pub pending: u64,
    /// How many endpoints only it may send to just now.
    pub leases: u64,
}
