//! One request with a key, on its way to a use case: who calls, what the path and the query name, what the body
//! says. The order of refusals is made here: 401 before anything else, 404 and 403 before the body is read.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts as _, RawPathParams, Request};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use postrider_core::audit::Who;
use postrider_core::trace::CallerSpan;
use postrider_engine::traces::Origin;
use postrider_engine::{Acting, Engine};

use crate::Api;
use crate::body::{self, Limit, Received};
use crate::caller::Caller;
use crate::client::{Client, Peer};
use crate::problem::Problem;
use crate::query::Query;

/// Names the span in which a call is made (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request whose key is known.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    /// The client's address, or the proxy's if that doesn't tell it.
    address: Option<IpAddr>,
    api: Arc<Api>,
    parts: Parts,
    /// What stands in the path for `{id}`; empty where it can't be read, which is the name of nothing.
    named: String,
    /// What stands behind it for `{link}`.
    second: String,
    /// Locked by nobody: a body alone is not `Sync`, and a call is looked at across awaits.
    body: Mutex<Body>,
}

impl FromRequest<Arc<Api>> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let peer = request.extensions().get::<Peer>().cloned();
        let mut call = Self::unnamed(request, api, peer.as_ref()).await?;
        let params = RawPathParams::from_request_parts(&mut call.parts, &()).await;
        if let Ok(params) = params {
            let mut values = params.iter().map(|(_, value)| value.to_owned());
            call.named = values.next().unwrap_or_default();
            call.second = values.next().unwrap_or_default();
        }
        call.know_what_is_named().await;
        Ok(call)
    }
}

impl Call {
    /// A call whose path has no `{id}`.
    pub(crate) async fn unnamed(
        request: Request,
        api: &Arc<Api>,
        peer: Option<&Peer>,
    ) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let client = Client::new(&parts.headers, peer, api.behind_proxy);
        let caller = Caller::of(&parts.headers, api, client).await?;
        Ok(Self {
            caller,
            address: client.address.or(peer.map(|peer| peer.address.ip())),
            api: Arc::clone(api),
            parts,
            named: String::new(),
            second: String::new(),
            body: Mutex::new(body),
        })
    }

    /// Sees to it that an endpoint or an account in the path is known here, also where another node made it a moment ago.
    /// Whoever looks it up answers for one that is not there, or can't be asked for.
    async fn know_what_is_named(&self) {
        if let Ok(id) = self.named.parse() {
            drop(self.engine().endpoint_anywhere(id).await);
        } else if let Ok(id) = self.named.parse() {
            drop(self.engine().account_anywhere(id).await);
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.api.engine
    }

    /// The engine in the caller's hands, for what changes something.
    pub(crate) fn acting(&self) -> Acting {
        self.api.engine.by(Who { actor: self.caller.actor(), address: self.address })
    }

    /// Where events come from that this call hands in; none where nobody traces them. It begins now.
    pub(crate) fn origin(&self, route: &'static str) -> Option<Origin> {
        self.api.engine.origin(route, || {
            let mut values = self.parts.headers.get_all(TRACEPARENT).iter();
            let only = values.next().filter(|_| values.next().is_none())?;
            CallerSpan::from_traceparent(only.to_str().ok()?)
        })
    }

    pub(crate) fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// The request's path.
    pub(crate) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What the path names, as it stands there.
    pub(crate) fn name(&self) -> &str {
        &self.named
    }

    /// The id in the path. What can't be read as one is not there.
    pub(crate) fn id<T: FromStr>(&self) -> Result<T, Problem> {
        self.named.parse().map_err(|_not_an_id| Problem::not_found())
    }

    /// The second id in the path.
    pub(crate) fn second_id<T: FromStr>(&self) -> Result<T, Problem> {
        self.second.parse().map_err(|_not_an_id| Problem::not_found())
    }

    /// The query's parameters, which must be among `known`.
    pub(crate) fn query(&self, known: &'static [&'static str]) -> Result<Query, Problem> {
        Query::parse(self.parts.uri.query().unwrap_or_default(), known)
    }

    /// Refuses any query parameter.
    pub(crate) fn no_query(&self) -> Result<(), Problem> {
        self.query(&[]).map(drop)
    }

    /// Reads the body.
    pub(crate) async fn body(&mut self, limit: Limit) -> Result<Received, Problem> {
        let body = std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner));
        body::read(&self.api, self.caller, &self.parts.headers, body, limit).await
    }

    /// Reads a body that may be left out and has no fields.
    pub(crate) async fn no_fields(&mut self) -> Result<(), Problem> {
        self.body(Limit::Request).await?.has_no_fields()
    }
}
