//! What another node has made a moment ago, and this one has not heard of: looked up before a caller is told that there is
//! no such thing. Nothing is looked up where there is only one node, nor where everything is known.

use std::sync::Arc;
use std::sync::PoisonError;

use postrider_core::account::Account;
use postrider_core::endpoint::RateLimit;
use postrider_core::id::{AccountId, EndpointId};
use postrider_store::model::Named;

use crate::model::{EndpointView, Principal, Submission};
use crate::{Engine, EngineError, Inner, key_sha256};

/// How often the store is asked for what nobody here knows. Whoever makes names up is told without asking past that.
pub(crate) const LOOKS: RateLimit = RateLimit { per_second: 50, burst: 50 };

impl Engine {
    /// An account, also one that was made at another node a moment ago.
    pub async fn account_anywhere(&self, id: AccountId) -> Result<Account, EngineError> {
        match self.account(id) {
            Err(EngineError::NotFound) if self.0.look_elsewhere(Named::Account(id)).await? => {
                self.account(id)
            }
            known => known,
        }
    }

    /// An endpoint, also one that was made at another node a moment ago.
    pub async fn endpoint_anywhere(&self, id: EndpointId) -> Result<EndpointView, EngineError> {
        match self.endpoint(id) {
            Err(EngineError::NotFound) if self.0.look_elsewhere(Named::Endpoint(id)).await? => {
                self.endpoint(id)
            }
            known => known,
        }
    }

    /// Whose key this is, also where it was made at another node a moment ago. None while the store can't be asked.
    pub async fn authenticate_anywhere(&self, key: &str) -> Option<Principal> {
        match self.authenticate(key) {
            None if self.0.look_elsewhere(Named::Key(key_sha256(key))).await.ok()? => self.authenticate(key),
            known => known,
        }
    }
}

impl Inner {
    /// Reads the account of something unknown, where the store has such a thing. False where it has none, or was asked too
    /// often of late.
    async fn look_elsewhere(self: &Arc<Self>, named: Named) -> Result<bool, EngineError> {
        if !self.store.is_shared() || !self.may_look_elsewhere() {
            return Ok(false);
        }
        let Some(account) = self.store.account_of(named).await? else { return Ok(false) };
        self.read_again(vec![account]).await?;
        Ok(true)
    }

    fn may_look_elsewhere(&self) -> bool {
        let mut looks = self.looks_elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looks.wait_until(self.now()).is_none();
        if may {
            looks.take();
        }
        may
    }

    /// Reads accounts of submissions that nobody here knows. Whether one of them is known now.
    pub(crate) async fn look_for_accounts(
        self: &Arc<Self>,
        submissions: &[Submission],
    ) -> Result<bool, EngineError> {
        let unknown = |submission: &&Submission| self.snapshot.load().account(submission.account).is_none();
        match submissions.iter().find(unknown) {
            Some(first) => self.look_elsewhere(Named::Account(first.account)).await,
            None => Ok(true),
        }
    }
}
