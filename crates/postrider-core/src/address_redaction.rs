//! What customers read of a failed attempt: the text the operator reads, without addresses of the operator's own networks.
//!
//! Kept texts stay whole; they are redacted when they are shown, so that older ones are redacted too.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::address::is_internal;
use crate::attempt::FailureCode;

/// What stands for an address that customers don't read.
const REDACTED: &str = "an internal address";
/// What customers read about a name that leads to a forbidden address, after the name.
const FORBIDDEN: &str = "leads to a forbidden address";

/// Returns a failure's text for customers. An address that stands in the endpoint's own URL is no news to them and stays.
pub fn for_customers<'a>(code: FailureCode, detail: &'a str, url: &str) -> Cow<'a, str> {
    if code == FailureCode::AddressBlocked {
        let (host, rest) = detail.split_once(' ').unwrap_or((detail, ""));
        let names_address = rest.starts_with("leads to ") || host.parse::<IpAddr>().is_ok();
        return if names_address { format!("{host} {FORBIDDEN}").into() } else { detail.into() };
    }
    without_internal_addresses(detail, url)
}

fn without_internal_addresses<'a>(text: &'a str, url: &str) -> Cow<'a, str> {
    let mut redacted = String::new();
    let mut copied = 0;
    let mut rest = 0;
    while let Some(start) = text[rest..].find(is_part_of_address).map(|at| rest + at) {
        let end = text[start..].find(|c| !is_part_of_address(c)).map_or(text.len(), |at| start + at);
        // A full stop or a colon may end the sentence or introduce a reason.
        let run = text[start..end].trim_end_matches(['.', ':']);
        if address_in(run).is_some_and(|address| is_internal(address) && !names(url, address)) {
            redacted.push_str(&text[copied..start]);
            redacted.push_str(REDACTED);
            copied = start + run.len();
        }
        rest = end;
    }
    if copied == 0 {
        return text.into();
    }
    redacted.push_str(&text[copied..]);
    redacted.into()
}

fn is_part_of_address(c: char) -> bool {
    c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']')
}

fn address_in(run: &str) -> Option<IpAddr> {
    let bare = run.trim_start_matches('[').trim_end_matches(']');
    run.parse::<SocketAddr>().map(|peer| peer.ip()).or_else(|_no_port| bare.parse()).ok()
}

/// Whether the URL's host is this address.
fn names(url: &str, address: IpAddr) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or("");
    let bare = host.trim_start_matches('[').split(']').next().unwrap_or("");
    address_in(host) == Some(address) || bare.parse() == Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://inside.corp/hook";

    #[test]
    fn customers_learn_that_an_address_is_forbidden_and_not_which() {
        let shown = |detail| for_customers(FailureCode::AddressBlocked, detail, URL);
        for address in ["10.1.2.3", "fd00::1", "127.0.0.1"] {
            let detail = format!("inside.corp leads to {address} is a private address, which …");
            assert_eq!(
                for_customers(FailureCode::AddressBlocked, &detail, URL),
                "inside.corp leads to a forbidden address"
            );
        }
        assert_eq!(
            shown("10.1.2.3 is a private address, which deliveries may not reach"),
            "10.1.2.3 leads to a forbidden address"
        );
        let https = "this installation delivers to https only";
        assert_eq!(shown(https), https);
    }

    #[test]
    fn internal_addresses_are_left_out_of_every_other_failure() {
        let shown = |detail| for_customers(FailureCode::ConnectFailed, detail, URL);
        for (detail, expected) in [
            (
                "nothing listens at inside.corp (10.1.2.3:443)",
                "nothing listens at inside.corp (an internal address)",
            ),
            (
                "no connection to h (127.0.0.1:1, [fd00::1]:80, 1.1.1.1:443) within 15s",
                "no connection to h (an internal address, an internal address, 1.1.1.1:443) within 15s",
            ),
            ("10.0.0.1: it hung up", "an internal address: it hung up"),
            ("it is fe80::1.", "it is an internal address."),
            ("::ffff:10.0.0.1 said no", "an internal address said no"),
            ("caf\u{e9} [::1] \u{2603}", "caf\u{e9} an internal address \u{2603}"),
        ] {
            assert_eq!(shown(detail), expected);
        }
        for unchanged in [
            "nothing listens at example.com (1.1.1.1:443)",
            "a 15.5 s wait: dead:beef",
            "",
            "10.0.0.1.example.com",
            ":",
            "[]",
        ] {
            assert!(matches!(shown(unchanged), Cow::Borrowed(text) if text == unchanged), "{unchanged}");
        }
    }

    #[test]
    fn an_address_that_the_customer_wrote_stays() {
        for (url, peer) in [
            ("http://10.1.2.3:8080/hook", "10.1.2.3:8080"),
            ("http://10.1.2.3/", "10.1.2.3:80"),
            ("https://[fd00::1]:8443/x", "[fd00::1]:8443"),
            ("https://[fd00::1]?a", "[fd00::1]:443"),
        ] {
            let detail = format!("nothing listens at {peer}");
            assert_eq!(for_customers(FailureCode::ConnectRefused, &detail, url), detail);
            assert_ne!(for_customers(FailureCode::ConnectRefused, &detail, URL), detail);
        }
    }
}
