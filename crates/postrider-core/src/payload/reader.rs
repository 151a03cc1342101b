//! Reads JSON text into values that can be judged, and accepts all that RFC 8259 calls JSON, to a limited depth.
//!
//! For judging alone: what is stored and sent is the text itself. serde_json's own reader of values refuses a
//! `\ud800` without its partner and takes two names of keys for its own marks; both are JSON like any other.

use serde_json::{Map, Number, Value};

use super::not_json::NotJson;
use crate::limits::MAX_PAYLOAD_DEPTH;

/// What a payload says: its value (the last of equal keys wins) and every `livemode` of its top level.
pub(super) struct Payload {
    pub(super) value: Value,
    pub(super) modes: Vec<Value>,
}

/// Reads the whole of `json`.
pub(super) fn read(json: &str) -> Result<Payload, NotJson> {
    let mut reader = Reader { text: json, at: 0, depth: 0, modes: Vec::new() };
    let value = reader.value()?;
    match reader.next_token() {
        None => Ok(Payload { value, modes: reader.modes }),
        Some(_) => Err(NotJson::Trailing(reader.at)),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// The byte that is looked at. Only steps over whole characters, so it never stands inside one.
    at: usize,
    /// How many arrays and objects are open.
    depth: usize,
    modes: Vec<Value>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte at which the next token begins.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// The text from `start` to here. Both are ends of whole characters.
    fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    fn value(&mut self) -> Result<Value, NotJson> {
        match self.next_token().ok_or(NotJson::End)? {
            b'"' => self.string().map(Value::String),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => Err(NotJson::Value(self.at)),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, NotJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(NotJson::Value(self.at));
        }
        self.at += word.len();
        Ok(value)
    }

    /// Nothing of a number's alphabet may follow a number, so all of it is taken and then judged as a whole.
    fn number(&mut self) -> Result<Value, NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.peek() {
            self.at += 1;
        }
        match self.since(start).parse::<Number>() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_not_a_number) => Err(NotJson::Number(start)),
        }
    }

    /// Reads what the bracket at this place opens.
    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, NotJson>) -> Result<Value, NotJson> {
        if self.depth == MAX_PAYLOAD_DEPTH {
            return Err(NotJson::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, NotJson> {
        let mut items = Vec::new();
        if !self.ends_at_once(b']') {
            loop {
                items.push(self.value()?);
                if self.ends_with(b']')? {
                    break;
                }
            }
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self) -> Result<Value, NotJson> {
        let mut fields = Map::new();
        if !self.ends_at_once(b'}') {
            loop {
                let (key, value) = self.field()?;
                if self.depth == 1 && key == "livemode" {
                    self.modes.push(value.clone());
                }
                fields.insert(key, value);
                if self.ends_with(b'}')? {
                    break;
                }
            }
        }
        Ok(Value::Object(fields))
    }

    fn field(&mut self) -> Result<(String, Value), NotJson> {
        match self.next_token() {
            Some(b'"') => {}
            Some(_) => return Err(NotJson::Key(self.at)),
            None => return Err(NotJson::End),
        }
        let key = self.string()?;
        match self.next_token() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(NotJson::Colon(self.at)),
            None => return Err(NotJson::End),
        }
        Ok((key, self.value()?))
    }

    /// Whether an array or object is empty.
    fn ends_at_once(&mut self, end: u8) -> bool {
        let ends = self.next_token() == Some(end);
        self.at += usize::from(ends);
        ends
    }

    /// Steps over what stands behind an item: whether that is the end, or a comma.
    fn ends_with(&mut self, end: u8) -> Result<bool, NotJson> {
        match self.next_token() {
            Some(found) if found == end || found == b',' => {
                self.at += 1;
                Ok(found == end)
            }
            Some(_) => Err(NotJson::Comma(self.at)),
            None => Err(NotJson::End),
        }
    }

    /// Reads the string whose opening quote stands here.
    fn string(&mut self) -> Result<String, NotJson> {
        self.at += 1;
        // Nearly every string has no escape and is copied once, at its true length.
        let mut decoded = self.plain_part().to_owned();
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut decoded)?,
                Some(_) => return Err(NotJson::Control(self.at)),
                None => return Err(NotJson::End),
            }
            decoded.push_str(self.plain_part());
        }
        self.at += 1;
        Ok(decoded)
    }

    /// Steps over the characters that stand for themselves.
    fn plain_part(&mut self) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
        self.since(start)
    }

    fn escape(&mut self, decoded: &mut String) -> Result<(), NotJson> {
        let start = self.at;
        self.at += 1;
        let letter = self.peek().ok_or(NotJson::End)?;
        let character = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(start, decoded),
            _ => return Err(NotJson::Escape(start)),
        };
        self.at += 1;
        decoded.push(character);
        Ok(())
    }

    /// Reads a `\u` escape, and the one behind it where the two are a pair. A surrogate without its partner is
    /// valid JSON, although it stands for no character: it is judged as U+FFFD.
    fn unicode_escape(&mut self, start: usize, decoded: &mut String) -> Result<(), NotJson> {
        let unit = self.unit_at(start).ok_or(NotJson::Escape(start))?;
        self.at = start + 6;
        if let Some(partner) = self.unit_at(self.at)
            && let Some(Ok(character)) = char::decode_utf16([unit, partner]).next()
            && character > '\u{ffff}'
        {
            self.at += 6;
            decoded.push(character);
        } else {
            decoded.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(())
    }

    /// The UTF-16 unit that the `\u` and four hex digits at this place name.
    fn unit_at(&self, place: usize) -> Option<u16> {
        let digits = self.text.as_bytes().get(place..place + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | u16::try_from(digit).ok()?)
        })
    }
}

#[cfg(test)]
mod tests;
