//! The hosts file: names that this machine knows without asking.

use std::collections::HashMap;
use std::net::IpAddr;

/// The names of a hosts file with their addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Hosts {
    /// Reads a hosts file (hosts(5)); lines that can't be read are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut names: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
            for name in words {
                let addresses = names.entry(canonical(name).into()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(names)
    }

    /// Returns the addresses of a name that the file has, IPv6 first; `None` if it does not have the name.
    pub(super) fn get(&self, name: &str) -> Option<Vec<IpAddr>> {
        let mut addresses = self.0.get(&*canonical(name))?.clone();
        addresses.sort_by_key(IpAddr::is_ipv4);
        Some(addresses)
    }
}

/// A name in lower case without its final dot.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read_as_the_system_reads_it() {
        let hosts = Hosts::parse(
            "# comment\n127.0.0.1\tlocalhost  Receiver.Internal\n10.0.0.1 both#comment\r\n::1 both localhost\n\
             10.0.0.1 both\nnot-an-address name\nfe80::1%lo zone\n\n10.0.0.2\n10.0.0.3 dotted.\n",
        );
        let get = |name| {
            hosts.get(name).map(|all: Vec<IpAddr>| all.iter().map(IpAddr::to_string).collect::<Vec<_>>())
        };
        assert_eq!(get("localhost").unwrap(), ["::1", "127.0.0.1"]);
        assert_eq!(get("receiver.internal.").unwrap(), ["127.0.0.1"]);
        assert_eq!(get("RECEIVER.INTERNAL").unwrap(), ["127.0.0.1"]);
        assert_eq!(get("both").unwrap(), ["::1", "10.0.0.1"]);
        assert_eq!(get("dotted").unwrap(), ["10.0.0.3"]);
        for missing in ["name", "zone", "comment", "receiver", ""] {
            assert_eq!(get(missing), None, "{missing}");
        }
    }
}
