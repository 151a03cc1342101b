//! How a response's body is delimited (RFC 9112, section 6.3), and whether its connection can be used again.
//!
//! Nothing here changes an outcome. Where a response contradicts itself, the body is read in the way that waits for the
//! fewest bytes, and the connection is closed.

use std::time::Duration;

use crate::limits::MAX_CONNECTION_IDLE;

/// How far a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// So many bytes; none for a status that has no body.
    Fixed(u64),
    /// As the chunks say.
    Chunked,
    /// To the end of the connection.
    UntilClose,
}

/// How a response ends, and what is possible on its connection then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) body: BodyLength,
    /// How long the connection may wait for its next request; `None` if it must be closed.
    pub(crate) reusable_for: Option<Duration>,
    /// Whether the body's length is certain, so that a body that was read to its end is the whole one.
    pub(crate) is_certain: bool,
}

/// The headers that delimit a body or speak of the connection.
#[derive(Debug, Default)]
pub(crate) struct FramingFields {
    /// Whether a header line could not be read.
    pub(crate) has_unreadable_line: bool,
    /// The smallest of the lengths that can be read.
    content_length: Option<u64>,
    /// Whether lengths differ, or one can't be read.
    is_length_unclear: bool,
    transfer_coding: Option<TransferCoding>,
    has_content_type: bool,
    closes: bool,
    keeps_alive: bool,
    keep_alive_for: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransferCoding {
    /// `chunked` alone.
    Chunked,
    /// Several codings, the last of them `chunked`.
    ChunkedLast,
    /// Codings without `chunked` at their end.
    Other,
}

impl FramingFields {
    /// Takes a header; those of no concern here are passed over.
    pub(crate) fn take(&mut self, name: &[u8], value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            10 if is("connection") => self.take_connection(value),
            10 if is("keep-alive") => self.take_keep_alive(value),
            12 if is("content-type") => self.has_content_type = true,
            14 if is("content-length") => self.take_content_length(value),
            17 if is("transfer-encoding") => self.take_transfer_encoding(value),
            _ => {}
        }
    }

    fn take_connection(&mut self, value: &[u8]) {
        for token in tokens(value) {
            self.closes |= token.eq_ignore_ascii_case(b"close");
            self.keeps_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// `timeout=5, max=100`: how long the receiver keeps the connection, and for how many requests.
    fn take_keep_alive(&mut self, value: &[u8]) {
        for parameter in tokens(value) {
            let Some(equals) = parameter.iter().position(|byte| *byte == b'=') else { continue };
            let (name, number) = (parameter[..equals].trim_ascii(), &parameter[equals + 1..]);
            let Some(number) = parse_number(number.trim_ascii()) else { continue };
            if name.eq_ignore_ascii_case(b"timeout") {
                let timeout = Duration::from_secs(number);
                // The receiver's clock began earlier than ours, and the next request takes its time to arrive.
                let margin = (timeout / 2).min(Duration::from_secs(1));
                self.keep_alive_for = Some(timeout - margin);
            } else if name.eq_ignore_ascii_case(b"max") && number == 0 {
                self.closes = true;
            }
        }
    }

    fn take_content_length(&mut self, value: &[u8]) {
        for length in value.split(|byte| *byte == b',') {
            match (parse_number(length.trim_ascii()), self.content_length) {
                (None, _) => self.is_length_unclear = true,
                (Some(length), None) => self.content_length = Some(length),
                (Some(length), Some(known)) => {
                    self.is_length_unclear |= length != known;
                    self.content_length = Some(length.min(known));
                }
            }
        }
    }

    fn take_transfer_encoding(&mut self, value: &[u8]) {
        for coding in tokens(value) {
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.transfer_coding = Some(match (self.transfer_coding, is_chunked) {
                (None, true) => TransferCoding::Chunked,
                (Some(_), true) => TransferCoding::ChunkedLast,
                (_, false) => TransferCoding::Other,
            });
        }
    }

    /// How the body of a response of this status is delimited.
    pub(crate) fn framing(&self, status: u16, is_http_1_0: bool) -> Framing {
        let announces_body = self.transfer_coding.is_some()
            || self.is_length_unclear
            || self.content_length.unwrap_or(u64::from(self.has_content_type)) > 0;
        let (body, is_consistent) = match (status, self.transfer_coding, self.content_length) {
            // Neither can have a body, whatever the headers say.
            (204 | 304, ..) => (BodyLength::Fixed(0), !announces_body),
            // What follows is another protocol, of which nothing is known.
            (101, ..) => (BodyLength::UntilClose, false),
            (_, Some(TransferCoding::Chunked), None) => {
                (BodyLength::Chunked, !is_http_1_0 && !self.is_length_unclear)
            }
            (_, Some(TransferCoding::Chunked | TransferCoding::ChunkedLast), _) => {
                (BodyLength::Chunked, false)
            }
            (_, Some(TransferCoding::Other), _) | (_, None, None) => (BodyLength::UntilClose, false),
            (_, None, Some(length)) => (BodyLength::Fixed(length), !self.is_length_unclear),
        };
        let keeps_alive = !self.closes && (!is_http_1_0 || self.keeps_alive);
        let reusable_for = (is_consistent && keeps_alive && !self.has_unreadable_line)
            .then(|| self.keep_alive_for.unwrap_or(MAX_CONNECTION_IDLE).min(MAX_CONNECTION_IDLE));
        let is_certain = !(self.is_length_unclear && matches!(body, BodyLength::Fixed(_)));
        Framing { body, reusable_for: reusable_for.filter(|idle| !idle.is_zero()), is_certain }
    }
}

/// The parts of a comma-separated list, without white space around them and without empty ones.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A number of decimal digits; the largest there is where it does not fit. `None` for anything else.
fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = text.iter().map(|byte| u64::from(byte - b'0'));
    Some(digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(digit)))
}

#[cfg(test)]
mod tests;
