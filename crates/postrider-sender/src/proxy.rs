//! The operator's HTTP proxy, where deliveries leave through one: a tunnel (`CONNECT`) to an address that was resolved
//! and checked here, so that the address guard holds behind a proxy as without one. TLS is agreed on with the receiver
//! itself, through the tunnel.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::dial::dial;
use crate::limits::{MAX_ADDRESSES_DIALLED, MAX_PROXY_ANSWER_BYTES, PROXY_PATIENCE};

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
    /// The proxy itself can't be used, whoever is to be reached.
    Proxy(String),
    /// It did not reach this address, or would not.
    Refused { peer: SocketAddr, status: u16 },
}

impl Proxy {
    /// A tunnel to the first of these addresses that the proxy reaches. The caller sets the deadline; the proxy itself has
    /// [`PROXY_PATIENCE`] to take the connection.
    ///
    /// `peers` must not be empty.
    pub(crate) async fn tunnel(&self, peers: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), NoTunnel> {
        let mut refused = None;
        for &peer in peers {
            let mut tcp = self.reach().await.map_err(NoTunnel::Proxy)?;
            match self.ask(&mut tcp, peer).await.map_err(NoTunnel::Proxy)? {
                200..300 => return Ok((tcp, peer)),
                407 => return Err(NoTunnel::Proxy("asks for a user and a password (407)".to_owned())),
                // It could not reach this one; another address of the host may be better.
                status @ 502..=504 => refused = Some(NoTunnel::Refused { peer, status }),
                status => return Err(NoTunnel::Refused { peer, status }),
            }
        }
        Err(refused.unwrap_or_else(|| NoTunnel::Proxy("was asked for no address".to_owned())))
    }

    /// Whether it takes connections; else why not.
    ///
    /// # Errors
    /// In words that follow the proxy's name.
    pub async fn takes_connections(&self) -> Result<(), String> {
        self.reach().await.map(drop)
    }

    /// A connection to the proxy. It is the operator's own, so the guard has no say in where it is.
    async fn reach(&self) -> Result<TcpStream, String> {
        let connecting = async {
            let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
            let addresses: Vec<_> = found
                .map_err(|error| format!("is not found: {error}"))?
                .take(MAX_ADDRESSES_DIALLED)
                .collect();
            if addresses.is_empty() {
                return Err("has no address".to_owned());
            }
            dial(&addresses).await.map_err(|error| format!("takes no connection: {}", error.source))
        };
        match timeout(PROXY_PATIENCE, connecting).await {
            Ok(reached) => reached.map(|(tcp, _)| tcp),
            Err(_late) => Err(format!("took no connection within {PROXY_PATIENCE:?}")),
        }
    }

    /// Asks for a tunnel and gives the status of the answer.
    async fn ask(&self, tcp: &mut TcpStream, peer: SocketAddr) -> Result<u16, String> {
        let mut request = format!("CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        let broke = |error: std::io::Error| format!("broke the connection: {error}");
        tcp.write_all(request.as_bytes()).await.map_err(broke)?;
        let mut answer = Vec::with_capacity(256);
        loop {
            if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                // What follows would be the receiver's, and that one speaks when it is spoken to.
                return match answer.len() == end + 4 {
                    true => status_of(&answer),
                    false => Err("sent more than an answer".to_owned()),
                };
            }
            if answer.len() >= MAX_PROXY_ANSWER_BYTES {
                return Err(format!("answers with more than {MAX_PROXY_ANSWER_BYTES} bytes of headers"));
            }
            if tcp.read_buf(&mut answer).await.map_err(broke)? == 0 {
                return Err("closed the connection without a whole answer".to_owned());
            }
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
