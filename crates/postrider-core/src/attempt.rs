//! What came of one HTTP request: a receiver's failure is data here, never an error.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::address_redaction;
pub use crate::header_log::HeaderLog;
use crate::time::Timestamp;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A whole response header block arrived; only 200–299 counts as received.
    Answered {
        /// The status code.
        status: u16,
        /// How long the receiver asked to be left alone (`Retry-After` on 429 and 503), already bounded.
        retry_after: Option<Duration>,
    },
    /// No usable answer arrived.
    Failed {
        /// The stable code.
        code: FailureCode,
        /// The same in plain words, with what was met.
        detail: String,
    },
}

impl Outcome {
    /// Whether the receiver has it: a 2xx, and nothing else (the contract's "Responding to a webhook").
    pub fn is_received(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }

    /// The status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Failed { .. } => None,
        }
    }

    /// The same as customers read it: without addresses of the operator's networks, except for one in the endpoint's own URL.
    #[must_use]
    pub fn for_customers(self, url: &str) -> Self {
        match self {
            Self::Failed { code, detail } => {
                let detail = address_redaction::for_customers(code, &detail, url).into_owned();
                Self::Failed { code, detail }
            }
            answered @ Self::Answered { .. } => answered,
        }
    }

    /// The failure's code; none for what was received.
    pub fn failure_code(&self) -> Option<FailureCode> {
        match self {
            Self::Answered { .. } if self.is_received() => None,
            Self::Answered { .. } => Some(FailureCode::Status),
            Self::Failed { code, .. } => Some(*code),
        }
    }
}

macro_rules! failure_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// Why an attempt was not received, as a stable code for programs and people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCode { $($(#[$doc])* $variant),+ }

        impl FailureCode {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code's stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The code of a stable text.
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

failure_codes! {
    /// The answer's status was outside 200–299.
    Status = "status",
    /// The host name does not exist or has no address.
    DnsNotFound = "dns_not_found",
    /// The resolver gave no answer about the host name.
    DnsFailed = "dns_failed",
    /// An address of the host is one that deliveries may not reach.
    AddressBlocked = "address_blocked",
    /// Nothing listens there.
    ConnectRefused = "connect_refused",
    /// No connection within the deadline.
    ConnectTimeout = "connect_timeout",
    /// The connection could not be made for another reason.
    ConnectFailed = "connect_failed",
    /// The certificate has expired.
    TlsCertificateExpired = "tls_certificate_expired",
    /// The certificate is not valid yet.
    TlsCertificateNotYetValid = "tls_certificate_not_yet_valid",
    /// The certificate's issuer is not trusted (self-signed, a private CA, a chain left incomplete).
    TlsUnknownIssuer = "tls_unknown_issuer",
    /// The certificate is for another host.
    TlsWrongHost = "tls_wrong_host",
    /// The certificate is bad in another way.
    TlsCertificateInvalid = "tls_certificate_invalid",
    /// TLS could not be agreed (an old version, no common cipher, not TLS at all).
    TlsHandshakeFailed = "tls_handshake_failed",
    /// No whole response header block within the deadline.
    Timeout = "timeout",
    /// The receiver reset the connection before it had answered.
    ConnectionReset = "connection_reset",
    /// The receiver closed the connection before it had answered.
    ConnectionClosed = "connection_closed",
    /// What came back is not HTTP/1.1, or its header block is too large.
    InvalidHttp = "invalid_http",
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long each phase took, in microseconds. A phase that did not happen (a reused connection has no DNS,
/// connect or TLS) is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Resolving the host name.
    pub dns_us: Option<u64>,
    /// Connecting.
    pub connect_us: Option<u64>,
    /// The TLS handshake.
    pub tls_us: Option<u64>,
    /// From the request's first byte to the whole response header block.
    pub first_byte_us: Option<u64>,
    /// The whole attempt, up to the outcome.
    pub total_us: u64,
}

/// What was sent, as the log keeps it. The body is the event's payload and is not repeated here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestLog {
    /// The URL.
    pub url: String,
    /// The headers; values of the endpoint's own headers are masked.
    pub headers: HeaderLog,
}

/// What came back, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseLog {
    /// The headers.
    pub headers: HeaderLog,
    /// The body's first bytes, at most [`crate::limits::MAX_KEPT_BODY_BYTES`].
    pub body: Bytes,
    /// Whether more of the body was there or might have come.
    pub body_truncated: bool,
}

