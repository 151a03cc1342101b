//! Reads the head of a response: the status line, the end of the header block, and of the headers what can be read.
//!
//! Only the status line and the end of the block decide about a delivery. A header line that can't be read is left out,
//! and the connection is then not used again; it never changes the outcome. Pure: bytes in, values out, linear in the
//! bytes.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};
use postrider_core::attempt::HeaderLog;
use postrider_core::field_name::is_token_byte;

use crate::framing::{Framing, FramingFields};
use crate::limits::{MAX_KEPT_HEADER_BYTES, MAX_KEPT_HEADER_VALUE_BYTES};

/// What most header logs fit into, in bytes.
const LOG_BYTES: usize = 512;

/// What every status line begins with, in any letter case.
const VERSION_PREFIX: &[u8] = b"HTTP/1.";

/// The status line can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadStatusLine;

/// A status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusLine {
    /// The status, 100 to 999.
    pub(crate) status: u16,
    /// Whether the version is HTTP/1.0.
    pub(crate) is_http_1_0: bool,
}

impl StatusLine {
    /// Whether another response follows this one (RFC 9110, section 15.2). A switch of protocols is final here, since no
    /// request asks for one.
    pub(crate) fn is_interim(self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Reads a line without its end. The version and the status decide; the reason phrase may be anything.
    fn parse(line: &[u8]) -> Result<Self, BadStatusLine> {
        let (version, rest) = line.split_at_checked(VERSION_PREFIX.len()).ok_or(BadStatusLine)?;
        let [minor @ b'0'..=b'9', rest @ ..] = rest else { return Err(BadStatusLine) };
        let after_spaces = rest.trim_ascii_start();
        let is_separated = after_spaces.len() < rest.len();
        let (status, rest) = after_spaces.split_at_checked(3).ok_or(BadStatusLine)?;
        let ends_there = rest.first().is_none_or(u8::is_ascii_whitespace);
        if !version.eq_ignore_ascii_case(VERSION_PREFIX) || !is_separated || !ends_there {
            return Err(BadStatusLine);
        }
        let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0')).ok_or(BadStatusLine);
        let status = digit(status[0])? * 100 + digit(status[1])? * 10 + digit(status[2])?;
        if status < 100 {
            return Err(BadStatusLine);
        }
        Ok(Self { status, is_http_1_0: *minor == b'0' })
    }
}

/// Looks for the end of a header block in bytes that arrive piece by piece, without looking at a byte twice.
#[derive(Debug, Default)]
pub(crate) struct BlockScan {
    /// Where the block begins: at its status line, behind any empty lines before it.
    start: usize,
    line_start: usize,
    scanned: usize,
    status_line: Option<StatusLine>,
}

/// Where a header block is in the bytes that were scanned, and its status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: usize,
    /// The first byte behind the empty line that ends the block.
    pub(crate) end: usize,
    pub(crate) status_line: StatusLine,
}

impl BlockScan {
    /// Begins a scan for the block at `start`.
    pub(crate) fn at(start: usize) -> Self {
        Self { start, line_start: start, scanned: start, status_line: None }
    }

    /// Goes on with the scan; `bytes` are those of the last call and more. `None` if the block has not ended.
    ///
    /// # Errors
    /// The first line is no status line. An error comes as soon as that is certain, before the line has ended.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Result<Option<Block>, BadStatusLine> {
        while let Some(length) = memchr(b'\n', &bytes[self.scanned..]) {
            let line_end = self.scanned + length;
            let line = without_cr(&bytes[self.line_start..line_end]);
            self.scanned = line_end + 1;
            self.line_start = self.scanned;
            match (self.status_line, line.is_empty()) {
                // RFC 9112, section 2.2: empty lines before the message are passed over.
                (None, true) => self.start = self.scanned,
                (None, false) => self.status_line = Some(StatusLine::parse(line)?),
                (Some(status_line), true) => {
                    return Ok(Some(Block { start: self.start, end: self.scanned, status_line }));
                }
                (Some(_), false) => {}
            }
        }
        self.scanned = bytes.len();
        let begun = bytes[self.start..].iter().zip(VERSION_PREFIX);
        let may_be_status_line = begun.enumerate().all(|(index, (byte, expected))| match index {
            0 if *byte == b'\r' => bytes.len() == self.start + 1,
            _ => byte.eq_ignore_ascii_case(expected),
        });
        if self.status_line.is_none() && !may_be_status_line {
            return Err(BadStatusLine);
        }
        Ok(None)
    }
}

