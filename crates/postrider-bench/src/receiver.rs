//! The receiver: answers every POST with 200 and notes its guid and moment of arrival. It does as little as it
//! can, so that what is measured is the sender. It judges no signatures: the test suite does that.

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cli::ReceiverArgs;
use crate::records::{self, MAX_RECORDS, Record};
use crate::{clock, progress};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A longer head closes the connection.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// A longer body closes the connection.
const MAX_BODY_BYTES: usize = 1 << 20;

type Arrivals = Arc<Mutex<Vec<Record>>>;

/// Prints the address and serves until standard input ends. A line `count` is answered with the number of
/// arrivals, a line `take FILE` writes them to the file and forgets them.
pub(crate) async fn run(args: ReceiverArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("could not listen on {}", args.listen))?;
    progress::print(&listener.local_addr().context("no address")?.to_string())?;
    let arrivals = Arrivals::default();
    let (ended, end) = tokio::sync::oneshot::channel();
    let commanded = Arc::clone(&arrivals);
    std::thread::spawn(move || drop(ended.send(obey(&commanded))));
    tokio::select! {
        result = end => result.context("the commands broke off")?,
        result = accept(&listener, &arrivals) => result,
    }
}

async fn accept(listener: &TcpListener, arrivals: &Arrivals) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("could not accept")?;
        let arrivals = Arc::clone(arrivals);
        tokio::spawn(async move {
            // A connection that breaks shows in the counts: its events did not arrive.
            drop(serve(stream, &arrivals).await);
        });
    }
}

/// Commands from standard input, until it ends.
fn obey(arrivals: &Arrivals) -> anyhow::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line.context("could not read a command")?;
        let mut kept = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
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

async fn serve(mut stream: TcpStream, arrivals: &Arrivals) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(4 << 10);
    loop {
        match Request::parse(&buffer) {
            Parsed::Whole(request) => {
                let at_ns = clock::now_ns();
                buffer.advance(request.bytes);
                if let Some(guid) = request.guid {
                    let mut kept = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn a_request_without_a_guid_is_answered_but_not_counted() {
        let head = b"GET / HTTP/1.1\r\n\r\n";
        assert_eq!(Request::parse(head), Parsed::Whole(Request { bytes: head.len(), guid: None }));
    }
}
