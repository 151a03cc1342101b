//! Where the collector is: the operator's own address, which is told apart from receivers' in that nothing guards it.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// What a right value looks like.
pub const RIGHT: &str =
    "the collector's http or https URL without user, query or fragment, such as http://127.0.0.1:4318";

/// The collector's base URL; what is sent goes to paths below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorUrl(Url);

/// The text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {RIGHT}")]
pub struct NoCollectorUrl;

impl CollectorUrl {
    /// Where spans are sent.
    pub fn traces(&self) -> Url {
        self.below("v1/traces")
    }

    /// Where metrics are sent.
    pub fn metrics(&self) -> Url {
        self.below("v1/metrics")
    }

    /// Whether it has the port that is the other protocol's, OTLP over gRPC.
    pub fn has_port_of_grpc(&self) -> bool {
        self.0.port() == Some(4317)
    }

    fn below(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{path}", self.0.path().trim_end_matches('/')));
        url
    }
}

impl FromStr for CollectorUrl {
    type Err = NoCollectorUrl;

    fn from_str(text: &str) -> Result<Self, NoCollectorUrl> {
        let url = Url::parse(text.trim()).or(Err(NoCollectorUrl))?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let has_place = url.has_host() && url.port() != Some(0);
        let is_right = matches!(url.scheme(), "http" | "https") && is_plain && has_place;
        is_right.then_some(Self(url)).ok_or(NoCollectorUrl)
    }
}

impl fmt::Display for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_below_the_collectors_url() {
        for (text, traces, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318"),
            (" https://otel.example/ ", "https://otel.example/v1/traces", "https://otel.example"),
            ("https://h.example/otlp", "https://h.example/otlp/v1/traces", "https://h.example/otlp"),
            ("http://[::1]:4318/a/", "http://[::1]:4318/a/v1/traces", "http://[::1]:4318/a"),
        ] {
            let url: CollectorUrl = text.parse().unwrap();
            assert_eq!(url.traces().as_str(), traces);
            assert_eq!(url.metrics().as_str(), traces.replace("traces", "metrics"));
            assert_eq!(url.to_string(), shown);
        }
        assert!("http://h:4317".parse::<CollectorUrl>().unwrap().has_port_of_grpc());
        assert!(!"http://h:4318".parse::<CollectorUrl>().unwrap().has_port_of_grpc());
    }

    #[test]
    fn what_is_no_collectors_url_is_refused() {
        for wrong in [
            "",
            "collector",
            "127.0.0.1:4318",
            "localhost:4318",
            "grpc://h:4317",
            "http://",
            "http://h:0",
            "http://user@h",
            "http://user:word@h",
            "http://h?token=x",
            "http://h#x",
        ] {
            assert_eq!(wrong.parse::<CollectorUrl>(), Err(NoCollectorUrl), "{wrong}");
        }
    }
}
