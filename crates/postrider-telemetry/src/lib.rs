//! Traces and metrics of the service, pushed to the operator's own collector as OTLP over HTTP, in its JSON encoding.
//!
//! It stands beside the line: it reads what the engine tells (`postrider_engine::traces`) and the list of metrics behind
//! `/metrics`, and nothing waits for it. A collector that hangs, refuses or says nonsense costs spans, which are counted,
//! and nothing else. It opens no connection itself: the sender does, without the guard that is for customers' addresses.

mod address;
mod export;
pub mod limits;
mod metrics;
mod spans;
mod verdict;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use postrider_engine::Engine;
use postrider_engine::traces::TraceSteps;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use address::{CollectorUrl, NoCollectorUrl, RIGHT};
pub use export::{Means, unguarded};

use export::{Exporter, stopped};
use limits::{GATHER, LAST_FLUSH, MAX_STEPS_PER_EXPORT, METRICS_EVERY};
use verdict::Verdict;

/// The tasks that export; end them with [`Self::finish`].
pub struct Telemetry {
    exporter: Arc<Exporter>,
    engine: Engine,
    stop: watch::Sender<bool>,
    spans: JoinHandle<()>,
    metrics: JoinHandle<()>,
}

impl Telemetry {
    /// Exports from now on what the engine tells. `instance` is what this process is called among those of the service.
    pub fn start(
        collector: &CollectorUrl,
        instance: &str,
        means: Means,
        engine: Engine,
        steps: TraceSteps,
    ) -> Self {
        let exporter = Arc::new(Exporter::new(collector, instance, means));
        let (stop, watched) = watch::channel(false);
        let spans = tokio::spawn(export_spans(Arc::clone(&exporter), steps, watched.clone()));
        let metrics = tokio::spawn(push_metrics(Arc::clone(&exporter), engine.clone(), watched));
        Self { exporter, engine, stop, spans, metrics }
    }

    /// Ends the exporting together with the service, which `close` closes: what is told until then is still offered, once,
    /// within [`LAST_FLUSH`], and so are the last metrics.
    pub async fn finish(mut self, close: impl Future<Output = ()>) {
        self.metrics.abort();
        // Once the store is closed nobody can ask it for its part.
        let metrics = tokio::time::timeout(LAST_FLUSH, self.engine.metrics()).await;
        close.await;
        self.stop.send_replace(true);
        let last_metrics = async {
            if let Ok(metrics) = metrics {
                self.exporter.metrics(&metrics, self.engine.started_at().as_ms().saturating_mul(1_000)).await;
            }
        };
        let all_sent = async {
            let (spans, ()) = tokio::join!(&mut self.spans, last_metrics);
            if spans.is_err() {
                tracing::error!("exporting spans broke off; this is a bug");
            }
        };
        if tokio::time::timeout(LAST_FLUSH, all_sent).await.is_err() {
            tracing::warn!(
                "the OTLP collector did not take the last spans and metrics in time; they are let go"
            );
        }
        self.spans.abort();
    }
}

/// Asks a collector whether it is there, within `patience`. The error says what it did instead.
pub async fn look(collector: &CollectorUrl, means: Means, patience: Duration) -> Result<(), String> {
    match Exporter::new(collector, "doctor", means).look(patience).await {
        Verdict::Taken { .. } => Ok(()),
        Verdict::Again { why, .. } | Verdict::Refused { why } => Err(why),
    }
}

/// Exports spans until it is stopped, and then those that are left.
async fn export_spans(exporter: Arc<Exporter>, mut told: TraceSteps, mut stop: watch::Receiver<bool>) {
    loop {
        let mut steps = Vec::new();
        let received = tokio::select! {
            received = told.steps.recv_many(&mut steps, MAX_STEPS_PER_EXPORT) => received,
            () = stopped(&mut stop) => break,
        };
        if received == 0 {
            return;
        }
        gather(&mut told, &mut steps, &mut stop).await;
        exporter.spans(steps, &told.counts, &mut stop).await;
    }
    told.steps.close();
    loop {
        let mut steps = Vec::new();
        if told.steps.recv_many(&mut steps, MAX_STEPS_PER_EXPORT).await == 0 {
            return;
        }
        exporter.spans(steps, &told.counts, &mut stop).await;
    }
}

/// Lets further steps share a request with the first ones.
async fn gather(
    told: &mut TraceSteps,
    steps: &mut Vec<postrider_engine::traces::TraceStep>,
    stop: &mut watch::Receiver<bool>,
) {
    let until = Instant::now() + GATHER;
    while let Some(room) = MAX_STEPS_PER_EXPORT.checked_sub(steps.len()).filter(|room| *room > 0) {
        tokio::select! {
            received = told.steps.recv_many(steps, room) => if received == 0 { return },
            () = tokio::time::sleep_until(until) => return,
            () = stopped(stop) => return,
        }
    }
}

/// Pushes the metrics every so often.
async fn push_metrics(exporter: Arc<Exporter>, engine: Engine, mut stop: watch::Receiver<bool>) {
    let started_us = engine.started_at().as_ms().saturating_mul(1_000);
    loop {
        let next = Instant::now() + METRICS_EVERY;
        exporter.metrics(&engine.metrics().await, started_us).await;
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = stopped(&mut stop) => return,
        }
    }
}
