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
    /// Whether the service itself lacked what a connection needs, so that nothing was asked of the receiver.
    pub(crate) not_made: bool,
}

impl Failure {
    pub(crate) fn new(code: FailureCode, detail: String) -> Self {
        Self { code, detail, not_made: false }
    }

    /// The service itself lacks what it needs.
    pub(crate) fn of_shortage(code: FailureCode, detail: String) -> Self {
        Self { code, detail, not_made: true }
    }

    pub(crate) fn of_resolving(target: &Target<'_>, error: &ResolveError) -> Self {
        let host = target.host_text;
        match error {
            ResolveError::NotFound => {
                Self::new(FailureCode::DnsNotFound, format!("{host} does not exist or has no address"))
            }
            ResolveError::Shortage(reason) => Self::of_shortage(
                FailureCode::DnsFailed,
                format!("{host} was not asked for, because the service lacks what that needs: {reason}"),
            ),
            ResolveError::Failed(reason) => {
                Self::new(FailureCode::DnsFailed, format!("{host} could not be resolved: {reason}"))
            }
        }
    }

    pub(crate) fn of_dialling(target: &Target<'_>, error: &DialError) -> Self {
        let place = target.at(error.peer);
        if is_shortage(&error.source) || lacks_a_port(error) {
            let detail = format!(
                "no connection to {place} was tried, because the service lacks what that needs: {}",
                error.source
            );
            return Self::of_shortage(FailureCode::ConnectFailed, detail);
        }
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

/// Whether the process or the whole system has no file descriptor left (`EMFILE`, `ENFILE`, `WSAEMFILE`).
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 10_024))
}

/// Whether every port towards that address is in use. Of IPv6 the same error says that the machine has none, which
/// no waiting mends: that stays a failed attempt.
fn lacks_a_port(error: &DialError) -> bool {
    error.peer.is_ipv4() && error.source.kind() == ErrorKind::AddrNotAvailable
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

#[cfg(test)]
mod tests {
    use super::*;

    fn dialling(peer: &str, error: i32) -> Failure {
        let url = "https://example.com/".parse().unwrap();
        let error = DialError { peer: peer.parse().unwrap(), source: io::Error::from_raw_os_error(error) };
        Failure::of_dialling(&Target::of(&url).unwrap(), &error)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_shortage_of_files_or_ports_is_no_attempt() {
        let [emfile, enfile, eaddrnotavail, econnrefused] = [24, 23, 99, 111];
        for (peer, error, not_made) in [
            ("1.1.1.1:443", emfile, true),
            ("[2606:4700::1]:443", enfile, true),
            ("1.1.1.1:443", eaddrnotavail, true),
            ("[2606:4700::1]:443", eaddrnotavail, false),
            ("1.1.1.1:443", econnrefused, false),
        ] {
            let failure = dialling(peer, error);
            assert_eq!(failure.not_made, not_made, "{failure:?}");
        }
    }
}
