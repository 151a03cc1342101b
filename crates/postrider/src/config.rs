//! The configuration of `serve`: reads the layered texts, and says which setting is wrong and what would be right.

pub(crate) mod dashboard;
mod delivery;
pub(crate) mod flags;
pub(crate) mod layers;
mod log_lines;
mod operator_key;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use postrider_core::address::AddressGuard;
use postrider_core::health::HealthRules;
use postrider_core::schedule::RetrySchedule;
use postrider_core::text;
use postrider_dashboard::DashboardOptions;
use postrider_engine::{EngineConfig, LogAttempts};
use postrider_sender::{PROXY_RIGHT, Proxy, check_user_agent};
use postrider_store::postgres::PostgresOptions;
use postrider_telemetry::CollectorUrl;
use tracing_subscriber::filter::Targets;

use self::layers::{Layered, Layers};
use crate::master_key;
use crate::operator_key::{ConfiguredKey, file_beside};
use crate::store_url::{self, StoreUrl};
use crate::terminal::{DIM, NAME, paint, say};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// What `serve` runs with.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) store: StoreUrl,
    /// The operator key that a setting gives; without it, the stored one is in force.
    pub(crate) operator_key: Option<ConfiguredKey>,
    /// The file for the operator key that a first start without a terminal generates.
    pub(crate) generated_key_file: PathBuf,
    pub(crate) master_key_file: PathBuf,
    /// Whether a setting names the master key file; by default it is beside the SQLite file.
    pub(crate) is_master_key_named: bool,
    pub(crate) guard: AddressGuard,
    pub(crate) retry_schedule: RetrySchedule,
    /// How long a run of failed attempts lasts before it disables its endpoint; none where it never does.
    pub(crate) disable_after: Option<Duration>,
    pub(crate) header_prefix: String,
    pub(crate) user_agent: String,
    /// Certificate authorities that deliveries trust beside the public ones.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) retention_days: u32,
    pub(crate) max_in_flight: usize,
    pub(crate) rate_limit_per_second: u32,
    /// How a PostgreSQL store is run; of no account with SQLite.
    pub(crate) database: PostgresOptions,
    pub(crate) shutdown_grace: Duration,
    pub(crate) dashboard: DashboardOptions,
    /// Where traces and metrics are pushed, if anywhere.
    pub(crate) otlp_endpoint: Option<CollectorUrl>,
    /// What deliveries leave through, if anything.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) log_format: LogFormat,
    /// Which log lines are written, by their target.
    pub(crate) log_filter: Targets,
    /// Which attempts get a log line.
    pub(crate) log_attempts: LogAttempts,
}

impl Config {
    /// Reads the layers; the first value that is wrong is the error.
    ///
    /// `files` is how many files the process may have open.
    pub(crate) fn read(layers: &Layers, files: usize) -> anyhow::Result<Self> {
        let store: StoreUrl = read("store", layers, store_url::RIGHT)?;
        let master_key_file = master_key_file(layers, &store)?;
        Ok(Self {
            listen: read("listen", layers, "an address such as 127.0.0.1:8040")?,
            operator_key: self::operator_key::operator_key(layers)?,
            generated_key_file: file_beside(match &store {
                StoreUrl::Sqlite(path) => path,
                StoreUrl::Postgres(_) => &master_key_file,
            }),
            master_key_file,
            is_master_key_named: !layers.get("master_key_file").text.is_empty(),
            guard: AddressGuard {
                allow_nets: list("allow_nets", layers, "networks such as 127.0.0.0/8,10.1.0.0/16")?,
                deny_nets: list("deny_nets", layers, "networks such as 203.0.113.0/24,2001:db8::/32")?,
                allow_ports: list("allow_ports", layers, "ports such as 443,8443")?,
                require_https: read("require_https", layers, "true or false")?,
            },
            retry_schedule: read("retry_schedule", layers, "1 to 30 delays such as 5s,5m,2h")?,
            disable_after: delivery::disable_after(layers)?,
            header_prefix: header_prefix(layers)?,
            user_agent: user_agent(layers)?,
            ca_file: Some(layers.get("ca_file").text.trim())
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
            retention_days: within("retention_days", layers, 1, 3_650)?,
            max_in_flight: delivery::max_in_flight(layers, files)?,
            rate_limit_per_second: within("rate_limit_per_second", layers, 0, 100_000)?,
            database: database(layers)?,
            shutdown_grace: Duration::from_secs(within("shutdown_grace_seconds", layers, 0, 3_600)?),
            dashboard: dashboard::read(layers)?,
            otlp_endpoint: where_set("otlp_endpoint", layers, postrider_telemetry::RIGHT)?,
            proxy: proxy(layers)?,
            log_format: match layers.get("log_format").text.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(wrong("log_format", layers.get("log_format"), "text or json")),
            },
            log_filter: log_lines::log_filter(layers)?,
            log_attempts: read("log_attempts", layers, "all, failed or none")?,
            store,
        })
    }

    /// The engine's part of it.
    pub(crate) fn engine(&self) -> EngineConfig {
        EngineConfig {
            guard: self.guard.clone(),
            header_prefix: self.header_prefix.clone(),
            retry_schedule: self.retry_schedule.clone(),
            health_rules: HealthRules { disable_after: self.disable_after, ..HealthRules::default() },
            max_in_flight: self.max_in_flight,
            retention: Duration::from_secs(u64::from(self.retention_days) * 24 * 3600),
            log_attempts: self.log_attempts,
            ..EngineConfig::default()
        }
    }
}

