//! A receiver that follows a script, byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A whole answer that leaves the connection open.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A scripted receiver on a free port; stops when dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What a receiver has seen, and a bell that a script may ring.
#[derive(Default)]
pub(crate) struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Vec<u8>>>,
    bell: Notify,
}

/// One connection to the receiver.
pub(crate) struct Peer<S = TcpStream> {
    stream: S,
    /// Which connection this is, from 0.
    pub(crate) number: usize,
    seen: Arc<Seen>,
}

impl Receiver {
    /// Runs `script` once for each connection.
    pub(crate) async fn start<F, W>(script: F) -> Self
    where
        F: Fn(Peer) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0", script).await
    }

    pub(crate) async fn start_at<F, W>(address: &str, script: F) -> Self
    where
        F: Fn(Peer) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut running = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    let number = seen.connections.fetch_add(1, Ordering::SeqCst);
                    running.spawn(script(Peer { stream, number, seen: Arc::clone(&seen) }));
                }
            }
        });
        Self { address, seen, task }
    }

    /// Answers every request on every connection with `answer`.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                while peer.request().await.is_some() {
                    peer.say(&answer[..]).await;
                }
            }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Every request so far, byte for byte.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.seen.requests.lock().expect("no test panics here").clone()
    }

    /// Waits until a script rings.
    pub(crate) async fn bell(&self) {
        self.seen.bell.notified().await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// Resets the connection instead of closing it.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket can linger");
    }

    /// The same connection with its stream replaced, for TLS.
    pub(crate) fn into_parts(self) -> (TcpStream, impl FnOnce(Secured) -> Peer<Secured>) {
        let (number, seen) = (self.number, self.seen);
        (self.stream, move |stream| Peer { stream, number, seen })
    }
}

/// A connection with TLS on it.
pub(crate) type Secured = tokio_rustls::server::TlsStream<TcpStream>;

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Reads a whole request; none where the sender has left.
    pub(crate) async fn request(&mut self) -> Option<Vec<u8>> {
        let mut request = Vec::new();
        while !is_whole(&request) {
            if self.stream.read_buf(&mut request).await.ok()? == 0 {
                return None;
            }
        }
        self.seen.requests.lock().expect("no test panics here").push(request.clone());
        Some(request)
    }

    /// Says this, if the sender still listens.
    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(text.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Says one piece after another for as long as the sender listens.
    pub(crate) async fn say_endlessly(&mut self, piece: &str) {
        while self.say(piece).await {}
    }

    /// Says a byte of `text` every few milliseconds, over and over, for as long as the sender listens.
    pub(crate) async fn drip(&mut self, text: &str) {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        for byte in text.bytes().cycle() {
            pace.tick().await;
            if !self.say([byte]).await {
                return;
            }
        }
    }

    /// Says nothing until the sender leaves.
    pub(crate) async fn hang(&mut self) {
        let mut ignored = Vec::new();
        while !matches!(self.stream.read_buf(&mut ignored).await, Ok(0) | Err(_)) {
            ignored.clear();
        }
    }

    /// Waits for whatever the sender says first.
    pub(crate) async fn first_bytes(&mut self) {
        let mut first = vec![0; 64 * 1024];
        assert!(self.stream.read(&mut first).await.is_ok_and(|read| read > 0), "the sender says something");
    }

    /// Tells the test that a point was reached.
    pub(crate) fn ring(&self) {
        self.seen.bell.notify_one();
    }

    /// Closes the connection, then rings.
    pub(crate) fn close_and_ring(self) {
        let seen = Arc::clone(&self.seen);
        drop(self);
        seen.bell.notify_one();
    }
}

/// Whether a request's header block and as much body as it announces are there.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}
