//! A small receiver for this machine: takes webhooks in, checks nothing by itself, answers what it is told to.
//!
//! `demo` and `receive` decide what to answer. It is a receiver as anyone would write one, no part of the service.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The longest body that it takes.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// A webhook that arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrived {
    /// The text of the contract's header that ends so, whatever prefix the service uses; empty where there is none.
    pub(crate) fn contract_header(&self, end: &str) -> &str {
        let is_it = |name: &&str| name.ends_with(end) && !name.starts_with("webhook-");
        let name = self.headers.keys().map(hyper::header::HeaderName::as_str).find(is_it);
        name.map_or("", |name| self.header(name))
    }

    /// A header's text; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Serves until dropped; `answer` gives the status.
pub(crate) async fn serve(
    listener: TcpListener,
    answer: impl Fn(Arrived) -> StatusCode + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer.clone();
                async move { Ok::<_, Infallible>(take(request, &*answer).await) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A connection that breaks is the sender's affair.
            drop(connection.await);
        });
    }
}

async fn take(
    request: Request<Incoming>,
    answer: &(impl Fn(Arrived) -> StatusCode + ?Sized),
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let status = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => {
            answer(Arrived { path: head.uri.path().to_owned(), headers: head.headers, body: body.to_bytes() })
        }
        Err(_too_long_or_broken) => StatusCode::PAYLOAD_TOO_LARGE,
    };
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}
