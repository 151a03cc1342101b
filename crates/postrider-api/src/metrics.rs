//! `/metrics` in the text format of Prometheus (version 0.0.4). The operator's alone. Its size does not depend on how
//! many accounts or endpoints there are; their figures are in `GET /v1/endpoints`. What the metrics are is the engine's
//! to say; here they are only written.

use std::fmt::{Display, Write as _};

use axum::response::Response;
use http::{HeaderValue, header};
use postrider_engine::metrics::{Metric, MetricKind, Point, Spread, Value};

use crate::answer::Answer;
use crate::call::Call;

pub(crate) async fn metrics(call: Call) -> Answer {
    call.caller.must_be_operator()?;
    call.no_query()?;
    let mut page = Page::default();
    for metric in call.engine().metrics().await {
        page.metric(&metric);
    }
    let mut response = Response::new(page.0.into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The lines of all metrics.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("writing to a string never fails");
    }

    /// What a metric is, and its values.
    fn metric(&mut self, metric: &Metric) {
        let Metric { name, help, kind, points } = metric;
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
        for Point { label, value } in points {
            let label = label.map(|(label, word)| format!("{label}=\"{word}\"")).unwrap_or_default();
            let labels = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
            match value {
                Value::Whole(value) => self.line(format_args!("{name}{labels} {value}")),
                Value::Real(value) => self.line(format_args!("{name}{labels} {value}")),
                Value::Spread(spread) => self.spread(name, &label, &labels, spread),
            }
        }
    }

    fn spread(&mut self, name: &str, label: &str, labels: &str, spread: &Spread) {
        let comma = if label.is_empty() { "" } else { "," };
        let bounds = spread.bounds().map(|bound| bound.to_string());
        for (bound, count) in bounds.chain(std::iter::once("+Inf".to_owned())).zip(spread.at_most()) {
            self.line(format_args!("{name}_bucket{{{label}{comma}le=\"{bound}\"}} {count}"));
        }
        self.line(format_args!("{name}_sum{labels} {}", spread.sum()));
        self.line(format_args!("{name}_count{labels} {}", spread.count()));
    }
}
