//! `postrider accounts …`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::shared::{Common, ListArgs, OnceArgs, account_name, id};
use super::table::Column;
use crate::client::path_of;

const COLUMNS: [Column; 3] =
    [Column::of("id", "ACCOUNT"), Column::of("name", "NAME"), Column::of("created_at", "CREATED")];

/// What can be done with accounts; the operator's alone.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountsCommand {
    /// List accounts, the newest first
    List {
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Show an account
    Show {
        #[arg(value_name = "acc_…", value_parser = id)]
        account: String,
        #[command(flatten)]
        common: Common,
    },
    /// Make an account; its keys are shown once
    Create {
        /// What you call it
        #[arg(value_parser = account_name)]
        name: String,
        #[command(flatten)]
        once: OnceArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Give an account another name
    Rename {
        #[arg(value_name = "acc_…", value_parser = id)]
        account: String,
        /// The new name
        #[arg(value_parser = account_name)]
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Delete an account with its keys and endpoints; what is pending is cancelled, the log stays
    Delete {
        #[arg(value_name = "acc_…", value_parser = id)]
        account: String,
        #[command(flatten)]
        common: Common,
    },
}

impl AccountsCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { list, common } => common.list("/v1/accounts", &[], &list, &COLUMNS),
            Self::Show { account, common } => common.show(&path_of("accounts", &account)),
            Self::Create { name, once, common } => {
                common.create("/v1/accounts", &json!({ "name": name }).to_string(), &once)
            }
            Self::Rename { account, name, common } => {
                common.patch(&path_of("accounts", &account), &json!({ "name": name }))
            }
            Self::Delete { account, common } => common.delete(&path_of("accounts", &account), &account),
        }
    }
}
