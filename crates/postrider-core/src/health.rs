//! An endpoint's health as a state machine over (health, now, outcome). Pure: the time is an argument.
//!
//! It decides when an endpoint counts as failing, when the next probe is due and when to disable it. What is
//! done about that is the engine's part. The whole rule is in `docs/health.md`.

mod recent;

use std::time::Duration;

use crate::attempt::Outcome;
use crate::endpoint::DisabledReason;
use crate::id::DeliveryId;
use crate::schedule::RetrySchedule;
use crate::service_clock::ServiceTime;
use crate::time::Timestamp;

pub use self::recent::{DEGRADED_BELOW, MAX_RECENT_ATTEMPTS, RecentAttempts};

/// When an endpoint counts as failing and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRules {
    /// So many failures in a row …
    pub failures: u32,
    /// … over at least this long …
    pub over: Duration,
    /// … from at least so many deliveries (at most [`TRACKED_DELIVERIES`]) make it failing.
    pub deliveries: usize,
    /// When probes are made after it became failing; the last delay repeats.
    pub probe_delays: Vec<Duration>,
    /// A run of failed attempts that has lasted this long, in service time, disables the endpoint; never where none …
    pub disable_after: Option<Duration>,
    /// … if it has at least so many attempts, probes included.
    pub disable_attempts: u32,
    /// A gap between two attempts that is longer than this, and longer than [`RetrySchedule::longest_wait`], begins a new
    /// run.
    pub longest_gap: Duration,
}

/// How many different deliveries a run of failures remembers.
pub const TRACKED_DELIVERIES: usize = 3;

/// How long a run of failed attempts lasts before it disables its endpoint, by default.
pub const DEFAULT_DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3600);

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            failures: 10,
            over: Duration::from_secs(30),
            deliveries: TRACKED_DELIVERIES,
            probe_delays: [10, 30, 60, 300, 900].map(Duration::from_secs).to_vec(),
            disable_after: Some(DEFAULT_DISABLE_AFTER),
            disable_attempts: 10,
            longest_gap: Duration::from_secs(30 * 3600),
        }
    }
}

/// A run of failed attempts: those since the last success, without a long gap between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRun {
    /// When the first of them ended.
    pub since: Timestamp,
    /// How many count towards failing: those answered 429 or 503 with `Retry-After` don't.
    pub failures: u32,
    /// The first few different deliveries that failed.
    pub deliveries: [Option<DeliveryId>; TRACKED_DELIVERIES],
    /// How many there are, probes and those answered with `Retry-After` included.
    pub attempts: u32,
    /// The service time at the first of them …
    pub began: ServiceTime,
    /// … and at the last.
    pub latest: ServiceTime,
}

/// An endpoint that is failing: one delivery at a time is tried, as a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// How many probes failed.
    pub probes: u32,
    /// When the next probe is due.
    pub next_probe_at: Timestamp,
}

/// What is remembered of an endpoint's responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Set while it is failing.
    pub failing: Option<Failing>,
    /// The run of failed attempts, where the last attempt failed.
    pub run: Option<FailureRun>,
    /// Until when nothing is sent, as the receiver asked (429 or 503 with `Retry-After`) …
    pub closed_until: Option<Timestamp>,
    /// … and when it last asked so.
    pub closed_at: Option<Timestamp>,
    /// When it last received something.
    pub last_success_at: Option<Timestamp>,
    /// The outcomes of the last attempts.
    pub recent: RecentAttempts,
}

/// What changed with an outcome, for those who must act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// It became failing.
    BecameFailing,
    /// It was failing and has received again.
    Recovered,
    /// It must be disabled.
    Disable(DisabledReason),
}

/// A finished attempt, as far as it concerns health.
#[derive(Debug, Clone, Copy)]
pub struct FinishedAttempt<'a> {
    /// Its delivery.
    pub delivery: DeliveryId,
    /// Whether it was made as a probe.
    pub probe: bool,
    /// Its outcome.
    pub outcome: &'a Outcome,
    /// When its request was sent.
    pub sent_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// Now, by the service's own running time.
    pub service_time: ServiceTime,
}

impl Health {
    /// The same where the clock went back by `by`: what it waits for is not put off by that.
    #[must_use]
    pub fn waiting_less(self, by: Duration) -> Self {
        let failing =
            self.failing.map(|failing| Failing { next_probe_at: failing.next_probe_at.minus(by), ..failing });
        let earlier = |at: Option<Timestamp>| at.map(|at| at.minus(by));
        Self { failing, closed_until: earlier(self.closed_until), closed_at: earlier(self.closed_at), ..self }
    }

    /// Whether it is failing.
    pub const fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Whether fewer of the last attempts were received than [`DEGRADED_BELOW`].
    pub fn is_degraded(&self) -> bool {
        self.recent.success_rate().is_some_and(|rate| rate < DEGRADED_BELOW)
    }

    /// Fresh health, as after the endpoint was enabled: what is only shown of the past stays.
    #[must_use]
    pub fn begin_anew(self) -> Self {
        Self { last_success_at: self.last_success_at, recent: self.recent, ..Self::default() }
    }

