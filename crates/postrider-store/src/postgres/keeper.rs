//! The keeper: the task that says that this node lives, looks after the other ones, and finds what they bring about.
//!
//! It looks once a heartbeat, and at once when a notification says that there is something. A notification that is lost
//! costs a heartbeat's time and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_core::account::AccountNo;
use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use tokio::time::MissedTickBehavior;

use super::rows::Failed;
use super::shared::Shared;
use super::{binding, cancelling, configuration, event_types, nodes, wake};
use crate::error::StoreError;

/// How many endpoints with deliveries that are nobody's one look names at most; the next look goes on behind them.
const FREE_AT_ONCE: i64 = if cfg!(test) { 4 } else { 500 };
/// How many due retries that are nobody's one look goes through at most; the next look goes on behind them.
const DUE_AT_ONCE: i64 = if cfg!(test) { 4 } else { 5_000 };
/// How long to wait between looks that notifications ask for.
const LOOKS_APART: Duration = Duration::from_millis(10);
/// How often nodes that are gone are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How far ahead of their time retries of endpoints that nobody holds are looked for.
const DUE_AHEAD_MS: i64 = 15_000;

/// Before every due retry.
const FROM_THE_BEGINNING: (i64, i64) = (i64::MIN, i64::MIN);

/// What a look has found.
struct Found {
    version: i64,
    changed: Vec<i64>,
    /// Whether event types have changed.
    event_types: bool,
    free: Vec<i64>,
    due: Vec<i64>,
    /// The last due retry that was looked at, where there may be more behind it.
    due_until: Option<(i64, i64)>,
    cancelled: Vec<(i64, EndpointNo, DeliverySeq)>,
}

/// Keeps this node alive, and finds what others bring about.
pub(super) struct Keeper {
    beats: Heartbeats,
    looks: ChangePoller,
}

/// Says that this node lives, and takes over from those that don't.
struct Heartbeats {
    shared: Arc<Shared>,
    name: String,
    lapse: Duration,
    /// Since when every heartbeat has succeeded, without a gap.
    steady_since: Option<Instant>,
    last_beat: Instant,
    state: Outage,
}

/// Finds what others bring about.
struct ChangePoller {
    shared: Arc<Shared>,
    config_version: i64,
    free_from: i64,
    /// Behind which due retry (by its time and number) the next look begins.
    due_from: (i64, i64),
    /// When nodes that are gone were last forgotten.
    forgot_at: Instant,
    state: Outage,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, name: String, lapse: Duration, config_version: i64) -> Self {
        let now = Instant::now();
        let beats = Heartbeats {
            shared: Arc::clone(&shared),
            name,
            lapse,
            steady_since: Some(now),
            last_beat: now,
            state: Outage::default(),
        };
        let looks = ChangePoller {
            shared,
            config_version,
            free_from: i64::MIN,
            due_from: FROM_THE_BEGINNING,
            forgot_at: now,
            state: Outage::default(),
        };
        Self { beats, looks }
    }

    /// Keeps the node until the task is ended. Heartbeats go their own way: no look that waits for a lock holds them up.
    pub(super) async fn run(self) {
        let Self { mut beats, mut looks } = self;
        let shared = Arc::clone(&looks.shared);
        let binding = binding::run(&shared, heartbeat(beats.lapse));
        tokio::join!(beats.run(), looks.run(), wake_others(&shared), binding);
    }

    /// A heartbeat, and everything that follows from it.
    #[cfg(test)]
    pub(super) async fn beat(&mut self) -> Result<(), Failed> {
        self.beats.beat().await?;
        self.looks.look().await
    }

    /// As if it had been so.
    #[cfg(test)]
    pub(super) fn was_steady_since(&mut self, since: Instant, last_beat: Instant) {
        (self.beats.steady_since, self.beats.last_beat) = (Some(since), last_beat);
    }
}

