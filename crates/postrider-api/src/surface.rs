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
use http::{HeaderValue, Method, header};
use hyper::body::Incoming;
use postrider_engine::{Engine, KeyUse};
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service as _;

use crate::call::Call;
use crate::caller::Caller;
use crate::client::{Client, Peer};
use crate::problem::{Code, Problem};
use crate::rate_limit::Counted;
use crate::server::{Activity, Phase, ResponseBody};
use crate::{Api, ApiOptions, caller, drain, events, finish, request_head, routes};

const EVENTS: &str = "/v1/events";

/// Answers requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Surface {
    api: Arc<Api>,
    router: Router,
    /// The other side of the connection, once there is one.
    peer: Option<Peer>,
}

impl Surface {
    pub(crate) fn new(engine: Engine, options: &ApiOptions, phase: watch::Receiver<Phase>) -> Self {
        let api = Arc::new(Api::new(engine, options, phase));
        let router = routes::router(Arc::clone(&api), options.beside.clone());
        Self { router, api, peer: None }
    }

    /// The same for a connection from `address`.
    pub(crate) fn with_peer(&self, address: SocketAddr, activity: Arc<Activity>) -> Self {
        Self { peer: Some(Peer { address, activity }), ..self.clone() }
    }

    /// Answers a request within the limits at the edge.
    async fn answer(self, request: Request) -> Response {
        if let Err(problem) = request_head::check(&request) {
            return closing(problem);
        }
        if let Some(problem) = self.refuse_unjudged(&request) {
            return problem.into_response();
        }
        let counted = self.count(&request);
        let mut response = match counted {
            Some(counted) if !counted.may_pass => {
                Problem::new(Code::RateLimited, "rate limit exceeded for this key").into_response()
            }
            _ => self.route(request).await,
        };
        if let Some(counted) = counted {
            counted.write(response.headers_mut());
        }
        response
    }

    /// Refuses a key from an address that has used up its failures, before the key is judged: nobody can tell a right one
    /// from a wrong one by the answer. Paths that want no key are open all the same.
    fn refuse_unjudged(&self, request: &Request) -> Option<Problem> {
        let address = Client::new(request.headers(), self.peer.as_ref(), self.api.behind_proxy).address?;
        let key = || caller::key_of(request.headers()).ok();
        let wait = self.api.failed_keys.must_wait(address, key, Instant::now())?;
        if routes::OPEN.contains(&request.uri().path()) {
            return None;
        }
        self.api.engine.count_unjudged_key(KeyUse::Api);
        let detail =
            "too many unknown keys came from this address; its keys are not looked at until Retry-After";
        Some(Problem::new(Code::RateLimited, detail).after(wait))
    }

    /// Counts a request with an account's key, where these are limited.
    fn count(&self, request: &Request) -> Option<Counted> {
        if !self.api.rate_limit.is_limiting() {
            return None;
        }
        let key = Caller::known(request.headers(), &self.api.engine)?.key()?;
        self.api.rate_limit.count(key, Instant::now())
    }

    async fn route(mut self, mut request: Request) -> Response {
        if request.method() == Method::POST && request.uri().path() == EVENTS {
            return match Call::unnamed(request, &self.api, self.peer.as_ref()).await {
                Ok(call) => events::create(call).await.into_response(),
                Err(problem) => problem.into_response(),
            };
        }
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer.address));
            request.extensions_mut().insert(peer);
        }
        let Ok(response) = self.router.call(request).await;
        response
    }
}

/// The response to a request whose end can't be told for certain.
fn closing(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

impl hyper::service::Service<hyper::Request<Incoming>> for Surface {
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let surface = self.clone();
        Box::pin(async move {
            let peer = surface.peer.as_ref().expect("a connection is served with its peer");
            let activity = Arc::clone(&peer.activity);
            if !activity.begin_request() {
                // The connection is about to be closed: the client sends this again on another one.
                return std::future::pending().await;
            }
            let request = drain::watch(request, Arc::clone(&activity));
            let response = finish::finish(request, |request| surface.answer(request)).await;
            Ok(response.map(|body| ResponseBody::new(body, activity)))
        })
    }
}
