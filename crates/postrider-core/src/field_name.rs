//! The name of a header field as it is written on the wire, letter case included.

use std::fmt;
use std::sync::Arc;

/// A header field's name: a token of RFC 9110, section 5.6.2, in the letter case in which it is sent.
///
/// Names are case-insensitive in HTTP, yet some gateways hand them to code as received, and that code compares them.
/// Two names are equal here only if their letter case is equal too; [`FieldName::is`] compares as HTTP does. Since a
/// token holds neither a colon nor a line end, a name can't begin another header. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldName(Arc<str>);

impl FieldName {
    /// Reads a name. `None` if the text is empty or has a character that is no token character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.bytes().all(is_token_byte)).then(|| Self(text.into()))
    }

    /// Reads a name and changes it to title case: `x-api-KEY` becomes `X-Api-Key`. `None` as with [`Self::parse`].
    #[must_use]
    pub fn parse_in_title_case(text: &str) -> Option<Self> {
        Self::parse(&title_case(text))
    }

    /// Returns the name as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the same name as HTTP compares: without regard to letter case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a byte may stand in a header field's name: `tchar` of RFC 9110, section 5.6.2.
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The first letter and each one after a dash in upper case, all others in lower case.
fn title_case(name: &str) -> String {
    let mut begins_word = true;
    name.chars()
        .map(|letter| {
            let cased = if begins_word { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
            begins_word = letter == '-';
            cased
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_letter_case_and_compares_without_it() {
        let name = FieldName::parse("SOAPAction").unwrap();
        assert_eq!(name.as_str(), "SOAPAction");
        assert!(name.is("soapaction") && !name.is("soapactions"));
        assert_ne!(FieldName::parse("soapaction"), Some(name));
    }

    #[test]
    fn title_case_is_that_of_each_word() {
        for (text, cased) in [
            ("x-api-KEY", "X-Api-Key"),
            ("soapaction", "Soapaction"),
            ("x_y-z!", "X_y-Z!"),
            ("-a--b", "-A--B"),
        ] {
            assert_eq!(FieldName::parse_in_title_case(text).unwrap().as_str(), cased);
        }
    }

    #[test]
    fn only_a_token_is_a_name() {
        for text in ["", "X Y", "X:Y", "X\r\nY", "X\0", "ümlaut", "a\"b", "a\x7f"] {
            assert_eq!(FieldName::parse(text), None, "{text:?}");
        }
    }
}