impl Heartbeats {
    async fn run(&mut self) {
        // The first one was at the connecting.
        let every = heartbeat(self.lapse);
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let done = self.beat().await;
            self.state.update(done.as_ref().err(), "heartbeat failed; retrying", "heartbeats succeed again");
            self.shared.resolver.keep_control_connected();
            self.shared.look.notify_one();
        }
    }

    async fn beat(&mut self) -> Result<(), Failed> {
        let gone_before = self.shared.membership().gone;
        let (lapsed, was_uncertain) = match nodes::beat(&self.shared, self.lapse).await {
            Ok(beaten) => beaten,
            Err(Failed::Refused(StoreError::LeaseLost)) => return self.start_over().await,
            Err(failed) => {
                self.steady_since = None;
                return Err(failed);
            }
        };
        // A node that slept, or could not reach the database, has no right to judge others yet: all look old then.
        let now = Instant::now();
        if now.duration_since(self.last_beat) > heartbeat(self.lapse) * 2 {
            self.steady_since = None;
        }
        self.last_beat = now;
        let steady_since = *self.steady_since.get_or_insert(now);
        self.say_whether_it_was_uncertain(was_uncertain);
        if now.duration_since(steady_since) >= self.lapse {
            for no in lapsed {
                if nodes::take_over(&self.shared, no, self.lapse).await? {
                    tracing::warn!(node = no, "node timed out; taking over its deliveries");
                    self.shared.knows_gone(no);
                }
            }
        }
        if self.shared.membership().gone.iter().any(|no| !gone_before.contains(no)) {
            self.shared.tell(|news| news.others_are_gone = true);
        }
        Ok(())
    }

    /// Whoever stopped sending while it was uncertain goes on.
    fn say_whether_it_was_uncertain(&self, was_uncertain: bool) {
        if was_uncertain {
            self.shared.tell(|news| news.may_send_again = true);
        }
    }

    /// This node was taken for dead. It begins anew under another number.
    async fn start_over(&mut self) -> Result<(), Failed> {
        let before = self.shared.me();
        let now = {
            // Nothing is half accepted under the old number while the new one begins to hold.
            let _numbering = self.shared.numbering().await?;
            let now = nodes::join_again(&self.shared, &self.name).await?;
            self.shared.become_node(now);
            // Whoever hears of it finds what the old number had.
            self.shared.knows_gone(before);
            now
        };
        self.steady_since = None;
        tracing::warn!(
            before,
            now,
            "this node was declared dead by another; it starts over under a new number"
        );
        // Told at once: what follows may fail, and the next time only that is made good for.
        self.shared.tell(|news| news.started_over = true);
        nodes::beat(&self.shared, self.lapse).await?;
        self.shared.tell(|news| news.may_send_again = true);
        Ok(())
    }
}

