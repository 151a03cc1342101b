//! The REST surface: wire types ↔ engine calls, keys, limits and problems.
//!
//! The only crate that knows status codes. It decides nothing about events, deliveries or endpoints: core judges
//! what comes in, the engine does what is asked. No wire type leaves this crate.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use postrider_engine::Engine;
use tokio::sync::{Semaphore, watch};

mod accounts;
mod alive;
mod answer;
mod body;
mod call;
mod caller;
mod deliveries;
mod drain;
mod endpoints;
mod event_types;
mod events;
mod fields;
mod finish;
mod owner;
mod problem;
mod query;
mod replays;
mod seldom;
mod server;
mod surface;

pub use server::serve;

use deliveries::StreamSlots;
use server::Phase;

/// How much the surface takes on at once, and for how long it waits.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// How many connections are open at once; further ones wait in the operating system's queue.
    pub max_connections: usize,
    /// How long a connection may take to send a request's header block, or stay idle before it.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a connection may take nothing of its answer.
    pub write_timeout: Duration,
    /// How many bytes of request bodies are held at once, at least one batch's; beyond, the answer is 503.
    pub body_memory_bytes: usize,
    /// How long running requests are waited for at shutdown.
    pub grace: Duration,
    /// How many streams are open at once; a quarter of them for one account.
    pub max_streams: usize,
    /// How often a stream says that it is still there. The key is looked at as often: a revoked one ends its streams.
    pub stream_heartbeat: Duration,
    /// What answers the paths that are none of the API's, `/v1/` and below never among them. It finds the other side's
    /// address in a request's extensions, as axum's `ConnectInfo<SocketAddr>`.
    pub beside: Option<Router>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            body_memory_bytes: 64 * 1024 * 1024,
            grace: Duration::from_secs(20),
            max_streams: 128,
            stream_heartbeat: Duration::from_secs(15),
            beside: None,
        }
    }
}

/// What every call works with.
struct Api {
    engine: Engine,
    body_timeout: Duration,
    /// A permit for each KiB of request bodies held at once.
    body_memory: Arc<Semaphore>,
    streams: StreamSlots,
    stream_heartbeat: Duration,
    /// Told when the server stops, so that streams end then.
    phase: watch::Receiver<Phase>,
}

impl Api {
    fn new(engine: Engine, options: &ApiOptions, phase: watch::Receiver<Phase>) -> Self {
        Self {
            engine,
            body_timeout: options.body_timeout,
            body_memory: body::memory(options.body_memory_bytes),
            streams: StreamSlots::new(options.max_streams),
            stream_heartbeat: options.stream_heartbeat,
            phase,
        }
    }
}

/// The routes; what is none of them goes to `beside`, where there is one.
fn router(api: Arc<Api>, beside: Option<Router>) -> Router {
    Router::new()
        .route("/healthz", get(alive::healthz))
        .route("/readyz", get(alive::readyz))
        .route("/v1/accounts", get(accounts::list).post(accounts::create))
        .route("/v1/accounts/{id}", get(accounts::show).patch(accounts::rename).delete(accounts::delete))
        .route("/v1/endpoints", get(endpoints::list).post(endpoints::create))
        .route("/v1/endpoints/{id}", get(endpoints::show).patch(endpoints::change).delete(endpoints::delete))
        .route("/v1/endpoints/{id}/secret", get(endpoints::secret))
        .route("/v1/endpoints/{id}/pause", post(endpoints::pause))
        .route("/v1/endpoints/{id}/resume", post(endpoints::resume))
        .route("/v1/endpoints/{id}/enable", post(endpoints::enable))
        .route("/v1/endpoints/{id}/disable", post(endpoints::disable))
        .route("/v1/event-types", get(event_types::list))
        .route("/v1/event-types/{id}", get(event_types::show))
        .route("/v1/events", get(events::list).post(events::create))
        .route("/v1/events/batch", post(events::create_batch))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/payload", get(events::payload))
        .route("/v1/events/{id}/routing", get(events::routing))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/stream", get(deliveries::stream))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/resend", post(deliveries::resend))
        .route("/v1/replays", get(replays::list).post(replays::create))
        .route("/v1/replays/{id}", get(replays::show))
        .route("/v1/replays/{id}/cancel", post(replays::cancel))
        .fallback(move |request| finish::elsewhere(request, beside))
        .method_not_allowed_fallback(finish::wrong_method)
        .with_state(api)
}
