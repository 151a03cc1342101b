//! The messages of OTLP/HTTP in its JSON encoding, as far as they are sent: names in lowerCamelCase, ids in hex, 64-bit
//! numbers as texts, enums as numbers (opentelemetry-proto 1.x).

use std::fmt::Display;

use serde::{Serialize, Serializer};

/// An `ExportTraceServiceRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Traces<'a> {
    pub(crate) resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResourceSpans<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
pub(crate) struct ScopeSpans<'a> {
    pub(crate) scope: Scope,
    pub(crate) spans: &'a [Span],
}

/// An `ExportMetricsServiceRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metrics<'a> {
    pub(crate) resource_metrics: [ResourceMetrics<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResourceMetrics<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) scope_metrics: [ScopeMetrics; 1],
}

#[derive(Serialize)]
pub(crate) struct ScopeMetrics {
    pub(crate) scope: Scope,
    pub(crate) metrics: Vec<Metric>,
}

/// What the service is among others.
#[derive(Debug, Serialize)]
pub(crate) struct Resource {
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Serialize)]
pub(crate) struct Scope {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

/// Who measures: this program.
pub(crate) const SCOPE: Scope = Scope { name: "postrider", version: env!("CARGO_PKG_VERSION") };

#[derive(Debug, Serialize)]
pub(crate) struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Debug, Serialize)]
enum Value {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "boolValue")]
    Truth(bool),
    #[serde(rename = "intValue", serialize_with = "as_text")]
    Number(i64),
}

impl Attribute {
    pub(crate) fn text(key: &'static str, text: impl Display) -> Self {
        Self { key, value: Value::Text(text.to_string()) }
    }

    pub(crate) fn truth(key: &'static str, truth: bool) -> Self {
        Self { key, value: Value::Truth(truth) }
    }

    pub(crate) fn number(key: &'static str, number: impl TryInto<i64>) -> Self {
        Self { key, value: Value::Number(number.try_into().unwrap_or(i64::MAX)) }
    }
}

/// Where a span stands: `SpanKind`'s numbers.
pub(crate) mod kind {
    pub(crate) const INTERNAL: u8 = 1;
    pub(crate) const SERVER: u8 = 2;
    pub(crate) const CLIENT: u8 = 3;
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_span_id: Option<String>,
    pub(crate) flags: u32,
    pub(crate) name: &'static str,
    pub(crate) kind: u8,
    #[serde(serialize_with = "as_text")]
    pub(crate) start_time_unix_nano: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) end_time_unix_nano: u64,
    pub(crate) attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) flags: u32,
}

#[derive(Serialize)]
pub(crate) struct Status {
    pub(crate) message: String,
    pub(crate) code: u8,
}

/// `STATUS_CODE_ERROR`.
pub(crate) const ERROR: u8 = 2;

#[derive(Serialize)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) unit: &'static str,
    #[serde(flatten)]
    pub(crate) data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Data {
    Gauge {
        #[serde(rename = "dataPoints")]
        points: Vec<NumberPoint>,
    },
    #[serde(rename_all = "camelCase")]
    Sum {
        aggregation_temporality: u8,
        is_monotonic: bool,
        #[serde(rename = "dataPoints")]
        points: Vec<NumberPoint>,
    },
    #[serde(rename_all = "camelCase")]
    Histogram {
        aggregation_temporality: u8,
        #[serde(rename = "dataPoints")]
        points: Vec<SpreadPoint>,
    },
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: since the start of the service.
pub(crate) const CUMULATIVE: u8 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NumberPoint {
    pub(crate) attributes: Vec<Attribute>,
    #[serde(serialize_with = "as_text")]
    pub(crate) start_time_unix_nano: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) time_unix_nano: u64,
    #[serde(flatten)]
    pub(crate) value: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Number {
    AsInt(#[serde(serialize_with = "as_text")] i64),
    AsDouble(f64),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpreadPoint {
    pub(crate) attributes: Vec<Attribute>,
    #[serde(serialize_with = "as_text")]
    pub(crate) start_time_unix_nano: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) time_unix_nano: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) count: u64,
    pub(crate) sum: f64,
    /// One more than there are bounds; not cumulative.
    #[serde(serialize_with = "as_texts")]
    pub(crate) bucket_counts: Vec<u64>,
    pub(crate) explicit_bounds: Vec<f64>,
}

/// Numbers of 64 bits are texts in protobuf's JSON.
fn as_text<S: Serializer>(number: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn as_texts<S: Serializer>(numbers: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().map(u64::to_string))
}

/// Nanoseconds since 1970 from microseconds.
pub(crate) fn nanos(us: i64) -> u64 {
    u64::try_from(us).unwrap_or(0).saturating_mul(1_000)
}
