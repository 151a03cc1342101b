//! Recognises a good payload in one pass over its bytes, without building values.
//!
//! Its answer is "certainly good" or "don't know": whatever is rare (a key with an escape, a known key twice, deep
//! nesting, a fraction where a whole number belongs) is left to the full check, which also finds the words for
//! what is wrong. So what passes here must pass there, never the other way round.

use super::scanner::end_of_plain_part;
use super::shape::{ANYTHING, Shape};
use crate::json_types::Types;

/// Deeper payloads are left to the full check.
const MAX_DEPTH: usize = 32;

/// What a good payload said of its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) livemode: Option<bool>,
}

/// Whether `json` is certainly one object of this shape; none where that is not known.
pub(super) fn at(shape: &Shape, json: &str) -> Option<Good> {
    let mut glance = Glance { text: json, at: 0, depth: 0, livemode: None };
    if glance.next_token()? != b'{' {
        return None;
    }
    glance.value(shape)?;
    match glance.next_token() {
        None => Some(Good { livemode: glance.livemode }),
        Some(_) => None,
    }
}

struct Glance<'a> {
    text: &'a str,
    /// The byte that is looked at.
    at: usize,
    /// How many arrays and objects are open.
    depth: usize,
    livemode: Option<bool>,
}

impl<'a> Glance<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte at which the next token begins.
    fn next_token(&mut self) -> Option<u8> {
        loop {
            let byte = self.peek()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn value(&mut self, shape: &Shape) -> Option<()> {
        let found = match self.next_token()? {
            b'"' => {
                self.string()?;
                Types::STRING
            }
            b'{' => {
                self.nested(shape, Self::object)?;
                Types::OBJECT
            }
            b'[' => {
                self.nested(shape, Self::array)?;
                Types::ARRAY
            }
            b't' => self.word("true", Types::BOOLEAN)?,
            b'f' => self.word("false", Types::BOOLEAN)?,
            b'n' => self.word("null", Types::NULL)?,
            _ => self.number()?,
        };
        shape.types.has(found).then_some(())
    }

    fn word(&mut self, word: &str, found: Types) -> Option<Types> {
        let is_there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        is_there.then_some(found)
    }

    /// What `1.0` and `1e2` are is left to the full check where a whole number belongs.
    fn number(&mut self) -> Option<Types> {
        self.at += usize::from(self.peek()? == b'-');
        let start = self.at;
        let leads_with_zero = self.peek() == Some(b'0');
        self.digits()?;
        if leads_with_zero && self.at != start + 1 {
            return None;
        }
        let mut found = Types::INTEGER;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            found = Types::NUMBER;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
            found = Types::NUMBER;
        }
        Some(found)
    }

    /// Steps over at least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Reads what the bracket at this place opens.
    fn nested(&mut self, shape: &Shape, read: fn(&mut Self, &Shape) -> Option<()>) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        self.at += 1;
        read(self, shape)?;
        self.depth -= 1;
        Some(())
    }

    fn array(&mut self, shape: &Shape) -> Option<()> {
        let item = shape.item();
        if self.next_token()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.value(item)?;
            if self.ends_with(b']')? {
                return Some(());
            }
        }
    }

    fn object(&mut self, shape: &Shape) -> Option<()> {
        let mut seen = 0_u64;
        if self.next_token()? == b'}' {
            self.at += 1;
            return (shape.required == 0).then_some(());
        }
        loop {
            let key = self.key()?;
            match shape.member(key) {
                None => self.value(&ANYTHING)?,
                Some((place, _)) if seen & 1 << place != 0 => return None,
                Some((place, member)) => {
                    seen |= 1 << place;
                    self.member(key, member)?;
                }
            }
            if self.ends_with(b'}')? {
                return (shape.required & !seen == 0).then_some(());
            }
        }
    }

    /// Reads a known member's value, and the payload's mode along with it.
    fn member(&mut self, key: &str, shape: &Shape) -> Option<()> {
        let is_mode = self.depth == 1 && key == "livemode";
        if is_mode {
            self.livemode = Some(match self.next_token()? {
                b't' => true,
                b'f' => false,
                _ => return None,
            });
        }
        self.value(shape)
    }

    /// Reads a key and its colon. None where it has an escape.
    fn key(&mut self) -> Option<&'a str> {
        if self.next_token()? != b'"' {
            return None;
        }
        let start = self.at + 1;
        self.at = self.end_of_plain_part(start);
        if self.peek()? != b'"' {
            return None;
        }
        let key = &self.text[start..self.at];
        self.at += 1;
        if self.next_token()? != b':' {
            return None;
        }
        self.at += 1;
        Some(key)
    }

    /// Steps over what stands behind an item: whether that is the end, or a comma.
    fn ends_with(&mut self, end: u8) -> Option<bool> {
        let found = self.next_token()?;
        self.at += 1;
        if found == end {
            Some(true)
        } else if found == b',' {
            Some(false)
        } else {
            None
        }
    }

    /// Steps over the string whose opening quote stands here.
    fn string(&mut self) -> Option<()> {
        self.at = self.end_of_plain_part(self.at + 1);
        while self.peek()? == b'\\' {
            let hex = self.text.as_bytes().get(self.at + 2..self.at + 6);
            let length = match self.text.as_bytes().get(self.at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                b'u' if hex?.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return None,
            };
            self.at = self.end_of_plain_part(self.at + length);
        }
        let closes = self.peek()? == b'"';
        self.at += 1;
        closes.then_some(())
    }

    fn end_of_plain_part(&self, start: usize) -> usize {
        end_of_plain_part(self.text.as_bytes(), start)
    }
}

#[cfg(test)]
mod tests;
