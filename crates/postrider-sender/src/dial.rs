//! Opening a TCP connection to one of several addresses. They were checked before; nothing is resolved here.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::limits::{DIAL_STAGGER, MAX_ADDRESSES_DIALLED};

/// Why none of the addresses took the connection: the last one's reason.
#[derive(Debug)]
pub(crate) struct DialError {
    pub(crate) peer: SocketAddr,
    pub(crate) source: io::Error,
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
/// `peers` must not be empty.
pub(crate) async fn dial(peers: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), DialError> {
    if let [only] = peers {
        return connect(*only).await;
    }
    let mut waiting = peers.iter();
    let mut running = FuturesUnordered::new();
    loop {
        if let Some(next) = waiting.next() {
            running.push(connect(*next));
        }
        tokio::select! {
            biased;
            finished = running.next() => match finished {
                Some(Err(error)) if running.is_empty() && waiting.len() == 0 => return Err(error),
                Some(Err(_another_address_may_answer)) => {}
                Some(Ok(connected)) => return Ok(connected),
                None => unreachable!("the last failure returns"),
            },
            () = sleep(DIAL_STAGGER), if waiting.len() > 0 => {}
        }
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
    fn only_so_many_addresses_are_dialled() {
        assert_eq!(order(&["1.1.1.1"; 30]).len(), MAX_ADDRESSES_DIALLED);
        let mixed = [["1.1.1.1", "::1"]; 30];
        assert_eq!(order(mixed.as_flattened()).len(), MAX_ADDRESSES_DIALLED);
    }
}
