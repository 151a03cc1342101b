//! `postrider event-types …`.

use std::process::ExitCode;

use clap::Subcommand;

use super::shared::{Common, ListArgs, id};
use super::table::Column;
use crate::client::path_of;

const COLUMNS: [Column; 2] = [Column::of("name", "EVENT TYPE"), Column::of("description", "DESCRIPTION")];

/// What can be seen of the catalogue.
#[derive(Debug, Subcommand)]
pub(crate) enum EventTypesCommand {
    /// List the event types that the service knows
    List {
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Show an event type with its schema and example
    Show {
        #[arg(value_name = "TYPE", value_parser = id)]
        event_type: String,
        #[command(flatten)]
        common: Common,
    },
}

impl EventTypesCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { list, common } => common.list("/v1/event-types", &[], &list, &COLUMNS),
            Self::Show { event_type, common } => common.show(&path_of("event-types", &event_type)),
        }
    }
}
