//! Headers as the log keeps them: one text, as they stood on the wire.

/// Names and values in the order they were on the wire, a line each: `Name: value`.
///
/// A name is ASCII. A value is text: what is no visible ASCII character, space or tab is shown as U+FFFD, so a line is
/// always one header and the text reads back as what was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderLog(String);

/// Between name and value.
const BETWEEN: &str = ": ";

impl HeaderLog {
    /// Empty, with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Adds a header.
    pub fn push(&mut self, name: impl IntoIterator<Item = char>, value: &[u8]) {
        self.0.extend(name);
        self.0.push_str(BETWEEN);
        match std::str::from_utf8(value) {
            Ok(text) if value.iter().all(|byte| is_shown(*byte)) => self.0.push_str(text),
            _ => self.0.extend(value.iter().map(|byte| match is_shown(*byte) {
                true => char::from(*byte),
                false => char::REPLACEMENT_CHARACTER,
            })),
        }
        self.0.push('\n');
    }

    /// Adds a header whose value is not to be read here; `mask` stands in its place.
    pub fn push_masked(&mut self, name: impl IntoIterator<Item = char>, mask: &str) {
        self.0.extend(name);
        self.0.push_str(BETWEEN);
        self.0.extend(
            mask.chars().map(|shown| if shown.is_control() { char::REPLACEMENT_CHARACTER } else { shown }),
        );
        self.0.push('\n');
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(BETWEEN))
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it, a line each.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// What [`Self::as_text`] gave; none where it can't have.
    #[must_use]
    pub fn from_text(text: String) -> Option<Self> {
        let is_whole = text.is_empty() || text.ends_with('\n');
        (is_whole && text.lines().all(|line| line.contains(BETWEEN))).then_some(Self(text))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for HeaderLog {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Self {
        let mut log = Self::default();
        for (name, value) in headers {
            log.push_masked(name.chars(), value);
        }
        log
    }
}

fn is_shown(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_in_order_as_they_were_kept() {
        let mut log = HeaderLog::default();
        log.push("X-Odd".chars(), b"caf\xe9: au lait");
        log.push("X-Empty".chars(), b"");
        log.push("X-Forged".chars(), b"a\r\nSet-Cookie: b");
        log.push_masked("Authorization".chars(), "•••");
        let shown = [
            ("X-Odd", "caf\u{fffd}: au lait"),
            ("X-Empty", ""),
            ("X-Forged", "a\u{fffd}\u{fffd}Set-Cookie: b"),
            ("Authorization", "•••"),
        ];
        assert_eq!(log.iter().collect::<Vec<_>>(), shown);
        assert_eq!(log.len(), 4);
        let again = HeaderLog::from_text(log.as_text().to_owned()).expect("it is its own text");
        assert_eq!(again, log);
        assert_eq!(HeaderLog::from_iter(shown), log);
    }

    #[test]
    fn what_is_no_such_text_is_not_read() {
        assert!(HeaderLog::from_text(String::new()).is_some_and(|log| log.is_empty()));
        for text in ["Host", "Host\n", "Host: a", "Host: a\nb\n"] {
            assert_eq!(HeaderLog::from_text(text.to_owned()), None, "{text:?}");
        }
    }
}
