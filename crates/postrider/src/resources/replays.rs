//! `postrider replays …`: count a range, send it again, watch it.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::shared::{Common, ListArgs, ModeArgs, OnceArgs, TimeArgs, id};
use super::table::{Column, printable};
use crate::client::{Client, path_of};

const COLUMNS: [Column; 6] = [
    Column::of("id", "REPLAY"),
    Column::of("state", "STATE"),
    Column::of("endpoint", "ENDPOINT"),
    Column::of("counts.resent", "RESENT"),
    Column::of("counts.matched", "OF"),
    Column::of("created_at", "CREATED"),
];

/// How often a replay that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What can be done with replays.
#[derive(Debug, Subcommand)]
pub(crate) enum ReplaysCommand {
    /// List replays, the newest first
    List {
        /// Of this account
        #[arg(long, value_name = "acc_…")]
        account: Option<String>,
        /// Of this endpoint
        #[arg(long, value_name = "ep_…")]
        endpoint: Option<String>,
        #[command(flatten)]
        mode: ModeArgs,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Show how far a replay is
    Show {
        #[arg(value_name = "REPLAY", value_parser = id)]
        replay: String,
        #[command(flatten)]
        common: Common,
    },
    /// Send a range of an endpoint's finished deliveries again
    Create(Box<NewReplay>),
    /// End a running replay
    Cancel {
        #[arg(value_name = "REPLAY", value_parser = id)]
        replay: String,
        #[command(flatten)]
        common: Common,
    },
}

/// A replay to be made.
#[derive(Debug, Args)]
pub(crate) struct NewReplay {
    /// Whose deliveries are sent again
    #[arg(long, value_name = "ep_…")]
    endpoint: String,
    /// Only those that ended so
    #[arg(long, value_parser = ["delivered", "exhausted", "cancelled"])]
    status: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    #[command(flatten)]
    time: TimeArgs,
    /// Only count
    #[arg(long)]
    dry_run: bool,
    /// Wait until it has ended; it fails where the replay was cancelled
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    #[command(flatten)]
    once: OnceArgs,
    #[command(flatten)]
    common: Common,
}

impl ReplaysCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { account, endpoint, mode, list, common } => {
                let filters = [("account", account), ("endpoint", endpoint), ("livemode", mode.parameter())];
                common.list("/v1/replays", &filters, &list, &COLUMNS)
            }
            Self::Show { replay, common } => common.show(&path_of("replays", &replay)),
            Self::Create(args) => create(*args),
            Self::Cancel { replay, common } => {
                common.post(&format!("{}/cancel", path_of("replays", &replay)), &json!({}))
            }
        }
    }
}

fn create(args: NewReplay) -> anyhow::Result<ExitCode> {
    let NewReplay { endpoint, status, event_type, time, dry_run, wait, once, common } = args;
    let given = [
        ("endpoint", Some(endpoint)),
        ("status", status),
        ("type", event_type),
        ("since", time.since),
        ("until", time.until),
    ];
    let given = given.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))));
    let mut body: Map<String, Value> = given.collect();
    if dry_run {
        body.insert("dry_run".to_owned(), Value::Bool(true));
    }
    let client = common.client()?;
    let made = common.made("/v1/replays", &Value::Object(body).to_string(), &once)?;
    if !wait {
        return common.answer(&made);
    }
    let ended = until_it_has_ended(&client, made)?;
    common.answer(&ended)?;
    let is_done = state(&ended) != "cancelled";
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn state(replay: &Value) -> &str {
    replay.get("state").and_then(Value::as_str).unwrap_or_default()
}

/// Looks at it now and then, and says on a terminal how far it is.
fn until_it_has_ended(client: &Client, mut replay: Value) -> anyhow::Result<Value> {
    let path = path_of("replays", replay.get("id").and_then(Value::as_str).unwrap_or_default());
    let mut progress = std::io::stderr();
    let is_watched = progress.is_terminal();
    while state(&replay) == "running" {
        if is_watched {
            let count = |name: &str| {
                replay.pointer(&format!("/counts/{name}")).map(Value::to_string).unwrap_or_default()
            };
            let line = printable(&format!("{} of {} sent again", count("resent"), count("matched")));
            drop(write!(progress, "\r{line}\x1b[K"));
            drop(progress.flush());
        }
        std::thread::sleep(LOOK_EVERY);
        replay = client.get(&path)?;
    }
    if is_watched {
        drop(write!(progress, "\r\x1b[K"));
    }
    Ok(replay)
}
