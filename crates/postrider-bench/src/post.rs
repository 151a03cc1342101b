//! One keep-alive HTTP/1.1 connection of the library that the service itself delivers with.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Most of an answer that is read: a batch of 1,000 answers with less than half of it.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A connection to one address.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    /// Connects; the connection lives until this value is dropped.
    pub(crate) async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("could not connect to {to}"))?;
        stream.set_nodelay(true).context("could not set TCP_NODELAY")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("no HTTP connection")?;
        // Its error is also the error of the request that was under way.
        tokio::spawn(connection);
        let host = HeaderValue::try_from(to.to_string()).context("an address is no header value")?;
        Ok(Self { sender, host })
    }

    /// Whether the other side ended it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Reads a resource.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::get(path).body(Full::default()).context("no request")?;
        let answer = self.exchange(request, headers).await?;
        Ok((answer.status(), answer.into_body()))
    }

    /// Posts JSON and reads the whole answer.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::post(path).body(Full::new(body)).context("no request")?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        let answer = self.exchange(request, headers).await?;
        Ok((answer.status(), answer.into_body()))
    }

    /// Posts a form and gives what the answer's head says.
    pub(crate) async fn post_form(
        &mut self,
        path: &'static str,
        form: String,
    ) -> anyhow::Result<(StatusCode, HeaderMap)> {
        let request = Request::post(path).body(Full::from(form)).context("no request")?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let answer = self.exchange(request, [(http::header::CONTENT_TYPE, form)]).await?;
        Ok((answer.status(), answer.into_parts().0.headers))
    }

    async fn exchange(
        &mut self,
        mut request: Request<Full<Bytes>>,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> anyhow::Result<Response<Bytes>> {
        let own = request.headers_mut();
        own.insert(http::header::HOST, self.host.clone());
        own.extend(headers);
        self.sender.ready().await.context("the connection closed")?;
        let answer = self.sender.send_request(request).await.context("the request failed")?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|why| anyhow::anyhow!(why)).context("the answer broke off")?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}
