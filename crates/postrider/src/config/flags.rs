//! The flags of `serve`, which `doctor` takes too. Each is a text here: reading it comes after the layers are laid over each other.

use std::path::PathBuf;

use clap::Args;

/// Flags of the settings. Each can also be set by an environment variable or in postrider.toml; the flag wins over the
/// environment, the environment over the file, the file over the default.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeFlags {
    /// Where to listen [default: 127.0.0.1:8040] [env: POSTRIDER_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where everything is kept: sqlite:PATH, or postgres://USER@HOST:PORT/DATABASE for one or more nodes; a password is
    /// better given by the environment [default: sqlite:postrider.db] [env: POSTRIDER_STORE]
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// The key that may do everything, of 32 characters at least; the first start generates one if none is set. Better given
    /// by the environment or by --operator-key-file, since every user of this machine can read a flag
    /// [env: POSTRIDER_OPERATOR_KEY]
    #[arg(long, value_name = "KEY")]
    pub(crate) operator_key: Option<String>,
    /// The file that holds the operator key and nothing else [env: POSTRIDER_OPERATOR_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_key_file: Option<String>,
    /// The file with the key that secrets are encrypted with; with PostgreSQL required, and the same on every node
    /// [default: postrider.key beside the SQLite file] [env: POSTRIDER_MASTER_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) master_key_file: Option<String>,
    /// Networks that deliveries may reach although they are private, such as 127.0.0.0/8,10.1.0.0/16
    /// [env: POSTRIDER_ALLOW_NETS]
    #[arg(long, value_name = "CIDRS")]
    pub(crate) allow_nets: Option<String>,
    /// Networks that deliveries must not reach although they are public or within --allow-nets, such as your own public ranges
    /// [env: POSTRIDER_DENY_NETS]
    #[arg(long, value_name = "CIDRS")]
    pub(crate) deny_nets: Option<String>,
    /// Ports that endpoints may name; any where empty [env: POSTRIDER_ALLOW_PORTS]
    #[arg(long, value_name = "PORTS")]
    pub(crate) allow_ports: Option<String>,
    /// Whether endpoints must use https [default: false] [env: POSTRIDER_REQUIRE_HTTPS]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) require_https: Option<String>,
    /// Delays after each failed attempt, such as 5s,5m,2h [env: POSTRIDER_RETRY_SCHEDULE]
    #[arg(long, value_name = "DELAYS")]
    pub(crate) retry_schedule: Option<String>,
    /// How long an endpoint's attempts may fail without a success before it is disabled: a duration such as 5d or 12h, or
    /// off [default: 5d] [env: POSTRIDER_DISABLE_AFTER]
    #[arg(long, value_name = "DURATION")]
    pub(crate) disable_after: Option<String>,
    /// What the contract's headers begin with [default: X-KASKO-] [env: POSTRIDER_HEADER_PREFIX]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) header_prefix: Option<String>,
    /// The User-Agent of deliveries [default: Postrider and its version] [env: POSTRIDER_USER_AGENT]
    #[arg(long, value_name = "TEXT")]
    pub(crate) user_agent: Option<String>,
    /// Certificate authorities (PEM) that deliveries trust on https beside those of the system (or the built-in ones, where
    /// the machine has none) [env: POSTRIDER_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<String>,
    /// How many days finished deliveries are kept [default: 30] [env: POSTRIDER_RETENTION_DAYS]
    #[arg(long, value_name = "DAYS")]
    pub(crate) retention_days: Option<String>,
    /// Requests in flight over all endpoints [default: 4096, or half the open-file limit if that is less]
    /// [env: POSTRIDER_MAX_IN_FLIGHT]
    #[arg(long, value_name = "N")]
    pub(crate) max_in_flight: Option<String>,
    /// How many requests one account key may make per second; the operator's key has no limit [default: 0, which is
    /// no limit] [env: POSTRIDER_RATE_LIMIT_PER_SECOND]
    #[arg(long, value_name = "N")]
    pub(crate) rate_limit_per_second: Option<String>,
    /// What people call this node, where there are several [default: the host's name and the process's number]
    /// [env: POSTRIDER_NODE_NAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// How long a node may not be heard of before others take over its deliveries, in seconds; the same on every node
    /// [default: 6] [env: POSTRIDER_NODE_LAPSE_SECONDS]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) node_lapse_seconds: Option<String>,
    /// Connections of this node to a PostgreSQL database [default: 16] [env: POSTRIDER_DATABASE_CONNECTIONS]
    #[arg(long, value_name = "N")]
    pub(crate) database_connections: Option<String>,
    /// How long requests in flight may take to end at shutdown, in seconds [default: 20]
    /// [env: POSTRIDER_SHUTDOWN_GRACE_SECONDS]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) shutdown_grace_seconds: Option<String>,
    /// What customers read at the top of the portal [default: Webhooks] [env: POSTRIDER_PORTAL_TITLE]
    #[arg(long, value_name = "TITLE")]
    pub(crate) portal_title: Option<String>,
    /// A picture for the top of the portal: SVG, PNG, JPEG or WebP, 64 KiB at most [env: POSTRIDER_PORTAL_LOGO]
    #[arg(long, value_name = "FILE")]
    pub(crate) portal_logo: Option<String>,
    /// The colour of buttons and links in the portal, such as #0a7d5a [env: POSTRIDER_PORTAL_ACCENT]
    #[arg(long, value_name = "COLOUR")]
    pub(crate) portal_accent: Option<String>,
    /// Origins whose pages may frame the portal, such as `https://app.example.com` [env: POSTRIDER_PORTAL_FRAME_ORIGINS]
    #[arg(long, value_name = "ORIGINS")]
    pub(crate) portal_frame_origins: Option<String>,
    /// Whether a proxy in front tells the dashboard who calls and whether over TLS (X-Forwarded-For, -Host, -Proto)
    /// [default: false] [env: POSTRIDER_BEHIND_PROXY]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) behind_proxy: Option<String>,
    /// Where traces and metrics are pushed: an OpenTelemetry collector's URL for OTLP over HTTP, such as
    /// `http://127.0.0.1:4318`; nowhere where empty [env: POSTRIDER_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// An HTTP proxy that deliveries leave through, by CONNECT to addresses resolved here, such as
    /// `http://proxy.internal:3128` or `http://user:password@…`; none where empty [env: POSTRIDER_PROXY]
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// How log lines look: text or json [default: text] [env: POSTRIDER_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Which log lines are written: error, warn, info, debug, trace or off, and levels of single targets, such as
    /// info,postrider_store=debug [default: info] [env: POSTRIDER_LOG_LEVEL]
    #[arg(long, value_name = "LEVELS")]
    pub(crate) log_level: Option<String>,
    /// Which attempts get a log line (target postrider::attempt): all, failed or none [default: all]
    /// [env: POSTRIDER_LOG_ATTEMPTS]
    #[arg(long, value_name = "WHICH")]
    pub(crate) log_attempts: Option<String>,
    /// The configuration file [default: postrider.toml, where there is one] [env: POSTRIDER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl ServeFlags {
    /// The flag's text for a setting of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let flag = match name {
            "listen" => &self.listen,
            "store" => &self.store,
            "operator_key" => &self.operator_key,
            "operator_key_file" => &self.operator_key_file,
            "master_key_file" => &self.master_key_file,
            "allow_nets" => &self.allow_nets,
            "deny_nets" => &self.deny_nets,
            "allow_ports" => &self.allow_ports,
            "require_https" => &self.require_https,
            "retry_schedule" => &self.retry_schedule,
            "disable_after" => &self.disable_after,
            "header_prefix" => &self.header_prefix,
            "user_agent" => &self.user_agent,
            "ca_file" => &self.ca_file,
            "retention_days" => &self.retention_days,
            "max_in_flight" => &self.max_in_flight,
            "rate_limit_per_second" => &self.rate_limit_per_second,
            "node_name" => &self.node_name,
            "node_lapse_seconds" => &self.node_lapse_seconds,
            "database_connections" => &self.database_connections,
            "shutdown_grace_seconds" => &self.shutdown_grace_seconds,
            "portal_title" => &self.portal_title,
            "portal_logo" => &self.portal_logo,
            "portal_accent" => &self.portal_accent,
            "portal_frame_origins" => &self.portal_frame_origins,
            "behind_proxy" => &self.behind_proxy,
            "otlp_endpoint" => &self.otlp_endpoint,
            "proxy" => &self.proxy,
            "log_format" => &self.log_format,
            "log_level" => &self.log_level,
            "log_attempts" => &self.log_attempts,
            _ => return None,
        };
        flag.as_deref()
    }
}
