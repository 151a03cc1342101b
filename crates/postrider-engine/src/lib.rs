//! The running service. [`Engine`] is its handle, and the handle's methods are the list of use cases.
//!
//! The line: accept → match → commit → lane → sign → send → decide → record → retry. Rows are the store's
//! business, sockets the sender's, status codes the API's: none of them appears here.

mod accounts;
mod acting;
mod activity;
mod announce;
mod background;
mod config;
mod departures;
mod elsewhere;
mod endpoints;
pub mod environment;
mod error;
mod event_types;
mod feed;
mod going_on;
mod growth;
mod ingest;
mod keys;
mod lanes;
mod log;
mod loops;
mod meters;
pub mod metrics;
pub mod model;
mod nodes;
mod observe;
mod once;
mod payloads;
mod portal;
mod readiness;
mod recorder;
mod replay_counts;
mod replays;
mod retention;
mod ring;
mod routing;
mod routing_table;
mod secrets;
mod send;
mod service_clock;
mod shared_query;
mod shutdown;
mod sign;
mod snapshot;
mod start;
mod stranded_deliveries;
mod testing;
pub mod traces;
mod unreadable;
mod validation;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use postrider_core::address::AddressGuard;
use postrider_core::health::HealthRules;
use postrider_core::time::Timestamp;
use postrider_sender::Transport;
use postrider_store::Store;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

pub use crate::acting::Acting;
pub use crate::activity::Lookback;
pub use crate::config::EngineConfig;

pub use crate::error::EngineError;
pub use crate::feed::{AttemptFeed, FeedEnd};
pub use crate::keys::{generate_operator_key, key_sha256};
pub use crate::lanes::LaneGauges;
pub use crate::loops::LoopSource;
pub use crate::meters::{Commits, Figures, KeyUse, PHASES};
pub use crate::observe::{AttemptSeen, FollowingStep, LogAttempts};
pub use crate::once::{Before, Claim, KeptAnswer, Once};
pub use crate::portal::CreatedPortalLink;
pub use crate::retention::{Gone, Pruning, Prunings, Storage};
pub use crate::routing::Routing;
pub use crate::sign::{PrefixRefused, check_header_prefix};
pub use crate::start::{Parts, StartError};
pub use crate::validation::{Requester, Validation};
pub use postrider_store::figures::Counted as HistogramRead;

use crate::announce::Announcement;
use crate::departures::Departures;
use crate::environment::{Chance, Clock};
use crate::lanes::Lanes;
use crate::lanes::bucket::Bucket;
use crate::meters::Meters;
use crate::observe::Observers;
use crate::payloads::Rereads;
use crate::readiness::Readiness;
use crate::recorder::Outcomes;
use crate::replay_counts::ReplayCounts;
use crate::service_clock::ServiceClock;
use crate::shared_query::SharedQuery;
use crate::sign::HeaderNames;
use crate::snapshot::Snapshot;
use crate::unreadable::UnreadableLog;
use crate::validation::ValidationSlots;

/// What stores take and give, for those who call the engine's lists.
pub use postrider_store::model::{
    AboutRows, AttemptPlace, AuditFilter, DeliveryFilter, EventFilter, Node, Page, PageRequest, ReplayFilter,
    StoreSize, TableSize,
};

