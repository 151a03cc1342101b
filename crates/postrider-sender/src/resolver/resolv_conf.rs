//! `/etc/resolv.conf`: which name servers are asked, and two of its options. The search list, `ndots` and the local domain are
//! conveniences for people at a shell; a URL's host is an absolute name, so they are not read.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// How many name servers are asked, as in the system's own resolver (`MAXNS`).
const MAX_NAME_SERVERS: usize = 3;

/// What the file says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// The name servers, in the order they are asked.
    pub(super) name_servers: Vec<SocketAddr>,
    /// Whether only IPv4 addresses are asked for (`options no-aaaa`).
    pub(super) no_aaaa: bool,
    /// Whether name servers are asked over TCP only (`options use-vc`).
    pub(super) use_tcp: bool,
}

impl ResolvConf {
    /// Reads the file (resolv.conf(5)); what is not understood is passed over. `port` is that of the name servers.
    pub(super) fn parse(text: &str, port: u16) -> Self {
        let mut read = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| name_server(word, port));
                    if read.name_servers.len() < MAX_NAME_SERVERS {
                        read.name_servers.extend(address);
                    }
                }
                Some("options") => {
                    for option in words {
                        read.no_aaaa |= option == "no-aaaa";
                        read.use_tcp |= option == "use-vc";
                    }
                }
                _ => {}
            }
        }
        read
    }
}

/// A name server's address, which may name the interface of a link-local one (`fe80::1%eth0`).
fn name_server(word: &str, port: u16) -> Option<SocketAddr> {
    let Some((address, interface)) = word.split_once('%') else {
        return word.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port));
    };
    let scope = interface.parse().ok().or_else(|| interface_number(interface))?;
    Some(SocketAddrV6::new(address.parse().ok()?, port, 0, scope).into())
}

/// An interface's number, as Linux tells it.
fn interface_number(name: &str) -> Option<u32> {
    let is_plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let path = is_plain.then(|| format!("/sys/class/net/{name}/ifindex"))?;
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_and_options_are_read_and_the_rest_is_passed_over() {
        let read = ResolvConf::parse(
            "# nameserver 9.9.9.9\n; nameserver 9.9.9.8\nsearch corp.test example\ndomain corp.test\n\
             nameserver 10.0.0.1 # trailing\r\nnameserver\nnameserver nonsense\n nameserver ::1\n\
             options ndots:5 edns0 trust-ad fancy-new-option:7 no-aaaa\nsortlist 130.155.160.0\nlookup file bind\n\
             nameserver fe80::1%7\nnameserver 10.0.0.4\n",
            53,
        );
        let shown: Vec<String> = read.name_servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:53", "[::1]:53", "[fe80::1%7]:53"]);
        assert!(read.no_aaaa && !read.use_tcp);
        assert_eq!(ResolvConf::parse("", 53), ResolvConf::default());
        assert_eq!(ResolvConf::parse("nameserver fe80::1%no/such/../interface", 53), ResolvConf::default());
    }
}
