//! The operator's HTTP proxy, where deliveries leave through one: a tunnel (`CONNECT`) to an address that was resolved
//! and checked here, so that the address guard holds behind a proxy as without one. TLS is agreed on with the receiver
//! itself, through the tunnel.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::address::AddressGuard;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::Tenant;
use crate::dial::{Late, NoConnection, dial, dialling_order};
use crate::failure::io_in_words;
use crate::limits::{MAX_PROXY_ANSWER_BYTES, PROXY_FAIR_TRIAL, PROXY_PATIENCE};
use crate::resolve::Resolve;

/// A proxy that makes tunnels.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`, where the URL names a user.
    authorization: Option<String>,
}

/// What a proxy's URL must be.
pub const PROXY_RIGHT: &str =
    "a proxy's URL such as http://proxy.internal:3128 or http://user:password@10.0.0.1:3128";

/// Why there is no tunnel.
#[derive(Debug)]
pub(crate) enum NoTunnel {
    /// The proxy itself can't be used, whoever is to be reached: nothing was asked of the receiver.
    Proxy(String),
    /// None to this address: what the proxy said of it, or that it went away, as proxies do that reach nobody.
    Refused { peer: SocketAddr, how: String },
    /// None to any of them in time.
    TimedOut,
    /// The receiver spoke before it was spoken to.
    SpokeFirst { peer: SocketAddr },
}

impl Proxy {
    /// A tunnel to the first of these addresses that the proxy reaches before `deadline`. Each has its share of the time, so
    /// that one that leads nowhere does not take it all.
    pub(crate) async fn tunnel(
        &self,
        resolver: &dyn Resolve,
        peers: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(TcpStream, SocketAddr), NoTunnel> {
        let mut last = NoTunnel::TimedOut;
        for (index, &peer) in peers.iter().enumerate() {
            let began = Instant::now();
            let patience = deadline.min(began + PROXY_PATIENCE);
            let reached = timeout_at(patience, self.reach(resolver)).await;
            let mut tcp = match reached {
                Ok(reached) => reached.map_err(NoTunnel::Proxy)?,
                Err(_late) if patience >= began + PROXY_FAIR_TRIAL => {
                    return Err(NoTunnel::Proxy("took no connection in time".to_owned()));
                }
                Err(_late) => return Err(last),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(peers.len() - index).unwrap_or(u32::MAX);
            last = match timeout_at(Instant::now() + share, self.ask(&mut tcp, peer)).await {
                Ok(Ok(())) => return Ok((tcp, peer)),
                Ok(Err(why @ (NoTunnel::Proxy(_) | NoTunnel::SpokeFirst { .. }))) => return Err(why),
                Ok(Err(refused)) => refused,
                Err(_late) => NoTunnel::TimedOut,
            };
        }
        Err(last)
    }

    /// Whether it takes connections; else why not.
    ///
    /// # Errors
    /// In words that follow the proxy's name.
    pub async fn takes_connections(&self, resolver: &dyn Resolve) -> Result<(), String> {
        match timeout_at(Instant::now() + PROXY_PATIENCE, self.reach(resolver)).await {
            Ok(reached) => reached.map(drop),
            Err(_late) => Err(format!("took no connection within {PROXY_PATIENCE:?}")),
        }
    }

    /// A connection to the proxy. It is the operator's own, so the guard has no say in where it is.
    async fn reach(&self, resolver: &dyn Resolve) -> Result<TcpStream, String> {
        let addresses = match self.host.parse() {
            Ok(literal) => vec![literal],
            Err(_name) => {
                let deadline = Instant::now() + PROXY_PATIENCE;
                let resolved = resolver.resolve(&self.host, Tenant::OPERATOR, deadline).await;
                resolved.map_err(|error| format!("is not found: {error}"))?.addresses
            }
        };
        let peers = dialling_order(&addresses, self.port);
        if peers.is_empty() {
            return Err("has no address".to_owned());
        }
        // It is not a receiver: no address of it is judged.
        let guard = AddressGuard::default();
        let none = Late {
            addresses: None,
            deadline: Instant::now() + PROXY_PATIENCE,
            port: self.port,
            guard: &guard,
        };
        dial(&peers, none).await.map(|(tcp, _)| tcp).map_err(|why| match why {
            NoConnection::Failed(error) => format!("takes no connection: {}", io_in_words(&error.source)),
            NoConnection::Blocked(blocked) => format!("takes no connection: {blocked}"),
        })
    }

    /// Asks for a tunnel to an address.
    async fn ask(&self, tcp: &mut TcpStream, peer: SocketAddr) -> Result<(), NoTunnel> {
        let mut request = format!("CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        let went_away = || NoTunnel::Refused { peer, how: "closed the connection".to_owned() };
        tcp.write_all(request.as_bytes()).await.map_err(|_broke| went_away())?;
        let mut answer = Vec::with_capacity(256);
        let end = loop {
            if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if answer.len() >= MAX_PROXY_ANSWER_BYTES {
                let why = format!("answers with more than {MAX_PROXY_ANSWER_BYTES} bytes of headers");
                return Err(NoTunnel::Proxy(why));
            }
            if tcp.read_buf(&mut answer).await.map_err(|_broke| went_away())? == 0 {
                return Err(went_away());
            }
        };
        match status_of(&answer).map_err(NoTunnel::Proxy)? {
            200..300 if answer.len() > end => Err(NoTunnel::SpokeFirst { peer }),
            200..300 => Ok(()),
            407 => Err(NoTunnel::Proxy("asks for a user and a password (407)".to_owned())),
            status => Err(NoTunnel::Refused { peer, how: format!("answered {status}") }),
        }
    }
}

fn status_of(answer: &[u8]) -> Result<u16, String> {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = std::str::from_utf8(line).ok().and_then(|line| {
        let status = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
        status.parse().ok().filter(|status| (200..600).contains(status))
    });
    status.ok_or_else(|| "does not answer in HTTP/1.1; is it a proxy?".to_owned())
}

impl FromStr for Proxy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|_not_one| PROXY_RIGHT)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let (Some(host), true, "http") = (url.host_str(), is_bare, url.scheme()) else {
            return Err(PROXY_RIGHT);
        };
        let part = |encoded: &str| {
            percent_encoding::percent_decode_str(encoded)
                .decode_utf8()
                .map(String::from)
                .map_err(|_not_one| PROXY_RIGHT)
        };
        let (user, password) = (part(url.username())?, part(url.password().unwrap_or_default())?);
        let is_named = !user.is_empty() || !password.is_empty();
        let authorization =
            is_named.then(|| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(80), authorization })
    }
}