/// The handle of the running service; cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// Everything that the service's tasks share.
struct Inner {
    config: EngineConfig,
    names: HeaderNames,
    operator_key_sha256: [u8; 32],
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    /// How long the service has run, and whether the clock is trusted.
    service_clock: ServiceClock,
    /// When the service came up.
    started_at: Timestamp,
    /// Read on every request without waiting; swapped whole under `changes`.
    snapshot: ArcSwap<Snapshot>,
    /// How often the configuration has changed, for those who must look again when it does.
    configuration_version: watch::Sender<u64>,
    /// Held while the configuration changes, from the write to the swap.
    changes: tokio::sync::Mutex<()>,
    /// Held for a few instructions only, never across an await.
    lanes: Mutex<Lanes>,
    /// The room for payloads that are read again when they are sent.
    rereads: Rereads,
    departures: Departures,
    outcomes: mpsc::Sender<Outcomes>,
    observers: Observers,
    meters: Meters,
    /// Whether the store accepts.
    readiness: Readiness,
    /// What is asked of the store for each scrape of the metrics.
    oldest_pending_query: SharedQuery<Option<Option<Timestamp>>>,
    size_query: SharedQuery<Option<StoreSize>>,
    /// What pruning came to.
    prunings: Mutex<Prunings>,
    /// Operational events on their way to be accepted.
    announcements: mpsc::Sender<Announcement>,
    /// Set once, when the service begins to stop.
    stopping: AtomicBool,
    /// When the log last spoke of a shortage of files or ports (milliseconds since 1970).
    shortage_said_ms: AtomicI64,
    /// What the log last said of endpoints whose sealed values do not open.
    unreadable_log: Mutex<UnreadableLog>,
    /// Wakes the task that waits for lanes' and retries' times …
    timer: Notify,
    /// … which sleeps until this (milliseconds since 1970).
    timer_armed_ms: AtomicI64,
    /// Wakes the tasks that read spilled lanes' backlogs.
    refill: Notify,
    /// Wakes the task that cancels what is pending for deleted endpoints.
    cancel: Notify,
    /// Lets the reading of due retries begin at once.
    due: Notify,
    /// Wakes the task that looks for deliveries that this node has lost sight of.
    stranded: Notify,
    /// Wakes the task that asks for endpoints that need one place.
    places: Notify,
    /// How often the store may yet be asked for what another node may have made.
    looks_elsewhere: Mutex<Bucket>,
    /// Wakes the task that takes replays further, once one is made or cancelled.
    replays: Notify,
    /// The room for ranges that are being counted.
    replay_counts: ReplayCounts,
    /// The room for checks of payloads that take long.
    validation_slots: ValidationSlots,
    /// How many outcomes were handed to the recorder since the start …
    handed_over: AtomicU64,
    /// … and how many of them are committed, or can't be.
    written_down: AtomicU64,
    /// Wakes whoever waits for outcomes to be committed.
    recorded: Notify,
    /// Wakes whoever waits for the last request in flight.
    idle: Notify,
    /// Set when the recorder should end after what it has …
    recorder_ends: AtomicBool,
    /// … and wakes it for that.
    recorder_stop: Notify,
    /// Tells the announcer to end after what waits to be told.
    announcer_stop: Notify,
    /// The service's own tasks, ended at shutdown.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Ends when everything that happened is told.
    announcer: Mutex<Option<JoinHandle<()>>>,
    /// Ends last, when every outcome is recorded.
    recorder: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// The rules for endpoint URLs.
    pub fn address_guard(&self) -> &AddressGuard {
        &self.0.config.guard
    }

    /// When endpoints count as failing, and when they are disabled for it.
    pub fn health_rules(&self) -> &HealthRules {
        &self.0.config.health_rules
    }

    /// What the contract's headers begin with, such as `X-KASKO-`.
    pub fn header_prefix(&self) -> &str {
        &self.0.config.header_prefix
    }

    /// Changes whenever the configuration of this node does: keys, accounts, endpoints, event types, and links into the
    /// portal that were revoked, whichever node changed them.
    pub fn configuration_changes(&self) -> watch::Receiver<u64> {
        self.0.configuration_version.subscribe()
    }

    /// Whether this node has not reached the store for so long that others may have taken over from it. It can't know then
    /// which keys were revoked in the meantime.
    pub fn is_cut_off(&self) -> bool {
        !self.0.store.may_send()
    }

    /// The time as the service sees it.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // A panic while the lock is held is a bug, but the lanes are still the best knowledge there is.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Wakes those who must look again when the configuration has changed.
    fn configuration_changed(&self) {
        self.configuration_version.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// An event type's name: the one that is in memory already where it is known.
    fn event_type(&self, name: &str) -> Arc<str> {
        let snapshot = self.snapshot.load();
        snapshot.catalogue().get(name).map_or_else(|| name.into(), |known| known.shared_name())
    }
}
