//! Brings the service up: configuration into memory, backlogs into lanes, tasks running.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use postrider_core::audit::{Action, Who};
use postrider_core::id::AccountId;
use postrider_core::time::Timestamp;
use postrider_sender::Transport;
use postrider_store::model::NewAccount;
use postrider_store::{Store, StoreError};
use tokio::sync::{Notify, mpsc, watch};

use crate::announce::Announcement;
use crate::config::REFILLS_AT_ONCE;
use crate::departures::Departures;
use crate::environment::{Chance, Clock};
use crate::lanes::Lanes;
use crate::lanes::bucket::Bucket;
use crate::meters::Meters;
use crate::observe::Observers;
use crate::payloads::Rereads;
use crate::readiness::Readiness;
use crate::replay_counts::ReplayCounts;
use crate::service_clock::ServiceClock;
use crate::shared_query::SharedQuery;
use crate::sign::{HeaderNames, PrefixRefused};
use crate::snapshot::Snapshot;
use crate::validation::ValidationSlots;
use crate::{
    Engine, EngineConfig, Inner, announce, background, elsewhere, keys, nodes, recorder, replays, retention,
    secrets, stranded_deliveries,
};

/// What the engine works with, so that a test can replace each.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What makes attempts.
    pub transport: Arc<dyn Transport>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub chance: Arc<dyn Chance>,
}

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The header prefix makes no header names.
    #[error(transparent)]
    Prefix(#[from] PrefixRefused),
    /// Neither the configuration nor the store has an operator key.
    #[error("there is no operator key; set one with --operator-key-file")]
    NoOperatorKey,
    /// The store could not be read.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Starts the service: what is pending in the store goes on from where it was.
    pub async fn start(config: EngineConfig, parts: Parts) -> Result<Self, StartError> {
        let Parts { store, transport, clock, chance } = parts;
        let names = HeaderNames::new(&config.header_prefix)?;
        let operator_key_sha256 = match config.operator_key_sha256 {
            Some(given) => given,
            None => store.operator_key().await?.ok_or(StartError::NoOperatorKey)?,
        };
        make_operator_account(&*store, clock.now()).await?;
        let observed = store.observe_clock(clock.now(), Duration::ZERO).await?;
        let snapshot = Snapshot::new(store.load().await?, store.is_shared());
        let lanes = load_lanes(&config, &*store, &snapshot, clock.now()).await?;
        let (outcomes, waiting_outcomes) = mpsc::channel(config.unrecorded_outcomes.max(1));
        let (announcements, waiting_announcements) = mpsc::channel(announce::MAX_WAITING);
        let inner = Arc::new(Inner {
            rereads: Rereads::new(config.reread_bytes),
            validation_slots: ValidationSlots::new(config.validation_slots),
            departures: Departures::default(),
            config,
            names,
            operator_key_sha256,
            store,
            transport,
            service_clock: ServiceClock::begin(observed),
            started_at: clock.now(),
            looks_elsewhere: Mutex::new(Bucket::new(elsewhere::LOOKS, clock.now())),
            clock,
            chance,
            snapshot: ArcSwap::from_pointee(snapshot),
            configuration_version: watch::Sender::new(0),
            changes: tokio::sync::Mutex::new(()),
            lanes: Mutex::new(lanes),
            outcomes,
            observers: Observers::default(),
            meters: Meters::default(),
            readiness: Readiness::default(),
            oldest_pending_query: SharedQuery::default(),
            size_query: SharedQuery::default(),
            prunings: Mutex::default(),
            announcements,
            stopping: AtomicBool::new(false),
            shortage_said_ms: AtomicI64::new(0),
            unreadable_log: Mutex::default(),
            timer: Notify::new(),
            timer_armed_ms: AtomicI64::new(i64::MAX),
            refill: Notify::new(),
            cancel: Notify::new(),
            stranded: Notify::new(),
            places: Notify::new(),
            due: Notify::new(),
            replays: Notify::new(),
            replay_counts: ReplayCounts::new(),
            handed_over: AtomicU64::new(0),
            written_down: AtomicU64::new(0),
            recorded: Notify::new(),
            idle: Notify::new(),
            recorder_ends: AtomicBool::new(false),
            recorder_stop: Notify::new(),
            announcer_stop: Notify::new(),
            tasks: Mutex::new(Vec::new()),
            announcer: Mutex::new(None),
            recorder: Mutex::new(None),
        });
        inner.spawn_tasks(waiting_outcomes, waiting_announcements);
        inner.pump();
        Ok(Self(inner))
    }
}

impl Inner {
    fn spawn_tasks(
        self: &Arc<Self>,
        outcomes: mpsc::Receiver<recorder::Outcomes>,
        announcements: mpsc::Receiver<Announcement>,
    ) {
        let mut tasks = vec![
            tokio::spawn(background::keep_time(self.clone())),
            tokio::spawn(background::find_due(self.clone())),
            tokio::spawn(background::cancel_deleted(self.clone())),
            tokio::spawn(stranded_deliveries::run(self.clone())),
            tokio::spawn(retention::prune(self.clone())),
            tokio::spawn(replays::run(self.clone())),
            tokio::spawn(secrets::settle(self.clone())),
            tokio::spawn(keys::note_uses(self.clone())),
        ];
        if self.store.is_shared() {
            tasks.push(tokio::spawn(nodes::follow(self.clone())));
            tasks.push(tokio::spawn(nodes::find_places(self.clone())));
            tasks.push(tokio::spawn(nodes::follow_health(self.clone())));
        }
        tasks.extend((0..REFILLS_AT_ONCE).map(|_| tokio::spawn(background::refill(self.clone()))));
        let announcer = tokio::spawn(announce::run(self.clone(), announcements));
        self.hold_tasks(tasks, announcer, tokio::spawn(recorder::run(self.clone(), outcomes)));
    }
}

/// The lanes of all endpoints, with what is pending for each.
async fn load_lanes(
    config: &EngineConfig,
    store: &dyn Store,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Lanes, StoreError> {
    let mut lanes =
        Lanes::new(config.lane_limits(), config.retry_schedule.clone(), config.health_rules.clone());
    if store.is_shared() {
        lanes.share();
    }
    for endpoint in snapshot.all_endpoints() {
        lanes.configure(endpoint.clone(), now);
    }
    for backlog in store.backlogs().await? {
        lanes.set_backlog(backlog.endpoint_no, backlog.ready, backlog.waiting);
    }
    Ok(lanes)
}

/// Makes the reserved account to which operational events belong, at the first start. It has no keys.
async fn make_operator_account(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    let accounts = store.load().await?.accounts;
    if accounts.iter().any(|account| account.id == AccountId::OPERATOR) {
        return Ok(());
    }
    let account = NewAccount {
        id: AccountId::OPERATOR,
        name: "Operator".to_owned(),
        created_at: now,
        keys: Vec::new(),
        deed: Who::SERVICE.did(Action::AccountCreated, AccountId::OPERATOR, AccountId::OPERATOR, now),
        keep: None,
    };
    match store.create_account(account).await {
        // Another start was faster.
        Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
