//! What the service counts of itself, for whoever watches it: bounded, in atomics, without a name of any customer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postrider_core::attempt::{FailureCode, Outcome, Timings};
use postrider_core::delivery::Next;
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use postrider_store::figures::{Counted, Histogram, StoreFigures, TIMES_US};
use postrider_store::model::StoreSize;

use crate::lanes::LaneGauges;
use crate::traces::{Dropped, SpanCounts, Traces};
use crate::{Engine, EngineError};

/// The phases of an attempt, in their order.
pub const PHASES: [&str; 5] = ["dns", "connect", "tls", "first_byte", "total"];
/// One place for what was received, and one for each kind of failure.
const OUTCOMES: usize = FailureCode::ALL.len() + 1;

/// What is counted on the way.
#[derive(Debug)]
pub(crate) struct Meters {
    events: AtomicU64,
    deliveries: AtomicU64,
    attempts: [AtomicU64; OUTCOMES],
    probes: AtomicU64,
    delivered: AtomicU64,
    exhausted: AtomicU64,
    stranded: AtomicU64,
    phases: [Histogram; PHASES.len()],
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            events: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            attempts: [const { AtomicU64::new(0) }; OUTCOMES],
            probes: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            stranded: AtomicU64::new(0),
            phases: [const { Histogram::new(TIMES_US) }; PHASES.len()],
        }
    }
}

