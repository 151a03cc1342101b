//! A request's head as it goes on the wire, and the same as the log keeps it. The body is passed through untouched.
//!
//! Nothing that a customer sets can begin a line of its own: names are tokens ([`FieldName`]), values are
//! [`HeaderValue`]s, and the path is checked here.

use http::HeaderValue;
use postrider_core::attempt::HeaderLog;
use url::Position;

use crate::AttemptRequest;
use crate::failure::Failure;
use crate::target::Target;

/// What the log shows in place of a value that must not be read there.
const MASKED: &str = "•••";

/// What most heads and their logs fit into, in bytes.
const HEAD_BYTES: usize = 512;

/// Headers that the sender sets itself, or that would change how the message is framed, answered or kept alive.
const OWNED: [&str; 12] = [
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "user-agent",
    "accept-encoding",
    "transfer-encoding",
    "connection",
    "expect",
    "upgrade",
    "te",
    "trailer",
];

/// A request line and its headers.
pub(crate) struct RequestHead {
    /// The head as it is sent, the empty line at its end included.
    pub(crate) bytes: Vec<u8>,
    /// The headers as the log keeps them: as sent, sensitive values masked.
    pub(crate) log: HeaderLog,
}

impl RequestHead {
    /// Writes the head of the contract's POST.
    ///
    /// # Errors
    /// A URL whose path or host can't be put on a line, which no URL that the address guard accepted has.
    pub(crate) fn write(
        attempt: &AttemptRequest,
        target: &Target<'_>,
        user_agent: &HeaderValue,
    ) -> Result<Self, Failure> {
        let path = &attempt.url[Position::BeforePath..Position::AfterQuery];
        if !path.starts_with('/') || !is_visible(path) {
            return Err(Failure::unsendable("the URL's path can't be sent".to_owned()));
        }
        if !is_visible(target.authority) {
            return Err(Failure::unsendable("the URL's host can't be sent".to_owned()));
        }
        let mut head = Self {
            bytes: Vec::with_capacity(HEAD_BYTES + path.len()),
            log: HeaderLog::with_capacity(HEAD_BYTES),
        };
        for part in ["POST ", path, " HTTP/1.1\r\n"] {
            head.bytes.extend_from_slice(part.as_bytes());
        }
        head.push("Host", target.authority.as_bytes());
        head.push("Content-Type", b"application/json");
        let length = HeaderValue::from(attempt.body.len());
        head.push("Content-Length", length.as_bytes());
        head.push("User-Agent", user_agent.as_bytes());
        // Web application firewalls refuse requests without it (OWASP's core rule set, rule 920300).
        if !attempt.headers.iter().any(|(name, _)| name.is("accept")) {
            head.push("Accept", b"*/*");
        }
        for (name, value) in &attempt.headers {
            if OWNED.iter().any(|owned| name.is(owned)) {
                continue;
            }
            head.push_line(name.as_str(), value.as_bytes());
            if value.is_sensitive() {
                head.log.push_masked(name.as_str().chars(), MASKED);
            } else {
                head.log.push(name.as_str().chars(), value.as_bytes());
            }
        }
        head.bytes.extend_from_slice(b"\r\n");
        Ok(head)
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        self.push_line(name, value);
        self.log.push(name.chars(), value);
    }

    fn push_line(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
    }
}

/// Whether a text has visible ASCII characters only: no space and no line end.
fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
