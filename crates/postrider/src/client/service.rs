//! The service that client commands talk to: its URL and the key, and plain words for a call that got no response.

use std::io::ErrorKind;

use anyhow::{anyhow, bail};
use hyper::Uri;
use rustls::{AlertDescription, CertificateError};
use ureq::Error;

use crate::cli::ClientArgs;

/// Where a service listens by default.
const EXAMPLE_URL: &str = "http://127.0.0.1:8040";

/// A service and the key for it.
#[derive(Clone)]
pub(crate) struct Service {
    /// The URL that paths are appended to, without a slash at its end.
    pub(crate) base: String,
    /// The value of the `Authorization` header.
    pub(crate) bearer: String,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Service {
    /// Returns the service that the arguments name; `POSTRIDER_OPERATOR_KEY` is the key where they name none.
    ///
    /// # Errors
    /// If the URL is no base of the API's paths, or there is no key that a header can carry.
    pub(crate) fn of(args: &ClientArgs) -> anyhow::Result<Self> {
        let from_environment = || std::env::var("POSTRIDER_OPERATOR_KEY").ok();
        let Some(key) = non_blank(args.key.clone()).or_else(|| non_blank(from_environment())) else {
            bail!("no key: set POSTRIDER_KEY to the operator key or an account key, or give --key");
        };
        Self::new(&args.url, &key)
    }

    /// Returns the service at this URL with this key.
    pub(crate) fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        if !key.trim().bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "the key contains white space or a character beyond ASCII, which no request header can carry"
            );
        }
        Ok(Self { base: base_of(url)?, bearer: format!("Bearer {}", key.trim()) })
    }

    /// Returns the error of a call that got no response, in plain words.
    pub(crate) fn no_response(&self, error: &Error) -> anyhow::Error {
        anyhow!(
            "no answer from {}; is the service running there?: {}",
            self.base,
            words_of(error, &self.base)
        )
    }
}

fn non_blank(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// Checks that a URL can be the base of the API's paths. A blank one is the default.
fn base_of(url: &str) -> anyhow::Result<String> {
    let url = url.trim();
    if url.is_empty() {
        return Ok(EXAMPLE_URL.to_owned());
    }
    let right = match url.contains("://") {
        true => format!("it must be the service's URL, such as {EXAMPLE_URL}"),
        false => format!("it must begin with http:// or https://, such as http://{url}"),
    };
    let refused = || anyhow!("the service's URL (--url or POSTRIDER_URL) is {url:?}; {right}");
    let uri: Uri = url.parse().map_err(|_shows_less| refused())?;
    let is_http = uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme));
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if !is_http
        || uri.host().is_none_or(str::is_empty)
        || has_user
        || uri.query().is_some()
        || url.contains('#')
    {
        return Err(refused());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn words_of(error: &Error, base: &str) -> String {
    let is_tls = base.starts_with("https://");
    match error {
        Error::HostNotFound => "the name of its host can't be found".to_owned(),
        Error::Timeout(_) => "it did not answer in time".to_owned(),
        Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
                "it closed the connection without an answer".to_owned()
            }
            _ => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => words_of_tls(error),
                None => error.to_string(),
            },
        },
        Error::Rustls(error) => words_of_tls(error),
        Error::Protocol(_) | Error::Http(_) if !is_tls => {
            "what answers there does not speak HTTP; if it speaks TLS, the URL begins with https://"
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn words_of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => {
            "what answers there does not speak TLS; the URL may have to begin with http://".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate comes from an authority that is not trusted here; name the file with that authority's \
             certificate with --ca-file"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name".to_owned(),
        rustls::Error::InvalidCertificate(_) => "its certificate is not valid".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => {
            "it speaks no version of TLS that is spoken here (1.2 and 1.3)".to_owned()
        }
        _ => "the TLS handshake failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_the_base_of_the_paths_or_refused_in_plain_words() {
        for (given, base) in [
            ("", EXAMPLE_URL),
            ("  ", EXAMPLE_URL),
            ("http://127.0.0.1:8040/", "http://127.0.0.1:8040"),
            ("https://hooks.example.com/base//", "https://hooks.example.com/base"),
            (" http://[::1]:8040\n", "http://[::1]:8040"),
        ] {
            assert_eq!(base_of(given).unwrap(), base, "{given:?}");
        }
        for (given, right) in [
            ("127.0.0.1:8040", "http://127.0.0.1:8040"),
            ("localhost", "http://localhost"),
            ("ftp://x", EXAMPLE_URL),
            ("http://", EXAMPLE_URL),
            ("http:///v1", EXAMPLE_URL),
            ("http://user:pass@host", EXAMPLE_URL),
            ("http://host?x=1", EXAMPLE_URL),
            ("http://host/#x", EXAMPLE_URL),
            ("http://a b", EXAMPLE_URL),
        ] {
            let refused = base_of(given).unwrap_err().to_string();
            assert!(refused.contains("POSTRIDER_URL") && refused.ends_with(right), "{given:?}: {refused}");
        }
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused_and_not_shown() {
        assert_eq!(Service::new("", " key\r\n").unwrap().bearer, "Bearer key");
        for key in ["a b", "schlüssel", "a\u{0}b"] {
            let refused = Service::new("", key).unwrap_err().to_string();
            assert!(refused.contains("no request header") && !refused.contains(key), "{refused}");
        }
        assert!(!format!("{:?}", Service::new("", "hidden").unwrap()).contains("hidden"));
    }
}
