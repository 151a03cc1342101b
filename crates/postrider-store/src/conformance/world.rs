//! What the cases are told with: accounts, endpoints and events made in one line each.
//!
//! Ids and times come from a counter, so that a case runs the same every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use postrider_core::account::Account;
use postrider_core::attempt::{Attempt, FailureCode, HeaderLog, Outcome, RequestLog, Timings};
use postrider_core::audit::{Action, Deed, Who};
use postrider_core::delivery::{DeliverySeq, Next, Progress};
use postrider_core::endpoint::{Endpoint, EndpointSettings, State};
use postrider_core::event::Event;
use postrider_core::event_type::Subscription;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId, KeyId, ReplayId};
use postrider_core::secret::Secret;
use postrider_core::time::Timestamp;

use super::Backend;
use crate::model::{NewAccount, NewDelivery, NewEndpoint, NewEvent, NewKey, OwnChange, Record, RecordBatch};
use crate::{AcceptError, Store};

/// When every case begins.
const BEGIN_MS: i64 = 1_500_381_476_000;

/// What was done by the service itself at that time; what it says matters to the audit log alone.
pub(crate) fn deed_at(at: Timestamp) -> Deed {
    Who::SERVICE.did(Action::EndpointUpdated, AccountId::OPERATOR, "a thing", at)
}

/// The service itself has changed an endpoint's state.
pub(crate) fn own_change(state: State, at: Timestamp) -> OwnChange {
    OwnChange { state, deed: deed_at(at) }
}

/// A store and what is needed to fill it.
pub(crate) struct World<'b> {
    backend: &'b dyn Backend,
    pub(crate) store: Arc<dyn Store>,
    ticks: AtomicI64,
}

/// An endpoint, its account, and the newest version of the account's configuration.
pub(crate) struct Lane {
    pub(crate) account: Account,
    pub(crate) endpoint: Endpoint,
    pub(crate) version: i64,
}

/// A delivery that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) seq: DeliverySeq,
    pub(crate) id: DeliveryId,
    pub(crate) event: EventId,
}

impl<'b> World<'b> {
    pub(crate) async fn new(backend: &'b dyn Backend) -> Self {
        Self { backend, store: backend.open().await, ticks: AtomicI64::new(0) }
    }

    /// The same with a store that is open already.
    #[cfg(test)]
    pub(crate) fn on(backend: &'b dyn Backend, store: Arc<dyn Store>) -> Self {
        Self { backend, store, ticks: AtomicI64::new(0) }
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopen(self) -> Self {
        self.store.close().await;
        let Self { backend, store, ticks } = self;
        drop(store);
        Self { backend, store: backend.open().await, ticks }
    }

    /// A time later than the one before.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(BEGIN_MS + self.ticks.fetch_add(1, Ordering::Relaxed))
    }

    /// Chance that differs each time.
    fn chance(&self) -> u128 {
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed).unsigned_abs();
        u128::from(tick).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    pub(crate) fn delivery_id(&self) -> DeliveryId {
        DeliveryId::new(self.now(), self.chance())
    }

    pub(crate) fn replay_id(&self) -> ReplayId {
        ReplayId::new(self.now(), self.chance())
    }

    pub(crate) fn event_id(&self) -> EventId {
        EventId::new(self.now(), self.chance())
    }

    pub(crate) fn endpoint_id(&self) -> EndpointId {
        EndpointId::new(self.now(), self.chance())
    }

    pub(crate) fn account_id(&self) -> AccountId {
        AccountId::new(self.now(), self.chance())
    }

    pub(crate) fn key(&self, livemode: bool) -> NewKey {
        let mut sha256 = [0; 32];
        sha256[..16].copy_from_slice(&self.chance().to_be_bytes());
        NewKey { id: KeyId::new(self.now(), self.chance()), livemode, sha256 }
    }

    pub(crate) async fn account(&self, name: &str) -> Account {
        let (id, created_at) = (self.account_id(), self.now());
        let keys = vec![self.key(true), self.key(false)];
        self.store
            .create_account(NewAccount {
                id,
                name: name.to_owned(),
                created_at,
                keys,
                deed: deed_at(self.now()),
                keep: None,
            })
            .await
            .unwrap()
    }

