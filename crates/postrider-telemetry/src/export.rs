//! Offers spans and metrics to the collector: one request at a time, each with a deadline, again where that makes sense,
//! and never for ever. What can't be brought there is counted and let go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use postrider_core::address::AddressGuard;
use postrider_engine::environment::{Chance, Clock};
use postrider_engine::metrics::Metric;
use postrider_engine::traces::{Dropped, SpanCounts, TraceStep};
use postrider_sender::{AttemptRequest, Sender, SenderConfig, SenderError, Tenant, Transport, TrustStore};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use crate::address::CollectorUrl;
use crate::limits::{EXPORT_TIMEOUT, SAY_FAILURE_EVERY};
use crate::metrics::{Times, metrics_of};
use crate::spans::spans_of;
use crate::verdict::{Verdict, backoff};
use crate::wire::{
    Attribute, Metrics, Resource, ResourceMetrics, ResourceSpans, SCOPE, ScopeMetrics, ScopeSpans, Traces,
};

/// What an exporter works with, so that a test can replace each.
pub struct Means {
    /// What makes requests; see [`unguarded`].
    pub transport: Arc<dyn Transport>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub chance: Arc<dyn Chance>,
}

/// The way to the collector: the sender that also brings deliveries out, but to any address, because this one is the
/// operator's own and no customer's. An https collector is checked against `trust`.
pub fn unguarded(trust: TrustStore) -> Result<Sender, SenderError> {
    let everywhere =
        ["0.0.0.0/0", "::/0"].map(|net| net.parse::<IpNet>().expect("a network in its own words"));
    let guard = AddressGuard { allow_nets: everywhere.to_vec(), ..AddressGuard::default() };
    Sender::new(SenderConfig { guard, trust, max_idle: 2, ..SenderConfig::default() })
}

/// Brings spans and metrics to one collector.
pub(crate) struct Exporter {
    means: Means,
    traces_url: Url,
    metrics_url: Url,
    resource: Resource,
    said: Mutex<Said>,
}

/// What the log was told about exports.
#[derive(Default)]
struct Said {
    is_failing: bool,
    at: Option<Instant>,
}

impl Exporter {
    /// For this collector; `instance` is what this process is called among those of the service.
    pub(crate) fn new(collector: &CollectorUrl, instance: &str, means: Means) -> Self {
        let attributes = vec![
            Attribute::text("service.name", "postrider"),
            Attribute::text("service.version", env!("CARGO_PKG_VERSION")),
            Attribute::text("service.instance.id", instance),
        ];
        Self {
            means,
            traces_url: collector.traces(),
            metrics_url: collector.metrics(),
            resource: Resource { attributes },
            said: Mutex::default(),
        }
    }

    /// Offers the spans of these steps until they are taken, refused or given up. Once `stop` is set nothing is waited
    /// for any more.
    pub(crate) async fn spans(
        &self,
        steps: Vec<TraceStep>,
        counts: &SpanCounts,
        stop: &mut watch::Receiver<bool>,
    ) {
        let mut spans = Vec::with_capacity(steps.len() * 2);
        for step in steps {
            spans_of(step, &*self.means.chance, &mut spans);
        }
        let all = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        let body = bytes_of(&Traces {
            resource_spans: vec![ResourceSpans {
                resource: &self.resource,
                scope_spans: [ScopeSpans { scope: SCOPE, spans: &spans }],
            }],
        });
        drop(spans);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.offer(&self.traces_url, body.clone(), EXPORT_TIMEOUT).await {
                Verdict::Taken { rejected, remark } => {
                    counts.exported(all.saturating_sub(rejected));
                    counts.dropped(rejected.min(all), Dropped::Rejected);
                    return self.went_well(rejected, remark);
                }
                Verdict::Refused { why } => {
                    counts.dropped(all, Dropped::Rejected);
                    return self.went_wrong(&self.traces_url, &why);
                }
                Verdict::Again { after, why } => {
                    self.went_wrong(&self.traces_url, &why);
                    let wait = backoff(tries, after, self.means.chance.jitter());
                    let Some(wait) = wait.filter(|_| !*stop.borrow()) else {
                        return counts.dropped(all, Dropped::Undelivered);
                    };
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stopped(stop) => {}
                    }
                }
            }
        }
    }

    /// Offers these metrics once: the next ones say it all again.
    pub(crate) async fn metrics(&self, metrics: &[Metric], started_us: i64) {
        let times = Times { started_us, read_us: self.means.clock.now_us() };
        let body = bytes_of(&Metrics {
            resource_metrics: [ResourceMetrics {
                resource: &self.resource,
                scope_metrics: [ScopeMetrics { scope: SCOPE, metrics: metrics_of(metrics, times) }],
            }],
        });
        match self.offer(&self.metrics_url, body, EXPORT_TIMEOUT).await {
            Verdict::Taken { rejected, remark } => self.went_well(rejected, remark),
            Verdict::Refused { why } | Verdict::Again { why, .. } => {
                self.went_wrong(&self.metrics_url, &why);
            }
        }
    }

    /// Sends nothing at all, which a collector takes as well as anything, to see whether it is there.
    pub(crate) async fn look(&self, patience: Duration) -> Verdict {
        self.offer(&self.traces_url, bytes_of(&Traces { resource_spans: Vec::new() }), patience).await
    }

    /// One request.
    async fn offer(&self, url: &Url, body: Bytes, timeout: Duration) -> Verdict {
        let request = AttemptRequest {
            tenant: Tenant::OPERATOR,
            url: url.clone(),
            headers: Vec::new(),
            body,
            timeout,
            fresh_connection: false,
            started_at: self.means.clock.now(),
        };
        Verdict::of(&self.means.transport.attempt(request).await)
    }

    fn went_wrong(&self, url: &Url, why: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.is_failing = true;
        if said.at.is_none_or(|at| at.elapsed() >= SAY_FAILURE_EVERY) {
            said.at = Some(Instant::now());
            tracing::warn!(%url, why, "the OTLP collector does not take what is sent; deliveries go on");
        }
    }

    fn went_well(&self, rejected: u64, remark: Option<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut said.is_failing) {
            // The next failure is a new one.
            said.at = None;
            tracing::info!("the OTLP collector takes what is sent again");
        }
        if (rejected > 0 || remark.is_some()) && said.at.is_none_or(|at| at.elapsed() >= SAY_FAILURE_EVERY) {
            said.at = Some(Instant::now());
            tracing::warn!(rejected, remark, "the OTLP collector took a part, or has something to say");
        }
    }
}

/// Waits until it is said that the service stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever would say it is gone: then it has stopped as well.
    drop(stop.wait_for(|stop| *stop).await);
}

fn bytes_of(message: &impl Serialize) -> Bytes {
    serde_json::to_vec(message).expect("names, texts and finite numbers are always JSON").into()
}

#[cfg(test)]
mod tests;
