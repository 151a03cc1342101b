//! The configuration in memory: accounts, keys, endpoints and event types. Swapped whole after each committed change, so that
//! matching and authentication never wait and never see half a change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use postrider_core::account::{Account, AccountKey, AccountNo};
use postrider_core::catalogue::{Catalogue, EventType};
use postrider_core::endpoint::{Endpoint, EndpointNo};
use postrider_core::id::{AccountId, EndpointId, KeyId};
use postrider_core::time::Timestamp;
use postrider_store::model::Configuration;

use crate::routing_table::RoutingTable;

/// An account with its endpoints.
#[derive(Debug, Clone)]
pub(crate) struct AccountEntry {
    pub(crate) account: Account,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) table: RoutingTable,
}

/// A key with what is remembered of its use.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    pub(crate) key: AccountKey,
    pub(crate) used: Arc<KeyUse>,
}

/// When a key was last used. Written by every request, so that it is outside everything that is swapped.
#[derive(Debug, Default)]
pub(crate) struct KeyUse {
    /// In milliseconds since 1970; 0: never.
    pub(crate) at_ms: AtomicI64,
    /// What of it the store knows.
    pub(crate) noted_ms: AtomicI64,
}

impl KeyEntry {
    fn new(key: AccountKey) -> Self {
        let noted = key.last_used_at.map_or(0, Timestamp::as_ms);
        Self { key, used: Arc::new(KeyUse { at_ms: noted.into(), noted_ms: noted.into() }) }
    }
}

/// The configuration at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    accounts: BTreeMap<AccountNo, Arc<AccountEntry>>,
    account_nos: HashMap<AccountId, AccountNo>,
    keys: HashMap<[u8; 32], KeyEntry>,
    endpoints: BTreeMap<EndpointNo, Arc<Endpoint>>,
    endpoint_nos: HashMap<EndpointId, EndpointNo>,
    catalogue: Arc<Catalogue>,
    /// Whether other nodes change the configuration as well.
    shared: bool,
}

impl Snapshot {
    pub(crate) fn new(configuration: Configuration, shared: bool) -> Self {
        let mut snapshot = Self { shared, ..Self::default() };
        let (catalogue, left_out) = snapshot.catalogue.read_again(configuration.event_types);
        snapshot.replace_event_types(catalogue, left_out);
        for account in configuration.accounts {
            snapshot.put_account(account);
        }
        for key in configuration.keys {
            snapshot.put_key(key);
        }
        for endpoint in configuration.endpoints {
            let version = snapshot.accounts.get(&endpoint.account_no).map_or(0, |e| e.account.config_version);
            snapshot.put_endpoint(Arc::new(endpoint), version);
        }
        snapshot
    }

    pub(crate) fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Puts in an event type, or what became of it.
    pub(crate) fn put_event_type(&mut self, event_type: Arc<EventType>) {
        Arc::make_mut(&mut self.catalogue).put(event_type);
    }

    /// Takes the event types as the store has them, with those that could not be read and why.
    pub(crate) fn replace_event_types(&mut self, catalogue: Catalogue, left_out: Vec<(String, String)>) {
        for (name, why) in left_out {
            tracing::error!(
                event_type = name,
                why,
                "an event type can't be used as it is stored; it is left out"
            );
        }
        for event_type in catalogue.all() {
            for bound in event_type.exceeded_bounds() {
                tracing::warn!(
                    event_type = event_type.name(),
                    pointer = bound.pointer,
                    bound = bound.detail,
                    "stored schema exceeds a newer bound; it stays in force"
                );
            }
        }
        self.catalogue = Arc::new(catalogue);
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<&Arc<AccountEntry>> {
        self.accounts.get(self.account_nos.get(&id)?)
    }

    pub(crate) fn key(&self, sha256: &[u8; 32]) -> Option<(&KeyEntry, AccountId)> {
        let entry = self.keys.get(sha256)?;
        Some((entry, self.accounts.get(&entry.key.account)?.account.id))
    }

    pub(crate) fn all_keys(&self) -> impl Iterator<Item = &KeyEntry> {
        self.keys.values()
    }

    pub(crate) fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(self.endpoint_nos.get(&id)?)
    }

    /// Accounts, the newest first, older than `before`.
    pub(crate) fn accounts_before(&self, before: Option<i64>) -> impl Iterator<Item = &Arc<AccountEntry>> {
        let end = AccountNo(before.unwrap_or(i64::MAX));
        self.accounts.range(..end).rev().map(|(_, entry)| entry)
    }

