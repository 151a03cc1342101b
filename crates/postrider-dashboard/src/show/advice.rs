//! Failures in plain words: what happened, and what to do about it.

use postrider_core::attempt::{FailureCode, Outcome};

/// What an outcome means, for the one who runs the receiver.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// What happened.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) then: &'static str,
}

/// The words for an outcome; none for what was received.
pub(crate) fn about(outcome: &Outcome) -> Option<Advice> {
    let code = outcome.failure_code()?;
    Some(match outcome {
        Outcome::Answered { status, .. } => {
            let (what, then) = about_status(*status);
            Advice { what: format!("The receiver answered {status}: {what}"), then }
        }
        Outcome::Failed { detail, .. } => Advice { what: sentence(detail), then: about_code(code) },
    })
}

fn about_status(status: u16) -> (&'static str, &'static str) {
    match status {
        301 | 302 | 303 | 307 | 308 => (
            "a redirect, and redirects are never followed.",
            "Set the endpoint’s URL to the final address. Often only https:// or a slash at the end is missing.",
        ),
        304 => ("“not modified”, which is no receipt.", "Answer 200 to 299 once you have stored the event."),
        400 | 422 => (
            "it did not like the request.",
            "Look at the response’s body and at the receiver’s log: often a schema check that refuses fields it does not know.",
        ),
        401 | 403 => (
            "it did not let the request in.",
            "Check the secret the receiver verifies with (the signature panel below helps), and whether a firewall or a login stands before it.",
        ),
        404 | 405 => (
            "there is nothing at this address that takes a POST.",
            "Check the endpoint’s path for a typing error, and that the receiver’s route takes POST.",
        ),
        408 | 504 => (
            "it, or a proxy before it, gave up waiting.",
            "Store the event, answer 2xx at once, and do the work afterwards.",
        ),
        410 => (
            "gone for good, so the endpoint was disabled.",
            "If it is there again, enable the endpoint; what was held meanwhile is sent then.",
        ),
        413 => (
            "the payload is too large for it.",
            "Raise the body limit of the receiver or of the proxy before it.",
        ),
        415 => ("it does not take application/json.", "Let the receiver’s route accept application/json."),
        429 => (
            "too many requests.",
            "Give the endpoint a rate limit, or raise the receiver’s. Retry-After is honoured.",
        ),
        500 => (
            "it broke while it handled the request.",
            "Look for the error in the receiver’s log at this time.",
        ),
        502 | 503 => (
            "a proxy answered because the receiver behind it did not.",
            "Start the receiver, or look why it is overloaded. It is tried again by itself.",
        ),
        100..=199 => ("no final answer.", "Answer 200 to 299 once you have stored the event."),
        _ => ("only 200 to 299 counts as received.", "Answer 200 to 299 once you have stored the event."),
    }
}

fn about_code(code: FailureCode) -> &'static str {
    match code {
        FailureCode::Status => "Answer 200 to 299 once you have stored the event.",
        FailureCode::DnsNotFound => {
            "Check the host name in the endpoint’s URL, and that its DNS record is public."
        }
        FailureCode::DnsFailed => {
            "The name servers did not answer. If it stays so, look at the zone’s servers; it is tried again by itself."
        }
        FailureCode::AddressBlocked => {
            "Deliveries reach public addresses only. Use a public address, or let the operator allow the network (allow_nets)."
        }
        FailureCode::ConnectRefused => {
            "Nothing listens there. Start the receiver, and check the port and the firewall."
        }
        FailureCode::ConnectTimeout => {
            "No connection came about in time. A firewall often drops packets silently: let deliveries in."
        }
        FailureCode::ConnectFailed => {
            "Check that the address can be reached from outside, and the route to it."
        }
        FailureCode::TlsCertificateExpired => "Renew the certificate and reload the web server.",
        FailureCode::TlsCertificateNotYetValid => {
            "The certificate begins later. Check the server’s clock and which certificate it serves."
        }
        FailureCode::TlsUnknownIssuer => {
            "Serve the whole chain: the intermediate certificate is often missing. Self-signed certificates are not accepted."
        }
        FailureCode::TlsWrongHost => "Serve a certificate that names the host in the endpoint’s URL.",
        FailureCode::TlsCertificateInvalid => {
            "Look at the certificate with `openssl s_client -connect HOST:443 -showcerts` and replace it."
        }
        FailureCode::TlsHandshakeFailed => {
            "The server must speak TLS 1.2 or 1.3. Check that https stands before a port that speaks TLS."
        }
        FailureCode::Timeout => {
            "Store the event, answer 2xx at once, and do the work afterwards. The endpoint’s timeout can be up to 60 s."
        }
        FailureCode::ConnectionReset | FailureCode::ConnectionClosed => {
            "The receiver hung up before it answered: look for a crash or a restart in its log, or for a proxy’s limit."
        }
        FailureCode::InvalidHttp => {
            "What came back is not HTTP/1.1. Check that the port is a web server’s, and http or https right."
        }
    }
}

/// A detail as a sentence.
fn sentence(detail: &str) -> String {
    let mut chars = detail.chars();
    let mut text: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_says_what_happened_and_what_to_do() {
        for status in 100..=999 {
            let outcome = Outcome::Answered { status, retry_after: None };
            assert_eq!(about(&outcome).is_none(), outcome.is_received(), "{status}");
        }
        for code in FailureCode::ALL {
            let outcome = Outcome::Failed { code: *code, detail: "it failed".to_owned() };
            let advice = about(&outcome).unwrap();
            assert_eq!(advice.what, "It failed.");
            assert!(advice.then.ends_with('.'), "{code}");
        }
    }
}
