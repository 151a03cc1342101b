//! A request's body that nobody wants is read to its end and thrown away, so that a client that is still sending
//! gets to the answer instead of a reset connection. Bounded in bytes and in time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::server::Activity;

/// How much of a refused body is thrown away before the connection is closed.
const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;
/// How long that may take.
const MAX_DRAIN: Duration = Duration::from_secs(2);

/// Sees to it that the request's body is drained if it is dropped before its end.
pub(crate) fn watch(request: http::Request<Incoming>, activity: Arc<Activity>) -> Request {
    if request.body().is_end_stream() {
        return request.map(|_nothing| Body::empty());
    }
    // Such a client sends nothing until it is asked to, and a refusal must not ask.
    let asks_first = request.headers().contains_key(header::EXPECT);
    request.map(|body| Body::new(Watched { body: Some(body), was_read: !asks_first, ended: false, activity }))
}

struct Watched {
    /// There until it is dropped.
    body: Option<Incoming>,
    was_read: bool,
    ended: bool,
    /// Told while the client is waited for.
    activity: Arc<Activity>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.was_read = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        self.activity.set_waits_for_body(polled.is_pending());
        self.ended |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.activity.set_waits_for_body(false);
        if self.ended || !self.was_read || self.is_end_stream() {
            return;
        }
        // Beside the answer, not before it: a client that reads while it sends has the answer at once.
        if let (Ok(runtime), Some(body)) = (tokio::runtime::Handle::try_current(), self.body.take()) {
            runtime.spawn(drain(body));
        }
    }
}

async fn drain(mut body: Incoming) {
    let to_the_end = async {
        let mut drained = 0;
        while drained < MAX_DRAINED_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            drained += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    if tokio::time::timeout(MAX_DRAIN, to_the_end).await.is_err() {
        tracing::debug!("a refused body was still being sent; its connection is closed");
    }
}
