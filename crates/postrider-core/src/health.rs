//! An endpoint's health as a state machine over (health, now, outcome). Pure: the time is an argument.
//!
//! It decides when an endpoint counts as failing, when the next probe is due and when to disable it. What is
//! done about that is the engine's part.

use std::time::Duration;

use crate::attempt::Outcome;
use crate::endpoint::DisabledReason;
use crate::id::DeliveryId;
use crate::time::Timestamp;

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
    /// Failing for so long without a success disables it.
    pub disable_after: Duration,
}

/// How many different deliveries a run of failures remembers.
pub const TRACKED_DELIVERIES: usize = 3;

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            failures: 10,
            over: Duration::from_secs(30),
            deliveries: TRACKED_DELIVERIES,
            probe_delays: [10, 30, 60, 300, 900].map(Duration::from_secs).to_vec(),
            disable_after: Duration::from_secs(5 * 24 * 3600),
        }
    }
}

/// Failures since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRun {
    /// When the first of them was.
    pub since: Timestamp,
    /// How many there were, those that only asked for patience not counted.
    pub failures: u32,
    /// The first few different deliveries that failed.
    pub deliveries: [Option<DeliveryId>; TRACKED_DELIVERIES],
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

/// What is remembered of an endpoint's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Set while it is failing.
    pub failing: Option<Failing>,
    /// The failures since the last success.
    pub run: Option<FailureRun>,
    /// Until when the receiver asked to be left alone (429 or 503 with `Retry-After`).
    pub closed_until: Option<Timestamp>,
    /// When it last received something.
    pub last_success_at: Option<Timestamp>,
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

impl Health {
    /// The same where the clock went back by `by`: what it waits for is not put off by that.
    #[must_use]
    pub fn waiting_less(self, by: Duration) -> Self {
        let failing =
            self.failing.map(|failing| Failing { next_probe_at: failing.next_probe_at.minus(by), ..failing });
        Self { failing, closed_until: self.closed_until.map(|until| until.minus(by)), ..self }
    }

    /// Whether it is failing.
    pub const fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// The same where `stored` is what all who send to the endpoint have written down of it: what anyone has delivered
    /// since the failures began ends their run.
    #[must_use]
    pub fn knowing(self, stored: &Self) -> Self {
        let last_success_at = self.last_success_at.max(stored.last_success_at);
        let run = self.run.filter(|run| last_success_at.is_none_or(|at| at <= run.since));
        Self { run, last_success_at, ..self }
    }

    /// The health after one attempt of `delivery` came to `outcome` at `now`, and what changed.
    #[must_use]
    pub fn after(
        self,
        rules: &HealthRules,
        delivery: DeliveryId,
        probe: bool,
        outcome: &Outcome,
        now: Timestamp,
    ) -> (Self, Option<HealthChange>) {
        if outcome.is_received() {
            let change = self.is_failing().then_some(HealthChange::Recovered);
            return (Self { last_success_at: Some(now), ..Self::default() }, change);
        }
        let asked_to_wait = match outcome {
            Outcome::Answered { status: 410, .. } => {
                return (self, Some(HealthChange::Disable(DisabledReason::Gone)));
            }
            Outcome::Answered { retry_after, .. } => *retry_after,
            Outcome::Failed { .. } => None,
        };
        let run = self.run_with(delivery, asked_to_wait.is_none(), now);
        let closed_until = asked_to_wait.map(|wait| now.plus(wait)).max(self.closed_until);
        let mut next = Self { run: Some(run), closed_until, ..self };
        if now.since(run.since) >= rules.disable_after {
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

    /// The run of failures with one more; `counts` says whether it counts toward failing.
    fn run_with(&self, delivery: DeliveryId, counts: bool, now: Timestamp) -> FailureRun {
        let mut run = self.run.unwrap_or(FailureRun {
            since: now,
            failures: 0,
            deliveries: [None; TRACKED_DELIVERIES],
        });
        if counts {
            run.failures = run.failures.saturating_add(1);
            if !run.deliveries.contains(&Some(delivery))
                && let Some(free) = run.deliveries.iter_mut().find(|slot| slot.is_none())
            {
                *free = Some(delivery);
            }
        }
        run
    }
}

impl FailureRun {
    fn makes_failing(&self, rules: &HealthRules, now: Timestamp) -> bool {
        let different = self.deliveries.iter().flatten().count();
        self.failures >= rules.failures
            && now.since(self.since) >= rules.over
            && different >= rules.deliveries
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
