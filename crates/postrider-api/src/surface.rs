//! The whole surface as one service: what holds for every request (`finish.rs`) around the routes.
//!
//! Events are the hot path, so that `POST /v1/events` goes to its handler at once; everything else is found by the
//! router. Both ways lead through the same checks and the same handler.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, header};
use hyper::body::Incoming;
use postrider_engine::Engine;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service as _;

use crate::call::Call;
use crate::caller::Caller;
use crate::edge::Counted;
use crate::problem::{Code, Problem};
use crate::server::Phase;
use crate::{Api, ApiOptions, drain, events, finish, routes};

const EVENTS: &str = "/v1/events";

/// Answers requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Surface {
    api: Arc<Api>,
    router: Router,
    /// The other side of the connection, once there is one.
    peer: Option<SocketAddr>,
}

impl Surface {
    pub(crate) fn new(engine: Engine, options: &ApiOptions, phase: watch::Receiver<Phase>) -> Self {
        let api = Arc::new(Api::new(engine, options, phase));
        let router = routes::router(Arc::clone(&api), options.beside.clone());
        Self { router, api, peer: None }
    }

    /// The same for a connection from `peer`.
    pub(crate) fn facing(&self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self.clone() }
    }

    /// Answers a request within the limits at the edge.
    async fn answer(self, request: Request) -> Response {
        let (api, peer) = (Arc::clone(&self.api), self.peer);
        // A wrong key is someone's guess; none at all is not.
        let has_key = request.headers().contains_key(header::AUTHORIZATION);
        let counted = self.count(&request);
        let mut response = match counted {
            Some(counted) if !counted.may_pass => {
                Problem::new(Code::RateLimited, "the key has made as many requests this second as it may")
                    .into_response()
            }
            _ => self.route(request).await,
        };
        if let Some(counted) = counted {
            counted.write(response.headers_mut());
        }
        if response.status() == StatusCode::UNAUTHORIZED
            && has_key
            && let Some(peer) = peer
            && !api.edge.hold_back(peer.ip()).await
        {
            let detail = "too many unknown keys are being tried; try again later";
            return Problem::new(Code::RateLimited, detail).into_response();
        }
        response
    }

    /// Counts a request with an account's key, where these are limited.
    fn count(&self, request: &Request) -> Option<Counted> {
        if !self.api.edge.is_limiting() {
            return None;
        }
        let key = Caller::known(request.headers(), &self.api.engine)?.key()?;
        self.api.edge.count(key, Instant::now())
    }

    async fn route(mut self, mut request: Request) -> Response {
        if request.method() == Method::POST && request.uri().path() == EVENTS {
            return match Call::unnamed(request, &self.api).await {
                Ok(call) => events::create(call).await.into_response(),
                Err(problem) => problem.into_response(),
            };
        }
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let Ok(response) = self.router.call(request).await;
        response
    }
}

impl hyper::service::Service<hyper::Request<Incoming>> for Surface {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let surface = self.clone();
        Box::pin(async move {
            let request = drain::watch(request);
            Ok(finish::finish(request, |request| surface.answer(request)).await)
        })
    }
}
