//! The way to the operator's OpenTelemetry collector, where one is named: for `serve`, which pushes traces and metrics to
//! it, and for `doctor`, which looks whether it is there.

use std::sync::Arc;

use anyhow::Context as _;
use postrider_engine::Engine;
use postrider_engine::environment::{SystemChance, SystemClock};
use postrider_engine::traces::{TraceSteps, Traces};
use postrider_sender::TrustStore;
use postrider_telemetry::{CollectorUrl, Means, Telemetry, unguarded};

use crate::config::Config;

/// What is between the engine and the exporter, before either runs.
pub(crate) struct Prepared {
    collector: CollectorUrl,
    instance: String,
    means: Means,
    steps: TraceSteps,
}

/// Both ends of the queue of what is traced; none where no collector is named.
pub(crate) fn prepare(
    config: &Config,
    trust: &TrustStore,
) -> anyhow::Result<(Option<Traces>, Option<Prepared>)> {
    let Some(collector) = config.otlp_endpoint.clone() else { return Ok((None, None)) };
    let (traces, steps) = Traces::queue();
    let instance = config.database.node_name.clone();
    Ok((Some(traces), Some(Prepared { collector, instance, means: means(trust.clone())?, steps })))
}

impl Prepared {
    /// Exports from now on.
    pub(crate) fn start(self, engine: Engine) -> Telemetry {
        let Self { collector, instance, means, steps } = self;
        Telemetry::start(&collector, &instance, means, engine, steps)
    }
}

/// The network, where servers are checked against `trust`, the clock and chance.
pub(crate) fn means(trust: TrustStore) -> anyhow::Result<Means> {
    let transport = unguarded(trust).context("the way to the collector can't be set up")?;
    Ok(Means { transport: Arc::new(transport), clock: Arc::new(SystemClock), chance: Arc::new(SystemChance) })
}
