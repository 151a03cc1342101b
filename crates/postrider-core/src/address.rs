//! The address guard's rules: which URLs an endpoint may have and which addresses a delivery may reach.
//!
//! Pure: resolving and dialling happen in the sender, which asks here before every new connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::host_name::{self, HostNameFault};
use crate::limits::MAX_URL_BYTES;

/// Networks of IPv4 that are never reached unless the operator allows them, with the words for it.
/// Source: the IANA IPv4 special-purpose address registry.
const FORBIDDEN_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "an address of this network"),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(100, 64, 0, 0, 10), "a shared carrier (CGNAT) address"),
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(169, 254, 0, 0, 16), "a link-local or cloud metadata address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 0, 0, 0, 24), "a reserved address"),
    (v4(192, 0, 2, 0, 24), "a documentation address"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay address"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(198, 18, 0, 0, 15), "a benchmark address"),
    (v4(198, 51, 100, 0, 24), "a documentation address"),
    (v4(203, 0, 113, 0, 24), "a documentation address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

/// The same of IPv6. Source: the IANA IPv6 special-purpose address registry.
const FORBIDDEN_V6: &[(Ipv6Net, &str)] = &[
    (v6(0, 0, 8), "a loopback, unspecified, mapped or compatible address"),
    (v6(0x0064_ff9b, 0, 32), "a NAT64 address"),
    (v6(0x0100_0000, 0, 64), "a discard address"),
    (v6(0x2001_0000, 0, 23), "a Teredo or other special-purpose address"),
    (v6(0x2001_0db8, 0, 32), "a documentation address"),
    (v6(0x2002_0000, 0, 16), "a 6to4 address"),
    (v6(0x3fff_0000, 0, 20), "a documentation address"),
    (v6(0x5f00_0000, 0, 16), "a segment routing address"),
    (v6(0xfc00_0000, 0, 7), "a unique local address"),
    (v6(0xfe80_0000, 0, 10), "a link-local address"),
    (v6(0xfec0_0000, 0, 10), "a site-local address"),
    (v6(0xff00_0000, 0, 8), "a multicast address"),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// A network by the first 32 bits of its address, the next 32, and its length.
const fn v6(high: u32, next: u32, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_bits(((high as u128) << 96) | ((next as u128) << 64)), prefix)
}

/// The operator's rules about where deliveries may go.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    /// Networks that may be reached although they are forbidden by default.
    pub allow_nets: Vec<IpNet>,
    /// Networks that must not be reached although they are public, or within `allow_nets`.
    pub deny_nets: Vec<IpNet>,
    /// Ports that endpoints may name; empty means any.
    pub allow_ports: Vec<u16>,
    /// Whether endpoints must use `https`.
    pub require_https: bool,
}

/// An address that a delivery may not reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind}, which deliveries may not reach")]
pub struct AddressBlocked {
    /// The address.
    pub address: IpAddr,
    /// What kind of address it is.
    pub kind: &'static str,
}

/// Why a URL can't be an endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// It does not parse.
    #[error("not a URL ({0}); use one such as https://example.com/webhooks")]
    Malformed(url::ParseError),
    /// Longer than the limit.
    #[error("longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// It contains a control character, which the WHATWG parser would remove or encode.
    #[error("must not contain control characters (U+{:04X})", u32::from(*.0))]
    Control(char),
    /// Neither http nor https.
    #[error("the scheme is \"{0}\"; use https (or http)")]
    Scheme(String),
    /// Plain http where https is required.
    #[error("this installation delivers to https only")]
    HttpsRequired,
    /// A user name or password before the host.
    #[error("a user name or password in the URL is not sent; use a header of the endpoint instead")]
    UserInfo,
    /// A `#fragment`.
    #[error("a fragment (from \"#\" on) is never sent; leave it out")]
    Fragment,
    /// A port outside the allow-list.
    #[error("port {0} is not among the ports that this installation delivers to")]
    Port(u16),
    /// No resolver can look the host up.
    #[error(transparent)]
    HostName(#[from] HostNameFault),
    /// The host is a literal address that is forbidden.
    #[error(transparent)]
    Blocked(#[from] AddressBlocked),
}

impl UrlRefused {
    /// The same as customers read it, who don't learn which addresses are forbidden and why.
    pub fn for_customers(&self) -> String {
        match self {
            Self::Blocked(_) => "leads to a forbidden address; use a public one".to_owned(),
            other => other.to_string(),
        }
    }
}

impl AddressGuard {
    /// Whether a delivery may reach `address`; the error says what kind of address it is.
    ///
    /// An address that embeds another (IPv4-mapped IPv6) is forbidden as a whole: a literal such as
    /// `::ffff:127.0.0.1` must not be a way around. A denied network is denied in every such spelling, whatever is allowed.
    pub fn check_address(&self, address: IpAddr) -> Result<(), AddressBlocked> {
        if self.denies(address) {
            return Err(AddressBlocked { address, kind: "an address that this installation denies" });
        }
        if self.allow_nets.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        forbidden_kind(address).map_or(Ok(()), |kind| Err(AddressBlocked { address, kind }))
    }

    fn denies(&self, address: IpAddr) -> bool {
        let is_denied = |address| self.deny_nets.iter().any(|net| net.contains(&address));
        let embedded = match address {
            IpAddr::V4(v4) => Some(IpAddr::V6(v4.to_ipv6_mapped())),
            IpAddr::V6(v6) => embedded_v4(v6).map(IpAddr::V4),
        };
        is_denied(address) || embedded.is_some_and(is_denied)
    }

    /// Reads an endpoint's URL by the WHATWG rules and judges it; the returned URL is what will be used.
    ///
    /// Host names are not resolved here: that happens, with the same check, at every new connection.
    pub fn check_url(&self, text: &str) -> Result<Url, UrlRefused> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlRefused::TooLong);
        }
        let url = Url::parse(text).map_err(UrlRefused::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if self.require_https => return Err(UrlRefused::HttpsRequired),
            "http" => {}
            other => return Err(UrlRefused::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() || writes_user_info(text) {
            return Err(UrlRefused::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        let port = url.port_or_known_default().unwrap_or(443);
        if port == 0 || (!self.allow_ports.is_empty() && !self.allow_ports.contains(&port)) {
            return Err(UrlRefused::Port(port));
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_address(address.into())?,
            Some(Host::Ipv6(address)) => self.check_address(address.into())?,
            Some(Host::Domain(name)) => drop(host_name::labels(name)?),
            None => return Err(UrlRefused::Malformed(url::ParseError::EmptyHost)),
        }
        // White space around a pasted URL does no harm.
        let pasted = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if let Some(control) = pasted.chars().find(|c| c.is_control()) {
            return Err(UrlRefused::Control(control));
        }
        Ok(url)
    }
}

/// Whether an address lies in a network that deliveries don't reach by default, such as a private one.
pub fn is_internal(address: IpAddr) -> bool {
    forbidden_kind(address).is_some()
}

/// What kind of address it is, if deliveries don't reach it by default.
fn forbidden_kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => FORBIDDEN_V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, kind)| *kind),
        IpAddr::V6(v6) => FORBIDDEN_V6
            .iter()
            .find(|(net, _)| net.contains(&v6))
            .map(|(_, kind)| *kind)
            .or_else(|| isatap_v4(v6).map(|_| "an ISATAP address")),
    }
}

