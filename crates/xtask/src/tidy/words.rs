//! Rules about single expressions: things left open, tests that wait or are skipped, connections made outside
//! the one place that may.

use super::Finding;
use super::source::{Source, Token};

/// Words in comments that say "not finished". Written in halves, or this file would be the first finding.
const LEFT_OPEN: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];

/// Macros that say the same.
const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];

/// What opens a connection, or could.
const OUTBOUND: [&[&str]; 6] = [
    &["TcpStream", ":", ":", "connect"],
    &["UnixStream", ":", ":", "connect"],
    &["TcpSocket"],
    &["UdpSocket"],
    &["hyper", ":", ":", "client"],
    &["hyper_util", ":", ":", "client"],
];

/// The sender is the one place of the product; the others are tools that play the receiver and the platform.
const MAY_CONNECT: [&str; 4] = ["postrider-sender", "postrider-bench", "postrider-pgtemp", "xtask"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = comments(source);
    for index in 0..source.tokens.len() {
        if let Some(why) = at(source, &source.tokens[index..]) {
            findings.push(Finding::new(&source.path, source.tokens[index].line, why));
        }
    }
    findings
}

/// What is wrong with the code that begins here, if anything.
fn at(source: &Source, tokens: &[Token]) -> Option<String> {
    let first = &tokens[0];
    if begins(tokens, &["#", "[", "ignore"]) {
        return Some("an ignored test proves nothing: mend it or take it out".to_owned());
    }
    if UNFINISHED.iter().any(|name| begins(tokens, &[name, "!"])) {
        return Some(format!("`{}!`: no stubs; leave the whole thing out until it is there", first.text));
    }
    if first.in_test && begins(tokens, &["sleep", "("]) {
        return Some(
            "a sleep in a test: wait for the thing itself, or pause the clock and advance it".to_owned(),
        );
    }
    let opens = OUTBOUND.iter().any(|path| begins(tokens, path));
    if opens && !first.in_test && !MAY_CONNECT.contains(&source.crate_name()) {
        let why = "connections are made in postrider-sender alone, behind the address guard";
        return Some(format!("`{}`: {why}", first.text));
    }
    None
}

fn begins(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.text == *word)
}

fn comments(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = words.find(|word| LEFT_OPEN.contains(word)) {
            let why = format!("`{word}`: nothing is left open in the code; do it, or write an issue");
            findings.push(Finding::new(&source.path, index + 1, why));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::parse(path, text).unwrap()).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn what_is_left_open_is_caught_in_comments_and_in_code() {
        for word in LEFT_OPEN {
            assert!(
                found("a.rs", &format!("fn f() {{}}\n// {word}: later"))[0].starts_with("a.rs:2: "),
                "{word}"
            );
        }
        for name in UNFINISHED {
            assert_eq!(found("a.rs", &format!("fn f() {{ {name}!() }}")).len(), 1, "{name}");
        }
        assert!(found("a.rs", "fn todo() { let s = \"#[ignore]\"; }").is_empty());
    }

    #[test]
    fn tests_that_sleep_or_are_skipped_are_caught() {
        let slept = "#[test]\nfn f() { std::thread::sleep(d); }";
        assert!(found("crates/a/src/b.rs", slept)[0].starts_with("crates/a/src/b.rs:2: a sleep"));
        assert_eq!(found("crates/a/tests/b.rs", "use std::thread::sleep;\nfn f() { sleep(d) }").len(), 1);
        assert!(found("crates/a/src/b.rs", "fn f() { tokio::time::sleep(d); }").is_empty());
        assert_eq!(found("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}").len(), 1);
    }

    #[test]
    fn a_connection_outside_the_sender_is_caught() {
        for code in
            ["TcpStream::connect(a)", "TcpSocket::new_v4()", "hyper::client::conn::http1::handshake(io)"]
        {
            let text = format!("fn f() {{ {code} }}");
            assert_eq!(found("crates/postrider-engine/src/lane.rs", &text).len(), 1, "{code}");
            assert!(found("crates/postrider-sender/src/dial.rs", &text).is_empty(), "{code}");
            assert!(found("crates/postrider-engine/tests/lane.rs", &text).is_empty(), "{code}");
        }
    }
}
