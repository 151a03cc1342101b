//! Lays flags over the environment over the file over the defaults, and remembers where each value is from.
//!
//! Values are texts here; what they mean is read in `config.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::flags::ServeFlags;

/// What every environment variable of ours begins with.
const ENV_PREFIX: &str = "POSTRIDER_";
/// Variables that other commands read.
const OTHER_VARIABLES: [&str; 4] = ["CONFIG", "URL", "KEY", "SECRET"];
/// The file that is read where none is named.
const DEFAULT_FILE: &str = "postrider.toml";

/// Each setting's name with its default.
pub(crate) const SETTINGS: [(&str, &str); 31] = [
    ("listen", "127.0.0.1:8040"),
    ("store", "sqlite:postrider.db"),
    ("operator_key", ""),
    ("operator_key_file", ""),
    ("master_key_file", ""),
    ("allow_nets", ""),
    ("deny_nets", ""),
    ("allow_ports", ""),
    ("require_https", "false"),
    ("retry_schedule", "5s,5m,30m,2h,5h,10h,14h,20h,1d"),
    ("disable_after", "5d"),
    ("header_prefix", "X-KASKO-"),
    ("user_agent", postrider_sender::DEFAULT_USER_AGENT),
    ("ca_file", ""),
    ("retention_days", "30"),
    ("max_in_flight", ""),
    ("rate_limit_per_second", "0"),
    ("node_name", ""),
    ("node_lapse_seconds", "6"),
    ("database_connections", "16"),
    ("shutdown_grace_seconds", "20"),
    ("portal_title", ""),
    ("portal_logo", ""),
    ("portal_accent", ""),
    ("portal_frame_origins", ""),
    ("behind_proxy", "false"),
    ("otlp_endpoint", ""),
    ("proxy", ""),
    ("log_format", "text"),
    ("log_level", "info"),
    ("log_attempts", "all"),
];

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Environment,
    File(PathBuf),
    Default,
}

/// A setting's text and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layered {
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// Every setting by its name.
#[derive(Debug)]
pub(crate) struct Layers(BTreeMap<&'static str, Layered>);

impl Layered {
    /// Returns how its layer writes the name of this setting.
    pub(crate) fn name_of(&self, name: &str) -> String {
        match &self.source {
            Source::Flag => format!("--{}", name.replace('_', "-")),
            Source::Environment => format!("{ENV_PREFIX}{}", name.to_uppercase()),
            Source::File(path) => format!("{name} in {}", path.display()),
            Source::Default => name.to_owned(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Layers {
    /// Reads the file that the flags or the environment name, or the default one where it is there.
    pub(crate) fn read(flags: &ServeFlags, environment: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let named = flags.config.clone().or_else(|| environment.get("POSTRIDER_CONFIG").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => read_file(&path, &text)?,
            Err(why) if named.is_none() && why.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(why) => return Err(why).with_context(|| format!("{} can't be read", path.display())),
        };
        Ok(Self::lay(flags, environment, &path, &file))
    }

    fn lay(
        flags: &ServeFlags,
        environment: &BTreeMap<String, String>,
        path: &Path,
        file: &BTreeMap<String, String>,
    ) -> Self {
        let layered = |(name, default): (&'static str, &'static str)| {
            let variable = format!("{ENV_PREFIX}{}", name.to_uppercase());
            let (text, source) = if let Some(text) = flags.get(name) {
                (text, Source::Flag)
            } else if let Some(text) = environment.get(&variable) {
                (text.as_str(), Source::Environment)
            } else if let Some(text) = file.get(name) {
                (text.as_str(), Source::File(path.to_owned()))
            } else {
                (default, Source::Default)
            };
            (name, Layered { text: text.to_owned(), source })
        };
        Self(SETTINGS.into_iter().map(layered).collect())
    }

    /// A setting.
    pub(crate) fn get(&self, name: &str) -> &Layered {
        self.0.get(name).expect("every setting that is asked for stands in SETTINGS")
    }

    /// Replaces what is shown for a setting whose value is worked out later.
    pub(crate) fn set_shown(&mut self, name: &'static str, text: String) {
        if let Some(layered) = self.0.get_mut(name) {
            layered.text = text;
        }
    }

    /// Every setting, in the order of the documentation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Layered)> {
        SETTINGS.iter().map(|(name, _)| (*name, self.get(name)))
    }
}

/// The environment's variables whose names and values are text.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let as_text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(as_text).collect()
}

/// Variables that look like ours and are not: a typing error, or the platform's.
pub(crate) fn unknown_variables(environment: &BTreeMap<String, String>) -> Vec<String> {
    let is_known = |rest: &str| {
        OTHER_VARIABLES.contains(&rest) || SETTINGS.iter().any(|(name, _)| name.to_uppercase() == rest)
    };
    let unknown = |name: &&String| name.strip_prefix(ENV_PREFIX).is_some_and(|rest| !is_known(rest));
    environment.keys().filter(unknown).cloned().collect()
}

/// The file's keys and values as texts. An unknown key is an error that names the nearest known one.
fn read_file(path: &Path, text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let table: toml::Table = text.parse().map_err(|error| not_toml(path, text, &error))?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        if !SETTINGS.iter().any(|(name, _)| *name == key) {
            bail!("{}: unknown key \"{key}\"{}", path.display(), did_you_mean(&key));
        }
        let text = as_text(&value).with_context(|| {
            format!(
                "{}: \"{key}\" must be a text, a number, true or false, or a list of texts",
                path.display()
            )
        })?;
        values.insert(key, text);
    }
    Ok(values)
}

/// Where and why a file is no TOML, without its line: there may be a password in it.
fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
    anyhow!("{} is not TOML: line {line}: {}", path.display(), error.message())
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => Some(items.iter().map(as_text).collect::<Option<Vec<_>>>()?.join(",")),
        _ => None,
    }
}

