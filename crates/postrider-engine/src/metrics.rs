//! Every metric of the service by its name, with its values at one moment: the one list behind `/metrics` and what is
//! pushed to a collector. How it is written is for those who write it.

mod storage;

use std::time::Duration;

use postrider_core::time::Timestamp;

use crate::meters::Figures;
use crate::{Engine, HistogramRead};

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, from the start of the service on.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How values are spread, from the start of the service on.
    Histogram,
}

/// A metric and its values.
#[derive(Debug)]
pub struct Metric {
    /// Its name, such as `postrider_events_total`.
    pub name: &'static str,
    /// What it tells, in a sentence.
    pub help: &'static str,
    /// What kind it is.
    pub kind: MetricKind,
    /// Its values, one for each word of its label.
    pub points: Vec<Point>,
}

/// One value of a metric.
#[derive(Debug)]
pub struct Point {
    /// The label and its word, where the metric has several values.
    pub label: Option<(&'static str, &'static str)>,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any number.
    Real(f64),
    /// How values are spread.
    Spread(Spread),
}

/// How values are spread, in the metric's unit.
#[derive(Debug)]
pub struct Spread {
    read: HistogramRead,
    /// How many of what was counted make one of the unit.
    per_unit: f64,
}

impl Spread {
    /// The upper bounds, inclusive.
    pub fn bounds(&self) -> impl Iterator<Item = f64> {
        self.read.bounds.iter().map(|bound| as_float(*bound) / self.per_unit)
    }

    /// How many values lay at or below each bound, and last how many there were.
    pub fn at_most(&self) -> &[u64] {
        &self.read.at_most
    }

    /// All values together.
    pub fn sum(&self) -> f64 {
        as_float(self.read.sum) / self.per_unit
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.read.at_most.last().copied().unwrap_or_default()
    }
}

/// Whoever keeps metrics keeps floats; sums beyond 2^53 µs (285 years) may be rounded.
#[expect(clippy::cast_precision_loss, reason = "metrics are kept as floats, and bounds are far below 2^53")]
fn as_float(value: u64) -> f64 {
    value as f64
}

const US_PER_SECOND: f64 = 1_000_000.0;

impl Engine {
    /// Every metric at this moment. What the store alone knows is left out while it does not answer.
    pub async fn metrics(&self) -> Vec<Metric> {
        let figures = self.figures().await;
        let mut metrics = vec![Metric {
            name: "postrider_build_info",
            help: "Which program this is; always 1.",
            kind: MetricKind::Gauge,
            points: vec![Point {
                label: Some(("version", env!("CARGO_PKG_VERSION"))),
                value: Value::Whole(1),
            }],
        }];
        metrics.extend(of_the_line(&figures));
        metrics.extend(of_the_backlog(&figures));
        metrics.extend(of_the_store(&figures));
        metrics.extend(figures.oldest_pending.map(|oldest| {
            Metric::age(
                "postrider_oldest_pending_age_seconds",
                "How long ago the oldest pending delivery was accepted; 0 where none is pending.",
                oldest,
                self.now(),
            )
        }));
        metrics.extend(
            figures.size.iter().flat_map(|size| storage::metrics(size, self.now(), self.0.config.retention)),
        );
        metrics.extend(of_keys(&figures));
        metrics.extend(of_traces(&figures));
        metrics
    }
}

impl Metric {
    fn one(name: &'static str, kind: MetricKind, help: &'static str, value: u64) -> Self {
        Self { name, help, kind, points: vec![Point { label: None, value: Value::Whole(value) }] }
    }

