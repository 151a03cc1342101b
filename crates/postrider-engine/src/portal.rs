//! Use cases about links into the customers' portal. A link's token is made here, given out once, and kept as its SHA-256.

use std::time::Duration;

use postrider_core::audit::Action;
use postrider_core::id::{AccountId, LinkId};
use postrider_core::limits::{DEFAULT_PORTAL_LINK, MAX_PORTAL_LINK, MIN_PORTAL_LINK};
use postrider_core::portal::PortalLink;
use postrider_store::model::portal::NewPortalLink;

use crate::going_on::finish_what_began;
use crate::keys::{key_sha256, random_key};
use crate::once::Once;
use crate::{Acting, Engine, EngineError};

/// A link just made, with its token, which can't be read again.
#[derive(Debug)]
pub struct CreatedPortalLink {
    /// The link.
    pub link: PortalLink,
    /// What opens the portal: `pl_` and 64 hex digits.
    pub token: String,
}

impl Engine {
    /// What a token opens. `NotFound` where it opens nothing: it has ended, was revoked, or never was.
    pub async fn portal_link(&self, token: &str) -> Result<PortalLink, EngineError> {
        Ok(self.0.store.portal_link(key_sha256(token), self.now()).await?)
    }
}

impl Acting {
    /// Makes a link into the portal for an account, of one mode or both, for an hour where no time is named.
    ///
    /// `NotFound` where the account is not there, `Conflict` for the operator's own or where it has as many as it may have,
    /// `Refused` where the time is too short or too long, `AnsweredBefore` where an earlier call with the same idempotency
    /// key was answered.
    pub async fn create_portal_link(
        &self,
        account: AccountId,
        livemode: Option<bool>,
        lasts: Option<Duration>,
        once: Option<Once<CreatedPortalLink>>,
    ) -> Result<CreatedPortalLink, EngineError> {
        if account == AccountId::OPERATOR {
            return Err(EngineError::Conflict("acc_operator is the operator's own: it has no portal"));
        }
        let account_no = self.account(account)?.no;
        let lasts = lasts.unwrap_or(DEFAULT_PORTAL_LINK);
        if !(MIN_PORTAL_LINK..=MAX_PORTAL_LINK).contains(&lasts) {
            let (least, most) = (MIN_PORTAL_LINK.as_secs(), MAX_PORTAL_LINK.as_secs());
            let detail = format!("must be a whole number from {least} to {most}");
            return Err(EngineError::Refused { field: "expires_in_seconds", detail });
        }
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move {
            let now = inner.now();
            let id = LinkId::new(now, inner.chance.bits());
            let token = random_key("pl_", &*inner.chance);
            let (sha256, expires_at) = (key_sha256(&token), now.plus(lasts));
            let link = PortalLink { id, account_no, account, livemode, created_at: now, expires_at };
            let made = CreatedPortalLink { link, token };
            let keep = once.as_ref().map(|once| Box::new(once.keep(&made, inner.time_for_ages())));
            let deed = who.did(Action::PortalLinkCreated, account, id, now);
            let new =
                NewPortalLink { id, account_no, livemode, sha256, created_at: now, expires_at, deed, keep };
            inner.store.create_portal_link(new).await?;
            Ok(made)
        })
        .await
    }

    /// Ends a link of an account at once. `NotFound` where there is none.
    pub async fn revoke_portal_link(&self, account: AccountId, id: LinkId) -> Result<(), EngineError> {
        let account_no = self.account(account)?.no;
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move {
            let deed = who.did(Action::PortalLinkRevoked, account, id, inner.now());
            Ok(inner.store.revoke_portal_link(account_no, id, deed).await?)
        })
        .await
    }
}
