//! The address of a client behind a proxy, from the headers that proxies set; and the network that one client has.
//!
//! Only the last address counts: the proxy in front wrote it, and everything before it is what the proxy was told.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Returns the client's address as the proxy in front saw it. `x_forwarded_for` and `forwarded` are the values of the
/// headers `X-Forwarded-For` and `Forwarded` (RFC 7239), a header that comes several times in its order. `Forwarded` is
/// read only without the other one.
///
/// `None` if there is neither, or if its last element names no address (`unknown`, an obfuscated identifier).
pub fn forwarded_address<'a>(
    x_forwarded_for: impl Iterator<Item = &'a str>,
    forwarded: impl Iterator<Item = &'a str>,
) -> Option<IpAddr> {
    match (x_forwarded_for.last(), forwarded.last()) {
        (Some(list), _) => address_in(list.rsplit(',').next()?),
        (None, Some(list)) => address_in(forwarded_for(last_element(list))?),
        (None, None) => None,
    }
}

/// Returns the network that counts as one client: an IPv4 address itself, and of an IPv6 address its /64, which is what a
/// subscriber has.
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
/// A port may be hidden, too (RFC 7239, section 6.2: `192.0.2.1:_port`).
fn address_in(text: &str) -> Option<IpAddr> {
    let text = unquoted(text.trim());
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_node_port);
        let address = address.parse::<Ipv6Addr>().ok()?;
        return is_port.then(|| IpAddr::V6(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(SocketAddr::V4(address)) = text.parse() {
        return Some(IpAddr::V4(*address.ip()));
    }
    let (address, port) = text.split_once(':')?;
    address.parse().ok().map(IpAddr::V4).filter(|_| is_node_port(port))
}

fn is_node_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty()
                && hidden.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// The last element of a list whose elements may hold commas within quotes.
fn last_element(list: &str) -> &str {
    let (mut is_quoted, mut is_escaped, mut start) = (false, false, 0);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => start = at + 1,
            _ => {}
        }
    }
    &list[start..]
}

/// The value of `for` in an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_counts_with_or_without_a_port() {
        for (value, address) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("203.0.113.9, 192.0.2.1", Some("192.0.2.1")),
            ("203.0.113.9,192.0.2.1:4711", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            (" [2001:db8::1]:4711 ", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]:80", Some("192.0.2.1")),
            ("\"[2001:db8::1]:4711\"", Some("2001:db8::1")),
            ("192.0.2.1:", None),
            ("192.0.2.1:port", None),
            ("192.0.2.1:99999999", None),
            ("[192.0.2.1]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]x", None),
            ("fe80::1%eth0", None),
            ("192.0.2.1, unknown", None),
            ("192.0.2.1,", None),
            ("", None),
        ] {
            let found = forwarded_address([value].into_iter(), std::iter::empty());
            assert_eq!(found, address.map(|text| text.parse().unwrap()), "{value:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        for (value, address) in [
            ("for=192.0.2.43", Some("192.0.2.43")),
            ("For=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17")),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", Some("192.0.2.60")),
            ("by=203.0.113.43; FOR=\"192.0.2.60:80\"", Some("192.0.2.60")),
            ("for=198.51.100.17, for=192.0.2.43", Some("192.0.2.43")),
            ("for=192.0.2.43:_p0rt", Some("192.0.2.43")),
            ("for=\"a,b\", for=192.0.2.43", Some("192.0.2.43")),
            ("for=192.0.2.43, proto=\"a,for=203.0.113.1\"", None),
            ("for=192.0.2.43, for=_hidden", None),
            ("for=192.0.2.43, for=unknown", None),
            ("proto=https", None),
            ("", None),
        ] {
            let found = forwarded_address(std::iter::empty(), [value].into_iter());
            assert_eq!(found, address.map(|text| text.parse().unwrap()), "{value:?}");
        }
    }

    #[test]
    fn the_last_header_counts_and_x_forwarded_for_before_forwarded() {
        let found = |x: &[&'static str], forwarded: &[&'static str]| {
            forwarded_address(x.iter().copied(), forwarded.iter().copied()).map(|address| address.to_string())
        };
        assert_eq!(found(&["203.0.113.1", "192.0.2.1"], &[]).as_deref(), Some("192.0.2.1"));
        assert_eq!(found(&["192.0.2.1"], &["for=203.0.113.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(found(&["unknown"], &["for=203.0.113.1"]), None);
        assert_eq!(found(&[], &[]), None);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let network = |text: &str| client_network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
