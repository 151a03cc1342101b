//! Reads JSON text into values that can be checked, and accepts all that RFC 8259 calls JSON, to a limited depth.
//!
//! For checking alone: what is stored and sent is the text itself. serde_json's own reader of values refuses a
//! `\ud800` without its partner and takes two names of keys for its own marks; both are JSON like any other.

use super::json::FromJson;
use super::not_json::NotJson;
use super::scanner::{Scanner, decoded};

/// What a payload says: its value (the last of equal keys wins) and every `livemode` of its top level.
#[derive(Debug)]
pub(super) struct Payload<V> {
    pub(super) value: V,
    pub(super) livemode: Livemode,
}

/// What the `livemode` keys of a payload's top level say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Livemode {
    Absent,
    Is(bool),
    /// Two that differ.
    Contradiction,
    /// Something else than true or false.
    NotBoolean,
}

impl Livemode {
    /// Takes one more into account: `None` is neither true nor false. The first fault stays.
    fn and(self, found: Option<bool>) -> Self {
        match (self, found) {
            (Self::Contradiction | Self::NotBoolean, _) => self,
            (_, None) => Self::NotBoolean,
            (Self::Absent, Some(found)) => Self::Is(found),
            (Self::Is(before), Some(found)) if before == found => self,
            (Self::Is(_), Some(_)) => Self::Contradiction,
        }
    }
}

/// Reads the whole of `json`.
pub(super) fn read<'a, V: FromJson<'a>>(json: &'a str) -> Result<Payload<V>, NotJson> {
    let mut reader = Reader { scanner: Scanner::new(json), livemode: Livemode::Absent };
    let value = reader.value()?;
    reader.scanner.finish()?;
    Ok(Payload { value, livemode: reader.livemode })
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    livemode: Livemode,
}

impl<'a> Reader<'a> {
    fn value<V: FromJson<'a>>(&mut self) -> Result<V, NotJson> {
        let scanner = &mut self.scanner;
        match scanner.next_token().ok_or(NotJson::End)? {
            b'"' => scanner.string().map(|raw| V::string(decoded(raw))),
            b'{' => self.object(),
            b'[' => self.array(),
            b'-' | b'0'..=b'9' => scanner.number().map(V::number),
            b't' => scanner.word("true").map(|()| V::bool(true)),
            b'f' => scanner.word("false").map(|()| V::bool(false)),
            b'n' => scanner.word("null").map(|()| V::null()),
            _ => Err(NotJson::Value(scanner.at())),
        }
    }

    fn array<V: FromJson<'a>>(&mut self) -> Result<V, NotJson> {
        let mut items = Vec::new();
        self.scanner.open()?;
        if !self.scanner.closes_at_once(b']') {
            loop {
                items.push(self.value()?);
                if self.scanner.closes(b']')? {
                    break;
                }
            }
        }
        Ok(V::array(items))
    }

    fn object<V: FromJson<'a>>(&mut self) -> Result<V, NotJson> {
        let mut members = Vec::new();
        self.scanner.open()?;
        if !self.scanner.closes_at_once(b'}') {
            loop {
                let key = decoded(self.scanner.key()?);
                if self.scanner.depth() == 1 && key == "livemode" {
                    self.livemode = self.livemode.and(match self.scanner.next_token() {
                        Some(b't') => Some(true),
                        Some(b'f') => Some(false),
                        _ => None,
                    });
                }
                members.push((key, self.value()?));
                if self.scanner.closes(b'}')? {
                    break;
                }
            }
        }
        Ok(V::object(members))
    }
}

#[cfg(test)]
mod tests;