    /// A metric with a value for each of a few words.
    fn each(
        name: &'static str,
        kind: MetricKind,
        help: &'static str,
        label: &'static str,
        values: &[(&'static str, u64)],
    ) -> Self {
        let point =
            |(word, value): &(_, u64)| Point { label: Some((label, *word)), value: Value::Whole(*value) };
        Self { name, help, kind, points: values.iter().map(point).collect() }
    }

    /// How long ago something was; 0 where it was not.
    fn age(name: &'static str, help: &'static str, at: Option<Timestamp>, now: Timestamp) -> Self {
        let seconds = at.map_or(0.0, |at| now.since(at).as_secs_f64());
        let points = vec![Point { label: None, value: Value::Real(seconds) }];
        Self { name, help, kind: MetricKind::Gauge, points }
    }

    /// A metric with an age for each of a few words; a word without a time has the age 0.
    fn ages(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        times: &[(&'static str, Option<Timestamp>)],
        now: Timestamp,
    ) -> Self {
        let point = |(word, at): &(&'static str, Option<Timestamp>)| Point {
            label: Some((label, *word)),
            value: Value::Real(at.map_or(0.0, |at| now.since(at).as_secs_f64())),
        };
        Self { name, help, kind: MetricKind::Gauge, points: times.iter().map(point).collect() }
    }

    fn seconds(name: &'static str, help: &'static str, time: Duration) -> Self {
        let points = vec![Point { label: None, value: Value::Real(time.as_secs_f64()) }];
        Self { name, help, kind: MetricKind::Gauge, points }
    }

    fn spread(name: &'static str, help: &'static str, read: &HistogramRead, per_unit: f64) -> Self {
        let value = Value::Spread(Spread { read: read.clone(), per_unit });
        Self { name, help, kind: MetricKind::Histogram, points: vec![Point { label: None, value }] }
    }
}

fn of_the_line(figures: &Figures) -> [Metric; 7] {
    const COUNTER: MetricKind = MetricKind::Counter;
    let phase = |(phase, read): &(&'static str, HistogramRead)| Point {
        label: Some(("phase", *phase)),
        value: Value::Spread(Spread { read: read.clone(), per_unit: US_PER_SECOND }),
    };
    [
        Metric::one("postrider_events_total", COUNTER, "Events accepted.", figures.events),
        Metric::one(
            "postrider_deliveries_created_total",
            COUNTER,
            "Deliveries that they made.",
            figures.deliveries,
        ),
        Metric::each(
            "postrider_deliveries_finished_total",
            COUNTER,
            "Deliveries that came to their end by an attempt.",
            "outcome",
            &[("delivered", figures.delivered), ("exhausted", figures.exhausted)],
        ),
        Metric::each(
            "postrider_attempts_total",
            COUNTER,
            "Attempts that ended, by what they came to.",
            "outcome",
            &figures.attempts,
        ),
        Metric::one(
            "postrider_stranded_deliveries_total",
            COUNTER,
            "Deliveries that this node had in the store without knowing them, and found again.",
            figures.stranded,
        ),
        Metric::one(
            "postrider_probes_total",
            COUNTER,
            "How many of them were probes of failing endpoints.",
            figures.probes,
        ),
        Metric {
            name: "postrider_attempt_duration_seconds",
            help: "How long the phases of attempts took; a reused connection has no dns, connect or tls.",
            kind: MetricKind::Histogram,
            points: figures.phases.iter().map(phase).collect(),
        },
    ]
}

fn of_the_backlog(figures: &Figures) -> [Metric; 9] {
    const GAUGE: MetricKind = MetricKind::Gauge;
    let lanes = &figures.lanes;
    let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    [
        Metric::one("postrider_pending_deliveries", GAUGE, "Deliveries that are pending.", lanes.backlog),
        Metric::one(
            "postrider_store_up",
            GAUGE,
            "Whether the store answers; while it does not, what it alone knows is left out.",
            u64::from(figures.oldest_pending.is_some()),
        ),
        Metric::each(
            "postrider_endpoints",
            GAUGE,
            "Endpoints by how they stand.",
            "standing",
            &[
                ("healthy", lanes.healthy),
                ("failing", lanes.failing),
                ("paused", lanes.paused),
                ("disabled", lanes.disabled),
            ],
        ),
        Metric::one(
            "postrider_unreadable_endpoints",
            GAUGE,
            "Endpoints to which nothing is sent because their secrets or headers, or the URLs these are bound to, were changed in the database.",
            lanes.unreadable,
        ),
        Metric::one("postrider_accounts", GAUGE, "Accounts, without acc_operator.", whole(figures.accounts)),
        Metric::one(
            "postrider_in_flight_requests",
            GAUGE,
            "Requests to receivers in flight.",
            whole(figures.in_flight),
        ),
        Metric::each(
            "postrider_queue_depth",
            GAUGE,
            "How much waits in memory: deliveries in lanes, retries in the timer, outcomes to be committed.",
            "queue",
            &[("lanes", lanes.in_memory), ("retries", lanes.retries), ("outcomes", figures.unrecorded)],
        ),
        Metric::one(
            "postrider_clock_in_doubt",
            GAUGE,
            "1 while the clock is more than a day ahead of the last time stored, so that nothing is deleted by age.",
            u64::from(figures.clock_in_doubt),
        ),
        Metric::one(
            "postrider_payload_memory_bytes",
            GAUGE,
            "Bytes of payloads in memory.",
            lanes.payload_bytes,
        ),
    ]
}

fn of_the_store(figures: &Figures) -> Vec<Metric> {
    let Some(commits) = &figures.commits else { return Vec::new() };
    vec![
        Metric::spread(
            "postrider_store_commit_duration_seconds",
            "How long the store's commits took, their statements included.",
            &commits.took_us,
            US_PER_SECOND,
        ),
        Metric::spread(
            "postrider_store_commit_size",
            "How many requests shared a commit.",
            &commits.size,
            1.0,
        ),
        Metric::one(
            "postrider_store_failed_commits_total",
            MetricKind::Counter,
            "Commits that came to nothing.",
            commits.failed,
        ),
        Metric::one(
            "postrider_store_unknown_outcomes_total",
            MetricKind::Counter,
            "Statements that ended without an answer, so that their outcome had to be found out.",
            commits.unknown_outcomes,
        ),
    ]
}

fn of_keys(figures: &Figures) -> [Metric; 2] {
    [
        Metric::each(
            "postrider_failed_keys_total",
            MetricKind::Counter,
            "Keys and portal links that were refused because they are not known.",
            "use",
            &figures.failed_keys,
        ),
        Metric::each(
            "postrider_unjudged_keys_total",
            MetricKind::Counter,
            "Requests refused before their key was judged, because of earlier failures of the same client address.",
            "use",
            &figures.unjudged_keys,
        ),
    ]
}

fn of_traces(figures: &Figures) -> [Metric; 2] {
    [
        Metric::one(
            "postrider_otlp_exported_spans_total",
            MetricKind::Counter,
            "Spans that the collector has taken.",
            figures.exported_spans,
        ),
        Metric::each(
            "postrider_otlp_dropped_spans_total",
            MetricKind::Counter,
            "Spans that did not reach the collector, by the reason.",
            "reason",
            &figures.dropped_spans,
        ),
    ]
}
