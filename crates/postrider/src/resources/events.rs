//! `postrider events …`. Handing one in is `postrider trigger`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::shared::{Common, ListArgs, ModeArgs, TimeArgs, id};
use super::table::Column;
use crate::cli::ClientArgs;
use crate::client::{Client, path_of};
use crate::terminal::write_bytes;

const COLUMNS: [Column; 5] = [
    Column::of("id", "EVENT"),
    Column::of("type", "TYPE"),
    Column::of("livemode", "LIVE"),
    Column::of("account", "ACCOUNT"),
    Column::of("created_at", "CREATED"),
];

/// What can be seen of events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// List events, the newest first
    List(Box<EventList>),
    /// Show an event with its payload
    Show {
        #[arg(value_name = "EVENT", value_parser = id)]
        event: String,
        #[command(flatten)]
        common: Common,
    },
    /// Print an event's payload, byte for byte
    Payload {
        #[arg(value_name = "EVENT", value_parser = id)]
        event: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Explain for each endpoint of the account whether it would get the event by today's configuration
    Routing {
        #[arg(value_name = "EVENT", value_parser = id)]
        event: String,
        #[command(flatten)]
        common: Common,
    },
}

/// Which events to list.
#[derive(Debug, Args)]
pub(crate) struct EventList {
    /// Of this account
    #[arg(long, value_name = "acc_…")]
    account: Option<String>,
    /// Of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

impl EventsCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => {
                let EventList { account, event_type, mode, time, list, common } = *args;
                let filters = [
                    ("account", account),
                    ("type", event_type),
                    ("livemode", mode.parameter()),
                    ("since", time.since),
                    ("until", time.until),
                ];
                common.list("/v1/events", &filters, &list, &COLUMNS)
            }
            Self::Show { event, common } => common.show(&path_of("events", &event)),
            Self::Payload { event, client } => payload(&Client::new(&client)?, &event),
            Self::Routing { event, common } => common.show(&format!("{}/routing", path_of("events", &event))),
        }
    }
}

/// Exactly the bytes, and nothing behind them.
fn payload(client: &Client, event: &str) -> anyhow::Result<ExitCode> {
    let bytes = client.get_bytes(&format!("{}/payload", path_of("events", event)))?;
    write_bytes(&bytes);
    Ok(ExitCode::SUCCESS)
}
