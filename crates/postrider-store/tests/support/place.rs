//! A folder with a SQLite store in it, and what the tests of SQLite's own behaviour fill it with.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use postrider_core::account::Account;
use postrider_core::audit::{Action, Deed, Who};
use postrider_core::endpoint::{CustomHeader, Endpoint, EndpointSettings};
use postrider_core::event::Event;
use postrider_core::event_type::Subscription;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::secret::Secret;
use postrider_core::time::Timestamp;
use postrider_store::Store as _;
use postrider_store::model::{NewAccount, NewDelivery, NewEndpoint, NewEvent};
use postrider_store::seal::{MasterKey, Sealer};
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

/// A header value that must never stand in the file.
pub(crate) const HEADER_VALUE: &str = "Bearer a-token-that-nobody-may-read";

pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) key: MasterKey,
    ticks: AtomicI64,
}

pub(crate) struct Lane {
    pub(crate) account: Account,
    pub(crate) endpoint: Endpoint,
    pub(crate) version: i64,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postrider.db");
        Self { folder, path, key: MasterKey::generate(), ticks: AtomicI64::new(1_500_381_476_000) }
    }

    /// A folder with copies of the files of another one, as a crash at this moment would leave them.
    #[allow(dead_code, reason = "not every test that includes this file copies one")]
    pub(crate) fn new_beside(other: &Self) -> Self {
        let new = Self { key: other.key.clone(), ..Self::new() };
        for ending in ["", "-wal"] {
            let name = format!("postrider.db{ending}");
            let copied = std::fs::copy(other.folder.path().join(&name), new.folder.path().join(&name));
            assert!(copied.is_ok() || !ending.is_empty(), "{copied:?}");
        }
        new
    }

    /// What seals the values in the file.
    #[allow(dead_code, reason = "not every test that includes this file writes sealed values itself")]
    pub(crate) fn sealer(&self) -> Sealer {
        Sealer::new(&self.key)
    }

    #[allow(dead_code, reason = "not every test that includes this file takes the defaults")]
    pub(crate) fn open(&self) -> SqliteStore {
        self.open_with(SqliteOptions::default())
    }

    pub(crate) fn open_with(&self, options: SqliteOptions) -> SqliteStore {
        SqliteStore::open(&self.path, self.key.clone(), options).unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.ticks.fetch_add(1, Ordering::Relaxed))
    }

    fn chance(&self) -> u128 {
        u128::from(self.now().as_ms().unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    /// A new account with one endpoint.
    pub(crate) async fn lane(&self, store: &SqliteStore) -> Lane {
        let id = AccountId::new(self.now(), self.chance());
        let new = NewAccount {
            id,
            name: "Account".to_owned(),
            created_at: self.now(),
            keys: Vec::new(),
            deed: self.deed(),
            keep: None,
        };
        let account = store.create_account(new).await.unwrap();
        let header = CustomHeader::parse("authorization", HEADER_VALUE, "X-KASKO-").unwrap();
        let url = "https://receiver.example/hook".parse().unwrap();
        let subscription = Subscription::parse(&["*"]).unwrap();
        let settings = EndpointSettings { headers: vec![header], ..EndpointSettings::new(url, subscription) };
        let new = NewEndpoint {
            id: EndpointId::new(self.now(), self.chance()),
            account_no: account.no,
            livemode: false,
            settings,
            secret: Secret::generate(&[7; 32]),
            created_at: self.now(),
            deed: self.deed(),
            keep: None,
        };
        let (endpoint, version) = store.create_endpoint(new).await.unwrap();
        Lane { account, endpoint, version }
    }

    /// What was done by the service itself.
    pub(crate) fn deed(&self) -> Deed {
        Who::SERVICE.did(Action::EndpointUpdated, AccountId::OPERATOR, "a thing", self.now())
    }

    pub(crate) fn event(&self, lane: &Lane, payload: &str) -> NewEvent {
        NewEvent {
            event: Event {
                id: EventId::new(self.now(), self.chance()),
                account_no: lane.account.no,
                account: lane.account.id,
                event_type: "policy.created".to_owned(),
                livemode: false,
                payload: Bytes::copy_from_slice(payload.as_bytes()),
                created_at: self.now(),
            },
            config_version: lane.version,
            deliveries: vec![NewDelivery {
                id: DeliveryId::new(self.now(), self.chance()),
                endpoint_no: lane.endpoint.no,
                is_own: true,
            }],
        }
    }
}
