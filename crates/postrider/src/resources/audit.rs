//! `postrider audit`: who did what, and from where.

use std::process::ExitCode;

use clap::Args;

use super::shared::{Common, ListArgs, TimeArgs};
use super::table::Column;

const COLUMNS: [Column; 7] = [
    Column::of("at", "AT"),
    Column::of("actor.kind", "WHO"),
    Column::of("actor.id", "KEY OR LINK"),
    Column::of("address", "FROM"),
    Column::of("action", "DID"),
    Column::of("target", "TO"),
    Column::of("fields", "FIELDS"),
];

/// The audit log; the operator's alone.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Of this account
    #[arg(long, value_name = "acc_…")]
    account: Option<String>,
    /// Of this action, such as endpoint.updated
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

impl AuditArgs {
    /// Asks and shows.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { account, action, time, list, common } = self;
        let filters =
            [("account", account), ("action", action), ("since", time.since), ("until", time.until)];
        common.list("/v1/audit", &filters, &list, &COLUMNS)
    }
}
