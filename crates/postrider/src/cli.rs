//! The command line: which commands there are and what each takes. Exit codes: 0 done, 1 it failed, 2 wrong use.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::flags::ServeFlags;
use crate::resources::{
    AccountsCommand, AuditArgs, DeliveriesCommand, EndpointsCommand, EventTypesCommand, EventsCommand,
    KeysCommand, ModeArgs, OnceArgs, PortalLinksCommand, ReplaysCommand,
};
use crate::{demo, doctor, listen, migrate, nodes, receive, serve, signing, terminal, trigger};

/// Delivers webhooks: takes events in over HTTP, and sends each, signed, to every endpoint that subscribed.
#[derive(Debug, Parser)]
#[command(name = "postrider", version, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service on the embedded store, or as a node on a PostgreSQL database
    Serve(Box<ServeArgs>),
    /// A first look: the service, a receiver and live deliveries, all temporary and on this machine
    Demo(DemoArgs),
    /// Hand in an event, from its type's example or a file, and show what becomes of it
    Trigger(TriggerArgs),
    /// Run a small receiver on this machine, subscribe it, and print each webhook that arrives
    Receive(ReceiveArgs),
    /// Forward live deliveries to a port on this machine, and print each answer
    Listen(Box<ListenArgs>),
    /// Accounts: list, show, create, rename, delete
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// Keys of accounts: list, create, revoke
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Endpoints: list, show, create, change, rotate, test, pause, resume, …
    #[command(subcommand)]
    Endpoints(EndpointsCommand),
    /// Links into the customers' portal: create, revoke
    #[command(subcommand)]
    PortalLinks(PortalLinksCommand),
    /// Event types: list, show, create, update
    #[command(subcommand)]
    EventTypes(EventTypesCommand),
    /// Events: list, show, payload, routing
    #[command(subcommand)]
    Events(EventsCommand),
    /// Deliveries: list, show, resend, cancel
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
    /// Replays: list, show, create, cancel
    #[command(subcommand)]
    Replays(ReplaysCommand),
    /// Who did what, and from where
    Audit(Box<AuditArgs>),
    /// Compute the signature of a body
    Sign(SignArgs),
    /// Check the signature of a body
    Verify(VerifyArgs),
    /// Bring the store's schema up to date (serve does this by itself)
    Migrate(MigrateArgs),
    /// Look at the configuration, the store, the clock, the listener and the way out, and say what is wrong
    Doctor(Box<DoctorArgs>),
    /// Print the OpenAPI description of the REST surface, the same that the service gives at /openapi.json
    Openapi,
    /// Show which nodes serve from the store, and what each of them has
    Nodes(NodesArgs),
    /// Measure this program on this machine beside the bare limit: throughput, latency, memory (half a minute)
    Bench(postrider_bench::ShortArgs),
    /// Print a script that completes these commands in your shell
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: ServeFlags,
    /// Show the configuration with where each value is from, and exit
    #[arg(long)]
    pub(crate) print_config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) settings: ServeFlags,
    /// A host name that deliveries must be able to find, such as a receiver's; may be given several times
    /// [default: example.com, which is only a hint]
    #[arg(long = "resolve", value_name = "NAME")]
    pub(crate) resolve: Vec<String>,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to reach a running service.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Where the service listens
    #[arg(long, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:8040")]
    pub(crate) url: String,
    /// The operator key, or an account key; without it, POSTRIDER_OPERATOR_KEY
    #[arg(long, env = "POSTRIDER_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Certificate authorities (PEM) to trust beside those of the system (or the built-in ones, where the machine has none),
    /// where the URL is https
    #[arg(long, value_name = "FILE", env = "POSTRIDER_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Stop after so many seconds; without it, the demo runs until Ctrl-C
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// How many events to hand in per second
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rate: u32,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerArgs {
    /// The event type, such as policy.created
    #[arg(value_name = "TYPE")]
    pub(crate) event_type: String,
    /// Whose event it is; may be left out with an account's key, or where there is only one account
    #[arg(long, value_name = "acc_…")]
    pub(crate) account: Option<String>,
    /// Change a field of the payload: `gross_premium=2500`, `metadata.order=A-1` (the value is JSON, or else text)
    #[arg(long = "set", value_name = "a.b=c")]
    pub(crate) set: Vec<String>,
    /// Send this file's JSON instead of the type's example, byte for byte (- for standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Send a live event instead of a test event (sets the payload's "livemode", where it has one)
    #[arg(long)]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) once: OnceArgs,
    /// Print the service's answer as JSON and do not wait for the deliveries
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// Where the receiver listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8041")]
    pub(crate) listen: std::net::SocketAddr,
    /// Which event types to subscribe (names, groups such as policy.*, or *)
    #[arg(long = "types", value_name = "TYPES", value_delimiter = ',', default_value = "*")]
    pub(crate) types: Vec<String>,
    /// Subscribe to live events instead of test events
    #[arg(long)]
    pub(crate) live: bool,
    /// The account to subscribe for; without it, an account named "Local receiver" is used, or made
    #[arg(long, value_name = "acc_…")]
    pub(crate) account: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Where to forward to, such as http://127.0.0.1:3000/webhooks
    #[arg(long, value_name = "URL", value_parser = listen::target)]
    pub(crate) forward_to: hyper::Uri,
    /// Which event types to forward (names, groups such as policy.*, or *)
    #[arg(long = "types", value_name = "TYPES", value_delimiter = ',', default_value = "*")]
    pub(crate) types: Vec<String>,
    /// Only deliveries of this account
    #[arg(long, value_name = "acc_…")]
    pub(crate) account: Option<String>,
    /// Only deliveries to this endpoint
    #[arg(long, value_name = "ep_…")]
    pub(crate) endpoint: Option<String>,
    #[command(flatten)]
    pub(crate) mode: ModeArgs,
    /// The secret to sign with; without it, one is made and shown
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// What the contract's headers begin with
    #[arg(long, env = "POSTRIDER_HEADER_PREFIX", default_value = "X-KASKO-")]
    pub(crate) header_prefix: String,
    /// Forward to another machine as well as to this one
    #[arg(long)]
    pub(crate) allow_remote: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    /// Print the service's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// The secret of `sign` and `verify`.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// The endpoint's secret, whsec_ included
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true)]
    pub(crate) secret: String,
    /// The body's file (- or nothing for standard input); every byte of it counts
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    /// Compute the signature of Standard Webhooks instead; wants --id and --timestamp
    #[arg(long, requires_all = ["id", "timestamp"])]
    pub(crate) standard_webhooks: bool,
    /// The webhook-id header
    #[arg(long, requires = "standard_webhooks")]
    pub(crate) id: Option<String>,
    /// The webhook-timestamp header, in seconds since 1970
    #[arg(long, requires = "standard_webhooks")]
    pub(crate) timestamp: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
    /// The signature header's value: `sha1=…`, or `v1,…` of Standard Webhooks
    #[arg(long)]
    pub(crate) signature: String,
    /// The webhook-id header, for a signature of Standard Webhooks
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// The webhook-timestamp header, for a signature of Standard Webhooks
    #[arg(long)]
    pub(crate) timestamp: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The store: sqlite:PATH, or postgres://USER@HOST:PORT/DATABASE
    #[arg(long, env = "POSTRIDER_STORE", hide_env_values = true, default_value = "sqlite:postrider.db")]
    pub(crate) store: String,
}

/// Runs the command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Trigger(args) => trigger::run(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Listen(args) => listen::run(*args),
        Command::Accounts(command) => command.run(),
        Command::Keys(command) => command.run(),
        Command::PortalLinks(command) => command.run(),
        Command::Endpoints(command) => command.run(),
        Command::EventTypes(command) => command.run(),
        Command::Events(command) => command.run(),
        Command::Deliveries(command) => command.run(),
        Command::Replays(command) => command.run(),
        Command::Audit(args) => args.run(),
        Command::Sign(args) => signing::sign(&args),
        Command::Verify(args) => signing::verify(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Openapi => {
            terminal::say(postrider_api::openapi().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Nodes(args) => nodes::run(&args),
        Command::Bench(args) => postrider_bench::run_short(args, "bench"),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "postrider", &mut script);
            terminal::say(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_put_together_right() {
        Cli::command().debug_assert();
    }
}