impl ChangePoller {
    async fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            shared.look.notified().await;
            let done = self.look().await;
            self.state.update(
                done.as_ref().err(),
                "failed to look for changes; retrying",
                "looking for changes succeeds again",
            );
            tokio::time::sleep(LOOKS_APART).await;
        }
    }

    /// Looks for changes of the configuration, for deliveries that are nobody's, and for those of this node that others
    /// have cancelled.
    async fn look(&mut self) -> Result<(), Failed> {
        if self.shared.resolver.take_resolved() {
            self.shared.tell(|news| news.may_be_stranded = true);
        }
        if self.forgot_at.elapsed() >= FORGET_EVERY {
            self.forgot_at = Instant::now();
            nodes::forget_gone(&self.shared).await?;
        }
        let (me, known) = (self.shared.me(), self.config_version);
        let (from, (due_at, due_seq)) = (self.free_from, self.due_from);
        let gone = self.shared.membership().gone;
        let Found { version, changed, event_types, free, due, due_until, cancelled } = self
            .shared
            .harmless(self.shared.patience, move |client| {
                Box::pin(async move {
                    let (version, is_any_told) = configuration::version_for(client, me).await?;
                    let cancelled = match is_any_told {
                        true => cancelling::told(client, me).await?,
                        false => Vec::new(),
                    };
                    let (changed, event_types) = match version > known {
                        true => (
                            configuration::changed_since(client, known).await?,
                            event_types::have_changed_since(client, known).await?,
                        ),
                        false => (Vec::new(), false),
                    };
                    let statement = client.prepare_cached(FREE).await?;
                    let gone = &*gone;
                    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
                        [&me, &gone, &from, &FREE_AT_ONCE, &DUE_AHEAD_MS, &due_at, &due_seq, &DUE_AT_ONCE];
                    let (mut free, mut due, mut due_until) = (Vec::new(), Vec::new(), None);
                    for row in client.query(&statement, &parameters).await? {
                        match row.get::<_, &str>(0) {
                            "ready" => free.push(row.get(1)),
                            "due" => due.push(row.get(1)),
                            _until => due_until = Some((row.get(2), row.get(1))),
                        }
                    }
                    Ok(Found { version, changed, event_types, free, due, due_until, cancelled })
                })
            })
            .await?;
        self.config_version = version;
        let is_full = free.len() >= usize::try_from(FREE_AT_ONCE).unwrap_or(usize::MAX);
        self.free_from = free.last().copied().filter(|_| is_full).unwrap_or(i64::MIN);
        self.due_from = due_until.unwrap_or(FROM_THE_BEGINNING);
        let free = [free, due].concat();
        let heard: Vec<i64> = cancelled.iter().map(|(no, ..)| *no).collect();
        if !changed.is_empty() || event_types || !free.is_empty() || !cancelled.is_empty() {
            self.shared.tell(|news| {
                news.changed.extend(changed.into_iter().map(AccountNo));
                news.event_types |= event_types;
                news.free.extend(free.into_iter().map(EndpointNo));
                news.cancelled.extend(cancelled.into_iter().map(|(_, endpoint, seq)| (endpoint, seq)));
            });
        }
        if !heard.is_empty() {
            // Only now that they are told. There may be more.
            self.shared.look.notify_one();
            self.shared
                .harmless(self.shared.patience, move |client| {
                    Box::pin(async move { cancelling::heard(&*client, &heard).await })
                })
                .await?;
        }
        Ok(())
    }
}

/// Notifies other nodes as often as there is a reason to, but never twice at a time: one notification tells of everything
/// that was committed before.
async fn wake_others(shared: &Shared) {
    loop {
        shared.wake.notified().await;
        let woken =
            shared.harmless(shared.patience, |client| Box::pin(async move { wake::others(&*client).await }));
        if let Err(error) = woken.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "failed to notify other nodes");
        }
    }
}

/// Whether something works, so that an outage is logged once.
#[derive(Default)]
struct Outage {
    is_failing: bool,
}

impl Outage {
    fn update(&mut self, failed: Option<&Failed>, fails: &'static str, works: &'static str) {
        let was_failing = std::mem::replace(&mut self.is_failing, failed.is_some());
        match failed {
            Some(error) if !was_failing => {
                tracing::error!(error = error as &dyn std::error::Error, "{fails}");
            }
            None if was_failing => tracing::info!("{works}"),
            _ => {}
        }
    }
}

/// How often a node says that it lives.
pub(super) fn heartbeat(lapse: Duration) -> Duration {
    (lapse / 6).max(Duration::from_millis(20))
}

