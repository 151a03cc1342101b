//! The routes of the surface. Each has its entry in `openapi/operations.rs`; a test compares the two.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post};

use crate::{
    Api, accounts, alive, audit, deliveries, endpoints, event_types, events, finish, keys, metrics, nodes,
    openapi, portal_links, replays,
};

/// The paths that want no key.
pub(crate) const OPEN: [&str; 4] = ["/healthz", "/readyz", "/openapi.json", "/docs"];

/// Routes, with their paths as they were given: a router does not tell them.
#[derive(Default)]
struct Routes {
    router: Router<Arc<Api>>,
    paths: Vec<&'static str>,
}

impl Routes {
    fn route(mut self, path: &'static str, methods: MethodRouter<Arc<Api>>) -> Self {
        self.paths.push(path);
        self.router = self.router.route(path, methods);
        self
    }
}

/// Answers every path; what is none of the routes' goes to `beside`, where there is one.
pub(crate) fn router(api: Arc<Api>, beside: Option<Router>) -> Router {
    all()
        .router
        .fallback(move |request| finish::elsewhere(request, beside))
        .method_not_allowed_fallback(finish::wrong_method)
        .with_state(api)
}

/// Every route.
fn all() -> Routes {
    Routes::default()
        .route("/openapi.json", get(openapi::description))
        .route("/docs", get(openapi::page))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(alive::healthz))
        .route("/readyz", get(alive::readyz))
        .route("/v1/accounts", get(accounts::list).post(accounts::create))
        .route("/v1/accounts/{id}", get(accounts::show).patch(accounts::rename).delete(accounts::delete))
        .route("/v1/accounts/{id}/keys", get(keys::list).post(keys::create))
        .route("/v1/accounts/{id}/portal-links", post(portal_links::create))
        .route("/v1/accounts/{id}/portal-links/{link}", delete(portal_links::revoke))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/endpoints", get(endpoints::list).post(endpoints::create))
        .route("/v1/endpoints/{id}", get(endpoints::show).patch(endpoints::change).delete(endpoints::delete))
        .route("/v1/endpoints/{id}/secret", get(endpoints::reveal))
        .route("/v1/endpoints/{id}/secret/rotate", post(endpoints::rotate))
        .route("/v1/endpoints/{id}/secret/overlap", delete(endpoints::end_overlap))
        .route("/v1/endpoints/{id}/pause", post(endpoints::pause))
        .route("/v1/endpoints/{id}/resume", post(endpoints::resume))
        .route("/v1/endpoints/{id}/enable", post(endpoints::enable))
        .route("/v1/endpoints/{id}/disable", post(endpoints::disable))
        .route("/v1/endpoints/{id}/test", post(endpoints::test))
        .route("/v1/event-types", get(event_types::list).post(event_types::create))
        .route("/v1/event-types/{id}", get(event_types::show).patch(event_types::change))
        .route("/v1/events", get(events::list).post(events::create))
        .route("/v1/events/batch", post(events::create_batch))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/payload", get(events::payload))
        .route("/v1/events/{id}/routing", get(events::routing))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/stream", get(deliveries::stream))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/resend", post(deliveries::resend))
        .route("/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .route("/v1/audit", get(audit::list))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/replays", get(replays::list).post(replays::create))
        .route("/v1/replays/{id}", get(replays::show))
        .route("/v1/replays/{id}/cancel", post(replays::cancel))
}

/// The paths of all routes.
pub fn paths() -> Vec<&'static str> {
    all().paths
}