/// One HTTP request of a delivery and everything kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first request of a delivery, probes counted too.
    pub number: u32,
    /// Whether it was a probe of a failing endpoint, which uses up no attempt of the schedule.
    pub probe: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// How long its phases took.
    pub timings: Timings,
    /// What was sent.
    pub request: RequestLog,
    /// What came back, where a header block came back.
    pub response: Option<ResponseLog>,
    /// What it came to.
    pub outcome: Outcome,
}

impl Attempt {
    /// The same as customers read it; see [`Outcome::for_customers`].
    #[must_use]
    pub fn for_customers(self) -> Self {
        Self { outcome: self.outcome.for_customers(&self.request.url), ..self }
    }

    /// The same attempt with `?` for every character of its texts that is not printable ASCII, for a database that
    /// refuses a text as it is. Any database holds ASCII.
    #[must_use]
    pub fn in_ascii(&self) -> Self {
        let ascii = |text: &str| -> String {
            text.chars().map(|c| if matches!(c, ' '..='~' | '\t') { c } else { '?' }).collect()
        };
        let headers = |log: &HeaderLog| -> HeaderLog {
            let mut reduced = HeaderLog::with_capacity(log.as_text().len());
            for (name, value) in log.iter() {
                reduced.push(ascii(name).chars(), ascii(value).as_bytes());
            }
            reduced
        };
        Self {
            request: RequestLog { url: ascii(&self.request.url), headers: headers(&self.request.headers) },
            response: self
                .response
                .as_ref()
                .map(|response| ResponseLog { headers: headers(&response.headers), ..response.clone() }),
            outcome: match &self.outcome {
                Outcome::Failed { code, detail } => Outcome::Failed { code: *code, detail: ascii(detail) },
                answered @ Outcome::Answered { .. } => answered.clone(),
            },
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_in_ascii_keeps_all_but_the_characters_that_a_database_may_refuse() {
        let attempt = Attempt {
            number: 2,
            probe: false,
            started_at: Timestamp::from_ms(1),
            timings: Timings::default(),
            request: RequestLog {
                url: "https://h/ü".to_owned(),
                headers: HeaderLog::from_iter([("X-A", "1"), ("X-A", "•••")]),
            },
            response: Some(ResponseLog {
                headers: HeaderLog::from_text("X-Odd: caf\u{fffd}\ta\n".to_owned()).unwrap(),
                body: Bytes::from_static(b"\0\xff"),
                body_truncated: true,
            }),
            outcome: Outcome::Failed { code: FailureCode::Timeout, detail: "a\0b ☃".to_owned() },
        };
        let reduced = attempt.in_ascii();
        assert_eq!(reduced.request.url, "https://h/?");
        assert_eq!(reduced.request.headers.as_text(), "X-A: 1\nX-A: ???\n");
        let (response, before) = (reduced.response.as_ref().unwrap(), attempt.response.as_ref().unwrap());
        assert_eq!(response.headers.as_text(), "X-Odd: caf?\ta\n");
        assert_eq!((&response.body, response.body_truncated), (&before.body, true));
        let expected = Outcome::Failed { code: FailureCode::Timeout, detail: "a?b ?".to_owned() };
        assert_eq!((&reduced.outcome, reduced.number), (&expected, 2));
        assert_eq!(reduced.in_ascii(), reduced);
    }

    #[test]
    fn only_200_to_299_counts_as_received() {
        for status in 100..=999 {
            let outcome = Outcome::Answered { status, retry_after: None };
            assert_eq!(outcome.is_received(), (200..300).contains(&status), "{status}");
            assert_eq!(outcome.failure_code().is_none(), outcome.is_received(), "{status}");
        }
    }

    #[test]
    fn failure_codes_survive_their_text() {
        for code in FailureCode::ALL {
            assert_eq!(FailureCode::from_text(code.as_str()), Some(*code));
        }
        assert_eq!(FailureCode::from_text("gremlins"), None);
    }
}
