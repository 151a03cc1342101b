//! `postrider serve`: configuration, store, service, until a signal says stop.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use postrider_api::ApiOptions;
use postrider_engine::EngineConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::ServeArgs;
use crate::config::layers::{Layers, environment, unknown_variables};
use crate::config::{self, Config};
use crate::operator_key::Destination;
use crate::running::{self, KeyPlan, WayOut};
use crate::{collector, guide, logging, master_key, process_limits, trust};

/// Runs the service.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let environment = environment();
    let mut layers = Layers::read(&args.settings, &environment)?;
    let files = process_limits::raise_open_files();
    let mut config = Config::read(&layers, files)?;
    if args.print_config {
        config::print(&mut layers, &config);
        return Ok(ExitCode::SUCCESS);
    }
    config::work_out(&mut layers, &config);
    config.dashboard.settings = config::dashboard::settings(&layers);
    let _logging = logging::start(config.log_format, config.log_filter.clone())?;
    for variable in unknown_variables(&environment) {
        tracing::warn!(variable, "this environment variable is none of ours; is it a typing error?");
    }
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't start")?;
    runtime.block_on(serve(config, files))
}

async fn serve(config: Config, files: usize) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("can't listen on {}; is it in use? (choose another with --listen)", config.listen)
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    let key = master_key::of_store(&config.master_key_file, config.is_master_key_named, &config.store)?;
    let mut stop = Stop::listen()?;
    survive_file_limits()?;
    let trust = trust::of_service(config.ca_file.as_deref())
        .context("the certificate authorities to trust (--ca-file)")?;
    tracing::info!(%trust, "https receivers are checked against these authorities");
    let (traces, collector) = collector::prepare(&config, &trust)?;
    let engine_config = EngineConfig { traces, ..config.engine() };
    let way_out = WayOut { files, proxy: config.proxy.clone(), user_agent: config.user_agent.clone(), trust };
    let key_plan = KeyPlan {
        configured: config.operator_key.clone(),
        destination: if std::io::stdout().is_terminal() {
            Destination::Caller
        } else {
            Destination::File(config.generated_key_file.clone())
        },
    };
    let database = config.database.clone();
    let running = running::start(&config.store, key, database, key_plan, engine_config, way_out).await?;
    guide::print(address, &config, running.generated_key.as_ref());
    tracing::info!(%address, store = %config.store, "ready");
    let engine = running.engine;
    let telemetry = collector.map(|collector| collector.start(engine.clone()));
    let (stopping, grace) = (engine.clone(), config.shutdown_grace);
    let drained = async move {
        stop.recv().await;
        tracing::info!(
            "stopping: no new events; requests in flight may end (a second signal leaves at once)"
        );
        leave_at_once_on(stop);
        // Until then the API still answers: events with 503, everything else as ever.
        match stopping.drain(grace).await {
            0 => {}
            left => tracing::warn!(left, "requests still in flight are made again after the next start"),
        }
    };
    let options = ApiOptions {
        rate_limit_per_second: config.rate_limit_per_second,
        ..running::api_options(files, &engine, config.dashboard)
    };
    let served = postrider_api::serve(listener, engine.clone(), options, drained).await;
    match telemetry {
        Some(telemetry) => telemetry.finish(engine.close()).await,
        None => engine.close().await,
    }
    served.context("the listener failed")?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A file that may not grow any more (`ulimit -f`, a quota) is an error like a full disk, and not the end: without this
/// the kernel would end the process with SIGXFSZ.
fn survive_file_limits() -> anyhow::Result<()> {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // The handler stays when this is dropped.
    signal(kind).map(drop).context("signals can't be listened to")
}

/// SIGTERM, SIGINT and SIGHUP.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if SIGHUP was ignored at the start, as `nohup` has it; then it stays ignored.
    hangup: Option<Signal>,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals can't be listened to");
        let hangup = if is_hangup_ignored() { None } else { Some(listen(SignalKind::hangup())?) };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup,
        })
    }

    async fn recv(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Returns whether this process ignores SIGHUP. Only Linux tells; elsewhere it does not.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1, which SIGHUP is.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// What is accepted is durable already, so leaving without ceremony loses nothing.
fn leave_at_once_on(mut stop: Stop) {
    tokio::spawn(async move {
        stop.recv().await;
        std::process::exit(1);
    });
}
