//! Reads a receiver's `Retry-After`. Untrusted text in, a bounded wait out.

use std::time::{Duration, SystemTime};

use crate::limits::MAX_RETRY_AFTER;
use crate::time::Timestamp;

/// How long a receiver asked to be left alone: seconds or an HTTP date (RFC 9110, section 10.2.3).
///
/// At most [`MAX_RETRY_AFTER`]. None where the text is neither, negative, or not in the future.
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = httpdate::parse_http_date(text).ok()?;
        let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Timestamp::from_ms(i64::try_from(since_1970.as_millis()).ok()?).since(now)
    };
    (!wait.is_zero()).then_some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_bounded_and_never_in_the_past() {
        let now = Timestamp::from_ms(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
        let seconds = Duration::from_secs;
        for (text, expected) in [
            ("120", Some(seconds(120))),
            (" 5 ", Some(seconds(5))),
            ("0", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999999", Some(MAX_RETRY_AFTER)),
            ("86401", Some(MAX_RETRY_AFTER)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(seconds(60))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:00:00 GMT", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_RETRY_AFTER)),
            ("Thu, 01 Jan 1960 00:00:00 GMT", None),
        ] {
            assert_eq!(parse_retry_after(text, now), expected, "{text:?}");
        }
    }
}
