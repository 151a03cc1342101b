//! Whether a call that failed may have been carried out, and the advice that follows. A response that was lost, and a
//! service that lost its database, say nothing about what was committed.

use std::fmt;
use std::io::ErrorKind;

use serde_json::Value;
use ureq::{Error, Timeout};

/// Codes of 5xx problems after which nothing was stored …
const NOTHING_STORED: [&str; 2] = ["overloaded", "shutting_down"];
/// … and the words in the detail of any other 5xx problem that say the same, in lower case.
const SAYS_NOTHING_STORED: &str = "nothing was stored";

/// Marks an error after which the call may have been carried out.
#[derive(Debug)]
struct Unknown(anyhow::Error);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Unknown {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Marks the error as one after which the call may have been carried out.
pub(super) fn unknown(error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Unknown(error))
}

/// Adds the advice if the call may have been carried out.
pub(super) fn advise(error: anyhow::Error, advice: &str) -> anyhow::Error {
    match error.downcast::<Unknown>() {
        Ok(Unknown(error)) => anyhow::anyhow!("{error:#}\nthe call may have been carried out; {advice}"),
        Err(known) => known,
    }
}

/// Whether a call that failed without a response may have reached the service.
pub(super) fn may_have_been_sent(error: &Error) -> bool {
    match error {
        Error::Http(_)
        | Error::BadUri(_)
        | Error::HostNotFound
        | Error::ConnectionFailed
        | Error::InvalidProxyUrl
        | Error::Tls(_)
        | Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        // A handshake that failed is invalid data.
        Error::Io(error) => !matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::AddrNotAvailable
                | ErrorKind::NotFound
                | ErrorKind::InvalidData
        ),
        _ => true,
    }
}

/// Whether a response leaves open if the call was carried out.
pub(super) fn is_unknown_after(status: u16, body: &str) -> bool {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let member = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    let says_so = member("detail").to_lowercase().contains(SAYS_NOTHING_STORED);
    status >= 500 && !NOTHING_STORED.contains(&member("code")) && !says_so
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_responses_leave_the_outcome_open() {
        for (status, body, is_unknown) in [
            (503, r#"{"code":"unavailable"}"#, true),
            (502, "<html>bad gateway</html>", true),
            (504, "", true),
            (500, "", true),
            (503, r#"{"code":"overloaded"}"#, false),
            (503, r#"{"code":"shutting_down"}"#, false),
            (500, r#"{"code":"internal"}"#, true),
            (500, r#"{"code":"internal","detail":"something went wrong here; the log has it"}"#, true),
            (
                500,
                r#"{"code":"internal","detail":"this is a bug in the service. Nothing was stored"}"#,
                false,
            ),
            (500, r#"{"code":"internal","detail":["Nothing was stored"]}"#, true),
            (422, r#"{"code":"invalid"}"#, false),
            (429, r#"{"code":"rate_limited"}"#, false),
            (301, "", false),
        ] {
            assert_eq!(is_unknown_after(status, body), is_unknown, "{status} {body}");
        }
    }

    #[test]
    fn a_call_that_never_left_was_not_carried_out() {
        let io = |kind: ErrorKind| Error::Io(kind.into());
        for (error, was_sent) in [
            (io(ErrorKind::ConnectionRefused), false),
            (Error::HostNotFound, false),
            (Error::Timeout(Timeout::Connect), false),
            (Error::Timeout(Timeout::Global), true),
            (io(ErrorKind::ConnectionReset), true),
            (io(ErrorKind::UnexpectedEof), true),
        ] {
            assert_eq!(may_have_been_sent(&error), was_sent, "{error}");
        }
    }

    #[test]
    fn advice_is_added_only_where_the_outcome_is_unknown() {
        let known = advise(anyhow::anyhow!("refused"), "look");
        assert_eq!(format!("{known:#}"), "refused");
        let lost = unknown(anyhow::anyhow!("reset").context("no answer"));
        let lost = format!("{:#}", advise(lost, "look"));
        assert_eq!(lost, "no answer: reset\nthe call may have been carried out; look");
    }
}