/// The head of a final response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    /// The headers that can be read, as the log keeps them.
    pub(crate) log: HeaderLog,
    /// The first `Retry-After`, as received.
    pub(crate) retry_after: Option<String>,
    /// How the body is delimited, and whether the connection can be used again after it.
    pub(crate) framing: Framing,
}

impl ResponseHead {
    /// Reads the headers of a block that [`BlockScan`] found.
    pub(crate) fn parse(block: &[u8], status_line: StatusLine) -> Self {
        let mut headers = Headers::new();
        let mut line_start = memchr(b'\n', block).map_or(block.len(), |end| end + 1);
        let first_line = line_start;
        for line_end in memchr_iter(b'\n', &block[first_line..]).map(|end| first_line + end) {
            headers.take_line(without_cr(&block[line_start..line_end]));
            line_start = line_end + 1;
        }
        headers.finish_field();
        let framing = headers.fields.framing(status_line.status, status_line.is_http_1_0);
        Self { status: status_line.status, log: headers.log, retry_after: headers.retry_after, framing }
    }
}

/// A header field; its value grows where it is folded over several lines.
struct Field<'a> {
    name: &'a [u8],
    value: Cow<'a, [u8]>,
}

/// What is read of a block's headers.
struct Headers<'a> {
    /// The field of the last line, which the next line may continue.
    current: Option<Field<'a>>,
    log: HeaderLog,
    /// How many bytes the log may still take; `None` once a header did not fit.
    log_capacity: Option<usize>,
    retry_after: Option<String>,
    fields: FramingFields,
}

impl<'a> Headers<'a> {
    fn new() -> Self {
        Self {
            current: None,
            log: HeaderLog::with_capacity(LOG_BYTES),
            log_capacity: Some(MAX_KEPT_HEADER_BYTES),
            retry_after: None,
            fields: FramingFields::default(),
        }
    }

    fn take_line(&mut self, line: &'a [u8]) {
        if let [b' ' | b'\t', continuation @ ..] = line {
            // RFC 9112, section 5.2: a folded value is unfolded to one with a space in it.
            match &mut self.current {
                Some(field) => {
                    let value = field.value.to_mut();
                    value.push(b' ');
                    value.extend_from_slice(trim(continuation));
                }
                None => self.fields.has_unreadable_line = true,
            }
            return;
        }
        self.finish_field();
        if line.is_empty() {
            return; // The end of the block.
        }
        self.current = Field::parse(line);
        self.fields.has_unreadable_line |= self.current.is_none();
    }

    fn finish_field(&mut self) {
        let Some(Field { name, value }) = self.current.take() else { return };
        let value = trim(&value);
        if !value.iter().all(|byte| is_value_byte(*byte)) {
            self.fields.has_unreadable_line = true;
            return;
        }
        if name.eq_ignore_ascii_case(b"retry-after") && self.retry_after.is_none() {
            // Longer than any time; the log's bound serves here too.
            let value = &value[..value.len().min(MAX_KEPT_HEADER_VALUE_BYTES)];
            self.retry_after = std::str::from_utf8(value).ok().map(str::to_owned);
        } else {
            self.fields.take(name, value);
        }
        self.push_log(name, value);
    }

    fn push_log(&mut self, name: &[u8], value: &[u8]) {
        let shown = &value[..value.len().min(MAX_KEPT_HEADER_VALUE_BYTES)];
        self.log_capacity =
            self.log_capacity.and_then(|capacity| capacity.checked_sub(name.len() + shown.len()));
        if self.log_capacity.is_some() {
            self.log.push(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())), shown);
        }
    }
}

impl<'a> Field<'a> {
    /// Splits a line at its colon. `None` if there is no name before one.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let colon = memchr(b':', line)?;
        // RFC 9112, section 5.1: white space before the colon is removed from a response.
        let name = trim(&line[..colon]);
        let is_name = !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte));
        is_name.then(|| Self { name, value: Cow::Borrowed(trim(&line[colon + 1..])) })
    }
}

/// Whether a byte may stand in a value: visible ASCII, a space, a tab, or anything beyond ASCII.
fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Without spaces and tabs at both ends.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests;
