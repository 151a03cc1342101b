//! An HTTP/1.1 connection to a receiver, driven by the attempt that uses it.
//!
//! No task runs behind a connection: the attempt that waits for a response also writes its request and reads the bytes, so
//! that a response wakes one task once. An unused connection therefore stands still, and is checked when it is used again.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use postrider_core::limits::MAX_RESPONSE_HEADER_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::time::Instant;

use crate::body::{BodyDecoder, BodyEnd};
use crate::framing::Framing;
use crate::limits::{MAX_CONNECTION_AGE, MAX_IDLE_BUFFER_BYTES, READ_BYTES};
use crate::response_head::{BlockScan, ResponseHead};
use crate::stream::Stream;

/// A body up to this length is copied behind its head where a stream can't write both at once.
const COPIED_BODY_BYTES: usize = 16 * 1024;

/// A connection that one attempt at a time uses. Always boxed, so that moving it in and out of the pool is cheap.
pub(crate) struct HttpConnection {
    stream: Stream,
    /// What was read and belongs to no response yet. Empty between requests.
    buffer: Vec<u8>,
    /// The address that was checked and dialled.
    pub(crate) peer: SocketAddr,
    opened_at: Instant,
    /// Whether it has served a request before this one.
    pub(crate) is_reused: bool,
    /// Bytes of this request that were handed to the stream. Bytes that TLS still holds back count: they might leave at any
    /// moment.
    written_bytes: usize,
    /// Whether all of this request was written.
    is_request_complete: bool,
    /// Bytes that came since this request began.
    read_bytes: u64,
}

/// Why there is no response to a request.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// The stream broke.
    Stream(io::Error),
    /// The receiver closed the connection before the end of the header block.
    Closed,
    /// What came does not begin with a status line.
    NotHttp,
    /// More than [`MAX_RESPONSE_HEADER_BYTES`] before the end of the header block.
    HeadTooLarge,
}

impl HttpConnection {
    /// A connection on a stream. Nothing is sent yet.
    pub(crate) fn new(stream: Stream, peer: SocketAddr) -> Box<Self> {
        Box::new(Self {
            stream,
            buffer: Vec::new(),
            peer,
            opened_at: Instant::now(),
            is_reused: false,
            written_bytes: 0,
            is_request_complete: false,
            read_bytes: 0,
        })
    }

