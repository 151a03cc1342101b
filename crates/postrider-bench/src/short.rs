//! The short form for users: one round on their machine, measured with the very program they run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::children::{self, Receiver};
use crate::cli::{self, Role};
use crate::conditions::Conditions;
use crate::place::{Place, StoreKind};
use crate::round::{Bench, Pace};
use crate::{progress, report, table};

/// What `postrider bench` takes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct ShortArgs {
    /// How long each load lasts; all of it takes about seven times as long
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// The folder whose disk is measured; without it, the one for temporary files
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    hidden: Option<Hidden>,
}

#[derive(Debug, clap::Subcommand)]
enum Hidden {
    /// How this program starts itself
    #[command(hide = true, subcommand)]
    Role(Role),
}

/// Measures this program against the bare limit of the machine, under the command called `command`.
///
/// # Errors
///
/// Where something could not be started or measured; the text says what.
pub fn run_short(args: ShortArgs, command: &'static str) -> anyhow::Result<ExitCode> {
    children::roles_are_under([command, "role"]);
    if let Some(Hidden::Role(role)) = args.hidden {
        return cli::run_role(role);
    }
    // One thread starts every child: a child is bound to the thread that started it.
    cli::on_one_thread(report::or_interrupted(measure(args)))
}

async fn measure(args: ShortArgs) -> anyhow::Result<ExitCode> {
    let binary = std::env::current_exe().context("this program's own file is unknown")?;
    let parent = args.dir.unwrap_or_else(std::env::temp_dir);
    let place = Place::new(StoreKind::Sqlite, &parent)?;
    let seconds = args.seconds;
    let pace = Pace { bare: seconds.div_ceil(2), single: seconds, batch: seconds, fixed: seconds, idle: 2 };
    let mut bench = Bench { binary, receiver: Receiver::start().await?, pace };
    let round = bench.round(&place, "postrider bench").await;
    progress::clear();
    let rows = report::rows(&[round?], StoreKind::Sqlite);
    bench.receiver.stop().await?;
    let conditions = Conditions::read(&parent, place.store()?);
    progress::print(&if args.json {
        serde_json::to_string_pretty(&serde_json::json!({ "conditions": conditions, "rows": rows }))
            .context("could not write the figures")?
    } else {
        let what = "Each figure beside the bare limit of this machine: signed POSTs from the same HTTP client,\n\
                    without queue and store. Generator, receiver and service share the machine.";
        let warning =
            if cfg!(debug_assertions) { "\nThis is a debug build: its figures say nothing.\n" } else { "" };
        format!("{}\n{what}\n{warning}\n{}", conditions.machine(), table::aligned(&rows).trim_end())
    })?;
    Ok(if report::has_failed(&rows) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