impl Meters {
    pub(crate) fn accepted(&self, events: usize, deliveries: usize) {
        self.events.fetch_add(u64::try_from(events).unwrap_or(0), Ordering::Relaxed);
        self.deliveries.fetch_add(u64::try_from(deliveries).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn found_stranded(&self, deliveries: usize) {
        self.stranded.fetch_add(u64::try_from(deliveries).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn attempted(&self, outcome: &Outcome, timings: &Timings, probe: bool, next: Next) {
        let one = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let place = match outcome.failure_code() {
            None => 0,
            // The codes stand in their order.
            Some(code) => (code as usize + 1).min(OUTCOMES - 1),
        };
        one(&self.attempts[place]);
        if probe {
            one(&self.probes);
        }
        match next {
            Next::Delivered => drop(one(&self.delivered)),
            Next::Exhausted => drop(one(&self.exhausted)),
            Next::RetryAt(_) | Next::Waits => {}
        }
        let Timings { dns_us, connect_us, tls_us, first_byte_us, total_us } = *timings;
        let times = [dns_us, connect_us, tls_us, first_byte_us, Some(total_us)];
        for (histogram, time) in self.phases.iter().zip(times) {
            if let Some(time) = time {
                histogram.count(time);
            }
        }
    }
}

/// Everything that is counted, at one moment.
#[derive(Debug)]
pub struct Figures {
    /// Events accepted since the start.
    pub events: u64,
    /// Deliveries that they made.
    pub deliveries: u64,
    /// Attempts that ended since the start, by what they came to: `received`, or the failure's code.
    pub attempts: Vec<(&'static str, u64)>,
    /// How many of them were probes.
    pub probes: u64,
    /// Deliveries that were received since the start.
    pub delivered: u64,
    /// Deliveries whose last attempt failed.
    pub exhausted: u64,
    /// Deliveries that this node had in the store without knowing them, and found again.
    pub stranded: u64,
    /// How long each of [`PHASES`] took, in microseconds.
    pub phases: Vec<(&'static str, Counted)>,
    /// The lanes as they stand.
    pub lanes: LaneGauges,
    /// Requests in flight.
    pub in_flight: usize,
    /// Whether the clock is in doubt, so that nothing is deleted by age.
    pub clock_in_doubt: bool,
    /// Outcomes that are not committed yet.
    pub unrecorded: u64,
    /// Accounts.
    pub accounts: usize,
    /// When the oldest pending delivery was accepted, where one is pending; nothing while the store does not answer in time,
    /// so that everything else is told all the same.
    pub oldest_pending: Option<Option<Timestamp>>,
    /// How much room the store takes; none where that was not answered in time.
    pub size: Option<StoreSize>,
    /// What the store tells of its commits.
    pub commits: Option<Commits>,
    /// Spans that a collector has taken since the start.
    pub exported_spans: u64,
    /// Spans that did not reach it, by the reason.
    pub dropped_spans: [(&'static str, u64); Dropped::ALL.len()],
}

/// What a store tells of its commits.
#[derive(Debug)]
pub struct Commits {
    /// How long they took, in microseconds.
    pub took_us: Counted,
    /// How many requests shared one.
    pub size: Counted,
    /// How many came to nothing.
    pub failed: u64,
    /// How many statements ended without an answer, so that their outcome had to be found out.
    pub unknown_outcomes: u64,
}

/// How long the store is waited for where the service tells its figures: less than a scrape takes at most.
const STORE_PATIENCE: Duration = Duration::from_secs(3);

impl Engine {
    /// When the oldest delivery that is pending was accepted; none where none is.
    pub async fn oldest_pending(&self) -> Result<Option<Timestamp>, EngineError> {
        Ok(self.0.store.oldest_pending().await?)
    }

    /// What the service counts of itself. Asks the store for the oldest pending delivery and its size; the rest is in memory.
    pub async fn figures(&self) -> Figures {
        let (oldest_pending, size) = {
            let (for_oldest, for_size) = (self.0.store.clone(), self.0.store.clone());
            tokio::join!(
                in_time(async move { for_oldest.oldest_pending().await }),
                in_time(async move { for_size.size().await })
            )
        };
        let meters = &self.0.meters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let names = std::iter::once("received").chain(FailureCode::ALL.iter().map(|code| code.as_str()));
        let (lanes, in_flight) = {
            let lanes = self.0.lanes();
            (lanes.gauges(), lanes.in_flight())
        };
        let written = read(&self.0.written_down);
        let spans = self.0.config.traces.as_ref().map(Traces::counts);
        Figures {
            events: read(&meters.events),
            deliveries: read(&meters.deliveries),
            attempts: names.zip(meters.attempts.iter().map(read)).collect(),
            probes: read(&meters.probes),
            delivered: read(&meters.delivered),
            exhausted: read(&meters.exhausted),
            stranded: read(&meters.stranded),
            phases: PHASES.into_iter().zip(meters.phases.iter().map(Histogram::read)).collect(),
            lanes,
            in_flight,
            clock_in_doubt: self.clock_distrusted_for().is_some(),
            unrecorded: read(&self.0.handed_over).saturating_sub(written),
            // The reserved account is nobody's customer.
            accounts: self.0.snapshot.load().accounts_before(None).count().saturating_sub(1),
            oldest_pending,
            size,
            commits: self.0.store.figures().map(|figures| Commits::read(&figures)),
            exported_spans: spans.map_or(0, SpanCounts::all_exported),
            dropped_spans: spans.map_or_else(|| SpanCounts::default().all_dropped(), SpanCounts::all_dropped),
        }
    }
}

/// What the store answers within [`STORE_PATIENCE`]. A question that takes longer goes on to its own end, since nobody else
/// must get its connection before.
async fn in_time<T: Send + 'static>(
    question: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Option<T> {
    let asked = tokio::time::timeout(STORE_PATIENCE, tokio::spawn(question)).await;
    asked.ok()?.ok()?.ok()
}

impl Commits {
    fn read(figures: &StoreFigures) -> Self {
        Self {
            took_us: figures.commit_us.read(),
            size: figures.commit_size.read(),
            failed: figures.failed.load(Ordering::Relaxed),
            unknown_outcomes: figures.unknown_outcomes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_under_its_own_code() {
        let meters = Meters::default();
        let timings = Timings { total_us: 5, ..Timings::default() };
        meters.attempted(
            &Outcome::Answered { status: 200, retry_after: None },
            &timings,
            false,
            Next::Delivered,
        );
        for code in FailureCode::ALL {
            let outcome = Outcome::Failed { code: *code, detail: String::new() };
            meters.attempted(&outcome, &timings, true, Next::Exhausted);
        }
        let counts: Vec<u64> = meters.attempts.iter().map(|one| one.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, vec![1; OUTCOMES], "each has a place of its own");
        assert_eq!(FailureCode::ALL[0] as usize, 0, "in their order");
        assert_eq!(meters.phases[4].read().sum, 5 * u64::try_from(OUTCOMES).unwrap());
        assert_eq!(meters.phases[0].read().sum, 0);
    }
}
