//! An HTTP/1.1 connection to a receiver, driven by the attempt that uses it.
//!
//! No task runs behind a link: whoever waits for an answer also moves the connection's bytes, so an answer
//! wakes one task once. An unused link therefore stands still, and is looked at when it is taken up again.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::limits::MAX_CONNECTION_AGE;
use crate::wire::{Meter, Metered, Stream};

/// A connection that one attempt at a time uses. Always boxed, so that moving it in and out of the pool is cheap.
pub(crate) struct Link {
    requests: SendRequest<Full<Bytes>>,
    /// None once the connection has ended.
    connection: Option<Connection<TokioIo<Metered>, Full<Bytes>>>,
    meter: Arc<Meter>,
    /// The address that was checked and dialled.
    pub(crate) peer: SocketAddr,
    opened_at: Instant,
}

impl Link {
    /// Speaks HTTP/1.1 on a stream. Nothing is sent yet.
    pub(crate) async fn open(stream: Stream, peer: SocketAddr) -> Result<Box<Self>, hyper::Error> {
        let meter = Arc::new(Meter::default());
        let io = TokioIo::new(Metered::new(stream, Arc::clone(&meter)));
        let (requests, connection) = http1::Builder::new().title_case_headers(true).handshake(io).await?;
        Ok(Box::new(Self { requests, connection: Some(connection), meter, peer, opened_at: Instant::now() }))
    }

    /// Sends a request and waits for the whole header block of its final answer. The body is not read yet.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.meter.begin();
        let answer = self.requests.send_request(request);
        let answer = self.drive(answer).await;
        self.meter.headers_arrived();
        answer
    }

    /// Waits for something that comes from this connection, moving the connection on meanwhile.
    pub(crate) async fn drive<F: Future>(&mut self, awaited: F) -> F::Output {
        let mut awaited = pin!(awaited);
        poll_fn(|cx| {
            self.advance(cx);
            awaited.as_mut().poll(cx)
        })
        .await
    }

    /// Moves the connection on. When it has ended it is dropped at once, which tells whoever waits for it.
    fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection {
            // How the connection ended reaches the awaited answer or body as its own error.
            if let Poll::Ready(_ended) = Pin::new(connection).poll(cx) {
                self.connection = None;
            }
        }
    }

    /// Whether nothing of the request was handed to the connection.
    pub(crate) fn wrote_nothing(&self) -> bool {
        self.meter.written_bytes() == 0
    }

    /// How many bytes of an answer came.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.meter.read_bytes()
    }

    /// Whether another request can be sent after the last answer was read to its end.
    pub(crate) fn is_reusable(&mut self, now: Instant) -> bool {
        if now.duration_since(self.opened_at) >= MAX_CONNECTION_AGE {
            return false;
        }
        // Nobody waits for an unused connection, so nobody is to be woken by it.
        self.advance(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.requests.is_ready()
    }

    /// The same for a link that has been waiting: the receiver may have left meanwhile.
    pub(crate) fn is_still_alive(&mut self, now: Instant) -> bool {
        self.meter.look_first();
        self.is_reusable(now)
    }
}
