//! From a target to a connection: resolve once, refuse what the address guard forbids, dial a checked address or have the
//! operator's proxy do so, agree on TLS. With `proxy.rs` the only place that opens sockets; no proxy is looked for in
//! the environment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::address::AddressGuard;
use postrider_core::attempt::{FailureCode, Timings};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::Tenant;
use crate::dial::{Late, NoConnection, dial};
use crate::failed_addresses::FailedAddresses;
use crate::failure::Failure;
use crate::http_connection::HttpConnection;
use crate::limits::{RESOLVER_GRACE, TOLERATED_WAIT_DIVISOR};
use crate::proxy::{NoTunnel, Proxy};
use crate::resolve::{LateAddresses, Resolve, ResolveError, Resolved};
use crate::stream::Stream;
use crate::target::Target;
use crate::tls;

/// The one deadline of an attempt, and how long it was for those who read of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) timeout: Duration,
}

/// Makes connections.
pub(crate) struct Connector {
    pub(crate) guard: AddressGuard,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) tls: TlsConnector,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) failed: FailedAddresses,
}

impl Connector {
    /// A new connection, noting how long its phases took.
    pub(crate) async fn connect(
        &self,
        target: &Target<'_>,
        tenant: Tenant,
        deadline: Deadline,
        timings: &mut Timings,
    ) -> Result<Box<HttpConnection>, Failure> {
        self.check_endpoint(target)?;
        let Resolved { addresses, late, .. } = self.resolve(target, tenant, deadline, timings).await?;
        for address in &addresses {
            self.guard.check_address(*address).map_err(|blocked| Failure::of_blocking(target, &blocked))?;
        }
        let peers = self.failed.order(tenant, target.origin, &addresses, target.port);
        let link = self.dial_checked(target, &peers, late, deadline, timings).await;
        link.inspect_err(|failure| self.note_failure(target, tenant, failure))
    }

    /// Notes where an attempt failed, so that the next one begins at another address.
    pub(crate) fn note_failure(&self, target: &Target<'_>, tenant: Tenant, failure: &Failure) {
        if let Some(peer) = failure.peer.filter(|_| !failure.not_made) {
            self.failed.note(tenant, target.origin, peer.ip(), false);
        }
    }

    /// The guard's rules about URLs may have become stricter since the endpoint was made.
    fn check_endpoint(&self, target: &Target<'_>) -> Result<(), Failure> {
        let detail = if self.guard.require_https && !target.tls {
            "this installation delivers to https only".to_owned()
        } else if !self.guard.allow_ports.is_empty() && !self.guard.allow_ports.contains(&target.port) {
            format!("port {} is not among the ports that this installation delivers to", target.port)
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureCode::AddressBlocked, detail))
    }

    /// The addresses of the host; at least one.
    async fn resolve(
        &self,
        target: &Target<'_>,
        tenant: Tenant,
        deadline: Deadline,
        timings: &mut Timings,
    ) -> Result<Resolved, Failure> {
        if let Some(literal) = target.literal() {
            return Ok(vec![literal].into());
        }
        let began = Instant::now();
        let resolving = self.resolver.resolve(target.host_text, tenant, deadline.at);
        // The grace lets the resolver say what it waited for.
        let resolved = timeout_at(deadline.at + RESOLVER_GRACE, resolving).await;
        timings.dns_us = Some(elapsed_us(began));
        let error = match resolved {
            Ok(Ok(resolved)) if resolved.waited > deadline.timeout / TOLERATED_WAIT_DIVISOR => {
                ResolveError::Shortage(format!("its lookup waited {:?} to begin", resolved.waited))
            }
            Ok(Ok(resolved)) if resolved.addresses.is_empty() => ResolveError::NotFound,
            Ok(Ok(resolved)) => return Ok(resolved),
            Ok(Err(error)) => error,
            Err(_deadline) => ResolveError::TimedOut,
        };
        Err(Failure::of_resolving(target, deadline.timeout, &error))
    }

    /// Dials addresses that the guard has let pass, and no others.
    async fn dial_checked(
        &self,
        target: &Target<'_>,
        peers: &[SocketAddr],
        late: Option<LateAddresses>,
        deadline: Deadline,
        timings: &mut Timings,
    ) -> Result<Box<HttpConnection>, Failure> {
        let began = Instant::now();
        let opened = match &self.proxy {
            None => self.dialled(target, peers, late, deadline).await,
            Some(proxy) => self.tunnelled(proxy, target, peers, deadline).await,
        };
        timings.connect_us = Some(elapsed_us(began));
        let (tcp, peer) = opened?;
        let place = target.at(peer);
        let stream = if target.tls {
            let began = Instant::now();
            let agreed = timeout_at(deadline.at, tls::handshake(&self.tls, target, place, tcp)).await;
            timings.tls_us = Some(elapsed_us(began));
            let agreed = agreed.unwrap_or_else(|_deadline| {
                let detail = format!("no TLS agreed on with {place} within {:?}", deadline.timeout);
                Err(Failure::new(FailureCode::Timeout, detail))
            });
            let agreed = agreed.map_err(|failure| failure.at(peer))?;
            Stream::Tls(Box::new(agreed))
        } else {
            Stream::Plain(tcp)
        };
        Ok(HttpConnection::new(stream, peer))
    }
}

impl Connector {
    /// A connection to one of these addresses, or to one that arrives later.
    async fn dialled(
        &self,
        target: &Target<'_>,
        peers: &[SocketAddr],
        late: Option<LateAddresses>,
        deadline: Deadline,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        let dialling = dial(
            peers,
            Late { addresses: late, deadline: deadline.at, port: target.port, guard: &self.guard },
        );
        match timeout_at(deadline.at, dialling).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(NoConnection::Failed(error))) => Err(Failure::of_dialling(target, &error)),
            Ok(Err(NoConnection::Blocked(blocked))) => Err(Failure::of_blocking(target, &blocked)),
            Err(_deadline) => Err(no_connection_in_time(target, peers, deadline)),
        }
    }

    /// A tunnel to one of these addresses. What customers read of it does not name the operator's proxy.
    async fn tunnelled(
        &self,
        proxy: &Proxy,
        target: &Target<'_>,
        peers: &[SocketAddr],
        deadline: Deadline,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        proxy.tunnel(&*self.resolver, peers, deadline.at).await.map_err(|why| match why {
            NoTunnel::Proxy(reason) => {
                let host = target.host_text;
                let detail = format!("no connection to {host} was tried: the proxy {proxy} {reason}");
                Failure::of_shortage(FailureCode::ConnectFailed, detail)
            }
            NoTunnel::Refused { peer, how } => {
                let place = target.at(peer);
                let detail =
                    format!("no connection to {place}: the proxy that deliveries leave through {how}");
                Failure::new(FailureCode::ConnectFailed, detail).at(peer)
            }
            NoTunnel::TimedOut => no_connection_in_time(target, peers, deadline),
            NoTunnel::SpokeFirst { peer } => {
                let detail = format!("{} spoke before it had been asked anything", target.at(peer));
                Failure::new(FailureCode::InvalidHttp, detail).at(peer)
            }
        })
    }
}

fn no_connection_in_time(target: &Target<'_>, peers: &[SocketAddr], deadline: Deadline) -> Failure {
    let tried: Vec<String> = peers.iter().map(ToString::to_string).collect();
    let (host, tried, within) = (target.host_text, tried.join(", "), deadline.timeout);
    Failure::new(FailureCode::ConnectTimeout, format!("no connection to {host} ({tried}) within {within:?}"))
}

/// How long ago `began` was, in microseconds.
pub(crate) fn elapsed_us(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