/// Shows every setting with where it is from; secrets masked.
pub(crate) fn print(layers: &mut Layers, config: &Config) {
    work_out(layers, config);
    for (name, Layered { text, source }) in layers.iter() {
        let shown = shown(name, text);
        let (name, source) = (format!("{name:<22}"), format!("# {source}"));
        say(format!("{} = {shown:<36} {}", paint(NAME, name), paint(DIM, source)));
    }
}

/// Puts in what is worked out where nothing is set.
pub(crate) fn work_out(layers: &mut Layers, config: &Config) {
    layers.set_shown("master_key_file", config.master_key_file.display().to_string());
    layers.set_shown("node_name", config.database.node_name.clone());
    layers.set_shown("max_in_flight", config.max_in_flight.to_string());
}

/// A setting's text for people; a secret's is masked.
fn shown(name: &str, text: &str) -> String {
    match (name, text) {
        (_, "") => "\"\"".to_owned(),
        ("operator_key", _) => "•••".to_owned(),
        ("store", text) => format!("{:?}", store_url::masked(text)),
        ("proxy", text) => {
            format!("\"{}\"", text.parse::<Proxy>().map_or("•••".to_owned(), |proxy| proxy.to_string()))
        }
        (_, text) => format!("{text:?}"),
    }
}

/// The file with the master key: beside a SQLite file unless it is named, and named with PostgreSQL, where all nodes
/// need the same.
fn master_key_file(layers: &Layers, store: &StoreUrl) -> anyhow::Result<PathBuf> {
    match (layers.get("master_key_file").text.as_str(), store) {
        ("", StoreUrl::Sqlite(path)) => Ok(path.with_file_name("postrider.key")),
        ("", StoreUrl::Postgres(_)) => bail!(
            "with a PostgreSQL store, --master-key-file must name the key that secrets are encrypted with, the same on \
             every node; make one with `{}`",
            master_key::HOW_TO_MAKE
        ),
        (named, _) => Ok(named.into()),
    }
}

/// How this node and its database get on.
fn database(layers: &Layers) -> anyhow::Result<PostgresOptions> {
    let name = layers.get("node_name");
    if text::NODE_NAME.check(&name.text).is_err() {
        return Err(wrong("node_name", name, "one line of up to 100 characters"));
    }
    Ok(PostgresOptions {
        connections: within("database_connections", layers, 4, 1_000)?,
        lapse: Duration::from_secs(within("node_lapse_seconds", layers, 1, 600)?),
        node_name: if name.text.is_empty() { own_name() } else { name.text.clone() },
        ..PostgresOptions::default()
    })
}

/// The host's name and the process's number: what tells nodes apart for people.
fn own_name() -> String {
    let system = rustix::system::uname();
    format!("{}-{}", system.nodename().to_string_lossy(), std::process::id())
}

/// Reads one setting; `right` says what would be right.
fn read<T: std::str::FromStr>(name: &str, layers: &Layers, right: &str) -> anyhow::Result<T> {
    let layered = layers.get(name);
    layered.text.trim().parse().ok().ok_or_else(|| wrong(name, layered, right))
}

/// Reads a whole number between two bounds.
fn within<T>(name: &str, layers: &Layers, least: T, most: T) -> anyhow::Result<T>
where
    T: std::str::FromStr + PartialOrd + Display + Copy,
{
    let right = format!("a whole number from {least} to {most}");
    let number: T = read(name, layers, &right)?;
    if number < least || number > most {
        return Err(wrong(name, layers.get(name), &right));
    }
    Ok(number)
}

/// Reads a comma-separated list; empty is none.
fn list<T: std::str::FromStr>(name: &str, layers: &Layers, right: &str) -> anyhow::Result<Vec<T>> {
    let layered = layers.get(name);
    let items = layered.text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().ok().ok_or_else(|| wrong(name, layered, right))).collect()
}

/// A prefix that makes header names.
fn header_prefix(layers: &Layers) -> anyhow::Result<String> {
    let prefix = layers.get("header_prefix");
    match postrider_engine::check_header_prefix(&prefix.text) {
        Ok(()) => Ok(prefix.text.clone()),
        Err(_refused) => Err(wrong(
            "header_prefix",
            prefix,
            "a header prefix of letters, digits and dashes, such as X-KASKO-",
        )),
    }
}

/// A text that can be sent as `User-Agent`.
fn user_agent(layers: &Layers) -> anyhow::Result<String> {
    let layered = layers.get("user_agent");
    let text = layered.text.trim();
    match check_user_agent(text) {
        Ok(_value) => Ok(text.to_owned()),
        Err(_refused) => Err(wrong(
            "user_agent",
            layered,
            "1 to 256 visible ASCII characters, such as Example-Webhooks/1.0",
        )),
    }
}

/// A setting that may be empty.
fn where_set<T: std::str::FromStr>(name: &str, layers: &Layers, right: &str) -> anyhow::Result<Option<T>> {
    if layers.get(name).text.is_empty() { Ok(None) } else { read(name, layers, right).map(Some) }
}

/// The proxy, unless there is none. A wrong one is not shown, since it may hold a password.
fn proxy(layers: &Layers) -> anyhow::Result<Option<Proxy>> {
    let masked = Layered { text: "•••".to_owned(), source: layers.get("proxy").source.clone() };
    where_set("proxy", layers, PROXY_RIGHT).map_err(|_shows_it| wrong("proxy", &masked, PROXY_RIGHT))
}

fn wrong(name: &str, layered: &Layered, right: &str) -> anyhow::Error {
    let place = layered.name_of(name);
    anyhow!("{place} is {:?}; it must be {right}", store_url::masked(&layered.text))
}

#[cfg(test)]
mod tests;