/// The IPv4 address behind an IPv6 address that a machine or router on the way may translate: mapped and compatible ones
/// (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP (RFC 5214).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = v6.to_bits();
    let low = Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(low),
        [0x0064, 0xff9b, ..] => Some(low),
        [0x2002, high, next, ..] => Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(next))),
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!low.to_bits())),
        _ => isatap_v4(v6),
    }
}

/// The IPv4 address of an ISATAP address, whose interface identifier is `0000:5efe` or, with the bits for "universal" and
/// "group" in any combination, such as `0200:5efe`, and that address.
fn isatap_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    match v6.segments() {
        [.., high, 0x5efe, third, fourth] if high & !0x0300 == 0 => {
            Some(Ipv4Addr::from_bits(u32::from(third) << 16 | u32::from(fourth)))
        }
        _ => None,
    }
}

/// Whether a URL that was read as http or https has an `@` before its host. The reader drops user info that is
/// empty, as in `https://:@example.com/`, so what was written is looked at.
fn writes_user_info(text: &str) -> bool {
    let Some((_scheme, rest)) = text.split_once(':') else { return false };
    // For these schemes a backslash is a slash, their number before the host does not matter, and tabs and line
    // ends count for nothing.
    let authority = rest.trim_start_matches(['/', '\\', '\t', '\n', '\r']);
    authority.split(['/', '\\', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests;
