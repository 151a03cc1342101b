//! This machine: the settings, the files, the key, the clock, the address to listen on.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, SystemTime};

use postrider_core::service_clock::ClockRecord;
use postrider_core::time::Timestamp;
use postrider_store::seal::MasterKey;

use super::findings::Findings;
use crate::config::Config;
use crate::config::layers::{Layers, Source, unknown_variables};
use crate::key_files;
use crate::master_key::{self, HOW_TO_MAKE};
use crate::operator_key::ConfiguredKey;
use crate::store_url::StoreUrl;

/// Fewer open files than this leave little room for requests in flight.
const FEW_FILES: usize = 4_096;
/// No clock that is right shows less: 2025-01-01.
const LEAST_NOW: Duration = Duration::from_secs(1_735_689_600);
/// How far a file's time may lie in the future before the clock is doubted.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// How long a service on the address may take to say that it is one.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Where the settings are from.
pub(super) fn settings(layers: &Layers, environment: &BTreeMap<String, String>, findings: &mut Findings) {
    let from = |wanted: fn(&Source) -> bool| layers.iter().filter(|(_, one)| wanted(&one.source)).count();
    let (flags, variables) = (from(|s| *s == Source::Flag), from(|s| *s == Source::Environment));
    let in_file = from(|source| matches!(source, Source::File(_)));
    let defaults = from(|source| *source == Source::Default);
    findings.good(
        "configuration",
        format!(
            "{flags} settings by flag, {variables} by environment, {in_file} by file, {defaults} by default"
        ),
    );
    for variable in unknown_variables(environment) {
        let advice = "is it a typing error? `postrider serve --help` names those that are known";
        findings.warning("configuration", format!("{variable} is none of ours"), advice);
    }
}

/// How many connections there can be.
pub(super) fn open_files(files: usize, max_in_flight: usize, findings: &mut Findings) {
    let found = format!("{files} files may be open, {max_in_flight} requests in flight");
    match files {
        ..FEW_FILES => {
            findings.warning("open files", found, "raise the limit: `ulimit -n 65536`, or LimitNOFILE=")
        }
        _ => findings.good("open files", found),
    }
}

/// Checks who can read a key file.
fn key_file(name: &'static str, path: &Path, findings: &mut Findings) {
    let shown = path.display();
    match key_files::exposure(path) {
        None => findings.good(name, format!("{shown}")),
        Some(exposed) => findings.warning(
            name,
            format!("{shown} is readable by others ({exposed})"),
            format!("`chmod 600 {shown}`"),
        ),
    }
}

/// Reports where the operator key comes from, and who can read its file.
pub(super) fn operator_key(config: &Config, findings: &mut Findings) {
    match &config.operator_key {
        None => findings.good("operator key", "the stored one; the first start generates it".to_owned()),
        Some(ConfiguredKey { file: Some(file), .. }) => key_file("operator key", file, findings),
        Some(ConfiguredKey { source, .. }) => findings.good("operator key", format!("from {source}")),
    }
}

/// Reads the key that secrets are encrypted with.
pub(super) fn master_key(config: &Config, findings: &mut Findings) -> Option<MasterKey> {
    let shown = config.master_key_file.display();
    match master_key::read(&config.master_key_file) {
        Err(error) => {
            let advice = "one line, the standard base64 of 32 bytes, readable by the service's user";
            findings.problem("master key", format!("{error:#}"), advice);
            None
        }
        Ok(None) if matches!(config.store, StoreUrl::Postgres(_)) => {
            let advice = format!("copy it from another node, or make it once: {HOW_TO_MAKE}");
            findings.problem("master key", format!("{shown} is missing"), advice);
            None
        }
        Ok(None) => {
            findings.good("master key", format!("there is no {shown} yet; the first start makes it"));
            None
        }
        Ok(Some(key)) => {
            key_file("master key", &config.master_key_file, findings);
            Some(key)
        }
    }
}

/// Whether the clock agrees with what the store keeps of it. Where it does not, `serve` deletes nothing by age for a day.
pub(super) fn clock_of_store(record: Option<ClockRecord>, findings: &mut Findings) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_ms(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    let Some((record, trusted_at)) = record.and_then(|record| Some((record, record.trusted_at?))) else {
        return;
    };
    let observed = record.observe(now, Duration::ZERO);
    let Some(left) = observed.distrusted_for() else {
        return findings.good("clock and store", format!("the store was last written at {trusted_at}"));
    };
    let text = format!(
        "the clock is {} h ahead of the last time stored, {trusted_at}; nothing is pruned, cancelled or forgotten by age \
         until the service has run for {} h more",
        now.since(trusted_at).as_secs() / 3600,
        left.as_secs().div_ceil(3600)
    );
    findings.warning(
        "clock and store",
        text,
        "set the clock; if it is right (the service was stopped, or a backup restored), wait",
    );
}

/// Whether the clock can be right: it goes neither before this program was made nor before the store was written.
pub(super) fn clock(store: &StoreUrl, findings: &mut Findings) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let shown = Timestamp::from_ms(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    let set_it = "set the clock, and let NTP keep it: retries and signatures go by it";
    if now < LEAST_NOW {
        return findings.problem("clock", format!("it shows {shown}, which is long ago"), set_it);
    }
    let written = match store {
        StoreUrl::Sqlite(path) => std::fs::metadata(path).and_then(|meta| meta.modified()).ok(),
        StoreUrl::Postgres(_) => None,
    };
    let ahead = written.and_then(|written| written.duration_since(SystemTime::UNIX_EPOCH).ok());
    match ahead.and_then(|written| written.checked_sub(now)).filter(|ahead| *ahead > CLOCK_TOLERANCE) {
        Some(ahead) => findings.warning(
            "clock",
            format!("it shows {shown}, and the store was written {} s later than that", ahead.as_secs()),
            set_it,
        ),
        None => findings.good("clock", shown.to_string()),
    }
}

/// Whether the address is free, or a service answers there already.
pub(super) fn listener(address: SocketAddr, findings: &mut Findings) {
    match TcpListener::bind(address) {
        Ok(_free_again) => findings.good("listener", format!("{address} is free")),
        Err(why) if why.kind() == std::io::ErrorKind::AddrInUse && answers(address) => {
            findings.good("listener", format!("a service answers at {address}"));
        }
        Err(why) => findings.problem(
            "listener",
            format!("{address} can't be listened on ({why})"),
            "choose another with --listen",
        ),
    }
}

/// Whether somebody there is alive as our service says it.
fn answers(address: SocketAddr) -> bool {
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).proxy(None).build().new_agent();
    agent.get(format!("http://{address}/healthz")).call().is_ok_and(|answer| answer.status().is_success())
}