    pub(crate) fn new_endpoint(&self, account: &Account, livemode: bool) -> NewEndpoint {
        NewEndpoint {
            id: self.endpoint_id(),
            account_no: account.no,
            livemode,
            settings: settings("https://receiver.example/hook"),
            secret: Secret::generate(&[7; 32]),
            created_at: self.now(),
            deed: deed_at(self.now()),
            keep: None,
        }
    }

    pub(crate) async fn endpoint(&self, account: &Account, livemode: bool) -> (Endpoint, i64) {
        self.store.create_endpoint(self.new_endpoint(account, livemode)).await.unwrap()
    }

    /// A new account with one endpoint.
    pub(crate) async fn lane(&self) -> Lane {
        let account = self.account("Lane").await;
        let (endpoint, version) = self.endpoint(&account, false).await;
        Lane { account, endpoint, version }
    }

    pub(crate) fn event(&self, lane: &Lane, payload: &str) -> NewEvent {
        self.event_to(lane, &[&lane.endpoint], payload)
    }

    pub(crate) fn event_to(&self, lane: &Lane, endpoints: &[&Endpoint], payload: &str) -> NewEvent {
        NewEvent {
            event: Event {
                id: self.event_id(),
                account_no: lane.account.no,
                account: lane.account.id,
                event_type: "policy.created".to_owned(),
                livemode: lane.endpoint.livemode,
                payload: Bytes::copy_from_slice(payload.as_bytes()),
                created_at: self.now(),
            },
            config_version: lane.version,
            deliveries: endpoints
                .iter()
                .map(|endpoint| NewDelivery {
                    id: self.delivery_id(),
                    endpoint_no: endpoint.no,
                    is_own: true,
                })
                .collect(),
        }
    }

    /// Accepts one event and gives its deliveries.
    pub(crate) async fn try_accept(&self, new: NewEvent) -> Result<Vec<Accepted>, AcceptError> {
        let event = new.event.id;
        let ids: Vec<DeliveryId> = new.deliveries.iter().map(|delivery| delivery.id).collect();
        let seqs = self.store.accept(vec![new]).await?;
        assert_eq!(seqs.len(), ids.len(), "a number for each delivery");
        Ok(seqs.into_iter().zip(ids).map(|(seq, id)| Accepted { seq, id, event }).collect())
    }

    /// Accepts one event to the lane's endpoint.
    pub(crate) async fn accept(&self, lane: &Lane) -> Accepted {
        self.try_accept(self.event(lane, "{}")).await.unwrap()[0]
    }

    pub(crate) async fn accept_many(&self, lane: &Lane, count: usize) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        for _ in 0..count {
            accepted.push(self.accept(lane).await);
        }
        accepted
    }

    /// Records one outcome, made at `at`, as the attempt of that number.
    pub(crate) async fn record(&self, accepted: Accepted, number: u32, next: Next) -> Timestamp {
        let at = self.now();
        self.store.record(batch(vec![self.outcome(accepted, number, next, at)]).into()).await.unwrap();
        at
    }

    pub(crate) fn outcome(&self, accepted: Accepted, number: u32, next: Next, at: Timestamp) -> Record {
        let progress = Progress { attempts: number, used: number };
        Record { seq: accepted.seq, attempt: Some(attempt(number, next, at)), next, progress, at }
    }
}

/// Outcomes without health changes.
pub(crate) fn batch(records: Vec<Record>) -> RecordBatch {
    RecordBatch { records, health: Vec::new() }
}

/// An attempt that fits to what became of the delivery.
pub(crate) fn attempt(number: u32, next: Next, at: Timestamp) -> Attempt {
    let outcome = match next {
        Next::Delivered => Outcome::Answered { status: 204, retry_after: None },
        Next::Exhausted | Next::RetryAt(_) => Outcome::Answered { status: 500, retry_after: None },
        Next::Waits => Outcome::Failed { code: FailureCode::Timeout, detail: "no answer".to_owned() },
    };
    Attempt {
        number,
        probe: matches!(next, Next::Waits),
        started_at: at,
        timings: Timings { total_us: 1_234, ..Timings::default() },
        request: RequestLog {
            url: "https://receiver.example/hook".to_owned(),
            headers: HeaderLog::default(),
        },
        response: None,
        outcome,
    }
}

pub(crate) fn settings(url: &str) -> EndpointSettings {
    EndpointSettings::new(url.parse().unwrap(), Subscription::parse(&["*"]).unwrap())
}
