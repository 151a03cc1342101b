//! `postrider endpoints …`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::shared::{Common, ListArgs, ModeArgs, OnceArgs, description, id};
use super::table::Column;
use crate::client::path_of;

const COLUMNS: [Column; 7] = [
    Column::of("id", "ENDPOINT"),
    Column::of("url", "URL"),
    Column::of("event_types", "TYPES"),
    Column::of("livemode", "LIVE"),
    Column::of("state", "STATE"),
    Column::of("health", "HEALTH"),
    Column::of("backlog", "BACKLOG"),
];

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointsCommand {
    /// List endpoints, the newest first
    List {
        /// Of this account
        #[arg(long, value_name = "acc_…")]
        account: Option<String>,
        /// In this state
        #[arg(long, value_parser = ["enabled", "paused", "disabled"])]
        state: Option<String>,
        #[command(flatten)]
        mode: ModeArgs,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Show an endpoint with its health and backlog
    Show(One),
    /// Make an endpoint; its secret is shown with it
    Create(Box<NewEndpoint>),
    /// Change an endpoint's settings; what is not named stays
    Change(Box<ChangedEndpoint>),
    /// Delete an endpoint; what is pending is cancelled, the log stays
    Delete(One),
    /// Show an endpoint's secret
    Secret(One),
    /// Give an endpoint a new secret, which signs beside the old one until the overlap ends
    Rotate(Rotation),
    /// End the overlap of a rotation at once: only the new secret signs from then on
    EndOverlap(One),
    /// Send an example to an endpoint, and to it alone
    Test {
        #[arg(value_name = "ep_…", value_parser = id)]
        endpoint: String,
        /// The example's event type; without it, the first that the endpoint subscribed
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        #[command(flatten)]
        once: OnceArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Hold an endpoint's deliveries
    Pause(One),
    /// Send to a paused endpoint again
    Resume(One),
    /// Send to an endpoint again, with fresh health
    Enable(One),
    /// Hold an endpoint's deliveries until it is enabled
    Disable(One),
}

/// An endpoint that is named.
#[derive(Debug, Args)]
pub(crate) struct One {
    #[arg(value_name = "ep_…", value_parser = id)]
    endpoint: String,
    #[command(flatten)]
    common: Common,
}

/// A secret to be replaced.
#[derive(Debug, Args)]
pub(crate) struct Rotation {
    #[arg(value_name = "ep_…", value_parser = id)]
    endpoint: String,
    /// Your own new secret; without it, one is made
    #[arg(long)]
    secret: Option<String>,
    /// How long the old secret signs as well; 0 switches now
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// An endpoint to be made.
#[derive(Debug, Args)]
pub(crate) struct NewEndpoint {
    /// Where to send
    #[arg(value_name = "URL")]
    to: String,
    /// Whose it is; may be left out with an account's key
    #[arg(long, value_name = "acc_…")]
    account: Option<String>,
    #[command(flatten)]
    mode: ModeArgs,
    /// Which event types (names, groups such as policy.*, or *)
    #[arg(long = "types", value_name = "TYPES", value_delimiter = ',', default_value = "*")]
    types: Vec<String>,
    /// Your own secret; without it, one is made
    #[arg(long)]
    secret: Option<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    once: OnceArgs,
    #[command(flatten)]
    common: Common,
}

/// What changes.
#[derive(Debug, Args)]
pub(crate) struct ChangedEndpoint {
    #[arg(value_name = "ep_…", value_parser = id)]
    endpoint: String,
    /// Where to send from now on
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Which event types (names, groups such as policy.*, or *)
    #[arg(long = "types", value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    common: Common,
}

/// Settings of new and of changed endpoints.
#[derive(Debug, Args)]
struct Settings {
    /// What you call it
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<String>,
    /// A header to send along, instead of all that there are; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Only events whose payload this filter chooses (JSON; null for none)
    #[arg(long, value_name = "JSON", value_parser = json_text)]
    filter: Option<Value>,
    /// How long an attempt may take
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// When to try again, such as 1s,5m,2h
    #[arg(long, value_name = "DURATIONS", value_delimiter = ',')]
    retry_schedule: Vec<String>,
    /// Requests per second, and after a slash how many at once at most: 10/20 (none for no limit)
    #[arg(long, value_name = "N[/BURST]", value_parser = rate)]
    rate_limit: Option<Value>,
    /// Requests in flight at most
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u64>,
    /// One at a time, in order
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no, num_args = 0..=1, default_missing_value = "yes")]
    ordered: Option<bool>,
    /// With the headers of Standard Webhooks
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no, num_args = 0..=1, default_missing_value = "yes")]
    standard_webhooks: Option<bool>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("a header is NAME=VALUE, such as X-Tenant=acme")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn json_text(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|why| format!("that is not JSON: {why}"))
}

