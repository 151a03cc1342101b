//! Where an attempt goes: the parts of the URL that a connection needs, borrowed from it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use postrider_core::attempt::FailureCode;
use url::{Host, Position, Url};

use crate::failure::Failure;

/// The receiving end of a URL.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// The URL up to its path: scheme, host and port.
    pub(crate) origin: &'a str,
    pub(crate) host: Host<&'a str>,
    /// The host as it stands in the URL, an IPv6 address in brackets.
    pub(crate) host_text: &'a str,
    /// Host and port as the `Host` header has them: without a default port.
    pub(crate) authority: &'a str,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

impl<'a> Target<'a> {
    /// The receiving end of `url`; only http and https have one.
    pub(crate) fn of(url: &'a Url) -> Result<Self, Failure> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(Failure::unsendable(format!("the scheme \"{other}\" is not spoken"))),
        };
        let (Some(host), Some(host_text), Some(port)) =
            (url.host(), url.host_str(), url.port_or_known_default())
        else {
            return Err(Failure::unsendable("the URL names no host".to_owned()));
        };
        let origin = &url[..Position::BeforePath];
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        Ok(Self { origin, host, host_text, authority, port, tls })
    }

    /// The literal address, where the host is one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// The target at the address that was dialled, for people.
    pub(crate) fn at(&self, peer: SocketAddr) -> Place<'a> {
        Place { name: self.literal().is_none().then_some(self.host_text), peer }
    }
}

/// A receiver in plain words: `example.com (192.0.2.1:443)`, or the address alone where the URL has no name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    name: Option<&'a str>,
    peer: SocketAddr,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{name} ({})", self.peer),
            None => write!(f, "{}", self.peer),
        }
    }
}

impl Failure {
    /// A request that can't be put on a wire at all.
    pub(crate) fn unsendable(detail: String) -> Self {
        Self::new(FailureCode::ConnectFailed, detail)
    }
}
