//! From the service's metrics to OTLP's. The names are those of `/metrics`, so that one dashboard does for both.

use postrider_engine::metrics::{Metric, MetricKind, Point, Spread, Value};

use crate::wire::{self, Attribute, CUMULATIVE, Data, Number, NumberPoint, SpreadPoint, nanos};

/// What is common to all points of one push, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// When the service started; counters count from there.
    pub(crate) started_us: i64,
    /// When the values were read.
    pub(crate) read_us: i64,
}

pub(crate) fn metrics_of(metrics: &[Metric], times: Times) -> Vec<wire::Metric> {
    metrics.iter().map(|metric| metric_of(metric, times)).collect()
}

fn metric_of(metric: &Metric, times: Times) -> wire::Metric {
    let numbers = || metric.points.iter().filter_map(|point| number_of(point, times)).collect();
    let data = match metric.kind {
        MetricKind::Gauge => Data::Gauge { points: numbers() },
        MetricKind::Counter => {
            Data::Sum { aggregation_temporality: CUMULATIVE, is_monotonic: true, points: numbers() }
        }
        MetricKind::Histogram => Data::Histogram {
            aggregation_temporality: CUMULATIVE,
            points: metric.points.iter().filter_map(|point| spread_of(point, times)).collect(),
        },
    };
    wire::Metric { name: metric.name, description: metric.help, unit: unit_of(metric.name), data }
}

/// The unit as UCUM writes it; the names say it in the manner of Prometheus.
fn unit_of(name: &str) -> &'static str {
    match name {
        _ if name.ends_with("_seconds") => "s",
        _ if name.ends_with("_bytes") => "By",
        _ => "1",
    }
}

fn attributes_of(point: &Point) -> Vec<Attribute> {
    point.label.iter().map(|(label, word)| Attribute::text(label, word)).collect()
}

fn number_of(point: &Point, times: Times) -> Option<NumberPoint> {
    let value = match point.value {
        Value::Whole(value) => Number::AsInt(i64::try_from(value).unwrap_or(i64::MAX)),
        Value::Real(value) => Number::AsDouble(value),
        Value::Spread(_) => return None,
    };
    let (start, now) = (nanos(times.started_us), nanos(times.read_us));
    Some(NumberPoint {
        attributes: attributes_of(point),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value,
    })
}

fn spread_of(point: &Point, times: Times) -> Option<SpreadPoint> {
    let Value::Spread(spread) = &point.value else { return None };
    Some(SpreadPoint {
        attributes: attributes_of(point),
        start_time_unix_nano: nanos(times.started_us),
        time_unix_nano: nanos(times.read_us),
        count: spread.count(),
        sum: spread.sum(),
        bucket_counts: bucket_counts(spread),
        explicit_bounds: spread.bounds().collect(),
    })
}

/// How many values lay in each bucket alone.
fn bucket_counts(spread: &Spread) -> Vec<u64> {
    let mut below = 0;
    let alone = |at_most: &u64| at_most.saturating_sub(std::mem::replace(&mut below, *at_most));
    spread.at_most().iter().map(alone).collect()
}
