//! From what went wrong to a stable code and plain words. Errors are told apart by type, never by their text.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use postrider_core::address::AddressBlocked;
use postrider_core::attempt::FailureCode;
use postrider_core::limits::MAX_RESPONSE_HEADER_BYTES;

use crate::dial::DialError;
use crate::http_connection::ExchangeError;
use crate::resolve::ResolveError;
use crate::target::{Place, Target};
use crate::tls_failure;

/// Why no usable answer arrived.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: FailureCode,
    pub(crate) detail: String,
    /// Whether the service itself lacked what a connection needs, so that nothing was asked of the receiver.
    pub(crate) not_made: bool,
    /// Which address of the receiver it happened at, if a connection to it was there.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether the request was lost on a connection that had been used before.
    pub(crate) on_reused_connection: bool,
}

impl Failure {
    pub(crate) fn new(code: FailureCode, detail: String) -> Self {
        Self { code, detail, not_made: false, peer: None, on_reused_connection: false }
    }

    /// The service itself lacks what it needs.
    pub(crate) fn of_shortage(code: FailureCode, detail: String) -> Self {
        Self { not_made: true, ..Self::new(code, detail) }
    }

    /// The same failure, which happened at this address of the receiver.
    pub(crate) fn at(self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// `timeout` is the attempt's.
    pub(crate) fn of_resolving(target: &Target<'_>, timeout: Duration, error: &ResolveError) -> Self {
        let host = target.host_text;
        match error {
            ResolveError::NotFound => {
                Self::new(FailureCode::DnsNotFound, format!("{host} does not exist or has no address"))
            }
            ResolveError::Impossible(fault) => {
                Self::new(FailureCode::DnsNotFound, format!("{host} can't be looked up: {fault}"))
            }
            ResolveError::Shortage(reason) => Self::of_shortage(
                FailureCode::DnsFailed,
                format!("{host} was not looked up, because the service lacks what that needs: {reason}"),
            ),
            ResolveError::Failed(reason) => {
                Self::new(FailureCode::DnsFailed, format!("{host} could not be resolved: {reason}"))
            }
            ResolveError::TimedOut => {
                let detail =
                    format!("{host} could not be resolved: no name server answered within {timeout:?}");
                Self::new(FailureCode::DnsFailed, detail)
            }
        }
    }

    /// An address of the host is forbidden.
    pub(crate) fn of_blocking(target: &Target<'_>, blocked: &AddressBlocked) -> Self {
        let detail = match target.literal() {
            Some(_) => blocked.to_string(),
            None => {
                let AddressBlocked { address, kind } = blocked;
                format!("{} leads to {address}, {kind}, which deliveries may not reach", target.host_text)
            }
        };
        Self::new(FailureCode::AddressBlocked, detail)
    }

    pub(crate) fn of_dialling(target: &Target<'_>, error: &DialError) -> Self {
        let place = target.at(error.peer);
        let words = io_in_words(&error.source);
        if error.is_shortage() {
            let detail = format!(
                "no connection to {place} was tried, because the service lacks what that needs: {words}"
            );
            return Self::of_shortage(FailureCode::ConnectFailed, detail);
        }
        let (code, detail) = match error.source.kind() {
            ErrorKind::ConnectionRefused => {
                (FailureCode::ConnectRefused, format!("nothing listens at {place}"))
            }
            ErrorKind::ConnectionReset => (
                FailureCode::ConnectionReset,
                format!("{place} reset the connection while it was being made"),
            ),
            ErrorKind::TimedOut => {
                (FailureCode::ConnectTimeout, format!("{place} did not take the connection"))
            }
            _ => (FailureCode::ConnectFailed, format!("no connection to {place}: {words}")),
        };
        Self::new(code, detail).at(error.peer)
    }

    /// Why no response came to a request; `read_bytes` of it were received.
    pub(crate) fn of_exchange(place: Place<'_>, read_bytes: u64, error: &ExchangeError) -> Self {
        match error {
            ExchangeError::Stream(error) => Self::of_stream(place, "before it had answered", error),
            ExchangeError::Closed => {
                let detail = match read_bytes {
                    0 => format!("{place} closed the connection without an answer"),
                    read => format!("{place} closed the connection after {read} bytes of a header block"),
                };
                Self::new(FailureCode::ConnectionClosed, detail)
            }
            ExchangeError::NotHttp => Self::new(
                FailureCode::InvalidHttp,
                format!("what {place} sent does not begin with an HTTP/1.1 status line"),
            ),
            ExchangeError::HeadTooLarge => Self::new(
                FailureCode::InvalidHttp,
                format!(
                    "{place} sent more than {MAX_RESPONSE_HEADER_BYTES} bytes before the end of the header block"
                ),
            ),
        }
    }

    /// What the stream says, plain or TLS. `when` follows "… the connection".
    pub(crate) fn of_stream(place: Place<'_>, when: &str, error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return tls_failure::failure(place, error);
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
                let detail = format!("the connection to {place} broke {when}: {}", io_in_words(error));
                Self::new(FailureCode::ConnectionReset, detail)
            }
        }
    }

    /// The deadline passed while the answer was awaited.
    pub(crate) fn of_silence(place: Place<'_>, read_bytes: u64, timeout: Duration) -> Self {
        let detail = match read_bytes {
            0 => format!("no answer from {place} within {timeout:?}"),
            read => format!("no whole header block from {place} within {timeout:?}: {read} bytes of it came"),
        };
        Self::new(FailureCode::Timeout, detail)
    }
}

/// Whether the machine lacks something: the process or the system has no file descriptor left (`EMFILE`, `ENFILE`), or no
/// memory for a socket (`ENOMEM`, `ENOBUFS`).
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    const NO_BUFFERS: i32 = 105;
    #[cfg(not(target_os = "linux"))]
    const NO_BUFFERS: i32 = 55;
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | NO_BUFFERS))
}

/// An operating system's error in plain words, without its number.
pub(crate) fn io_in_words(error: &io::Error) -> String {
    let words = match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "the connection was reset"
        }
        ErrorKind::UnexpectedEof => "the connection was closed",
        ErrorKind::HostUnreachable => "there is no route to the host",
        ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => "the network is unreachable",
        ErrorKind::AddrNotAvailable => "this machine has no address or port for it",
        ErrorKind::PermissionDenied => "this machine does not permit it",
        ErrorKind::TimedOut => "it did not answer",
        _ if is_shortage(error) => "this machine has no file descriptors or memory left for it",
        _ => {
            let text = error.to_string();
            return text.split(" (os error").next().unwrap_or_default().to_lowercase();
        }
    };
    words.to_owned()
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
        let [emfile, enfile, eaddrnotavail, enobufs, econnrefused] = [24, 23, 99, 105, 111];
        for (peer, error, not_made) in [
            ("1.1.1.1:443", emfile, true),
            ("[2606:4700::1]:443", enfile, true),
            ("1.1.1.1:443", eaddrnotavail, true),
            ("1.1.1.1:443", enobufs, true),
            ("1.1.1.1:443", econnrefused, false),
        ] {
            let failure = dialling(peer, error);
            assert_eq!(failure.not_made, not_made, "{failure:?}");
            assert!(!failure.detail.contains("os error"), "{failure:?}");
        }
    }
}
