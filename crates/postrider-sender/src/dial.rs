//! Opening a TCP connection to one of several addresses. They were checked before; nothing is resolved here.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use postrider_core::address::{AddressBlocked, AddressGuard};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::failure::is_shortage;
use crate::limits::{DIAL_STAGGER, MAX_ADDRESSES_DIALLED};
use crate::resolve::LateAddresses;

/// Why an address did not take the connection.
#[derive(Debug)]
pub(crate) struct DialError {
    pub(crate) peer: SocketAddr,
    pub(crate) source: io::Error,
}

impl DialError {
    /// Whether the machine lacked a file descriptor, memory or a port, so that the receiver was not asked.
    pub(crate) fn is_shortage(&self) -> bool {
        is_shortage(&self.source) || self.lacks_a_port(has_ipv6_address_for)
    }

    /// Whether every port towards that address is in use. Of IPv6 the same error also says that the machine has no address,
    /// which no waiting mends: that stays a failed attempt.
    fn lacks_a_port(&self, has_address_for: fn(SocketAddr) -> bool) -> bool {
        self.source.kind() == ErrorKind::AddrNotAvailable
            && (self.peer.is_ipv4() || has_address_for(self.peer))
    }
}

/// Whether this machine has an address to reach `peer` from. Nothing is sent.
fn has_ipv6_address_for(peer: SocketAddr) -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok_and(|socket| socket.connect(peer).is_ok())
}

/// Why there is no connection to any address of a name.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// None took it. If the machine lacked something for one of them, that is the reason; else it is the last one's.
    Failed(DialError),
    /// An address that arrived later is forbidden.
    Blocked(AddressBlocked),
}

/// Addresses that may arrive while others are dialled, and what judges them.
pub(crate) struct Late<'a> {
    pub(crate) addresses: Option<LateAddresses>,
    /// How long they are awaited when every other address has failed.
    pub(crate) deadline: Instant,
    pub(crate) port: u16,
    pub(crate) guard: &'a AddressGuard,
}

/// The addresses in the order they are dialled: the families take turns, so that one that leads nowhere can't
/// use up the deadline alone.
pub(crate) fn dialling_order(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (mut same, mut other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    same.reverse();
    other.reverse();
    let mut order = Vec::with_capacity(addresses.len().min(MAX_ADDRESSES_DIALLED));
    while order.len() < MAX_ADDRESSES_DIALLED {
        let taken = [same.pop(), other.pop()];
        if taken == [None, None] {
            break;
        }
        order.extend(taken.into_iter().flatten().map(|address| SocketAddr::new(address, port)));
    }
    order.truncate(MAX_ADDRESSES_DIALLED);
    order
}

/// Connects to the first address that takes the connection. The next is tried when one fails, or beside it when
/// it has been silent for [`DIAL_STAGGER`]. The caller sets the deadline.
///
/// `peers` must not be empty, and the guard must have let them pass.
pub(crate) async fn dial(
    peers: &[SocketAddr],
    mut late: Late<'_>,
) -> Result<(TcpStream, SocketAddr), NoConnection> {
    if let ([only], None) = (peers, &late.addresses) {
        return connect(*only).await.map_err(NoConnection::Failed);
    }
    let mut waiting: VecDeque<SocketAddr> = peers.iter().copied().collect();
    let mut running = FuturesUnordered::new();
    let mut failed: Option<DialError> = None;
    let mut stagger = pin!(sleep(DIAL_STAGGER));
    let mut is_due = true;
    loop {
        if let Some(next) = (is_due || running.is_empty()).then(|| waiting.pop_front()).flatten() {
            running.push(connect(next));
            stagger.as_mut().reset(Instant::now() + DIAL_STAGGER);
        }
        is_due = false;
        tokio::select! {
            biased;
            arrived = arrival(&mut late.addresses) => {
                let room = MAX_ADDRESSES_DIALLED.saturating_sub(peers.len());
                for address in &arrived {
                    late.guard.check_address(*address).map_err(NoConnection::Blocked)?;
                }
                waiting.extend(arrived.iter().take(room).map(|address| SocketAddr::new(*address, late.port)));
            }
            Some(finished) = running.next() => match finished {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    is_due = true;
                    // A shortage is the machine's own, whatever the other addresses said.
                    if !failed.as_ref().is_some_and(DialError::is_shortage) {
                        failed = Some(error);
                    }
                }
            },
            () = &mut stagger, if !waiting.is_empty() => is_due = true,
            () = sleep_until(late.deadline), if running.is_empty() => late.addresses = None,
        }
        let is_over = running.is_empty() && waiting.is_empty() && late.addresses.is_none();
        if let Some(error) = failed.take_if(|_| is_over) {
            return Err(NoConnection::Failed(error));
        }
    }
}

/// The late addresses when they arrive, once.
async fn arrival(late: &mut Option<LateAddresses>) -> Vec<IpAddr> {
    match late {
        Some(addresses) => {
            let arrived = addresses.await;
            *late = None;
            arrived
        }
        None => std::future::pending().await,
    }
}

async fn connect(peer: SocketAddr) -> Result<(TcpStream, SocketAddr), DialError> {
    let connected = async {
        let tcp = TcpStream::connect(peer).await?;
        // A request leaves at once and whole; waiting to fill a packet would only delay it.
        tcp.set_nodelay(true)?;
        Ok(tcp)
    };
    match connected.await {
        Ok(tcp) => Ok((tcp, peer)),
        Err(source) => Err(DialError { peer, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        dialling_order(&addresses, 1).iter().map(|peer| peer.ip().to_string()).collect()
    }

    #[test]
    fn the_families_take_turns_beginning_with_the_first() {
        assert_eq!(
            order(&["::1", "::2", "1.1.1.1", "::3", "2.2.2.2"]),
            ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]
        );
        assert_eq!(order(&["1.1.1.1", "::1"]), ["1.1.1.1", "::1"]);
        assert_eq!(order(&["::2", "::1"]), ["::2", "::1"]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn of_ipv6_a_missing_port_is_told_from_a_missing_address() {
        let error =
            |peer: &str, kind: ErrorKind| DialError { peer: peer.parse().unwrap(), source: kind.into() };
        let (v4, v6) = ("1.1.1.1:443", "[2606:4700::1]:443");
        assert!(error(v4, ErrorKind::AddrNotAvailable).lacks_a_port(|_| false));
        assert!(error(v6, ErrorKind::AddrNotAvailable).lacks_a_port(|_| true));
        assert!(!error(v6, ErrorKind::AddrNotAvailable).lacks_a_port(|_| false));
        assert!(!error(v6, ErrorKind::ConnectionRefused).lacks_a_port(|_| true));
    }

    #[test]
    fn only_so_many_addresses_are_dialled() {
        assert_eq!(order(&["1.1.1.1"; 30]).len(), MAX_ADDRESSES_DIALLED);
        let mixed = [["1.1.1.1", "::1"]; 30];
        assert_eq!(order(mixed.as_flattened()).len(), MAX_ADDRESSES_DIALLED);
    }
}