/// Endpoints with deliveries that are nobody's: ready ones, and, where the endpoint needs one place and nobody holds it,
/// those that are due soon (of the others the reads of due retries take them).
///
/// Those with ready ones are found by their number, a part at a time. Each costs one look into the index, however many
/// deliveries it has; what another node holds is passed over and takes no place. Those with due ones are found by the
/// retries' time: a look goes through so many, whatever comes of them, and tells how far it came if there may be more.
const FREE: &str = "WITH RECURSIVE owners AS (
        SELECT NULL::bigint AS no UNION ALL SELECT unnest($2::bigint[])
    ), of_nobody(no) AS (
        (SELECT endpoint_no FROM queue WHERE owner IS NULL AND next_attempt_at IS NULL AND endpoint_no > $3
            ORDER BY endpoint_no LIMIT 1)
        UNION ALL
        SELECT (SELECT q.endpoint_no FROM queue q WHERE q.owner IS NULL AND q.next_attempt_at IS NULL
            AND q.endpoint_no > f.no ORDER BY q.endpoint_no LIMIT 1) FROM of_nobody f WHERE f.no IS NOT NULL
    ), of_gone(owner, no) AS (
        SELECT g.no, (SELECT q.endpoint_no FROM queue q WHERE q.owner = g.no AND q.next_attempt_at IS NULL
            AND q.endpoint_no > $3 ORDER BY q.endpoint_no LIMIT 1) FROM owners g WHERE g.no IS NOT NULL
        UNION ALL
        SELECT f.owner, (SELECT q.endpoint_no FROM queue q WHERE q.owner = f.owner AND q.next_attempt_at IS NULL
            AND q.endpoint_no > f.no ORDER BY q.endpoint_no LIMIT 1) FROM of_gone f WHERE f.no IS NOT NULL
    ), looked_at AS MATERIALIZED (
        SELECT q.next_attempt_at, q.seq, q.endpoint_no FROM (
            (SELECT next_attempt_at, seq, endpoint_no FROM queue WHERE owner IS NULL
                AND next_attempt_at <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint + $5
                AND (next_attempt_at, seq) > ($6, $7) ORDER BY next_attempt_at, seq LIMIT $8)
            UNION ALL (SELECT b.* FROM owners g, LATERAL (SELECT next_attempt_at, seq, endpoint_no FROM queue
                WHERE owner = g.no AND next_attempt_at <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint + $5
                AND (next_attempt_at, seq) > ($6, $7) ORDER BY next_attempt_at, seq LIMIT $8) b)
        ) q ORDER BY q.next_attempt_at, q.seq LIMIT $8
    ), due AS (
        SELECT ep.no FROM (SELECT DISTINCT endpoint_no FROM looked_at) q JOIN endpoints ep ON ep.no = q.endpoint_no
        WHERE (ep.ordered OR ep.failing OR ep.rate_per_second IS NOT NULL) AND ep.state = 'enabled'
            AND NOT EXISTS (SELECT FROM leases l WHERE l.endpoint_no = ep.no)
    ), found AS (
        SELECT no FROM (SELECT f.no FROM of_nobody f WHERE f.no IS NOT NULL AND NOT EXISTS (
            SELECT FROM leases l JOIN endpoints ep ON ep.no = l.endpoint_no WHERE l.endpoint_no = f.no AND l.node_no <> $1
                AND (ep.ordered OR ep.failing OR ep.rate_per_second IS NOT NULL)) LIMIT $4) a
        UNION SELECT no FROM (SELECT f.no FROM of_gone f WHERE f.no IS NOT NULL AND NOT EXISTS (
            SELECT FROM leases l JOIN endpoints ep ON ep.no = l.endpoint_no WHERE l.endpoint_no = f.no AND l.node_no <> $1
                AND (ep.ordered OR ep.failing OR ep.rate_per_second IS NOT NULL)) LIMIT $4) b
    )
    (SELECT 'ready', no, NULL::bigint FROM found ORDER BY no LIMIT $4)
    UNION ALL SELECT 'due', no, NULL FROM due
    UNION ALL (SELECT 'until', seq, next_attempt_at FROM looked_at
        WHERE (SELECT count(*) FROM looked_at) >= $8 ORDER BY next_attempt_at DESC, seq DESC LIMIT 1)";