    /// The same where `stored` is what all who send to the endpoint have written down of it: what anyone has delivered
    /// since the failures began ends their run.
    #[must_use]
    pub fn knowing(self, stored: &Self) -> Self {
        let last_success_at = self.last_success_at.max(stored.last_success_at);
        let run = self.run.filter(|run| last_success_at.is_none_or(|at| at <= run.since));
        Self { run, last_success_at, ..self }
    }

    /// The health after one attempt to an endpoint with this retry schedule, and what changed.
    #[must_use]
    pub fn after(
        self,
        rules: &HealthRules,
        schedule: &RetrySchedule,
        attempt: &FinishedAttempt<'_>,
    ) -> (Self, Option<HealthChange>) {
        let FinishedAttempt { probe, outcome, now, .. } = *attempt;
        let before = Self { recent: self.recent.with(outcome.is_received()), ..self };
        if outcome.is_received() {
            let change = self.is_failing().then_some(HealthChange::Recovered);
            return (before.after_success(attempt), change);
        }
        let asked_to_wait = match outcome {
            Outcome::Answered { status: 410, .. } => {
                return (before, Some(HealthChange::Disable(DisabledReason::Gone)));
            }
            Outcome::Answered { retry_after, .. } => *retry_after,
            Outcome::Failed { .. } => None,
        };
        let run = self.run_with(attempt, asked_to_wait.is_none(), rules.longest_gap(schedule));
        let mut next = Self { run: Some(run), ..before };
        if let Some(wait) = asked_to_wait {
            next.closed_until = Some(now.plus(wait)).max(self.closed_until);
            next.closed_at = Some(now);
        }
        if run.disables(rules) {
            return (next, Some(HealthChange::Disable(DisabledReason::Failing)));
        }
        next.failing = match self.failing {
            Some(failing) if probe => Some(failing.after_probe(rules, now)),
            Some(failing) => Some(failing),
            None if run.makes_failing(rules, now) => Some(Failing::begin(rules, now)),
            None => None,
        };
        let became_failing = next.is_failing() && !self.is_failing();
        (next, became_failing.then_some(HealthChange::BecameFailing))
    }

    /// A success ends failing and the run. What the receiver asked for after it was sent the request still holds.
    fn after_success(self, attempt: &FinishedAttempt<'_>) -> Self {
        let still_closed = self.closed_until.filter(|until| {
            let asked_at = self.closed_at.unwrap_or(*until);
            *until > attempt.now && attempt.sent_at <= asked_at
        });
        Self {
            last_success_at: Some(attempt.now),
            closed_until: still_closed,
            closed_at: still_closed.and(self.closed_at),
            ..self.begin_anew()
        }
    }

    /// The run with one more failed attempt: a new one after a gap that is longer than `longest_gap`. `counts` says whether
    /// it counts towards failing.
    fn run_with(&self, attempt: &FinishedAttempt<'_>, counts: bool, longest_gap: Duration) -> FailureRun {
        let service_time = attempt.service_time;
        let goes_on = |run: &FailureRun| service_time.since(run.latest) <= longest_gap;
        let mut run = self.run.filter(goes_on).unwrap_or(FailureRun {
            since: attempt.now,
            failures: 0,
            deliveries: [None; TRACKED_DELIVERIES],
            attempts: 0,
            began: service_time,
            latest: service_time,
        });
        run.attempts = run.attempts.saturating_add(1);
        run.latest = run.latest.max(service_time);
        if counts {
            run.failures = run.failures.saturating_add(1);
            if !run.deliveries.contains(&Some(attempt.delivery))
                && let Some(free) = run.deliveries.iter_mut().find(|slot| slot.is_none())
            {
                *free = Some(attempt.delivery);
            }
        }
        run
    }
}

impl HealthRules {
    /// The longest gap between two attempts of one run, for an endpoint with this retry schedule.
    fn longest_gap(&self, schedule: &RetrySchedule) -> Duration {
        self.longest_gap.max(schedule.longest_wait())
    }
}

impl FailureRun {
    fn makes_failing(&self, rules: &HealthRules, now: Timestamp) -> bool {
        let different = self.deliveries.iter().flatten().count();
        self.failures >= rules.failures
            && now.since(self.since) >= rules.over
            && different >= rules.deliveries
    }

    fn disables(&self, rules: &HealthRules) -> bool {
        let lasted = self.latest.since(self.began);
        rules.disable_after.is_some_and(|limit| lasted >= limit) && self.attempts >= rules.disable_attempts
    }
}

impl Failing {
    fn begin(rules: &HealthRules, now: Timestamp) -> Self {
        Self { since: now, probes: 0, next_probe_at: now.plus(probe_delay(rules, 0)) }
    }

    fn after_probe(self, rules: &HealthRules, now: Timestamp) -> Self {
        let probes = self.probes.saturating_add(1);
        Self { probes, next_probe_at: now.plus(probe_delay(rules, probes)), ..self }
    }
}

/// How long after `probes` failed probes the next one is due.
fn probe_delay(rules: &HealthRules, probes: u32) -> Duration {
    let index = usize::try_from(probes).unwrap_or(usize::MAX).min(rules.probe_delays.len().saturating_sub(1));
    rules.probe_delays.get(index).copied().unwrap_or(Duration::from_secs(10))
}

#[cfg(test)]
mod tests;
