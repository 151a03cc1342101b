//! An attempt as a curl command to paste into a shell.

use postrider_core::attempt::Attempt;

/// Payloads longer than this are left to be downloaded first.
const MAX_INLINE_BYTES: usize = 8 * 1024;
/// What curl sets by itself.
const SET_BY_CURL: [&str; 2] = ["host", "content-length"];

/// The command. `payload` is the event's; where it is long or no text it is read from a file.
pub(crate) fn command(attempt: &Attempt, payload: &[u8]) -> String {
    let mut command = format!("curl -i -X POST {}", quoted(&attempt.request.url));
    for (name, value) in attempt.request.headers.iter() {
        if !SET_BY_CURL.contains(&name.to_ascii_lowercase().as_str()) {
            command.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
        }
    }
    match std::str::from_utf8(payload) {
        Ok(text) if text.len() <= MAX_INLINE_BYTES => {
            command.push_str(&format!(" \\\n  --data-binary {}", quoted(text)));
        }
        _ => command.push_str(" \\\n  --data-binary @payload.json"),
    }
    command
}

/// One word for a POSIX shell, whatever is in it. A text that begins with `@` would be a file's name to curl; no JSON
/// value, no URL and no header does.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::attempt::{HeaderLog, Outcome, RequestLog, Timings};
    use postrider_core::time::Timestamp;

    #[test]
    fn a_quote_in_the_payload_does_not_end_the_word() {
        let attempt = Attempt {
            number: 1,
            probe: false,
            started_at: Timestamp::from_ms(0),
            timings: Timings::default(),
            request: RequestLog {
                url: "https://example.com/a?b='c'".to_owned(),
                headers: HeaderLog::from_iter([("Host", "example.com"), ("X-KASKO-Event", "a.b")]),
            },
            response: None,
            outcome: Outcome::Answered { status: 200, retry_after: None },
        };
        let shown = command(&attempt, br#"{"a":"'; rm -rf / #"}"#);
        assert_eq!(
            shown,
            "curl -i -X POST 'https://example.com/a?b='\\''c'\\''' \\\n  -H 'X-KASKO-Event: a.b' \\\n  \
             --data-binary '{\"a\":\"'\\''; rm -rf / #\"}'"
        );
        assert!(command(&attempt, &[b' '; 20_000]).ends_with("--data-binary @payload.json"));
    }
}