fn rate(text: &str) -> Result<Value, String> {
    let wrong = |_| "a rate limit is N, N/BURST or none, such as 10/20".to_owned();
    let number = |text: &str| text.parse::<u32>().map_err(wrong);
    Ok(match text.split_once('/') {
        _ if text == "none" => Value::Null,
        Some((each, burst)) => json!({ "per_second": number(each)?, "burst": number(burst)? }),
        None => json!({ "per_second": number(text)? }),
    })
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("say yes or no".to_owned()),
    }
}

impl Settings {
    /// The fields of a body that are given here.
    fn fields(self) -> Map<String, Value> {
        let headers: Map<String, Value> =
            self.headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let several = |texts: Vec<String>| (!texts.is_empty()).then(|| Value::from(texts));
        let given = [
            ("description", self.description.map(Value::from)),
            ("headers", (!headers.is_empty()).then(|| Value::Object(headers))),
            ("filter", self.filter),
            ("timeout_ms", self.timeout_ms.map(Value::from)),
            ("retry_schedule", several(self.retry_schedule)),
            ("rate_limit", self.rate_limit),
            ("max_in_flight", self.max_in_flight.map(Value::from)),
            ("ordered", self.ordered.map(Value::from)),
            ("standard_webhooks", self.standard_webhooks.map(Value::from)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl EndpointsCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { account, state, mode, list, common } => {
                let filters = [("account", account), ("livemode", mode.parameter()), ("state", state)];
                common.list("/v1/endpoints", &filters, &list, &COLUMNS)
            }
            Self::Show(One { endpoint, common }) => common.show(&path_of("endpoints", &endpoint)),
            Self::Create(args) => create(*args),
            Self::Change(args) => change(*args),
            Self::Delete(One { endpoint, common }) => {
                common.delete(&path_of("endpoints", &endpoint), &endpoint)
            }
            Self::Secret(One { endpoint, common }) => {
                common.show(&format!("{}/secret", path_of("endpoints", &endpoint)))
            }
            Self::Rotate(rotation) => rotate(rotation),
            Self::EndOverlap(One { endpoint, common }) => {
                let path = format!("{}/secret/overlap", path_of("endpoints", &endpoint));
                common.delete(&path, &format!("the overlap of {endpoint}"))
            }
            Self::Test { endpoint, event_type, once, common } => {
                let body = event_type.map_or_else(|| json!({}), |name| json!({ "event_type": name }));
                let path = format!("{}/test", path_of("endpoints", &endpoint));
                common.create(&path, &body.to_string(), &once)
            }
            Self::Pause(one) => one.to("pause"),
            Self::Resume(one) => one.to("resume"),
            Self::Enable(one) => one.to("enable"),
            Self::Disable(one) => one.to("disable"),
        }
    }
}

impl One {
    /// Changes its state.
    fn to(self, what: &str) -> anyhow::Result<ExitCode> {
        self.common.post(&format!("{}/{what}", path_of("endpoints", &self.endpoint)), &json!({}))
    }
}

fn rotate(rotation: Rotation) -> anyhow::Result<ExitCode> {
    let Rotation { endpoint, secret, overlap_seconds, common } = rotation;
    let given = [("secret", secret.map(Value::from)), ("overlap_seconds", overlap_seconds.map(Value::from))];
    let body = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    common.post(&format!("{}/secret/rotate", path_of("endpoints", &endpoint)), &Value::Object(body))
}

fn create(args: NewEndpoint) -> anyhow::Result<ExitCode> {
    let NewEndpoint { to, account, mode, types, secret, settings, once, common } = args;
    let mut body = settings.fields();
    body.insert("url".to_owned(), Value::from(to));
    body.insert("event_types".to_owned(), Value::from(types));
    let given = [
        ("account", account.map(Value::from)),
        ("livemode", mode.livemode().map(Value::from)),
        ("secret", secret.map(Value::from)),
    ];
    body.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    common.create("/v1/endpoints", &Value::Object(body).to_string(), &once)
}

fn change(args: ChangedEndpoint) -> anyhow::Result<ExitCode> {
    let ChangedEndpoint { endpoint, to, types, settings, common } = args;
    let mut body = settings.fields();
    if let Some(to) = to {
        body.insert("url".to_owned(), Value::from(to));
    }
    if !types.is_empty() {
        body.insert("event_types".to_owned(), Value::from(types));
    }
    if body.is_empty() {
        anyhow::bail!("nothing to change: name a setting, such as --description or --types");
    }
    common.patch(&path_of("endpoints", &endpoint), &Value::Object(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_a_header_and_a_choice_are_read_or_refused() {
        assert_eq!(rate("10").unwrap(), json!({ "per_second": 10 }));
        assert_eq!(rate("10/20").unwrap(), json!({ "per_second": 10, "burst": 20 }));
        assert_eq!(rate("none").unwrap(), Value::Null);
        for wrong in ["", "ten", "10/", "/5", "-1", "1/2/3"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert_eq!(header("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        assert!(header("A").is_err() && header("=b").is_err());
        assert!(yes_or_no("yes").unwrap() && !yes_or_no("no").unwrap() && yes_or_no("maybe").is_err());
        assert!(json_text("{").is_err());
    }
}
