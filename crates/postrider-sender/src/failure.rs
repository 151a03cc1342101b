//! From what went wrong to a stable code and plain words. Errors are told apart by type, never by their text.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use postrider_core::attempt::FailureCode;

use crate::dial::DialError;
use crate::link::Link;
use crate::resolve::ResolveError;
use crate::target::{Place, Target};
use crate::tls;
use crate::wire::HeaderBlockTooLarge;

/// Why no usable answer arrived.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: FailureCode,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(code: FailureCode, detail: String) -> Self {
        Self { code, detail }
    }

    pub(crate) fn of_resolving(target: &Target<'_>, error: &ResolveError) -> Self {
        let host = target.host_text;
        match error {
            ResolveError::NotFound => {
                Self::new(FailureCode::DnsNotFound, format!("{host} does not exist or has no address"))
            }
            ResolveError::Failed(reason) => {
                Self::new(FailureCode::DnsFailed, format!("{host} could not be resolved: {reason}"))
            }
        }
    }

    pub(crate) fn of_dialling(target: &Target<'_>, error: &DialError) -> Self {
        let place = target.at(error.peer);
        match error.source.kind() {
            ErrorKind::ConnectionRefused => {
                Self::new(FailureCode::ConnectRefused, format!("nothing listens at {place}"))
            }
            ErrorKind::ConnectionReset => Self::new(
                FailureCode::ConnectionReset,
                format!("{place} reset the connection while it was being made"),
            ),
            ErrorKind::TimedOut => {
                Self::new(FailureCode::ConnectTimeout, format!("{place} did not take the connection"))
            }
            _ => {
                let detail = format!("no connection to {place}: {}", error.source);
                Self::new(FailureCode::ConnectFailed, detail)
            }
        }
    }

    /// What the HTTP library says about a request on `link`.
    pub(crate) fn of_exchange(place: Place<'_>, link: &Link, error: &hyper::Error) -> Self {
        if let Some(error) = io_source(error) {
            return Self::of_stream(place, "before it had answered", error);
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            let detail = match link.read_bytes() {
                0 => format!("{place} closed the connection without an answer"),
                read => format!("{place} closed the connection after {read} bytes of a header block"),
            };
            return Self::new(FailureCode::ConnectionClosed, detail);
        }
        // What is left are the ways not to be HTTP/1.1: not parseable, or something said without being asked.
        Self::new(FailureCode::InvalidHttp, format!("what {place} sent is not an HTTP/1.1 answer: {error}"))
    }

    /// What the stream says, plain or TLS. `when` follows "… the connection".
    pub(crate) fn of_stream(place: Place<'_>, when: &str, error: &io::Error) -> Self {
        if let Some(inner) = error.get_ref() {
            if let Some(error) = inner.downcast_ref::<rustls::Error>() {
                return tls::failure(place, error);
            }
            if let Some(error) = inner.downcast_ref::<HeaderBlockTooLarge>() {
                return Self::new(FailureCode::InvalidHttp, format!("{place} sent {error}"));
            }
        }
        match error.kind() {
            ErrorKind::UnexpectedEof => {
                Self::new(FailureCode::ConnectionClosed, format!("{place} closed the connection {when}"))
            }
            ErrorKind::TimedOut => {
                let detail = format!("{place} stopped acknowledging what was sent");
                Self::new(FailureCode::Timeout, detail)
            }
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Self::new(FailureCode::ConnectionReset, format!("{place} reset the connection {when}"))
            }
            _ => {
                let detail = format!("the connection to {place} broke {when}: {error}");
                Self::new(FailureCode::ConnectionReset, detail)
            }
        }
    }

    /// The deadline passed while the answer was awaited.
    pub(crate) fn of_silence(place: Place<'_>, link: &Link, timeout: Duration) -> Self {
        let detail = match link.read_bytes() {
            0 => format!("no answer from {place} within {timeout:?}"),
            read => format!("no whole header block from {place} within {timeout:?}: {read} bytes of it came"),
        };
        Self::new(FailureCode::Timeout, detail)
    }
}

/// The stream's error behind the HTTP library's.
fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        source = error.source();
    }
    None
}