    /// Endpoints of an account, or of all, the newest first, older than `before`. Those of an account cost what it has, and
    /// not what all have.
    pub(crate) fn endpoints_before(
        &self,
        before: Option<i64>,
        account: Option<AccountId>,
    ) -> impl Iterator<Item = &Arc<Endpoint>> {
        let end = EndpointNo(before.unwrap_or(i64::MAX));
        let of_account = account.map(|account| {
            let mut all: Vec<_> =
                self.account(account).map_or(&[][..], |entry| &entry.endpoints).iter().collect();
            all.retain(|endpoint| endpoint.no < end);
            all.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.no));
            all
        });
        let of_all =
            account.is_none().then(|| self.endpoints.range(..end).rev().map(|(_, endpoint)| endpoint));
        of_account.into_iter().flatten().chain(of_all.into_iter().flatten())
    }

    pub(crate) fn all_endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// Puts in an account, or its new name and version.
    pub(crate) fn put_account(&mut self, mut account: Account) {
        account.config_version = self.version_after(account.no, account.config_version);
        self.account_nos.insert(account.id, account.no);
        let endpoints =
            self.accounts.get(&account.no).map(|entry| entry.endpoints.clone()).unwrap_or_default();
        self.accounts.insert(
            account.no,
            Arc::new(AccountEntry { account, endpoints, table: RoutingTable::default() }),
        );
    }

    pub(crate) fn put_key(&mut self, key: AccountKey) {
        self.keys.insert(key.sha256, KeyEntry::new(key));
    }

    pub(crate) fn remove_key(&mut self, id: KeyId) {
        self.keys.retain(|_, entry| entry.key.id != id);
    }

    /// Puts in an endpoint or its changed self, with its account's new version.
    pub(crate) fn put_endpoint(&mut self, endpoint: Arc<Endpoint>, version: i64) {
        self.endpoint_nos.insert(endpoint.id, endpoint.no);
        self.endpoints.insert(endpoint.no, endpoint.clone());
        self.change_endpoints(endpoint.account_no, version, |endpoints| {
            match endpoints.iter_mut().find(|known| known.no == endpoint.no) {
                Some(known) => *known = endpoint,
                None => endpoints.push(endpoint),
            }
        });
    }

    /// Takes out an endpoint, with its account's new version.
    pub(crate) fn remove_endpoint(&mut self, endpoint: &Endpoint, version: i64) {
        self.endpoint_nos.remove(&endpoint.id);
        self.endpoints.remove(&endpoint.no);
        self.change_endpoints(endpoint.account_no, version, |endpoints| {
            endpoints.retain(|known| known.no != endpoint.no);
        });
    }

    /// Takes out an account with its keys and endpoints; gives the endpoints.
    pub(crate) fn remove_account(&mut self, id: AccountId) -> Vec<Arc<Endpoint>> {
        let Some(entry) = self.account_nos.remove(&id).and_then(|no| self.accounts.remove(&no)) else {
            return Vec::new();
        };
        self.keys.retain(|_, known| known.key.account != entry.account.no);
        for endpoint in &entry.endpoints {
            self.endpoint_nos.remove(&endpoint.id);
            self.endpoints.remove(&endpoint.no);
        }
        entry.endpoints.clone()
    }

    /// Takes accounts as another node has left them; gives the endpoints that are gone.
    pub(crate) fn replace_accounts(
        &mut self,
        nos: &[AccountNo],
        loaded: &Configuration,
        endpoints: &[Arc<Endpoint>],
    ) -> Vec<Arc<Endpoint>> {
        let mut before = Vec::new();
        let keys_before = self.keys.clone();
        for no in nos {
            if let Some(id) = self.accounts.get(no).map(|entry| entry.account.id) {
                before.extend(self.remove_account(id));
            }
        }
        loaded.accounts.iter().cloned().for_each(|account| self.put_account(account));
        for key in &loaded.keys {
            self.put_key(key.clone());
            // What is not noted yet must not be forgotten.
            if let (Some(entry), Some(known)) = (self.keys.get_mut(&key.sha256), keys_before.get(&key.sha256))
            {
                entry.used = known.used.clone();
            }
        }
        for endpoint in endpoints {
            let version = self.accounts.get(&endpoint.account_no).map_or(0, |e| e.account.config_version);
            self.put_endpoint(endpoint.clone(), version);
        }
        before.retain(|endpoint| !self.endpoints.contains_key(&endpoint.no));
        before
    }

    /// The version that an account is known in after a change here that made `version` of it. Where another node has
    /// changed it in between, and that is not read yet, it stays the one before: an event that is matched by this is then
    /// refused by the store, and matched again once the account is read again.
    fn version_after(&self, no: AccountNo, version: i64) -> i64 {
        match self.accounts.get(&no).map(|entry| entry.account.config_version) {
            Some(known) if self.shared && version > known + 1 => known,
            _ => version,
        }
    }

    fn change_endpoints(
        &mut self,
        no: AccountNo,
        version: i64,
        change: impl FnOnce(&mut Vec<Arc<Endpoint>>),
    ) {
        let version = self.version_after(no, version);
        if let Some(entry) = self.accounts.get(&no) {
            let mut entry = AccountEntry::clone(entry);
            entry.account.config_version = version;
            change(&mut entry.endpoints);
            self.accounts.insert(no, Arc::new(entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(version: i64) -> Account {
        let id = AccountId::from_bytes([1; 16]);
        let created_at = Timestamp::from_ms(1);
        Account { no: AccountNo(1), id, name: "Acme".to_owned(), created_at, config_version: version }
    }

    fn known(snapshot: &Snapshot) -> i64 {
        snapshot.account(account(0).id).expect("it is there").account.config_version
    }

    fn of(shared: bool) -> Snapshot {
        let configuration = Configuration { accounts: vec![account(3)], ..Configuration::default() };
        Snapshot::new(configuration, shared)
    }

    #[test]
    fn a_change_here_does_not_hide_another_node_s_that_is_not_read_yet() {
        let mut snapshot = of(true);
        snapshot.put_account(account(4));
        assert_eq!(known(&snapshot), 4, "nobody else's is between");
        snapshot.put_account(account(6));
        assert_eq!(known(&snapshot), 4, "5 is another node's");
        snapshot.change_endpoints(AccountNo(1), 7, |_| ());
        assert_eq!(known(&snapshot), 4);
        let loaded = Configuration { accounts: vec![account(7)], ..Configuration::default() };
        snapshot.replace_accounts(&[AccountNo(1)], &loaded, &[]);
        assert_eq!(known(&snapshot), 7, "now it is read");
    }

    #[test]
    fn alone_the_newest_version_is_always_the_own_one() {
        let mut snapshot = of(false);
        snapshot.put_account(account(6));
        assert_eq!(known(&snapshot), 6);
    }
}
