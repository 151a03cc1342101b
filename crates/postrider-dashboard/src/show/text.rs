//! Text that came from a platform or a receiver: shown, whatever it is, and nothing but shown.
//!
//! Escaping is maud's; here what would be invisible or would turn the text around is made visible.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every control and direction character written out, as `\u{202e}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_tricky) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_tricky(c) {
            write!(shown, "\\u{{{:04x}}}", u32::from(c)).expect("writing to a string never fails");
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn is_tricky(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => true,
        c => c.is_control(),
    }
}

/// Bytes as text: as they are where they are UTF-8, else with a mark where they are not.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The beginning of a text, cut between two characters, and whether anything was left out.
pub(crate) fn beginning(text: &str, most_bytes: usize) -> (&str, bool) {
    if text.len() <= most_bytes {
        return (text, false);
    }
    let end = (0..=most_bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    (&text[..end], true)
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => {
            let tenths = count.saturating_mul(10) / size;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

/// A number with its thousands apart: `12,345`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_hide_or_turn_the_text_are_written_out() {
        assert_eq!(visible("a\u{202e}b\u{0}c\u{2066}\r"), "a\\u{202e}b\\u{0000}c\\u{2066}\\u{000d}");
        assert_eq!(visible("line\n\ttab, ümläut, עברית"), "line\n\ttab, ümläut, עברית");
    }

    #[test]
    fn sizes_and_numbers_are_short() {
        for (count, shown) in [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(bytes(count), shown);
        }
        for (count, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), shown);
        }
        assert_eq!(beginning("aäb", 2), ("a", true));
        assert_eq!(beginning("aäb", 4), ("aäb", false));
    }
}
