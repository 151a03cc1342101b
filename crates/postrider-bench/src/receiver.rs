//! The receiver: answers every POST with 200 and notes its guid and moment of arrival. It does as little as it
//! can, so that what is measured is the sender. It judges no signatures: the test suite does that.
//!
//! What is posted below `/hang` is answered after twenty seconds, and what is posted below `/down` with 503 while the
//! receiver is told to be down; neither is noted.

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cli::ReceiverArgs;
use crate::records::{self, MAX_RECORDS, Record};
use crate::{clock, progress};

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A longer head closes the connection.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// A longer body closes the connection.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How long a request below `/hang` waits for its answer; longer than any sender does.
const HANGS_FOR: Duration = Duration::from_secs(20);

/// What all connections share.
#[derive(Default)]
struct Shared {
    arrivals: Mutex<Vec<Record>>,
    is_down: AtomicBool,
}

impl Shared {
    fn arrivals(&self) -> MutexGuard<'_, Vec<Record>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints the address and serves until standard input ends. A line `count` is answered with the number of
/// arrivals, a line `take FILE` writes them to the file and forgets them, `down` and `up` change what `/down` answers.
pub(crate) async fn run(args: ReceiverArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("could not listen on {}", args.listen))?;
    progress::print(&listener.local_addr().context("no address")?.to_string())?;
    raise_file_limit()?;
    let shared = Arc::new(Shared::default());
    let (ended, end) = tokio::sync::oneshot::channel();
    let commanded = Arc::clone(&shared);
    std::thread::spawn(move || drop(ended.send(obey(&commanded))));
    tokio::select! {
        result = end => result.context("the commands broke off")?,
        result = accept(&listener, &shared) => result,
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("could not accept")?;
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // A connection that breaks shows in the counts: its events did not arrive.
            drop(serve(stream, &shared).await);
        });
    }
}

/// Commands from standard input, until it ends.
fn obey(shared: &Shared) -> anyhow::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line.context("could not read a command")?;
        match line.as_str() {
            "down" => shared.is_down.store(true, Ordering::Relaxed),
            "up" => shared.is_down.store(false, Ordering::Relaxed),
            _ => {}
        }
        let mut kept = shared.arrivals();
        let count = kept.len();
        if let Some(path) = line.strip_prefix("take ") {
            let taken = std::mem::take(&mut *kept);
            drop(kept);
            records::write(Path::new(path), &taken)?;
        }
        writeln!(std::io::stdout(), "{count}").context("could not answer a command")?;
    }
    Ok(())
}

/// A thousand senders that are kept waiting hold some thousands of connections.
fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("could not ask for files")
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(4 << 10);
    loop {
        match Request::parse(&buffer) {
            Parsed::Whole(request) => {
                let at_ns = clock::now_ns();
                let place = Place::of(&buffer);
                buffer.advance(request.bytes);
                if place == Place::Hangs {
                    tokio::time::sleep(HANGS_FOR).await;
                } else if place == Place::MayBeDown && shared.is_down.load(Ordering::Relaxed) {
                    stream.write_all(UNAVAILABLE).await?;
                    continue;
                } else if let Some(guid) = request.guid {
                    let mut kept = shared.arrivals();
                    if kept.len() < MAX_RECORDS {
                        kept.push(Record { guid, at_ns });
                    }
                }
                stream.write_all(ANSWER).await?;
            }
            Parsed::Partial => {
                buffer.reserve(4 << 10);
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            Parsed::Refused => return Ok(()),
        }
    }
}

/// What the path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Answers,
    Hangs,
    MayBeDown,
}

impl Place {
    fn of(request: &[u8]) -> Self {
        match request {
            [b'P', b'O', b'S', b'T', b' ', b'/', b'h', b'a', b'n', b'g', b'/', ..] => Self::Hangs,
            [b'P', b'O', b'S', b'T', b' ', b'/', b'd', b'o', b'w', b'n', b'/', ..] => Self::MayBeDown,
            _ => Self::Answers,
        }
    }
}

/// What matters of one request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// Head and body together.
    bytes: usize,
    guid: Option<u128>,
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Whole(Request),
    Partial,
    Refused,
}

impl Request {
    fn parse(buffer: &[u8]) -> Parsed {
        let Some(head_bytes) = buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
            return if buffer.len() > MAX_HEAD_BYTES { Parsed::Refused } else { Parsed::Partial };
        };
        let (mut body_bytes, mut guid) = (0, None);
        for line in buffer[..head_bytes].split(|byte| *byte == b'\n').skip(1) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
                match length {
                    Some(length) if length <= MAX_BODY_BYTES => body_bytes = length,
                    _ => return Parsed::Refused,
                }
            } else if name.eq_ignore_ascii_case(b"x-kasko-delivery") {
                guid = records::guid(value);
            }
        }
        let bytes = head_bytes + body_bytes;
        if buffer.len() < bytes { Parsed::Partial } else { Parsed::Whole(Request { bytes, guid }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &[u8] = b"POST /hook HTTP/1.1\r\nhost: a\r\nContent-Length: 2\r\n\
        X-KASKO-Delivery: 0000000000000000000000000000000a\r\n\r\n{}";

    #[test]
    fn a_request_is_whole_when_its_last_byte_is_there() {
        for length in 0..POST.len() {
            assert_eq!(Request::parse(&POST[..length]), Parsed::Partial, "{length}");
        }
        let whole = Parsed::Whole(Request { bytes: POST.len(), guid: Some(10) });
        assert_eq!(Request::parse(POST), whole);
        assert_eq!(Request::parse(&[POST, b"POST /"].concat()), whole);
    }

    #[test]
    fn a_length_that_is_none_or_too_long_and_an_endless_head_are_refused() {
        for length in ["-1", "x", "", "1048577"] {
            let head = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
            assert_eq!(Request::parse(head.as_bytes()), Parsed::Refused, "{length}");
        }
        assert_eq!(Request::parse(&vec![b'a'; MAX_HEAD_BYTES + 1]), Parsed::Refused);
    }

    #[test]
    fn the_path_says_what_is_answered() {
        assert_eq!(Place::of(b"POST /hang/7 HTTP/1.1"), Place::Hangs);
        assert_eq!(Place::of(b"POST /down/0 HTTP/1.1"), Place::MayBeDown);
        assert_eq!(Place::of(b"POST /hook/7 HTTP/1.1"), Place::Answers);
    }

    #[test]
    fn a_request_without_a_guid_is_answered_but_not_counted() {
        let head = b"GET / HTTP/1.1\r\n\r\n";
        assert_eq!(Request::parse(head), Parsed::Whole(Request { bytes: head.len(), guid: None }));
    }
}
