//! Which trace an event and its attempts belong to, without anything being stored for it.
//!
//! An event's guid has the form of a trace id (W3C Trace Context: 16 bytes, not all zero), so it is one: whoever makes an
//! attempt, hours later, after a restart or on another node, finds the same trace. A caller's own trace is never gone
//! on with, because an attempt could not know it; the event's trace links to it.

use std::fmt;

use crate::id::EventId;

/// The length of a `traceparent` of version 00, in bytes.
const TRACEPARENT_BYTES: usize = 55;

/// A trace's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// A span's name within its trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

/// The span in which a caller handed an event in, as its `traceparent` header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerSpan {
    /// The caller's trace.
    pub trace: TraceId,
    /// Its span there.
    pub span: SpanId,
    /// The flags of W3C Trace Context, such as 1 for "sampled".
    pub flags: u8,
}

impl TraceId {
    /// The trace of an event: its guid.
    pub const fn of(event: EventId) -> Self {
        Self(u128::from_be_bytes(event.to_bytes()))
    }
}

impl SpanId {
    /// The span in which an event was taken in, and the parent of everything that happens to it: the last 8 bytes of
    /// its guid. Those of a UUIDv7 begin with a bit that is set, so they are never zero.
    pub const fn taking_in(event: EventId) -> Self {
        let [.., a, b, c, d, e, f, g, h] = event.to_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// A span of its own; `random` must be fresh chance from the caller.
    pub const fn new(random: u64) -> Self {
        Self(if random == 0 { 1 } else { random })
    }
}

impl CallerSpan {
    /// Reads a `traceparent` header (W3C Trace Context, section 3.2). None where it breaks the rules: then it is to be
    /// taken as if it were not there.
    pub fn from_traceparent(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(TRACEPARENT_BYTES)?;
        let mut parts = known.split('-');
        let version = u8::from_str_radix(lower_hex(parts.next()?, 2)?, 16).ok()?;
        let trace = u128::from_str_radix(lower_hex(parts.next()?, 32)?, 16).ok()?;
        let span = u64::from_str_radix(lower_hex(parts.next()?, 16)?, 16).ok()?;
        let flags = u8::from_str_radix(lower_hex(parts.next()?, 2)?, 16).ok()?;
        // A later version may say more, behind another dash; version ff is none.
        let has_right_end = rest.is_empty() || (version > 0 && rest.starts_with('-'));
        let is_valid = version != 0xff && trace != 0 && span != 0 && has_right_end;
        is_valid.then_some(Self { trace: TraceId(trace), span: SpanId(span), flags })
    }
}

/// `text` where it is so many lower-case hex digits.
fn lower_hex(text: &str, digits: usize) -> Option<&str> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == digits && is_hex).then_some(text)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn an_event_s_guid_is_its_trace_and_names_the_first_span_of_it() {
        for random in [0, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210] {
            let event = EventId::new(Timestamp::from_ms(1_700_000_000_000), random);
            let guid = event.to_string();
            assert_eq!(TraceId::of(event).to_string(), guid);
            assert_eq!(SpanId::taking_in(event).to_string(), guid[16..]);
            assert_ne!(SpanId::taking_in(event), SpanId(0));
        }
        assert_eq!(SpanId::new(0).to_string(), "0000000000000001");
    }

    #[test]
    fn a_traceparent_is_read_by_the_letter() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let read = |text: &str| {
            let caller = CallerSpan::from_traceparent(text)?;
            Some((caller.trace.to_string(), caller.span.to_string(), caller.flags))
        };
        let is = |flags| Some((trace.to_owned(), span.to_owned(), flags));
        assert_eq!(read(&format!("00-{trace}-{span}-01")), is(1));
        assert_eq!(read(&format!("00-{trace}-{span}-00")), is(0));
        assert_eq!(read(&format!("cc-{trace}-{span}-03-what-the-future-brings")), is(3));
        for wrong in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("cc-{trace}-{span}-01more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}-0g"),
            format!("00_{trace}-{span}-01"),
            format!("00-{span}-{trace}-01"),
            format!("+0-{trace}-{span}-01"),
            format!("00-{trace}-{span}-é"),
            format!("00-{}é-{span}-01", &trace[..30]),
        ] {
            assert_eq!(read(&wrong), None, "{wrong:?}");
        }
    }
}
