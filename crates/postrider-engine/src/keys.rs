//! API keys: made from chance, shown once, kept as SHA-256, and recognised again; and when each was last used, which is
//! kept in memory and written behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use postrider_core::audit::Action;
use postrider_core::id::{AccountId, KeyId};
use postrider_core::time::Timestamp;
use postrider_store::model::NewKey;
use sha2::{Digest, Sha256};

use crate::config::{KEY_USES_SLICE, NOTE_KEY_USES_EVERY};
use crate::environment::Chance;
use crate::going_on::finish_what_began;
use crate::model::{KeyView, Principal};
use crate::once::{self, Once};
use crate::snapshot::{KeyEntry, Snapshot};
use crate::{Acting, Engine, EngineError, Inner};

/// SHA-256 of a key's text: all that is kept of it.
pub fn key_sha256(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// A new operator key: `op_` and 32 random bytes in hex.
pub fn generate_operator_key(chance: &dyn Chance) -> String {
    random_key("op_", chance)
}

/// A new key: the prefix and 32 random bytes in hex.
pub(crate) fn random_key(prefix: &str, chance: &dyn Chance) -> String {
    use std::fmt::Write as _;
    let mut bytes = [0u8; 32];
    chance.fill(&mut bytes);
    let mut key = String::with_capacity(prefix.len() + 64);
    key.push_str(prefix);
    for byte in bytes {
        write!(key, "{byte:02x}").expect("writing to a string never fails");
    }
    key
}

/// A use that is not this much later than the last is not worth the write to memory that others read.
const WORTH_KEEPING_MS: i64 = 1_000;

impl Engine {
    /// Whose key this is. Keys are compared by their SHA-256, so the time it takes tells nothing about a key.
    pub fn authenticate(&self, key: &str) -> Option<Principal> {
        let sha256 = key_sha256(key);
        if sha256 == self.0.operator_key_sha256 {
            return Some(Principal::Operator);
        }
        let snapshot = self.0.snapshot.load();
        let (entry, account) = snapshot.key(&sha256)?;
        let now_ms = self.0.now().as_ms();
        if now_ms - entry.used.at_ms.load(Ordering::Relaxed) >= WORTH_KEEPING_MS {
            entry.used.at_ms.store(now_ms, Ordering::Relaxed);
        }
        let key = &entry.key;
        Some(Principal::Account { account_no: key.account, account, livemode: key.livemode, key: key.id })
    }

    /// An account's keys, the newest first.
    pub fn keys(&self, account: AccountId) -> Result<Vec<KeyView>, EngineError> {
        let snapshot = self.0.snapshot.load();
        let no = snapshot.account(account).ok_or(EngineError::NotFound)?.account.no;
        let of_account = snapshot.all_keys().filter(|entry| entry.key.account == no);
        let mut keys: Vec<KeyView> = of_account.map(|entry| view(entry, account)).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.id));
        Ok(keys)
    }

    /// A key.
    pub fn key(&self, id: KeyId) -> Result<KeyView, EngineError> {
        key_of(&self.0.snapshot.load(), id)
    }
}

impl Acting {
    /// Makes a further key of an account; gives it and its text, which can't be read again.
    ///
    /// `Conflict` for the operator's own account, and where the account has as many as it may have;
    /// `AnsweredBefore` where an earlier call with the same idempotency key was answered.
    pub async fn create_key(
        &self,
        account: AccountId,
        livemode: bool,
        once: Option<Once<(KeyView, String)>>,
    ) -> Result<(KeyView, String), EngineError> {
        if account == AccountId::OPERATOR {
            return Err(EngineError::Conflict("acc_operator has no keys of its own: use the operator key"));
        }
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move {
            let text = random_key(if livemode { "sk_live_" } else { "sk_test_" }, &*inner.chance);
            let _changing = inner.changes.lock().await;
            let no = inner.snapshot.load().account(account).ok_or(EngineError::NotFound)?.account.no;
            let now = inner.now();
            let id = KeyId::new(now, inner.chance.bits());
            let key = NewKey { id, livemode, sha256: key_sha256(&text) };
            let view = KeyView { id, account, livemode, created_at: now, last_used_at: None };
            let keep = once::keep(once.as_ref(), inner.time_for_ages(), || (view, text.clone()));
            let deed = who.did(Action::KeyCreated, account, id, now);
            let made = inner.store.create_key(no, key, deed, keep).await?;
            inner.change_snapshot(|snapshot| snapshot.put_key(made));
            Ok((view, text))
        })
        .await
    }

    /// Revokes a key: it stops at once.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move {
            let _changing = inner.changes.lock().await;
            let account = key_of(&inner.snapshot.load(), id)?.account;
            let deed = who.did(Action::KeyRevoked, account, id, inner.now());
            inner.store.revoke_key(id, deed).await?;
            inner.change_snapshot(|snapshot| snapshot.remove_key(id));
            Ok(())
        })
        .await
    }
}

fn key_of(snapshot: &Snapshot, id: KeyId) -> Result<KeyView, EngineError> {
    let entry = snapshot.all_keys().find(|entry| entry.key.id == id).ok_or(EngineError::NotFound)?;
    let (_, account) = snapshot.key(&entry.key.sha256).ok_or(EngineError::NotFound)?;
    Ok(view(entry, account))
}

fn view(entry: &KeyEntry, account: AccountId) -> KeyView {
    let used_ms = entry.used.at_ms.load(Ordering::Relaxed);
    KeyView {
        id: entry.key.id,
        account,
        livemode: entry.key.livemode,
        created_at: entry.key.created_at,
        last_used_at: (used_ms > 0).then(|| Timestamp::from_ms(used_ms)),
    }
}

impl Inner {
    /// Writes down what the store does not know yet of keys' uses.
    pub(crate) async fn note_key_uses(&self) {
        let snapshot = self.snapshot.load_full();
        let news: Vec<(&KeyEntry, i64)> = snapshot
            .all_keys()
            .map(|entry| (entry, entry.used.at_ms.load(Ordering::Relaxed)))
            .filter(|(entry, at_ms)| *at_ms > entry.used.noted_ms.load(Ordering::Relaxed))
            .collect();
        for slice in news.chunks(KEY_USES_SLICE) {
            let uses =
                slice.iter().map(|(entry, at_ms)| (entry.key.id, Timestamp::from_ms(*at_ms))).collect();
            if let Err(error) = self.store.note_key_uses(uses).await {
                // They stay in memory and are written with the next round.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "it could not be written down when keys were last used");
                return;
            }
            for (entry, at_ms) in slice {
                entry.used.noted_ms.fetch_max(*at_ms, Ordering::Relaxed);
            }
        }
    }
}

/// Writes down now and then when keys were last used.
pub(crate) async fn note_uses(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(NOTE_KEY_USES_EVERY).await;
        inner.note_key_uses().await;
    }
}
