//! `postrider portal-links …`: a customer's ways into the portal.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value};

use super::shared::{Common, ModeArgs, OnceArgs, id};
use super::show;
use crate::client::path_of;

/// What can be done with links into the portal; the operator's alone.
#[derive(Debug, Subcommand)]
pub(crate) enum PortalLinksCommand {
    /// Make a link for an account; it is shown once
    Create {
        #[arg(value_name = "acc_…", value_parser = id)]
        account: String,
        #[command(flatten)]
        mode: ModeArgs,
        /// How long it lasts; without it, an hour
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
        #[command(flatten)]
        once: OnceArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Revoke a link: it ends at once
    Revoke {
        #[arg(value_name = "acc_…", value_parser = id)]
        account: String,
        #[arg(value_name = "lnk_…", value_parser = id)]
        link: String,
        #[command(flatten)]
        common: Common,
    },
}

impl PortalLinksCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let of = |account: &str| format!("{}/portal-links", path_of("accounts", account));
        match self {
            Self::Create { account, mode, expires_in, once, common } => {
                let given = [
                    ("livemode", mode.livemode().map(Value::from)),
                    ("expires_in_seconds", expires_in.map(Value::from)),
                ];
                let body: Map<String, Value> =
                    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
                let made = common.made(&of(&account), &Value::Object(body).to_string(), &once)?;
                let path = made.get("path").and_then(Value::as_str).unwrap_or_default();
                if !common.json {
                    show::hint(&format!("open it at {}{path}", common.client.url.trim_end_matches('/')));
                }
                common.answer(&made)
            }
            Self::Revoke { account, link, common } => {
                common.delete(&format!("{}/{}", of(&account), crate::client::encoded(&link)), &link)
            }
        }
    }
}
