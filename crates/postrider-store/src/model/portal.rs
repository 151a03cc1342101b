//! What is written of links into the portal.

use postrider_core::account::AccountNo;
use postrider_core::audit::Deed;
use postrider_core::id::LinkId;
use postrider_core::time::Timestamp;

use super::once::Keep;

/// A link into the portal to be made.
#[derive(Debug, Clone)]
pub struct NewPortalLink {
    /// Its public id.
    pub id: LinkId,
    /// Whose things it shows.
    pub account_no: AccountNo,
    /// The only mode that it shows; both where there is none.
    pub livemode: Option<bool>,
    /// SHA-256 of its token.
    pub sha256: [u8; 32],
    /// Now.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Who makes it, for the audit log.
    pub deed: Deed,
    /// What makes the call happen once, where it has an idempotency key.
    pub keep: Option<Box<Keep>>,
}

/// How many links that have ended are forgotten when one is made.
pub(crate) const FORGOTTEN_LINKS: i64 = 100;
