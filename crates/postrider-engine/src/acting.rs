//! The service in somebody's hands: whatever changes something goes through here, so that nothing is changed without the
//! audit log saying whose hand it was.

use std::ops::Deref;

use postrider_core::audit::{Action, Entry, Who};
use postrider_core::id::AccountId;
use postrider_core::limits::AUDIT_KEPT;
use postrider_store::StoreError;
use postrider_store::model::{AuditFilter, Page, PageRequest};

use crate::config::{FORGET_SLICE, PRUNE_PAUSE};
use crate::{Engine, EngineError, Inner};

/// An [`Engine`] in somebody's hands. What only reads is the engine's own.
#[derive(Clone)]
pub struct Acting {
    engine: Engine,
    /// Whose hands.
    pub(crate) who: Who,
}

impl Engine {
    /// The service in these hands.
    pub fn by(&self, who: Who) -> Acting {
        Acting { engine: self.clone(), who }
    }

    /// Entries of the audit log, newest first.
    pub async fn audit(&self, filter: AuditFilter, page: PageRequest) -> Result<Page<Entry>, EngineError> {
        Ok(self.0.store.audit(filter, page).await?)
    }
}

impl Deref for Acting {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Acting {
    /// Writes down what changes nothing, before it is done.
    pub(crate) async fn note(
        &self,
        action: Action,
        account: AccountId,
        target: impl ToString,
    ) -> Result<(), EngineError> {
        let deed = self.who.did(action, account, target, self.now());
        Ok(self.0.store.note(deed).await?)
    }
}

impl Inner {
    /// Forgets what the audit log has kept for as long as it does, in slices with pauses.
    pub(crate) async fn forget_audit(&self) -> Result<(), StoreError> {
        let before = self.time_for_ages().minus(AUDIT_KEPT);
        while self.store.forget_audit(before, FORGET_SLICE).await? >= FORGET_SLICE {
            tokio::time::sleep(PRUNE_PAUSE).await;
        }
        Ok(())
    }
}
