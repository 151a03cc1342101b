//! What HTTP/1.1 asks of a request's head beyond its syntax (RFC 9112), which hyper leaves to its callers.

use std::net::Ipv6Addr;

use axum::extract::Request;
use http::{HeaderMap, Version, header};

use crate::problem::{Code, Problem};

/// Refuses a request whose `Host` is missing, doubled or malformed (section 3.2), and one with a transfer coding that is not
/// read here (section 6.1).
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    check_host(request.headers(), request.version())?;
    check_transfer_coding(request.headers())
}

fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let detail = match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => return Ok(()),
        (Some(_), None) => {
            "the Host header is malformed; it must be a host name or address, and perhaps a port"
        }
        (Some(_), Some(_)) => "there is more than one Host header",
        (None, _) if version < Version::HTTP_11 => return Ok(()),
        (None, _) => "there is no Host header, which HTTP/1.1 requires",
    };
    Err(Problem::new(Code::BadRequest, detail))
}

/// `uri-host [ ":" port ]`. A host may be empty: the request's target then has no authority.
fn is_host(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let (is_name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            (address.parse::<Ipv6Addr>().is_ok(), port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (is_registered_name(&text[..end]), &text[end..])
        }
    };
    is_name && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// RFC 3986, section 3.2.2: `*( unreserved / pct-encoded / sub-delims )`.
fn is_registered_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let is_good = match byte {
            b'%' => {
                let mut is_hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                is_hex() && is_hex()
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !is_good {
            return false;
        }
    }
    true
}

fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty())
        .peekable();
    if codings.peek().is_none() {
        return Ok(());
    }
    let mut chunked = 0;
    for coding in codings {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            let detail =
                "only the transfer coding \"chunked\" is supported; send the body without another one";
            return Err(Problem::new(Code::UnsupportedTransferCoding, detail));
        }
        chunked += 1;
    }
    match chunked {
        1 => Ok(()),
        _ => Err(Problem::new(Code::BadRequest, "the transfer coding \"chunked\" is applied more than once")),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn code(version: Version, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let checked = check(&request.body(Body::empty()).unwrap());
        checked.err().map(|problem| problem.code().to_owned())
    }

    #[test]
    fn a_host_is_one_name_or_address_with_or_without_a_port() {
        for good in [
            "api",
            "api.example",
            "api.example:8040",
            "api.example:",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8040",
            "a_b",
            "%61pi",
            "",
        ] {
            assert_eq!(code(Version::HTTP_11, &[("host", good)]), None, "{good:?}");
        }
        for bad in [
            "api example",
            "user@api",
            "api/",
            "api:port",
            "api:99999",
            "api:80:80",
            "[::1",
            "[::1]x",
            "[api]",
            "%zz",
            "a?b",
            "http://api",
        ] {
            assert_eq!(code(Version::HTTP_11, &[("host", bad)]).as_deref(), Some("bad_request"), "{bad:?}");
        }
        assert_eq!(code(Version::HTTP_11, &[]).as_deref(), Some("bad_request"));
        assert_eq!(code(Version::HTTP_10, &[]), None);
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(code(version, &[("host", "api"), ("host", "api")]).is_some());
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding_and_stands_once() {
        for (value, expected) in [
            ("chunked", None),
            ("Chunked", None),
            ("gzip, chunked", Some("unsupported_transfer_coding")),
            ("gzip", Some("unsupported_transfer_coding")),
            ("chunked, identity", Some("unsupported_transfer_coding")),
            ("chunked, chunked", Some("bad_request")),
            ("chunked;a=b", Some("unsupported_transfer_coding")),
        ] {
            let headers = [("host", "api"), ("transfer-encoding", value)];
            assert_eq!(code(Version::HTTP_11, &headers).as_deref(), expected, "{value}");
        }
        let twice = [("host", "api"), ("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")];
        assert_eq!(code(Version::HTTP_11, &twice).as_deref(), Some("unsupported_transfer_coding"));
    }
}
