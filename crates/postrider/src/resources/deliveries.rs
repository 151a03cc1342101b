//! `postrider deliveries …`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::shared::{Common, ListArgs, ModeArgs, OnceArgs, TimeArgs, id};
use super::table::Column;
use crate::client::path_of;

const COLUMNS: [Column; 7] = [
    Column::of("id", "DELIVERY"),
    Column::of("status", "STATUS"),
    Column::of("type", "TYPE"),
    Column::of("endpoint", "ENDPOINT"),
    Column::of("attempt_count", "TRIES"),
    Column::of("created_at", "CREATED"),
    Column::of("next_attempt_at", "NEXT"),
];

/// What can be done with deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List deliveries, the newest first
    List(Box<DeliveryList>),
    /// Show a delivery with its attempts
    Show {
        #[arg(value_name = "dlv_…", value_parser = id)]
        delivery: String,
        #[command(flatten)]
        common: Common,
    },
    /// Send a finished delivery again, as a new one
    Resend {
        #[arg(value_name = "dlv_…", value_parser = id)]
        delivery: String,
        #[command(flatten)]
        once: OnceArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Give up a pending delivery
    Cancel {
        #[arg(value_name = "dlv_…", value_parser = id)]
        delivery: String,
        #[command(flatten)]
        common: Common,
    },
}

/// Which deliveries to list.
#[derive(Debug, Args)]
pub(crate) struct DeliveryList {
    /// Of this account
    #[arg(long, value_name = "acc_…")]
    account: Option<String>,
    /// To this endpoint
    #[arg(long, value_name = "ep_…")]
    endpoint: Option<String>,
    /// Of this event
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Of events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// With this status
    #[arg(long, value_parser = ["pending", "delivered", "exhausted", "cancelled"])]
    status: Option<String>,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

impl DeliveriesCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => {
                let DeliveryList { account, endpoint, event, event_type, status, mode, time, list, common } =
                    *args;
                let filters = [
                    ("account", account),
                    ("endpoint", endpoint),
                    ("event", event),
                    ("type", event_type),
                    ("livemode", mode.parameter()),
                    ("status", status),
                    ("since", time.since),
                    ("until", time.until),
                ];
                common.list("/v1/deliveries", &filters, &list, &COLUMNS)
            }
            Self::Show { delivery, common } => common.show(&path_of("deliveries", &delivery)),
            Self::Resend { delivery, once, common } => {
                common.create(&format!("{}/resend", path_of("deliveries", &delivery)), "{}", &once)
            }
            Self::Cancel { delivery, common } => {
                common.post(&format!("{}/cancel", path_of("deliveries", &delivery)), &json!({}))
            }
        }
    }
}
