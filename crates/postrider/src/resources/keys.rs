//! `postrider keys …`.

use std::process::ExitCode;

use clap::{ArgGroup, Subcommand};
use serde_json::json;

use super::shared::{Common, ListArgs, ModeArgs, OnceArgs, id};
use super::table::Column;
use crate::client::path_of;

const COLUMNS: [Column; 4] = [
    Column::of("id", "KEY"),
    Column::of("livemode", "LIVE"),
    Column::of("created_at", "CREATED"),
    Column::of("last_used_at", "LAST USED"),
];

/// What can be done with the keys of accounts; the operator's alone.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List an account's keys, the newest first
    List {
        #[arg(value_name = "acc_…", value_parser = id)]
        account: String,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Issue a key for an account; it is shown once
    #[command(group = ArgGroup::new("mode").args(["live", "test"]).required(true))]
    Create {
        #[arg(value_name = "acc_…", value_parser = id)]
        account: String,
        #[command(flatten)]
        mode: ModeArgs,
        #[command(flatten)]
        once: OnceArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Revoke a key: it stops working at once
    Revoke {
        #[arg(value_name = "key_…", value_parser = id)]
        named: String,
        #[command(flatten)]
        common: Common,
    },
}

impl KeysCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let of = |account: &str| format!("{}/keys", path_of("accounts", account));
        match self {
            Self::List { account, list, common } => common.list(&of(&account), &[], &list, &COLUMNS),
            Self::Create { account, mode, once, common } => {
                let body = json!({ "livemode": mode.livemode().unwrap_or_default() }).to_string();
                common.create(&of(&account), &body, &once)
            }
            Self::Revoke { named, common } => common.delete(&path_of("keys", &named), &named),
        }
    }
}
