//! From what went wrong to a stable code and plain words. Errors are told apart by type, never by their text.

use std::io::{self, ErrorKind};
use std::time::Duration;

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
    /// Whether the request was lost on a connection that had been used before.
    pub(crate) on_reused_connection: bool,
}

impl Failure {
    pub(crate) fn new(code: FailureCode, detail: String) -> Self {
        Self { code, detail, not_made: false, on_reused_connection: false }
    }

    /// The service itself lacks what it needs.
    pub(crate) fn of_shortage(code: FailureCode, detail: String) -> Self {
        Self { not_made: true, ..Self::new(code, detail) }
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
                let detail = format!("no connection to {place}: {}", error.source.kind());
                Self::new(FailureCode::ConnectFailed, detail)
            }
        }
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
                let detail = format!("the connection to {place} broke {when}: {}", error.kind());
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

/// Whether the process or the whole system has no file descriptor left (`EMFILE`, `ENFILE`, `WSAEMFILE`).
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 10_024))
}

/// Whether every port towards that address is in use. Of IPv6 the same error says that the machine has none, which
/// no waiting mends: that stays a failed attempt.
fn lacks_a_port(error: &DialError) -> bool {
    error.peer.is_ipv4() && error.source.kind() == ErrorKind::AddrNotAvailable
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
