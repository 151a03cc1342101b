//! The byte stream under HTTP: plain or TLS, with a meter that counts and bounds.
//!
//! Nothing here knows HTTP. The meter answers two questions that the HTTP library can't: was a single byte of
//! the request handed to the connection, and how much has come back before a header block was whole.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use postrider_core::limits::MAX_RESPONSE_HEADER_BYTES;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection's bytes.
pub(crate) enum Stream {
    Plain(TcpStream),
    /// Boxed because a TLS session is large and the plain one is not.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether the receiver has closed or reset the connection, or said something unasked for.
    ///
    /// Asks the system and not the runtime, which learns of a close only when it next polls the network: under
    /// load that would be too late, and the request would be lost on a dead connection.
    fn is_spent(&self) -> bool {
        match SockRef::from(self.tcp()).peek(&mut [MaybeUninit::uninit()]) {
            Ok(_closed_or_unasked_bytes) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// The receiver sent more than [`MAX_RESPONSE_HEADER_BYTES`] and still no whole header block.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_RESPONSE_HEADER_BYTES} bytes before the end of the header block")]
pub(crate) struct HeaderBlockTooLarge;

/// What is counted of a connection; shared with the stream inside the HTTP library. One task at a time uses a
/// connection, so the atomics are only there to cross the wall and need no order among each other.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes handed over since the attempt began.
    written: AtomicU64,
    /// Bytes that came since the attempt began, counted only up to the limit.
    read: AtomicU64,
    /// Whether a final header block is still awaited, so that what comes is bounded.
    awaits_headers: AtomicBool,
    /// Whether the next read must first ask whether the connection is spent.
    looks_first: AtomicBool,
}

impl Meter {
    /// A new attempt begins on this connection.
    pub(crate) fn begin(&self) {
        self.written.store(0, Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
        self.awaits_headers.store(true, Ordering::Relaxed);
    }

    /// The header block is whole: what comes now is body, bounded by its reader.
    pub(crate) fn headers_arrived(&self) {
        self.awaits_headers.store(false, Ordering::Relaxed);
    }

    /// Makes the next read end the stream if the receiver has left.
    pub(crate) fn look_first(&self) {
        self.looks_first.store(true, Ordering::Relaxed);
    }

    /// How many bytes were handed to the connection since the attempt began. Bytes that TLS still holds back
    /// count: they might leave at any moment.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How many bytes came since the attempt began, the header block's and what was read along with it.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn count_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A stream and its meter.
pub(crate) struct Metered {
    stream: Stream,
    meter: Arc<Meter>,
}

impl Metered {
    pub(crate) fn new(stream: Stream, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }

    fn poll_stream_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }

    /// Reads at most what the header block may still take. Since the HTTP library reads on only while the block
    /// is not whole, a read with nothing left to take is the proof that it is too large.
    fn poll_bounded_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let limit = MAX_RESPONSE_HEADER_BYTES as u64;
        let left = limit.saturating_sub(self.meter.read.load(Ordering::Relaxed));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left == 0 {
            return Poll::Ready(Err(io::Error::other(HeaderBlockTooLarge)));
        }
        let before = buf.filled().len();
        if buf.remaining() <= left {
            ready!(self.poll_stream_read(cx, buf))?;
        } else {
            let mut bounded = ReadBuf::new(buf.initialize_unfilled_to(left));
            ready!(self.poll_stream_read(cx, &mut bounded))?;
            let read = bounded.filled().len();
            buf.advance(read);
        }
        self.meter.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.meter.looks_first.swap(false, Ordering::Relaxed) && this.stream.is_spent() {
            return Poll::Ready(Ok(())); // Nothing read and no error is the end of the stream.
        }
        if this.meter.awaits_headers.load(Ordering::Relaxed) {
            this.poll_bounded_read(cx, buf)
        } else {
            this.poll_stream_read(cx, buf)
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
        })?;
        this.meter.count_written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, slices),
        })?;
        this.meter.count_written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
