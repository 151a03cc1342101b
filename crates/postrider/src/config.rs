//! The configuration of `serve`: reads the layered texts, and says which setting is wrong and what would be right.

pub(crate) mod dashboard;
pub(crate) mod flags;
pub(crate) mod layers;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use postrider_core::address::AddressGuard;
use postrider_core::schedule::RetrySchedule;
use postrider_core::text;
use postrider_dashboard::DashboardOptions;
use postrider_engine::{EngineConfig, LogAttempts};
use postrider_sender::{PROXY_RIGHT, Proxy, check_user_agent};
use postrider_store::postgres::PostgresOptions;
use postrider_telemetry::CollectorUrl;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use self::layers::{Layered, Layers};
use crate::master_key;
use crate::operator_key::{self, ConfiguredKey, OperatorKey};
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
            operator_key: operator_key(layers)?,
            generated_key_file: operator_key::file_beside(match &store {
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
            header_prefix: header_prefix(layers)?,
            user_agent: user_agent(layers)?,
            ca_file: Some(layers.get("ca_file").text.trim())
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
            retention_days: within("retention_days", layers, 1, 3_650)?,
            max_in_flight: max_in_flight(layers, files)?,
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
            log_filter: log_filter(layers)?,
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

/// The operator key that a setting gives: the key itself, or the file that holds it. A key that is refused is not shown.
fn operator_key(layers: &Layers) -> anyhow::Result<Option<ConfiguredKey>> {
    let (key, file) = (layers.get("operator_key"), layers.get("operator_key_file"));
    match (key.text.trim(), file.text.trim()) {
        ("", "") => Ok(None),
        ("", path) => {
            let key = OperatorKey::read_file(Path::new(path))?;
            let source = format!("{} ({path})", file.name_of("operator_key_file"));
            Ok(Some(ConfiguredKey { key, source, file: Some(path.into()) }))
        }
        (text, "") => {
            let source = key.name_of("operator_key");
            let key =
                OperatorKey::parse(text).map_err(|error| anyhow!("the operator key of {source} {error}"))?;
            Ok(Some(ConfiguredKey { key, source, file: None }))
        }
        (_, _) => bail!(
            "{} and {} are both set; set only one of them",
            key.name_of("operator_key"),
            file.name_of("operator_key_file")
        ),
    }
}

/// Which log lines are written: a level, or levels for targets.
fn log_filter(layers: &Layers) -> anyhow::Result<Targets> {
    let layered = layers.get("log_level");
    let right = "error, warn, info, debug, trace or off, followed by levels of single targets where needed, such as \
                 info,postrider_store=debug,postrider::attempt=off";
    let refused = || wrong("log_level", layered, right);
    let is_level =
        |text: &str| text.parse::<LevelFilter>().is_ok() && !text.bytes().all(|b| b.is_ascii_digit());
    for part in layered.text.split(',').map(str::trim) {
        let is_right = match part.split_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level.trim()),
            None => is_level(part),
        };
        if !is_right {
            return Err(refused());
        }
    }
    let text: String = layered.text.chars().filter(|c| !c.is_whitespace()).collect();
    text.parse().map_err(|_shows_less| refused())
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

/// Half of the files that may be open, and 4,096 at most, where nothing is set.
fn max_in_flight(layers: &Layers, files: usize) -> anyhow::Result<usize> {
    if layers.get("max_in_flight").text.is_empty() {
        return Ok((files / 2).clamp(16, 4_096));
    }
    // Each request is an open file, and half of those that may be open are for others.
    within("max_in_flight", layers, 1, (files / 2).max(16))
}

fn wrong(name: &str, layered: &Layered, right: &str) -> anyhow::Error {
    let place = layered.name_of(name);
    anyhow!("{place} is {:?}; it must be {right}", store_url::masked(&layered.text))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::flags::ServeFlags;
    use super::*;

    fn config(change: impl FnOnce(&mut ServeFlags)) -> anyhow::Result<Config> {
        let mut flags = ServeFlags::default();
        change(&mut flags);
        Config::read(&Layers::read(&flags, &Default::default())?, 1_024)
    }

    #[test]
    fn the_defaults_are_a_whole_configuration() {
        let config = config(|_| {}).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8040");
        assert_eq!(config.store, StoreUrl::Sqlite("postrider.db".into()));
        assert_eq!(config.master_key_file, Path::new("postrider.key"));
        assert_eq!(config.retry_schedule, RetrySchedule::default());
        assert_eq!(config.max_in_flight, 512, "half of the files");
    }

    #[test]
    fn a_wrong_value_names_its_place_and_what_would_be_right() {
        let refused = |change: fn(&mut ServeFlags)| config(change).unwrap_err().to_string();
        for (shown, change) in [
            (
                "--listen is \"8040\"; it must be an address such as 127.0.0.1:8040",
                (|f| f.listen = Some("8040".into())) as fn(&mut ServeFlags),
            ),
            (
                "--store is \"mysql:x\"; it must be sqlite:PATH or postgres://USER@HOST:PORT/DATABASE, such as sqlite:postrider.db",
                |f| f.store = Some("mysql:x".into()),
            ),
            ("--allow-nets is \"10.0.0.0/99\"; it must be networks such as 127.0.0.0/8,10.1.0.0/16", |f| {
                f.allow_nets = Some("10.0.0.0/99".into())
            }),
            ("--deny-nets is \"10.0.0.1\"; it must be networks such as 203.0.113.0/24,2001:db8::/32", |f| {
                f.deny_nets = Some("10.0.0.1".into())
            }),
            ("--retry-schedule is \"soon\"; it must be 1 to 30 delays such as 5s,5m,2h", |f| {
                f.retry_schedule = Some("soon".into())
            }),
            ("--retention-days is \"0\"; it must be a whole number from 1 to 3650", |f| {
                f.retention_days = Some("0".into())
            }),
            (
                "--otlp-endpoint is \"127.0.0.1:4318\"; it must be the collector's http or https URL without user, \
                 query or fragment, such as http://127.0.0.1:4318",
                |f| f.otlp_endpoint = Some("127.0.0.1:4318".into()),
            ),
            (
                "--proxy is \"•••\"; it must be a proxy's URL such as http://proxy.internal:3128 or \
                 http://user:password@10.0.0.1:3128",
                |f| f.proxy = Some("http://user:secret@proxy:3128/path".into()),
            ),
            (
                "--user-agent is \"tab\\there\"; it must be 1 to 256 visible ASCII characters, such as \
                 Example-Webhooks/1.0",
                |f| f.user_agent = Some("tab\there".into()),
            ),
            ("--log-format is \"xml\"; it must be text or json", |f| f.log_format = Some("xml".into())),
            ("--require-https is \"maybe\"; it must be true or false", |f| {
                f.require_https = Some("maybe".into())
            }),
        ] {
            assert_eq!(refused(change), shown);
        }
    }

    #[test]
    fn a_denied_network_wins_over_an_allowed_one() {
        let config = config(|flags| {
            flags.allow_nets = Some("10.0.0.0/8".into());
            flags.deny_nets = Some(" 10.1.0.0/16, 8.8.8.0/24,".into());
        });
        let guard = config.unwrap().guard;
        for (address, is_allowed) in
            [("10.0.0.1", true), ("10.1.0.1", false), ("8.8.8.8", false), ("8.8.4.4", true)]
        {
            assert_eq!(guard.check_address(address.parse().unwrap()).is_ok(), is_allowed, "{address}");
        }
    }

    #[test]
    fn with_postgresql_the_master_key_must_be_named_and_no_password_is_shown() {
        let with = |store: &str, key: Option<&str>| {
            let (store, key) = (Some(store.to_owned()), key.map(str::to_owned));
            config(move |flags| (flags.store, flags.master_key_file) = (store, key))
        };
        let refused = with("postgres://u:secret@h/d", None).unwrap_err().to_string();
        assert!(refused.contains("--master-key-file must name") && refused.contains("base64"), "{refused}");
        let config = with("postgres://u:secret@h/d", Some("k")).unwrap();
        assert_eq!(config.master_key_file, Path::new("k"));
        assert!(!format!("{config:?}").contains("secret"));
        let refused = with("mysql://u:secret@h/d", None).unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn an_operator_key_is_long_wherever_the_service_listens() {
        for listen in ["127.0.0.1:8040", "0.0.0.0:8040"] {
            let with = |key: Option<&str>| {
                let key = key.map(str::to_owned);
                config(move |flags| (flags.listen, flags.operator_key) = (Some(listen.into()), key))
            };
            assert!(with(Some("short")).is_err() && with(Some(&"k".repeat(32))).is_ok(), "{listen}");
            assert!(with(None).is_ok(), "the first start generates a long one");
        }
    }

    #[test]
    fn log_levels_are_one_for_all_and_others_for_single_targets() {
        let read = |text: &'static str| config(move |flags| flags.log_level = Some(text.into()));
        for right in ["info", "warn, postrider::attempt=info", "info,postrider_store=debug,hyper=off", "off"]
        {
            assert!(read(right).is_ok(), "{right}");
        }
        for wrong in ["", "loud", "info,", "postrider_store", "info,=debug", "info,x=loud", "3"] {
            let refused = read(wrong).unwrap_err().to_string();
            assert!(refused.contains("postrider::attempt=off"), "{wrong}: {refused}");
        }
        assert!(config(|flags| flags.log_attempts = Some("some".into())).is_err());
    }
}
