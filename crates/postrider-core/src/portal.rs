//! Links into the customers' portal: whoever has one sees one account, of one mode or both, until it ends.

use crate::account::AccountNo;
use crate::id::{AccountId, LinkId};
use crate::time::Timestamp;

/// A link into the portal; its token is kept only as its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortalLink {
    /// Its public name.
    pub id: LinkId,
    /// The store's number for the account.
    pub account_no: AccountNo,
    /// Whose things it shows.
    pub account: AccountId,
    /// The only mode that it shows; both where there is none.
    pub livemode: Option<bool>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}