/// Without the user and the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.authorization.is_some() { "•••@" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "http://{user}[{}]:{}", self.host, self.port),
            false => write!(f, "http://{user}{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_from_its_url_and_shown_without_its_password() {
        for (url, shown, authorization) in [
            ("http://proxy.internal:3128", "http://proxy.internal:3128", None),
            ("http://10.0.0.1", "http://10.0.0.1:80", None),
            ("http://[::1]:3128/", "http://[::1]:3128", None),
            ("http://u:p%40ss@proxy:3128", "http://•••@proxy:3128", Some("Basic dTpwQHNz")),
        ] {
            let proxy: Proxy = url.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(proxy.authorization.as_deref(), authorization, "{url}");
            assert!(!format!("{proxy:?}").contains("p@ss"));
        }
        for wrong in [
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://proxy:3128/path",
            "http://",
            "x",
        ] {
            assert_eq!(wrong.parse::<Proxy>().unwrap_err(), PROXY_RIGHT, "{wrong}");
        }
    }

    #[test]
    fn only_http_is_an_answer() {
        assert_eq!(status_of(b"HTTP/1.1 200 Connection established\r\n\r\n"), Ok(200));
        assert_eq!(status_of(b"HTTP/1.0 403 Forbidden\r\nA: b\r\n\r\n"), Ok(403));
        for wrong in [
            "HTTP/2 200\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 999 x\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(status_of(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
