//! `postrider doctor`: looks at everything that `serve` depends on, changes nothing, and says what is wrong and what
//! would be right. It may be run beside a running service.
//!
//! Exit code 0 where the service can run (there may be warnings), 1 where something keeps it from working.

mod database;
mod event_types;
mod file;
mod findings;
mod here;
mod network;
mod sealed_values;

use std::process::ExitCode;

use anyhow::Context as _;
use postrider_sender::SystemResolver;

use self::findings::Findings;
use crate::cli::DoctorArgs;
use crate::config::Config;
use crate::config::layers::{Layers, environment};
use crate::store_url::StoreUrl;
use crate::{process_limits, trust};

/// Looks, and says what it found.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let files = process_limits::raise_open_files();
    match read_config(args, files, &mut findings) {
        Ok(config) => examine(args, &config, files, &mut findings)?,
        // Without it nobody knows where to look.
        Err(error) => findings.problem("configuration", format!("{error:#}"), "nothing else was looked at"),
    }
    findings.print(args.json);
    Ok(if findings.has_problems() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read_config(args: &DoctorArgs, files: usize, findings: &mut Findings) -> anyhow::Result<Config> {
    let environment = environment();
    let layers = Layers::read(&args.settings, &environment)?;
    let config = Config::read(&layers, files)?;
    here::settings(&layers, &environment, findings);
    Ok(config)
}

fn examine(args: &DoctorArgs, config: &Config, files: usize, findings: &mut Findings) -> anyhow::Result<()> {
    here::open_files(files, config.max_in_flight, findings);
    here::operator_key(config, findings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the runtime can't start")?;
    match &config.store {
        StoreUrl::Sqlite(path) => file::examine(config, path, findings),
        StoreUrl::Postgres(url) => {
            let key = here::master_key(config, findings);
            runtime.block_on(database::examine(config, url, key.as_ref(), findings));
        }
    }
    here::clock(&config.store, findings);
    here::listener(config.listen, findings);
    network::guard(&config.guard, findings);
    runtime.block_on(network::names(&SystemResolver::new(), &args.resolve, findings));
    let trust = network::trust(trust::of_service(config.ca_file.as_deref()), findings);
    if let Some(proxy) = &config.proxy {
        runtime.block_on(network::proxy(proxy, findings));
    }
    if let Some(endpoint) = &config.otlp_endpoint {
        runtime.block_on(network::collector(endpoint, trust, findings))?;
    }
    Ok(())
}
