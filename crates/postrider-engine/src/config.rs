//! What the operator sets about the engine, with the limits it runs by.

use std::time::Duration;

use postrider_core::address::AddressGuard;
use postrider_core::health::HealthRules;
use postrider_core::replay;
use postrider_core::schedule::RetrySchedule;

use crate::lanes::LaneLimits;
use crate::observe::LogAttempts;
use crate::traces::Traces;

/// What the operator sets about the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// SHA-256 of the operator key from the configuration; without it, the stored one is in force.
    pub operator_key_sha256: Option<[u8; 32]>,
    /// The rules for endpoint URLs; the sender must go by the same.
    pub guard: AddressGuard,
    /// What the contract's headers begin with.
    pub header_prefix: String,
    /// The retry schedule of endpoints that have none of their own.
    pub retry_schedule: RetrySchedule,
    /// When endpoints count as failing.
    pub health_rules: HealthRules,
    /// How long what has ended is kept, and how long a paused or disabled endpoint holds its deliveries.
    pub retention: Duration,
    /// Requests in flight over all endpoints.
    pub max_in_flight: usize,
    /// Deliveries queued in memory per endpoint; the rest of a backlog stays in the store.
    pub lane_queue: usize,
    /// Deliveries in memory over all endpoints.
    pub loaded_deliveries: usize,
    /// Bytes of payloads in memory.
    pub payload_bytes: usize,
    /// Bytes of payloads in flight that had no room in memory before and were read again to be sent.
    pub reread_bytes: usize,
    /// Retries waiting in memory; further ones wait in the store.
    pub retries_in_memory: usize,
    /// Outcomes that wait to be recorded; past it attempts wait before they begin.
    pub unrecorded_outcomes: usize,
    /// How many checks of large or expensive payloads run at once; one more is kept for the operator.
    pub validation_slots: usize,
    /// How fast replays go and what of a lane they leave to live traffic.
    pub replays: replay::Limits,
    /// Who is told what happens to events, so that it can be traced; nobody by default.
    pub traces: Option<Traces>,
    /// Which attempts get a log line.
    pub log_attempts: LogAttempts,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            operator_key_sha256: None,
            guard: AddressGuard::default(),
            header_prefix: "X-KASKO-".to_owned(),
            retry_schedule: RetrySchedule::default(),
            health_rules: HealthRules::default(),
            retention: Duration::from_secs(30 * 24 * 3600),
            max_in_flight: 4_096,
            lane_queue: 1_000,
            loaded_deliveries: 200_000,
            payload_bytes: 64 * 1024 * 1024,
            reread_bytes: 64 * 1024 * 1024,
            retries_in_memory: 100_000,
            unrecorded_outcomes: 8_192,
            validation_slots: std::thread::available_parallelism()
                .map_or(2, |cores| (cores.get() / 2).max(2)),
            replays: replay::Limits::default(),
            traces: None,
            log_attempts: LogAttempts::default(),
        }
    }
}

impl EngineConfig {
    pub(crate) fn lane_limits(&self) -> LaneLimits {
        LaneLimits {
            max_in_flight: self.max_in_flight,
            lane_queue: self.lane_queue,
            loaded: self.loaded_deliveries,
            payload_bytes: self.payload_bytes,
            retries: self.retries_in_memory,
        }
    }
}

/// How long a request waits for a validation slot before it is refused.
pub(crate) const VALIDATION_WAIT: Duration = Duration::from_secs(2);
/// Steps of events that wait to be exported as spans; further ones are dropped and counted.
pub(crate) const MAX_QUEUED_TRACE_STEPS: usize = 16_384;
/// Outcomes recorded in one commit.
pub(crate) const RECORD_BATCH: usize = 256;
/// How long a first outcome waits for others to share its commit. Only a duplicate is at stake meanwhile.
pub(crate) const RECORD_GATHER: Duration = Duration::from_millis(3);
/// How far ahead retries are read from the store, and how often.
pub(crate) const DUE_HORIZON: Duration = Duration::from_secs(30);
/// See [`DUE_HORIZON`].
pub(crate) const DUE_EVERY: Duration = Duration::from_secs(10);
/// Every so many such reads the lanes that believe they have nothing are compared with the store.
pub(crate) const LOOK_AGAIN_ROUNDS: u64 = 6;
/// Lanes asked about in one read, so that it is short however many there are.
pub(crate) const LOOK_AGAIN_SLICE: usize = 200;
/// How often lanes are compared with the store, so that a delivery of which memory does not know is sent within a minute.
pub(crate) const STRANDED_EVERY: Duration = Duration::from_secs(25);
/// How long a change of an endpoint's state by hand waits for one by the service to be committed.
pub(crate) const STATE_WAIT: Duration = Duration::from_secs(10);
/// How often a change by hand is made again where others change the same endpoint at that moment.
pub(crate) const CHANGE_TRIES: usize = 20;
/// Rows per read of due retries.
pub(crate) const DUE_PAGE: usize = 500;
/// Refills that run at once.
pub(crate) const REFILLS_AT_ONCE: usize = 3;
/// Deliveries cancelled in one commit when an endpoint was deleted.
pub(crate) const CANCEL_SLICE: usize = 500;
/// How often what is older than the retention is looked for.
pub(crate) const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Events looked at in one commit of pruning.
pub(crate) const PRUNE_SLICE: usize = 200;
/// How many kept answers are forgotten in one transaction.
pub(crate) const FORGET_SLICE: usize = 1_000;
/// The pause between two such commits, so that they never hold up the line.
pub(crate) const PRUNE_PAUSE: Duration = Duration::from_millis(50);
/// Deliveries that one commit of a replay makes at most.
pub(crate) const REPLAY_SLICE: u64 = 100;
/// How many looks at the log one such commit may take, where little of it is chosen.
pub(crate) const REPLAY_LOOKS: usize = 16;
/// How often running replays are taken further …
pub(crate) const REPLAY_EVERY: Duration = Duration::from_millis(100);
/// … and how often where each of them waits for an endpoint that is not enabled or failing. Reads memory alone.
pub(crate) const REPLAY_NAP: Duration = Duration::from_secs(1);
/// Reads of ranges that are counted at once, so that counts never take the readers from everyone else …
pub(crate) const REPLAY_COUNT_READS: usize = 2;
/// … counts that take turns at these; further ones are refused …
pub(crate) const MAX_REPLAY_COUNTS: usize = 64;
/// … and how many of them may be one account's.
pub(crate) const MAX_REPLAY_COUNTS_PER_ACCOUNT: usize = 2;
/// How long to wait after the store failed, before it is asked again.
pub(crate) const STORE_PAUSE: Duration = Duration::from_millis(500);
/// How often secrets whose overlap has ended are let go.
pub(crate) const SETTLE_SECRETS_EVERY: Duration = Duration::from_secs(60);
/// How often a node reads what others have written down of endpoints' health.
pub(crate) const READ_HEALTH_EVERY: Duration = Duration::from_secs(30);
/// How often it is written down when keys were last used …
pub(crate) const NOTE_KEY_USES_EVERY: Duration = Duration::from_secs(60);
/// … so many keys in one commit.
pub(crate) const KEY_USES_SLICE: usize = 500;
/// How often events are matched again when the configuration changed between match and commit.
pub(crate) const MATCH_TRIES: usize = 20;
