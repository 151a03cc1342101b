//! An account: a customer of the platform, to whom endpoints, events and deliveries belong.

use crate::id::{AccountId, KeyId};
use crate::time::Timestamp;

/// The small number a store gives an account; rows and lanes use it, it never leaves the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNo(pub i64);

/// A customer of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The store's number for it.
    pub no: AccountNo,
    /// Its public id.
    pub id: AccountId,
    /// What the operator calls it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Grows with every change of the account or its endpoints. A store refuses events matched by an older
    /// version, so that no event misses an endpoint made before it.
    pub config_version: i64,
}

/// A key's owner and its scope; the key itself is kept only as its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKey {
    /// The key's public name.
    pub id: KeyId,
    /// Whose it is.
    pub account: AccountNo,
    /// The mode it sees: live or test.
    pub livemode: bool,
    /// SHA-256 of the key's text.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
}
