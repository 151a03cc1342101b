//! Use cases about accounts.

use std::sync::Arc;

use postrider_core::account::{Account, AccountKey, AccountNo};
use postrider_core::audit::{Action, Who};
use postrider_core::id::{AccountId, KeyId};
use postrider_store::model::{NewAccount, NewKey, Page, PageRequest};

use crate::going_on::finish_what_began;
use crate::keys::{key_sha256, random_key};
use crate::model::CreatedAccount;
use crate::once::{self, Once};
use crate::snapshot::Snapshot;
use crate::{Acting, Engine, EngineError, Inner};

impl Engine {
    /// Accounts, newest first, without the reserved one of the operator.
    pub fn accounts(&self, page: PageRequest) -> Page<Account> {
        let snapshot = self.0.snapshot.load();
        let accounts = snapshot.accounts_before(page.before).map(|entry| &entry.account);
        let mut rows: Vec<Account> = accounts
            .filter(|account| account.id != AccountId::OPERATOR)
            .take(page.limit + 1)
            .cloned()
            .collect();
        let more = rows.len() > page.limit;
        rows.truncate(page.limit);
        let next = rows.last().filter(|_| more).map(|last| last.no.0);
        Page { rows, next }
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Result<Account, EngineError> {
        self.0.snapshot.load().account(id).map(|entry| entry.account.clone()).ok_or(EngineError::NotFound)
    }
}

impl Acting {
    /// Makes an account and its two keys.
    pub async fn create_account(&self, name: String) -> Result<CreatedAccount, EngineError> {
        self.create_account_once(name, None).await
    }

    /// The same, once for each idempotency key: `AnsweredBefore` where an earlier call was answered.
    pub async fn create_account_once(
        &self,
        name: String,
        once: Option<Once<CreatedAccount>>,
    ) -> Result<CreatedAccount, EngineError> {
        let inner = self.0.clone();
        let who = self.who;
        finish_what_began(async move { inner.create_account(name, once, who).await }).await
    }

    /// Renames an account.
    pub async fn rename_account(&self, id: AccountId, name: String) -> Result<Account, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        refuse_reserved(id)?;
        finish_what_began(async move {
            let _changing = inner.changes.lock().await;
            let no = inner.snapshot.load().account(id).ok_or(EngineError::NotFound)?.account.no;
            let deed = who.did(Action::AccountRenamed, id, id, inner.now());
            let account = inner.store.rename_account(no, &name, deed).await?;
            inner.change_snapshot(|snapshot| snapshot.put_account(account.clone()));
            Ok(account)
        })
        .await
    }

    /// Deletes an account: its keys stop working, its endpoints are deleted, what is pending is cancelled.
    pub async fn delete_account(&self, id: AccountId) -> Result<(), EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        refuse_reserved(id)?;
        finish_what_began(async move {
            let _changing = inner.changes.lock().await;
            let no = inner.snapshot.load().account(id).ok_or(EngineError::NotFound)?.account.no;
            let deed = who.did(Action::AccountDeleted, id, id, inner.now());
            inner.store.delete_account(no, deed).await?;
            let mut removed = Vec::new();
            inner.change_snapshot(|snapshot| removed = snapshot.remove_account(id));
            let mut lanes = inner.lanes();
            for endpoint in removed {
                lanes.remove(endpoint.no);
            }
            drop(lanes);
            inner.cancel.notify_one();
            Ok(())
        })
        .await
    }
}

/// The operator's account is part of the service.
fn refuse_reserved(id: AccountId) -> Result<(), EngineError> {
    if id == AccountId::OPERATOR {
        return Err(EngineError::Conflict("acc_operator is reserved: it is neither renamed nor deleted"));
    }
    Ok(())
}

impl Inner {
    async fn create_account(
        &self,
        name: String,
        once: Option<Once<CreatedAccount>>,
        who: Who,
    ) -> Result<CreatedAccount, EngineError> {
        let now = self.now();
        let live_key = random_key("sk_live_", &*self.chance);
        let test_key = random_key("sk_test_", &*self.chance);
        let new_key = |livemode: bool, text: &str| NewKey {
            id: KeyId::new(now, self.chance.bits()),
            livemode,
            sha256: key_sha256(text),
        };
        let keys = vec![new_key(true, &live_key), new_key(false, &test_key)];
        let id = AccountId::new(now, self.chance.bits());
        let _changing = self.changes.lock().await;
        let keep = once::keep(once.as_ref(), self.time_for_ages(), || CreatedAccount {
            account: Account { no: AccountNo(0), id, name: name.clone(), created_at: now, config_version: 0 },
            live_key: live_key.clone(),
            test_key: test_key.clone(),
        });
        let deed = who.did(Action::AccountCreated, id, id, now);
        let new = NewAccount { id, name, created_at: now, keys: keys.clone(), deed, keep };
        let account = self.store.create_account(new).await?;
        self.change_snapshot(|snapshot| {
            for NewKey { id, livemode, sha256 } in keys {
                snapshot.put_key(AccountKey {
                    id,
                    account: account.no,
                    livemode,
                    sha256,
                    created_at: now,
                    last_used_at: None,
                });
            }
            snapshot.put_account(account.clone());
        });
        Ok(CreatedAccount { account, live_key, test_key })
    }

    /// Swaps in a changed configuration. Call only under `changes`, after the change is committed.
    pub(crate) fn change_snapshot(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        change(&mut snapshot);
        self.snapshot.store(Arc::new(snapshot));
    }
}
