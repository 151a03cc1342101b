//! The rule for short texts that callers write: names, labels, descriptions. The API, the dashboard and the command
//! line apply the same rule, so that a text is refused by its field and not by a database.
//!
//! The rule is checked when a text is given, never when one is read from a store.

use crate::limits::{MAX_DESCRIPTION_CHARS, MAX_IDEMPOTENCY_KEY_CHARS, MAX_NAME_CHARS, MAX_NODE_NAME_CHARS};

/// The rule for an account's name.
pub const ACCOUNT_NAME: TextRule = TextRule::name(MAX_NAME_CHARS);
/// The rule for the description of an endpoint or an event type.
pub const DESCRIPTION: TextRule = TextRule::description(MAX_DESCRIPTION_CHARS);
/// The rule for a node's name.
pub const NODE_NAME: TextRule = TextRule::label(MAX_NODE_NAME_CHARS);

/// Rules for short texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextRule {
    max_chars: usize,
    allows_lines: bool,
    allows_blank: bool,
}

/// Why a text breaks its rule; the message completes "the text …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextRefused {
    /// The text is longer than its field allows.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// The text has no visible character, but its field needs one.
    #[error("must have at least one visible character")]
    Blank,
    /// The text contains a control character.
    #[error("must not contain control characters (U+{:04X})", u32::from(*.0))]
    Control(char),
    /// The text contains a control character other than a line break or a tab.
    #[error("must not contain control characters other than line breaks and tabs (U+{:04X})", u32::from(*.0))]
    ControlInLines(char),
}

impl TextRule {
    /// One line that identifies something for people: at least one visible character.
    pub const fn name(max_chars: usize) -> Self {
        Self { max_chars, allows_lines: false, allows_blank: false }
    }

    /// One line that may be empty.
    pub const fn label(max_chars: usize) -> Self {
        Self { max_chars, allows_lines: false, allows_blank: true }
    }

    /// Any number of lines, or none.
    pub const fn description(max_chars: usize) -> Self {
        Self { max_chars, allows_lines: true, allows_blank: true }
    }

    /// Checks a text that a caller gives.
    pub fn check(self, text: &str) -> Result<(), TextRefused> {
        if text.chars().count() > self.max_chars {
            return Err(TextRefused::TooLong(self.max_chars));
        }
        let is_forbidden =
            |c: &char| c.is_control() && !(self.allows_lines && matches!(c, '\n' | '\r' | '\t'));
        match text.chars().find(is_forbidden) {
            Some(c) if self.allows_lines => return Err(TextRefused::ControlInLines(c)),
            Some(c) => return Err(TextRefused::Control(c)),
            None => {}
        }
        if !self.allows_blank && text.trim().is_empty() {
            return Err(TextRefused::Blank);
        }
        Ok(())
    }
}

/// Whether a text is an idempotency key: 1 to 255 visible ASCII characters.
pub fn is_idempotency_key(text: &[u8]) -> bool {
    (1..=MAX_IDEMPOTENCY_KEY_CHARS).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_refused_and_a_description_may_have_lines() {
        for (text, in_name, in_description) in [
            ("Acme", None, None),
            ("Žluťoučký 🐎 \u{202e}\u{feff}\u{10ffff}", None, None),
            ("a\0b", Some('\0'), Some('\0')),
            ("a\u{1}b", Some('\u{1}'), Some('\u{1}')),
            ("a\u{1f}", Some('\u{1f}'), Some('\u{1f}')),
            ("a\u{7f}", Some('\u{7f}'), Some('\u{7f}')),
            ("a\u{85}", Some('\u{85}'), Some('\u{85}')),
            ("a\nb", Some('\n'), None),
            ("a\r\n\tb", Some('\r'), None),
            ("a\u{b}b", Some('\u{b}'), Some('\u{b}')),
        ] {
            let control = |found: Option<char>, refused: fn(char) -> TextRefused| match found {
                Some(found) => Err(refused(found)),
                None => Ok(()),
            };
            assert_eq!(ACCOUNT_NAME.check(text), control(in_name, TextRefused::Control), "{text:?}");
            assert_eq!(NODE_NAME.check(text), control(in_name, TextRefused::Control), "{text:?}");
            let expected = control(in_description, TextRefused::ControlInLines);
            assert_eq!(DESCRIPTION.check(text), expected, "{text:?}");
        }
        let refused = ACCOUNT_NAME.check("a\0b").unwrap_err();
        assert_eq!(refused.to_string(), "must not contain control characters (U+0000)");
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let longest = "ü".repeat(MAX_NAME_CHARS);
        assert_eq!(ACCOUNT_NAME.check(&longest), Ok(()));
        assert_eq!(ACCOUNT_NAME.check(&format!("{longest}x")), Err(TextRefused::TooLong(MAX_NAME_CHARS)));
    }

    #[test]
    fn only_a_name_needs_a_visible_character() {
        for blank in ["", "  ", "\u{a0}"] {
            assert_eq!(ACCOUNT_NAME.check(blank), Err(TextRefused::Blank), "{blank:?}");
            assert_eq!(NODE_NAME.check(blank), Ok(()));
            assert_eq!(DESCRIPTION.check(blank), Ok(()));
        }
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii() {
        assert!(is_idempotency_key(b"8e03978e-40d5-43e8") && is_idempotency_key(&[b'k'; 255]));
        for wrong in [&b""[..], b"two words", b"\xfc", b"a\0", b"\x7f", &[b'k'; 256]] {
            assert!(!is_idempotency_key(wrong), "{wrong:?}");
        }
    }
}
