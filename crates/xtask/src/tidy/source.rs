//! A Rust source file as the rules see it: its lines, its tokens, its functions.
//!
//! Tokens come from a real lexer, so a rule never stumbles over a string or a comment. Judges nothing.

use std::path::Path;
use std::str::FromStr as _;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A source file.
pub(super) struct Source {
    /// The path from the root, with `/`.
    pub(super) path: String,
    /// The whole text.
    pub(super) text: String,
    /// Every token in order, brackets included.
    pub(super) tokens: Vec<Token>,
    /// Every function with a body.
    pub(super) functions: Vec<Function>,
}

/// One token; punctuation comes a character at a time.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    /// Whether it stands in code that is only compiled for tests.
    pub(super) in_test: bool,
}

/// One function with a body.
pub(super) struct Function {
    pub(super) name: String,
    /// The line of the word `fn`.
    pub(super) line: usize,
    /// From that line to the closing brace, both counted.
    pub(super) lines: usize,
    /// Whether it is test code.
    pub(super) in_test: bool,
    /// Whether the test harness calls it.
    pub(super) is_test: bool,
}

impl Source {
    /// Reads a text as Rust.
    pub(super) fn parse(path: &str, text: &str) -> Result<Self> {
        let stream = TokenStream::from_str(text)
            .map_err(|error| anyhow!("{path} isn't Rust that can be read: {error}"))?;
        let mut source =
            Self { path: path.to_owned(), text: text.to_owned(), tokens: Vec::new(), functions: Vec::new() };
        let in_test = source.is_in_test_folder() || path.ends_with("/tests.rs");
        source.walk(stream, in_test);
        Ok(source)
    }

    /// Whether the file belongs to an integration test or a benchmark.
    pub(super) fn is_in_test_folder(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "benches")
    }

    /// The crate the file belongs to.
    pub(super) fn crate_name(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    fn walk(&mut self, stream: TokenStream, mut in_test: bool) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        // Set by an attribute, they hold for the item that follows: up to its body or its semicolon.
        let (mut of_tests, mut is_test) = (false, false);
        for (index, tree) in trees.iter().enumerate() {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    match attribute(&trees[..index], group) {
                        Some(Attribute::Inner) if is_cfg_test(group) => in_test = true,
                        Some(Attribute::Outer) => {
                            is_test |= marks_test(group);
                            of_tests |= is_test || is_cfg_test(group);
                        }
                        _ => {}
                    }
                    self.group(group, in_test || of_tests);
                    if group.delimiter() == Delimiter::Brace {
                        (of_tests, is_test) = (false, false);
                    }
                }
                other => {
                    let text = other.to_string();
                    if text == "fn" {
                        self.function(&trees[index..], in_test || of_tests, is_test);
                    }
                    if text == ";" {
                        (of_tests, is_test) = (false, false);
                    }
                    self.tokens.push(Token { text, line, in_test: in_test || of_tests });
                }
            }
        }
    }

    fn group(&mut self, group: &Group, in_test: bool) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        let line = group.span_open().start().line;
        self.tokens.push(Token { text: open.to_owned(), line, in_test });
        self.walk(group.stream(), in_test);
        let line = group.span_close().start().line;
        self.tokens.push(Token { text: close.to_owned(), line, in_test });
    }

    /// Notes the function that begins with the first of `trees`, if it has a name and a body.
    fn function(&mut self, trees: &[TokenTree], in_test: bool, is_test: bool) {
        let (Some(first), Some(TokenTree::Ident(name))) = (trees.first(), trees.get(1)) else { return };
        let line = first.span().start().line;
        for tree in &trees[2..] {
            match tree {
                TokenTree::Punct(punct) if punct.as_char() == ';' => return,
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                    let lines = body.span_close().end().line + 1 - line;
                    self.functions.push(Function { name: name.to_string(), line, lines, in_test, is_test });
                    return;
                }
                _ => {}
            }
        }
    }
}

/// The two kinds of attribute: `#![…]` speaks of what it stands in, `#[…]` of what follows.
enum Attribute {
    Inner,
    Outer,
}

fn attribute(before: &[TokenTree], group: &Group) -> Option<Attribute> {
    if group.delimiter() != Delimiter::Bracket {
        return None;
    }
    let is = |tree: Option<&TokenTree>, c| matches!(tree, Some(TokenTree::Punct(p)) if p.as_char() == c);
    let (last, last_but_one) = (before.last(), before.iter().rev().nth(1));
    if is(last, '#') {
        Some(Attribute::Outer)
    } else if is(last, '!') && is(last_but_one, '#') {
        Some(Attribute::Inner)
    } else {
        None
    }
}

/// `cfg(test)` and its combinations, but not `cfg(not(test))`.
fn is_cfg_test(attribute: &Group) -> bool {
    let text = spaceless(attribute);
    text.starts_with("[cfg(") && text.contains("test") && !text.contains("not(test")
}

/// `test`, `tokio::test(…)` and the like.
fn marks_test(attribute: &Group) -> bool {
    let text = spaceless(attribute);
    let path = text.trim_start_matches('[').split(['(', ']', '=']).next().unwrap_or_default();
    path == "test" || path.ends_with("::test")
}

fn spaceless(group: &Group) -> String {
    group.to_string().split_whitespace().collect()
}

/// Every Rust file of the workspace's crates.
pub(super) fn all(root: &Path) -> Result<Vec<Source>> {
    let paths = super::files_below(root, "crates", ".rs")?;
    paths.iter().map(|path| Source::parse(path, &std::fs::read_to_string(root.join(path))?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
//! A file.
fn plain(x: [u8; { 1 + 1 }]) -> u8
where
    u8: Copy,
{
    fn inner() {}
    1
}
trait T { fn without_a_body(&self); }
#[cfg(not(test))]
fn not_test() {}
#[cfg(test)]
mod tests {
    fn support() {}
    #[tokio::test(start_paused = true)]
    #[should_panic]
    async fn case() { let f: fn(u8) = |_| (); }
}
fn after() {}
";

    #[test]
    fn functions_are_found_with_their_length_and_whether_they_are_tests() {
        let source = Source::parse("crates/a/src/lib.rs", TEXT).unwrap();
        let mut found: Vec<_> = source.functions.iter().map(|f| (f.line, f.name.as_str(), f.lines)).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                (2, "plain", 7),
                (6, "inner", 1),
                (11, "not_test", 1),
                (14, "support", 1),
                (17, "case", 1),
                (19, "after", 1)
            ]
        );
        let which = |chosen: fn(&Function) -> bool| {
            source.functions.iter().filter(|f| chosen(f)).map(|f| f.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(which(|f| f.in_test), ["support", "case"]);
        assert_eq!(which(|f| f.is_test), ["case"]);
    }

    #[test]
    fn whole_files_can_be_test_code() {
        for (path, text) in [
            ("crates/a/tests/x.rs", "fn f() {}"),
            ("crates/a/src/tests.rs", "fn f() {}"),
            ("crates/a/src/b.rs", "#![cfg(test)] fn f() {}"),
        ] {
            assert!(Source::parse(path, text).unwrap().functions[0].in_test, "{path}");
        }
        assert!(!Source::parse("crates/a/src/b.rs", "#![no_std] fn f() {}").unwrap().functions[0].in_test);
    }

    #[test]
    fn a_file_that_is_not_rust_is_named() {
        let error = Source::parse("crates/a/src/b.rs", "fn (").err().unwrap();
        assert!(error.to_string().starts_with("crates/a/src/b.rs"), "{error}");
    }
}
