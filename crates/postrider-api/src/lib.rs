//! The REST surface: wire types ↔ engine calls, keys, limits and problems.
//!
//! The only crate that knows status codes. It decides nothing about events, deliveries or endpoints: core judges
//! what comes in, the engine does what is asked. No wire type leaves this crate.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use postrider_engine::Engine;
use tokio::sync::watch;

mod accounts;
mod alive;
mod answer;
mod audit;
mod body;
mod call;
mod caller;
mod client;
mod deliveries;
mod drain;
mod endpoints;
mod event_types;
mod events;
mod failed_keys;
mod fields;
mod finish;
mod keys;
mod loops;
mod metrics;
mod nodes;
mod once;
mod openapi;
mod owner;
mod portal_links;
mod problem;
mod query;
mod rate_limit;
mod replays;
mod request_head;
mod routes;
mod seldom;
mod server;
mod surface;

pub use openapi::openapi;
pub use routes::paths;
pub use server::serve;

use body::BodyMemory;
use deliveries::StreamLimits;
use failed_keys::FailedKeys;
use rate_limit::RateLimit;
use server::Phase;

/// How much the surface takes on at once, and for how long it waits.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// How many connections are open at once. Past it the longest idle one is closed for each new one. Unless `behind_proxy`
    /// is set, one client address has a quarter of them.
    pub max_connections: usize,
    /// How long a new connection may take to send its first byte.
    pub first_byte_timeout: Duration,
    /// How long a connection may take to send a request's header block, from its first byte on.
    pub header_timeout: Duration,
    /// How long a connection may be idle after a response.
    pub keep_alive: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a connection may take nothing of its answer.
    pub write_timeout: Duration,
    /// How many bytes of request bodies are held at once, at least three batches'; beyond, the answer is 503. One account has
    /// a quarter of it at most, and one batch's part is the operator's only.
    pub body_memory_bytes: usize,
    /// How long running requests are waited for at shutdown.
    pub grace: Duration,
    /// How many requests one account key may make per second; 0 is no limit. The operator's key has none.
    pub rate_limit_per_second: u32,
    /// How many unknown keys an address may try before its keys are refused without being judged. It gets one back every 30 s.
    pub failed_keys_per_address: u32,
    /// How many streams are open at once; a quarter of them for one account, and an eighth only for the operator.
    pub max_streams: usize,
    /// How often a stream says that it is still there.
    pub stream_heartbeat: Duration,
    /// Whether a proxy in front tells who calls (`X-Forwarded-For`, or else `Forwarded`).
    pub behind_proxy: bool,
    /// What answers the paths that are none of the API's, `/v1/` and below never among them. It finds the other side's
    /// address in a request's extensions, as axum's `ConnectInfo<SocketAddr>`.
    pub beside: Option<Router>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            first_byte_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            body_memory_bytes: 64 * 1024 * 1024,
            grace: Duration::from_secs(20),
            rate_limit_per_second: 0,
            failed_keys_per_address: 10,
            max_streams: 128,
            stream_heartbeat: Duration::from_secs(15),
            behind_proxy: false,
            beside: None,
        }
    }
}

/// What every call works with.
struct Api {
    engine: Engine,
    body_timeout: Duration,
    body_memory: Arc<BodyMemory>,
    rate_limit: RateLimit,
    failed_keys: FailedKeys,
    streams: StreamLimits,
    stream_heartbeat: Duration,
    behind_proxy: bool,
    /// Told when the server stops, so that streams end then.
    phase: watch::Receiver<Phase>,
}

impl Api {
    fn new(engine: Engine, options: &ApiOptions, phase: watch::Receiver<Phase>) -> Self {
        Self {
            engine,
            body_timeout: options.body_timeout,
            body_memory: BodyMemory::new(options.body_memory_bytes),
            rate_limit: RateLimit::new(options.rate_limit_per_second),
            failed_keys: FailedKeys::new(options.failed_keys_per_address),
            streams: StreamLimits::new(options.max_streams),
            stream_heartbeat: options.stream_heartbeat,
            behind_proxy: options.behind_proxy,
            phase,
        }
    }
}
