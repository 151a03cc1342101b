//! What one delivery's HTTP costs: our exchange beside hyper's, both in turn in one process, as CPU time of the client's
//! thread and as allocations.
//!
//! Run with `cargo run --release -p postrider-sender --example exchange_cost`. Both sides send the same request on a
//! connection that is used again, keep the same log of it and of the response, and read the body. Ours does more: it is a
//! whole attempt with its deadline, its pool and its report.

#![expect(clippy::print_stdout, reason = "a measurement prints what it found")]

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use postrider_core::address::AddressGuard;
use postrider_core::attempt::HeaderLog;
use postrider_core::field_name::FieldName;
use postrider_core::time::Timestamp;
use postrider_sender::{AttemptRequest, Sender, SenderConfig, Tenant, Transport as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 7;
const REQUESTS: usize = 20_000;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 29 Nov 2026 00:00:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 15\r\nConnection: keep-alive\r\n\r\n{\"status\":\"ok\"}";
const HEADERS: [(&str, &str); 3] = [
    ("X-KASKO-Event", "policy.created"),
    ("X-KASKO-Delivery", "018bcfe568007a07bed90003f67f9e1d"),
    ("X-KASKO-Signature", "sha1=0123456789abcdef0123456789abcdef01234567"),
];

fn main() {
    let payload = Bytes::from(vec![b'x'; 1_024]);
    let address = receiver();
    let runtime = runtime();
    let ours = Ours::new(address, &payload);
    let mut hyper = runtime.block_on(WithHyper::connect(address, &payload));
    println!("{REQUESTS} requests of {} bytes in each of {ROUNDS} rounds; medians", payload.len());
    let (mut of_ours, mut of_hyper) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_ours.push(measure(&runtime, async || ours.request().await));
        of_hyper.push(measure(&runtime, async || hyper.request().await));
    }
    for (name, mut rounds) in [("ours", of_ours), ("hyper", of_hyper)] {
        rounds.sort_by(|one, other| one.cpu_us.total_cmp(&other.cpu_us));
        let Cost { cpu_us, allocations, bytes } = rounds[ROUNDS / 2];
        println!(
            "{name:<6} {cpu_us:6.2} µs CPU, {allocations:5.1} allocations of {bytes:6.0} bytes per request"
        );
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What one request costs.
#[derive(Clone, Copy)]
struct Cost {
    cpu_us: f64,
    allocations: f64,
    bytes: f64,
}

fn measure(runtime: &Runtime, mut request: impl AsyncFnMut()) -> Cost {
    let began = cpu_time();
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..REQUESTS {
                request().await;
            }
        });
    });
    let requests = REQUESTS as f64;
    Cost {
        cpu_us: (cpu_time() - began).as_secs_f64() * 1e6 / requests,
        allocations: counted.count_total as f64 / requests,
        bytes: counted.bytes_total as f64 / requests,
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("the first is the time in ns");
    Duration::from_nanos(ns)
}

/// A receiver with a thread of its own that answers each request with the same bytes.
fn receiver() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        runtime().block_on(async {
            listener.set_nonblocking(true).expect("a socket can be so");
            let listener = TcpListener::from_std(listener).expect("a listener");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(respond(stream));
            }
        });
    });
    address
}

async fn respond(mut stream: TcpStream) {
    let mut request = Vec::with_capacity(8 * 1_024);
    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        // The payload ends each request, and is all of one letter.
        if request.ends_with(&[b'x'; 1_024]) {
            request.clear();
            if stream.write_all(RESPONSE).await.is_err() {
                return;
            }
        }
    }
}

struct Ours {
    sender: Sender,
    attempt: AttemptRequest,
}

impl Ours {
    fn new(address: SocketAddr, payload: &Bytes) -> Self {
        let loopback = "127.0.0.0/8".parse().expect("a network");
        let guard = AddressGuard { allow_nets: vec![loopback], ..AddressGuard::default() };
        let sender = Sender::new(SenderConfig { guard, ..SenderConfig::default() }).expect("a sender");
        let header =
            |(name, value)| (FieldName::parse(name).expect("a token"), HeaderValue::from_static(value));
        let attempt = AttemptRequest {
            tenant: Tenant(1),
            url: format!("http://{address}/hook").parse().expect("a URL"),
            headers: HEADERS.map(header).to_vec(),
            body: payload.clone(),
            timeout: Duration::from_secs(15),
            fresh_connection: false,
            started_at: Timestamp::from_ms(0),
        };
        Self { sender, attempt }
    }

    async fn request(&self) {
        let report = self.sender.attempt(self.attempt.clone()).await;
        assert!(report.outcome.is_received(), "{:?}", report.outcome);
    }
}

/// A request as the sender made it with hyper: driven by the one who waits, with both logs and the body.
struct WithHyper {
    requests: http1::SendRequest<Full<Bytes>>,
    connection: http1::Connection<TokioIo<TcpStream>, Full<Bytes>>,
    authority: String,
    payload: Bytes,
}

impl WithHyper {
    async fn connect(address: SocketAddr, payload: &Bytes) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket can be so");
        let handshake = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream));
        let (requests, connection) = handshake.await.expect("a connection");
        Self { requests, connection, authority: address.to_string(), payload: payload.clone() }
    }

    async fn request(&mut self) {
        let mut headers = HeaderMap::with_capacity(HEADERS.len() + 4);
        headers.insert(HOST, HeaderValue::from_str(&self.authority).expect("a host"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.payload.len()));
        headers.insert(USER_AGENT, HeaderValue::from_static("Postrider/0"));
        for (name, value) in HEADERS {
            let name = HeaderName::try_from(name).expect("a token");
            headers.append(name, HeaderValue::from_static(value));
        }
        let sent = log_of(&headers);
        let mut request = Request::new(Full::new(self.payload.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/hook".parse().expect("a path");
        *request.headers_mut() = headers;
        let Self { requests, connection, .. } = self;
        let ready = poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                panic!("the connection ended: {ended:?}");
            }
            requests.poll_ready(cx)
        });
        ready.await.expect("a connection that takes a request");
        let mut response = pin!(requests.send_request(request));
        let (head, body) = poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                panic!("the connection ended: {ended:?}");
            }
            response.as_mut().poll(cx)
        })
        .await
        .expect("a response")
        .into_parts();
        let received = log_of(&head.headers);
        let mut body = pin!(body.collect());
        let body = poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                panic!("the connection ended: {ended:?}");
            }
            body.as_mut().poll(cx)
        });
        let body = body.await.expect("a body").to_bytes();
        assert!(head.status.is_success() && body.len() == 15 && !sent.is_empty() && !received.is_empty());
    }
}

fn log_of(headers: &HeaderMap) -> HeaderLog {
    let mut log = HeaderLog::with_capacity(512);
    for (name, value) in headers {
        log.push(name.as_str().chars(), value.as_bytes());
    }
    log
}
