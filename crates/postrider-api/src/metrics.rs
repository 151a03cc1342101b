//! `/metrics` in the text format of Prometheus (version 0.0.4). The operator's alone. Its size does not depend on how
//! many accounts or endpoints there are; their figures are in `GET /v1/endpoints`.

use std::fmt::{Display, Write as _};

use axum::response::Response;
use http::{HeaderValue, header};
use postrider_engine::{Engine, Figures, HistogramRead};

use crate::answer::Answer;
use crate::call::Call;

pub(crate) async fn metrics(call: Call) -> Answer {
    call.caller.must_be_operator()?;
    call.no_query()?;
    let figures = call.engine().figures().await?;
    let mut response = Response::new(text(&figures, call.engine()).into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The lines of all metrics.
#[derive(Default)]
struct Page(String);

impl Page {
    /// What a metric is, before its values.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("writing to a string never fails");
    }

    /// A metric of one value.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A metric with a value for each of a few words.
    fn each(&mut self, (name, kind, help): (&str, &str, &str), label: &str, values: &[(&str, u64)]) {
        self.metric(name, kind, help);
        for (word, value) in values {
            self.line(format_args!("{name}{{{label}=\"{word}\"}} {value}"));
        }
    }

    /// A histogram's lines; `unit` is what its values are divided by.
    fn histogram(&mut self, name: &str, labels: &str, read: &HistogramRead, unit: f64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let bounds = read.bounds.iter().map(|bound| as_float(*bound, unit).to_string());
        for (bound, count) in bounds.chain(std::iter::once("+Inf".to_owned())).zip(&read.at_most) {
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"));
        }
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        self.line(format_args!("{name}_sum{labels} {}", as_float(read.sum, unit)));
        self.line(format_args!("{name}_count{labels} {}", read.at_most.last().copied().unwrap_or(0)));
    }
}

/// What Prometheus keeps is a float; sums beyond 2^53 µs (285 years) may be rounded.
#[expect(clippy::cast_precision_loss, reason = "Prometheus keeps floats, and bounds are far below 2^53")]
fn as_float(value: u64, unit: f64) -> f64 {
    value as f64 / unit
}

const US_PER_SECOND: f64 = 1_000_000.0;

fn text(figures: &Figures, engine: &Engine) -> String {
    let mut page = Page::default();
    page.metric("postrider_build_info", "gauge", "Which program this is; always 1.");
    page.line(format_args!("postrider_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
    line_of_events(&mut page, figures);
    backlog(&mut page, figures, engine);
    store(&mut page, figures);
    page.0
}

fn line_of_events(page: &mut Page, figures: &Figures) {
    let counter = "counter";
    page.one("postrider_events_total", counter, "Events accepted.", figures.events);
    page.one("postrider_deliveries_created_total", counter, "Deliveries that they made.", figures.deliveries);
    let finished =
        ("postrider_deliveries_finished_total", counter, "Deliveries that came to their end by an attempt.");
    page.each(finished, "outcome", &[("delivered", figures.delivered), ("exhausted", figures.exhausted)]);
    let attempts = ("postrider_attempts_total", counter, "Attempts that ended, by what they came to.");
    page.each(attempts, "outcome", &figures.attempts);
    page.one(
        "postrider_probes_total",
        counter,
        "How many of them were probes of failing endpoints.",
        figures.probes,
    );
    let name = "postrider_attempt_duration_seconds";
    page.metric(
        name,
        "histogram",
        "How long the phases of attempts took; a reused connection has no dns, connect or tls.",
    );
    for (phase, read) in &figures.phases {
        page.histogram(name, &format!("phase=\"{phase}\""), read, US_PER_SECOND);
    }
}

fn backlog(page: &mut Page, figures: &Figures, engine: &Engine) {
    let (gauge, lanes) = ("gauge", &figures.lanes);
    page.one("postrider_pending_deliveries", gauge, "Deliveries that are pending.", lanes.backlog);
    let age = figures.oldest_pending.map_or(0.0, |at| engine.now().since(at).as_secs_f64());
    let help = "How long ago the oldest pending delivery was accepted; 0 where none is pending.";
    page.one("postrider_oldest_pending_age_seconds", gauge, help, age);
    let by_health = [
        ("healthy", lanes.healthy),
        ("failing", lanes.failing),
        ("paused", lanes.paused),
        ("disabled", lanes.disabled),
    ];
    page.each(("postrider_endpoints", gauge, "Endpoints by how they stand."), "standing", &by_health);
    page.one("postrider_accounts", gauge, "Accounts.", figures.accounts);
    page.one("postrider_in_flight_requests", gauge, "Requests to receivers in flight.", figures.in_flight);
    let queues = [("lanes", lanes.in_memory), ("retries", lanes.retries), ("outcomes", figures.unrecorded)];
    let help =
        "How much waits in memory: deliveries in lanes, retries in the timer, outcomes to be committed.";
    page.each(("postrider_queue_depth", gauge, help), "queue", &queues);
    let help = "Bytes of payloads in memory.";
    page.one("postrider_payload_memory_bytes", gauge, help, lanes.payload_bytes);
}

fn store(page: &mut Page, figures: &Figures) {
    let Some(commits) = &figures.commits else { return };
    let name = "postrider_store_commit_duration_seconds";
    page.metric(name, "histogram", "How long the store's commits took, their statements included.");
    page.histogram(name, "", &commits.took_us, US_PER_SECOND);
    let name = "postrider_store_commit_size";
    page.metric(name, "histogram", "How many requests shared a commit.");
    page.histogram(name, "", &commits.size, 1.0);
    let help = "Commits that came to nothing.";
    page.one("postrider_store_failed_commits_total", "counter", help, commits.failed);
}