    /// Sends a request and waits for the head of its final response. The body is not read yet.
    ///
    /// Reads while it writes: a receiver may respond before it has read the body.
    pub(crate) async fn send(&mut self, head: &[u8], body: &Bytes) -> Result<ResponseHead, ExchangeError> {
        (self.written_bytes, self.read_bytes, self.is_request_complete) = (0, 0, false);
        let mut copy = Vec::new();
        let parts: [&[u8]; 2] = if !self.stream.writes_vectored() && body.len() <= COPIED_BODY_BYTES {
            copy.reserve_exact(head.len() + body.len());
            copy.extend_from_slice(head);
            copy.extend_from_slice(body);
            [&copy, &[]]
        } else {
            [head, body]
        };
        let mut scan = BlockScan::default();
        let mut write_error = None;
        poll_fn(|cx| {
            if !self.is_request_complete && write_error.is_none() {
                // What the receiver said before it closed the connection may still be readable.
                write_error = self.poll_write(cx, parts).err();
            }
            loop {
                if let Some(response) = self.take_head(&mut scan)? {
                    return Poll::Ready(Ok(response));
                }
                match ready!(self.poll_read(cx)) {
                    Ok(0) => {
                        let error = write_error.take().map_or(ExchangeError::Closed, ExchangeError::Stream);
                        return Poll::Ready(Err(error));
                    }
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(ExchangeError::Stream(error))),
                }
            }
        })
        .await
    }

    /// Writes as much as the stream takes now.
    fn poll_write(&mut self, cx: &mut Context<'_>, [head, body]: [&[u8]; 2]) -> io::Result<()> {
        let all = head.len() + body.len();
        while self.written_bytes < all {
            let written = match head.get(self.written_bytes..).filter(|rest| !rest.is_empty()) {
                Some(rest) => Pin::new(&mut self.stream)
                    .poll_write_vectored(cx, &[IoSlice::new(rest), IoSlice::new(body)]),
                None => {
                    let rest = &body[self.written_bytes - head.len()..];
                    Pin::new(&mut self.stream).poll_write(cx, rest)
                }
            };
            match written {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.written_bytes += written,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx) {
            flushed?;
            self.is_request_complete = true;
        }
        Ok(())
    }

    /// Reads once, into the buffer. 0 is the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES);
        }
        let capacity = self.buffer.capacity() - self.buffer.len();
        let mut buffer = (&mut self.buffer).limit(capacity);
        let read = ready!(pin!(self.stream.read_buf(&mut buffer)).poll(cx))?;
        self.read_bytes += read as u64;
        Poll::Ready(Ok(read))
    }

    /// The final response's head, once it is complete. Interim responses are passed over; all heads of one request together
    /// are bounded.
    fn take_head(&mut self, scan: &mut BlockScan) -> Result<Option<ResponseHead>, ExchangeError> {
        let bounded = &self.buffer[..self.buffer.len().min(MAX_RESPONSE_HEADER_BYTES)];
        loop {
            match scan.find(bounded) {
                Ok(Some(block)) if block.status_line.is_interim() => *scan = BlockScan::at(block.end),
                Ok(Some(block)) => {
                    let head = ResponseHead::parse(&bounded[block.start..block.end], block.status_line);
                    self.buffer.drain(..block.end);
                    return Ok(Some(head));
                }
                Ok(None) if bounded.len() == MAX_RESPONSE_HEADER_BYTES => {
                    return Err(ExchangeError::HeadTooLarge);
                }
                Ok(None) => return Ok(None),
                Err(_bad_status_line) => return Err(ExchangeError::NotHttp),
            }
        }
    }

    /// Reads the body that follows a head, into `decoder`, which holds what was read if the caller stops waiting.
    pub(crate) async fn read_body(&mut self, decoder: &mut BodyDecoder) -> BodyEnd {
        loop {
            let (taken, end) = decoder.decode(&self.buffer);
            self.buffer.drain(..taken);
            if let Some(end) = end {
                return end;
            }
            match poll_fn(|cx| self.poll_read(cx)).await {
                Ok(0) => return decoder.at_close(),
                Ok(_) => {}
                Err(_broke_off) => return BodyEnd::CutOff,
            }
        }
    }

    /// Whether nothing of the request was handed to the stream, so that the receiver can't have seen any of it.
    pub(crate) fn wrote_nothing(&self) -> bool {
        self.written_bytes == 0
    }

    /// How many bytes came since the request began.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// How long the connection may wait for its next request after a response whose body was read to its end. `None` if it
    /// must be closed: the response says so or contradicts itself, bytes came after its end, or the request was not
    /// written to its end.
    pub(crate) fn reusable_for(&mut self, framing: &Framing, now: Instant) -> Option<Duration> {
        let idle = framing.reusable_for?;
        if !self.is_request_complete || !self.is_quiet(now) {
            return None;
        }
        self.is_reused = true;
        if self.buffer.capacity() > MAX_IDLE_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Some(idle)
    }

    /// Whether a connection that waited can be used: it is young enough, the receiver has not left, and sent nothing.
    pub(crate) fn is_alive(&mut self, now: Instant) -> bool {
        !self.stream.is_spent() && self.is_quiet(now)
    }

    /// Whether the connection is young enough and nothing has come that no request asked for.
    fn is_quiet(&mut self, now: Instant) -> bool {
        now.duration_since(self.opened_at) < MAX_CONNECTION_AGE
            && self.buffer.is_empty()
            // No task waits for an unused connection, so none is woken by it.
            && self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}
