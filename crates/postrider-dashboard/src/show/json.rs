//! JSON for reading: laid out anew and coloured, every token exactly as it came. Nothing is parsed into values, so numbers,
//! duplicate keys and escapes stay what they were. What is no JSON is shown as it is.

use maud::{Markup, PreEscaped, Render as _, html};

use super::text::visible;

/// The deepest indentation; what lies deeper is not moved further to the right.
const MAX_INDENT: usize = 24;

/// A token of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open(char),
    Close(char),
    Comma,
    Colon,
    Text(&'a str),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
}

/// The text laid out for reading, where it looks like JSON.
pub(crate) fn pretty(text: &str) -> Option<Markup> {
    let tokens = tokens(text)?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut iter = tokens.iter().enumerate().peekable();
    while let Some((index, token)) = iter.next() {
        let next = iter.peek().map(|(_, next)| **next);
        match *token {
            Token::Open(c) => {
                out.push(c);
                depth += 1;
                if !matches!(next, Some(Token::Close(_))) {
                    new_line(&mut out, depth);
                }
            }
            Token::Close(c) => {
                depth = depth.saturating_sub(1);
                if index > 0 && !matches!(tokens[index - 1], Token::Open(_)) {
                    new_line(&mut out, depth);
                }
                out.push(c);
            }
            Token::Comma => {
                out.push(',');
                new_line(&mut out, depth);
            }
            Token::Colon => out.push_str(": "),
            Token::Text(text) if next == Some(Token::Colon) => coloured(&mut out, "k", text),
            Token::Text(text) => coloured(&mut out, "s", text),
            Token::Word(word) => coloured(&mut out, "n", word),
        }
    }
    Some(PreEscaped(out))
}

/// A body as a block: laid out where it is JSON, else as it is.
pub(crate) fn block(text: &str) -> Markup {
    html! { pre.code { @if let Some(pretty) = pretty(text) { (pretty) } @else { (visible(text)) } } }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth.min(MAX_INDENT) {
        out.push_str("  ");
    }
}

fn coloured(out: &mut String, class: &str, text: &str) {
    out.push_str("<i class=");
    out.push_str(class);
    out.push('>');
    visible(text).as_ref().render_to(out);
    out.push_str("</i>");
}

/// The tokens; none where the text can't be JSON.
fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\n', '\r']);
    if !rest.starts_with(['{', '[']) {
        return None;
    }
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '{' | '[' | '}' | ']' | ',' | ':' => {
                tokens.push(match first {
                    '{' | '[' => Token::Open(first),
                    '}' | ']' => Token::Close(first),
                    ',' => Token::Comma,
                    _ => Token::Colon,
                });
                1
            }
            '"' => {
                let length = text_length(rest)?;
                tokens.push(Token::Text(&rest[..length]));
                length
            }
            _ => {
                let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
                let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
                if length == 0 {
                    return None;
                }
                tokens.push(Token::Word(&rest[..length]));
                length
            }
        };
        rest = rest[length..].trim_start_matches([' ', '\t', '\n', '\r']);
    }
    Some(tokens)
}

/// How long the string is that begins here, quotes counted; none where it does not end.
fn text_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Option<String> {
        let marked = pretty(text)?.into_string();
        Some(
            marked
                .replace("<i class=k>", "")
                .replace("<i class=s>", "")
                .replace("<i class=n>", "")
                .replace("</i>", ""),
        )
    }

    #[test]
    fn json_is_laid_out_and_every_token_stays_what_it_was() {
        assert_eq!(
            plain(r#"{"a":1.10,"a":[1E400,12345678901234567890123],"b":{},"c":[],"d":true}"#).unwrap(),
            "{\n  &quot;a&quot;: 1.10,\n  &quot;a&quot;: [\n    1E400,\n    12345678901234567890123\n  ],\n  \
             &quot;b&quot;: {},\n  &quot;c&quot;: [],\n  &quot;d&quot;: true\n}"
        );
        assert_eq!(plain("  [ \"\\u00e9\\\"\" ]").unwrap(), "[\n  &quot;\\u00e9\\&quot;&quot;\n]");
    }

    #[test]
    fn markup_in_a_string_is_text() {
        let shown = plain(r#"{"<script>":"</pre><img onerror=1>"}"#).unwrap();
        assert!(!shown.contains('<'), "{shown}");
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        for text in ["", "thanks", "<html>", "{\"a", "{#}", "\"text\"", "42"] {
            assert_eq!(plain(text), None, "{text}");
        }
        assert!(plain(&"[".repeat(100_000)).unwrap().len() < 10_000_000);
    }
}
