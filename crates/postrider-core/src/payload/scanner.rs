//! Lexical analysis of JSON text (RFC 8259): tokens by their place, without building values.
//!
//! Accepts all that the RFC calls JSON, to a limited depth. The payload reader and the filters' path reader are built on it, so
//! that both agree on what JSON is.

use std::borrow::Cow;

use super::not_json::NotJson;
use crate::limits::MAX_PAYLOAD_DEPTH;

/// A position in JSON text. It only steps over whole tokens, so it never stands inside a character.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// How many arrays and objects are open.
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The byte offset that is looked at.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How many arrays and objects are open.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and returns the byte at which the next token begins.
    pub(crate) fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// The text from `start` to here. Both are ends of whole tokens.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Checks that nothing but white space follows.
    pub(crate) fn finish(&mut self) -> Result<(), NotJson> {
        match self.next_token() {
            None => Ok(()),
            Some(_) => Err(NotJson::Trailing(self.at)),
        }
    }

    /// Steps over `true`, `false` or `null`.
    pub(crate) fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(NotJson::Value(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    /// Steps over a number and returns its text. Nothing of a number's alphabet may follow a number, so all of it is taken
    /// and then checked as a whole.
    pub(crate) fn number(&mut self) -> Result<&'a str, NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.peek() {
            self.at += 1;
        }
        let number = self.since(start);
        if is_number(number.as_bytes()) { Ok(number) } else { Err(NotJson::Number(start)) }
    }

    /// Enters the array or object whose bracket stands here.
    pub(crate) fn open(&mut self) -> Result<(), NotJson> {
        if self.depth == MAX_PAYLOAD_DEPTH {
            return Err(NotJson::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Whether the array or object that was just opened is empty. Steps over its end if so.
    pub(crate) fn closes_at_once(&mut self, end: u8) -> bool {
        let closes = self.next_token() == Some(end);
        if closes {
            self.close();
        }
        closes
    }

    /// Steps over what stands behind an item, and returns whether that was the end of the array or object.
    pub(crate) fn closes(&mut self, end: u8) -> Result<bool, NotJson> {
        match self.next_token() {
            Some(found) if found == end => {
                self.close();
                Ok(true)
            }
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(NotJson::Comma(self.at)),
            None => Err(NotJson::End),
        }
    }

    fn close(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// Steps over a key and its colon, and returns what stands between its quotes.
    pub(crate) fn key(&mut self) -> Result<&'a str, NotJson> {
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
        Ok(key)
    }

    /// Steps over the string whose opening quote stands here, and returns what stands between its quotes: [`decoded`] reads it.
    pub(crate) fn string(&mut self) -> Result<&'a str, NotJson> {
        let start = self.at + 1;
        self.at = start;
        loop {
            self.at = end_of_plain_part(self.text.as_bytes(), self.at);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(NotJson::Control(self.at)),
                None => return Err(NotJson::End),
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        self.at += match self.text.as_bytes().get(start + 1) {
            None => return Err(NotJson::End),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if unit_at(self.text, start).is_some() => 6,
            Some(_) => return Err(NotJson::Escape(start)),
        };
        Ok(())
    }

    /// Steps over the value that begins here, whatever it is.
    pub(crate) fn skip_value(&mut self) -> Result<(), NotJson> {
        match self.next_token().ok_or(NotJson::End)? {
            b'"' => self.string().map(drop),
            b'{' => self.skip_members(b'}', true),
            b'[' => self.skip_members(b']', false),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => Err(NotJson::Value(self.at)),
        }
    }

    fn skip_members(&mut self, end: u8, have_keys: bool) -> Result<(), NotJson> {
        self.open()?;
        if self.closes_at_once(end) {
            return Ok(());
        }
        loop {
            if have_keys {
                self.key()?;
            }
            self.skip_value()?;
            if self.closes(end)? {
                return Ok(());
            }
        }
    }
}

/// Whether this is a number by RFC 8259, section 6.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest[0] == b'0' {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let length = digits(exponent);
        return length > 0 && length == exponent.len();
    }
    rest.is_empty()
}

/// Returns the characters that stand between a string's quotes. A surrogate without its partner is valid JSON, although it
/// stands for no character: it is read as U+FFFD.
pub(crate) fn decoded(raw: &str) -> Cow<'_, str> {
    let Some(first) = raw.find('\\') else { return Cow::Borrowed(raw) };
    let mut decoded = String::with_capacity(raw.len());
    let (plain, mut rest) = raw.split_at(first);
    decoded.push_str(plain);
    while !rest.is_empty() {
        rest = &rest[push_escape(rest, &mut decoded)..];
        let (plain, next) = rest.split_at(rest.find('\\').unwrap_or(rest.len()));
        decoded.push_str(plain);
        rest = next;
    }
    Cow::Owned(decoded)
}

/// Reads the escape at the beginning of `text`, and the one behind it where the two are a surrogate pair. Returns its length.
fn push_escape(text: &str, decoded: &mut String) -> usize {
    let character = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let unit = unit_at(text, 0).unwrap_or(0xfffd);
            if let Some(partner) = unit_at(text, 6)
                && let Some(Ok(character)) = char::decode_utf16([unit, partner]).next()
                && character > '\u{ffff}'
            {
                decoded.push(character);
                return 12;
            }
            decoded.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
            return 6;
        }
        Some(letter) => char::from(*letter),
        None => return text.len(),
    };
    decoded.push(character);
    2
}

/// The UTF-16 unit that the `\u` and four hex digits at this place name.
fn unit_at(text: &str, place: usize) -> Option<u16> {
    let digits = text.as_bytes().get(place..place + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

/// Where the characters that stand for themselves end: at a quote, a backslash, a control character, or the text's end.
/// Eight bytes at a time.
pub(super) fn end_of_plain_part(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return start + index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let in_tail = tail.iter().position(ends).unwrap_or(tail.len());
    start + words.len() * 8 + in_tail
}

/// The top bit of each of eight bytes that ends a string's plain part. Exact up to the first such byte (counted from the
/// lowest); those above it may be marked wrongly, as a borrow runs upwards.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let zeros = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let quotes = zeros(word ^ (ONES * u64::from(b'"')));
    let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
    (controls | quotes | backslashes) & (ONES << 7)
}
