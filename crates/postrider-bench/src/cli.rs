//! The command line: the report, and the single roles it is made of. Exit codes: 0 done, 1 it failed, 2 wrong use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::place::StoreKind;
use crate::{bare, children, hostile, load, progress, receiver, report};

/// Measures Postrider against the bare limit of this machine; every connection stays on loopback.
#[derive(Debug, Parser)]
#[command(name = "postrider-bench", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take all figures in turn and print them beside their budgets (about fifteen minutes; --only takes less)
    Report(Box<ReportArgs>),
    #[command(flatten)]
    Role(Role),
}

/// The parts that a report is made of, each a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The receiver alone: prints its address, answers 200 and counts until standard input ends
    Receiver(ReceiverArgs),
    /// The bare limit alone: signed POSTs to a receiver, no queue and no store; prints one line of JSON
    Bare(BareArgs),
    /// The load alone: events handed in to a running service; prints one line of JSON
    Load(LoadArgs),
    /// Hostile clients alone: with one account key they take as much as they are given; prints one line of JSON
    Hostile(HostileArgs),
    /// Run another program that ends when this command's parent does
    #[command(hide = true)]
    Bound {
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The service to measure; without it, the `postrider` beside this program
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// The folder whose disk is measured; each round works in a fresh folder inside it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// Which store is measured
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    pub(crate) store: StoreKind,
    /// How many times bare limit and service take turns; the table shows the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(crate) rounds: u32,
    /// Take only these rows; may be given several times
    #[arg(long, value_name = "ROWS")]
    pub(crate) only: Vec<Part>,
    /// How many deliveries are pending for a dead endpoint (row `backlog`)
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=3_000_000))]
    pub(crate) pending: u64,
    /// How many events are in the log (row `log`)
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000))]
    pub(crate) log_rows: u64,
    /// How many deliveries are in the log whose pages are timed (row `pages`)
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000))]
    pub(crate) log_deliveries: u64,
    /// How many accounts with an endpoint each there are (row `endpoints`)
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(16..=20_000))]
    pub(crate) endpoints: u32,
    /// How many endpoints hang (row `isolation`)
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) hanging: u32,
    /// How often the service is killed (row `crash`)
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) kills: u32,
    /// How many deliveries are pending at each kill (row `crash`)
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub(crate) backlog: u64,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also write the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

/// What can be measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The bare limit, throughput, latency, memory, start and idle CPU
    Rounds,
    /// A healthy endpoint while many others hang
    Isolation,
    /// A customer beside a hostile one: filters, schemas, unfinished bodies, idle connections
    Neighbour,
    /// Many pending deliveries for a dead endpoint: memory, start, and how they are drained
    Backlog,
    /// The cost of a delivery with many endpoints
    Endpoints,
    /// The cost of a delivery with many rows in the log
    Log,
    /// How long the dashboard's pages and the API's lists take with a long log
    Pages,
    /// A receiver that is down for a while
    Outage,
    /// kill -9 under load, over and over
    Crash,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiverArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BareArgs {
    /// The receiver
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: SocketAddr,
    /// How many connections post at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) connections: u32,
    /// How long
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// The service
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: SocketAddr,
    /// The key that may hand in events
    #[arg(long, env = "POSTRIDER_OPERATOR_KEY", hide_env_values = true)]
    pub(crate) key: String,
    /// Whose events they are; each connection takes the accounts in turn
    #[arg(long = "account", value_name = "acc_…", required = true)]
    pub(crate) accounts: Vec<String>,
    /// How many connections hand in at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) connections: u32,
    /// How long
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Events per request; more than one uses the batch call
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) batch: u32,
    /// Requests per second over all connections; without it, as many as are answered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// Stop after so many events, also before the time is over
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    pub(crate) events: Option<u64>,
    /// Let a connection that breaks end only itself, for runs in which the service is killed
    #[arg(long)]
    pub(crate) may_break: bool,
    /// Where to write each accepted event's guid and the moment it was handed in
    #[arg(long, value_name = "FILE")]
    pub(crate) records: Option<PathBuf>,
}

/// What a hostile customer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Attack {
    /// Events with a long number, for endpoints whose filters compare it with many
    Filter,
    /// The explanation where such an event goes
    Routing,
    /// Events whose type asks for unique items, with numbers that are hard to tell apart
    UniqueItems,
    /// Events that no branch of their type's schema accepts
    OneOf,
    /// Bodies that lack one byte
    Bodies,
    /// Connections that say nothing
    Connections,
}

impl Attack {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Routing => "routing",
            Self::UniqueItems => "unique-items",
            Self::OneOf => "one-of",
            Self::Bodies => "bodies",
            Self::Connections => "connections",
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HostileArgs {
    /// The service
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: SocketAddr,
    /// An account key for test events
    #[arg(long, env = "POSTRIDER_KEY", hide_env_values = true)]
    pub(crate) key: String,
    /// What they do
    #[arg(long)]
    pub(crate) attack: Attack,
    /// How many clients there are
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) clients: u32,
    /// How long
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// The event whose routing is explained
    #[arg(long, value_name = "evt_…")]
    pub(crate) event: Option<String>,
}

/// Runs the command.
///
/// # Errors
///
/// Where something could not be started or measured; the text says what.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        // One thread starts every child: a child is bound to the thread that started it.
        Command::Report(args) => on_one_thread(report::run(*args)),
        Command::Role(role) => run_role(role),
    }
}

/// Runs one part alone.
pub(crate) fn run_role(role: Role) -> anyhow::Result<ExitCode> {
    match role {
        Role::Receiver(args) => {
            children::end_with_parent()?;
            on_one_thread(receiver::run(args)).map(|()| ExitCode::SUCCESS)
        }
        Role::Bare(args) => {
            children::end_with_parent()?;
            print_json(&on_all_cores(bare::run(args))?)
        }
        Role::Load(args) => {
            children::end_with_parent()?;
            print_json(&on_all_cores(load::run(args))?)
        }
        Role::Hostile(args) => {
            children::end_with_parent()?;
            print_json(&on_all_cores(hostile::run(args))?)
        }
        Role::Bound { command } => Err(children::become_bound(&command)),
    }
}

pub(crate) fn on_one_thread<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("could not start the runtime")?.block_on(work)
}

/// As the service does it, so that the bare limit pays the same scheduler.
fn on_all_cores<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("could not start the runtime")?.block_on(work)
}

fn print_json(result: &impl serde::Serialize) -> anyhow::Result<ExitCode> {
    progress::print(&serde_json::to_string(result).context("could not write the result")?)?;
    Ok(ExitCode::SUCCESS)
}
