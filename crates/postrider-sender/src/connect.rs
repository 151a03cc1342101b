//! From a target to a connection: resolve once, refuse what the address guard forbids, dial a checked address or have the
//! operator's proxy do so, agree on TLS. With `proxy.rs` the only place that opens sockets; no proxy is looked for in
//! the environment.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use postrider_core::address::AddressGuard;
use postrider_core::attempt::{FailureCode, Timings};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::Tenant;
use crate::dial::{dial, dialling_order};
use crate::failure::Failure;
use crate::http_connection::HttpConnection;
use crate::proxy::{NoTunnel, Proxy};
use crate::resolve::{Resolve, ResolveError};
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
        let addresses = self.resolve(target, tenant, deadline, timings).await?;
        for address in &addresses {
            if let Err(blocked) = self.guard.check_address(*address) {
                let detail = match target.literal() {
                    Some(_) => blocked.to_string(),
                    None => format!("{} leads to {blocked}", target.host_text),
                };
                return Err(Failure::new(FailureCode::AddressBlocked, detail));
            }
        }
        self.dial_checked(target, &addresses, deadline, timings).await
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

    /// Every address of the host; at least one.
    async fn resolve(
        &self,
        target: &Target<'_>,
        tenant: Tenant,
        deadline: Deadline,
        timings: &mut Timings,
    ) -> Result<Vec<IpAddr>, Failure> {
        if let Some(literal) = target.literal() {
            return Ok(vec![literal]);
        }
        let began = Instant::now();
        let resolved =
            timeout_at(deadline.at, self.resolver.resolve(target.host_text, tenant, deadline.at)).await;
        timings.dns_us = Some(elapsed_us(began));
        match resolved {
            Ok(Ok(resolved)) if resolved.addresses.is_empty() => {
                Err(Failure::of_resolving(target, &ResolveError::NotFound))
            }
            Ok(Ok(resolved)) => Ok(resolved.addresses),
            Ok(Err(error)) => Err(Failure::of_resolving(target, &error)),
            Err(_deadline) => {
                let reason = format!("no name server answered within {:?}", deadline.timeout);
                Err(Failure::of_resolving(target, &ResolveError::Failed(reason)))
            }
        }
    }

    /// Dials addresses that the guard has let pass, and no others.
    async fn dial_checked(
        &self,
        target: &Target<'_>,
        addresses: &[IpAddr],
        deadline: Deadline,
        timings: &mut Timings,
    ) -> Result<Box<HttpConnection>, Failure> {
        let peers = dialling_order(addresses, target.port);
        let began = Instant::now();
        let opened = match &self.proxy {
            None => dialled(target, &peers, deadline).await,
            Some(proxy) => self.tunnelled(proxy, target, &peers, deadline).await,
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
            })?;
            Stream::Tls(Box::new(agreed))
        } else {
            Stream::Plain(tcp)
        };
        Ok(HttpConnection::new(stream, peer))
    }
}

impl Connector {
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
                Failure::new(FailureCode::ConnectFailed, detail)
            }
            NoTunnel::TimedOut => no_connection_in_time(target, peers, deadline),
            NoTunnel::SpokeFirst { peer } => {
                let detail = format!("{} spoke before it had been asked anything", target.at(peer));
                Failure::new(FailureCode::InvalidHttp, detail)
            }
        })
    }
}

/// A connection to one of these addresses.
async fn dialled(
    target: &Target<'_>,
    peers: &[SocketAddr],
    deadline: Deadline,
) -> Result<(TcpStream, SocketAddr), Failure> {
    match timeout_at(deadline.at, dial(peers)).await {
        Ok(dialled) => dialled.map_err(|error| Failure::of_dialling(target, &error)),
        Err(_deadline) => Err(no_connection_in_time(target, peers, deadline)),
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