/// "; did you mean …?" where a known key is near.
fn did_you_mean(key: &str) -> String {
    let distance = |name: &str| strsim::damerau_levenshtein(&key.replace('-', "_").to_lowercase(), name);
    match SETTINGS.iter().map(|(name, _)| (distance(name), *name)).min() {
        Some((distance, name)) if distance <= 4 => format!("; did you mean \"{name}\"?"),
        _ => format!("; known are {}", SETTINGS.map(|(name, _)| name).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(flag: Option<&str>, variable: Option<&str>, file: &str) -> anyhow::Result<Layered> {
        let flags = ServeFlags { listen: flag.map(str::to_owned), ..ServeFlags::default() };
        let environment =
            variable.map(|text| ("POSTRIDER_LISTEN".to_owned(), text.to_owned())).into_iter().collect();
        let path = Path::new("postrider.toml");
        Ok(Layers::lay(&flags, &environment, path, &read_file(path, file)?).get("listen").clone())
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let shown = |layered: Layered| (layered.text, layered.source.to_string());
        let is = |text: &str, source: &str| (text.to_owned(), source.to_owned());
        assert_eq!(shown(lay(Some("a"), Some("b"), "listen = 'c'").unwrap()), is("a", "flag"));
        assert_eq!(shown(lay(None, Some("b"), "listen = 'c'").unwrap()), is("b", "environment"));
        assert_eq!(shown(lay(None, None, "listen = 'c'").unwrap()), is("c", "postrider.toml"));
        assert_eq!(shown(lay(None, None, "").unwrap()), is("127.0.0.1:8040", "default"));
    }

    #[test]
    fn an_empty_value_means_empty() {
        assert_eq!(lay(None, Some(""), "listen = 'c'").unwrap().text, "");
    }

    #[test]
    fn an_unknown_key_in_the_file_names_the_nearest_known_one() {
        let refused = |file| lay(None, None, file).unwrap_err().to_string();
        assert_eq!(
            refused("lissten = 'x'"),
            "postrider.toml: unknown key \"lissten\"; did you mean \"listen\"?"
        );
        assert_eq!(
            refused("allow-nets = 'x'"),
            "postrider.toml: unknown key \"allow-nets\"; did you mean \"allow_nets\"?"
        );
        assert!(refused("listen = 1979-05-27").contains("must be a text"));
        assert!(refused("listen = ").starts_with("postrider.toml is not TOML: line 1: "));
        let secret = refused("listen = '127.0.0.1:1'\noperator_key = sk_secret\n");
        assert!(
            secret.starts_with("postrider.toml is not TOML: line 2: ") && !secret.contains("sk_"),
            "{secret}"
        );
    }

    #[test]
    fn lists_and_numbers_in_the_file_read_like_texts() {
        let read =
            read_file(Path::new("x"), "allow_nets = ['10.0.0.0/8', '::1/128']\nretention_days = 7").unwrap();
        assert_eq!(
            (read["allow_nets"].as_str(), read["retention_days"].as_str()),
            ("10.0.0.0/8,::1/128", "7")
        );
    }

    #[test]
    fn a_variable_that_is_not_ours_is_noticed() {
        let names = ["POSTRIDER_LISTEN", "POSTRIDER_URL", "POSTRIDER_LISTN", "PATH", "POSTRIDER_PORT_80_TCP"];
        let environment = names.map(|name| (name.to_owned(), String::new())).into();
        assert_eq!(unknown_variables(&environment), ["POSTRIDER_LISTN", "POSTRIDER_PORT_80_TCP"]);
    }
}
