//! Who a request comes from, as far as addresses tell: the other side of the connection, or whom the proxy in front names.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use postrider_core::client_address::forwarded_address;
use postrider_core::id::AccountId;
use tokio::time::Instant;

use crate::failed_keys::FailedKeys;
use crate::server::Activity;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other side of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) activity: Arc<Activity>,
}

/// The client of one request.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    /// `None` if it can't be determined: behind a proxy that doesn't name it.
    pub(crate) address: Option<IpAddr>,
    peer: Option<&'a Peer>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(headers: &HeaderMap, peer: Option<&'a Peer>, behind_proxy: bool) -> Self {
        let address = if behind_proxy {
            let values = |name: &HeaderName| {
                headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default())
            };
            forwarded_address(values(&X_FORWARDED_FOR), values(&header::FORWARDED))
        } else {
            peer.map(|peer| peer.address.ip())
        };
        Self { address, peer }
    }

    /// Notes that the key was accepted, once a minute for each connection.
    pub(crate) fn accepted(self, failed_keys: &FailedKeys, key: &str, account: Option<AccountId>) {
        let Some(address) = self.address else { return };
        let hash = failed_keys.hash(address, key.as_bytes());
        if self.peer.is_none_or(|peer| peer.activity.is_new_key(hash)) {
            failed_keys.accepted(address, hash, account, Instant::now());
        }
    }
}
