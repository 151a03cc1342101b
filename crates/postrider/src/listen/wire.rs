//! The requests of `listen`: to the service, and to the port that deliveries are forwarded to. Each waits for its answer.

use std::io::Read as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper::Uri;
use ureq::http::{HeaderMap, Response};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

/// How long one request may take with its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one stream is read; then it is opened again, where it was.
const STREAM_LIFE: Duration = Duration::from_secs(10 * 60);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 2 * 1024 * 1024;
/// Pieces of a stream that may wait to be looked at; the service notices when they are not.
const MAX_PIECES: usize = 8;

/// An answer that was read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A piece of a stream; an error at its end, unless the service ended it.
pub(super) type Piece = std::io::Result<Vec<u8>>;

/// How requests are made.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    requests: Agent,
    streams: Agent,
}

impl Wire {
    pub(super) fn new(tls: &TlsConfig) -> Self {
        let common = || {
            let config = Agent::config_builder().http_status_as_error(false).proxy(None).max_redirects(0);
            config.tls_config(tls.clone())
        };
        let requests = common().timeout_global(Some(PATIENCE)).build();
        let streams = common()
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(STREAM_LIFE))
            .build();
        Self { requests: requests.new_agent(), streams: streams.new_agent() }
    }

    /// GET.
    pub(super) fn get(&self, url: &str, bearer: &str) -> anyhow::Result<Answer> {
        Ok(read(self.requests.get(url).header("Authorization", bearer).call()?)?)
    }

    /// Opens a stream; an answer that is none is given as it is.
    pub(super) fn stream(
        &self,
        url: &str,
        bearer: &str,
        last_id: &str,
    ) -> Result<Result<Receiver<Piece>, Answer>, ureq::Error> {
        let request = self.streams.get(url).header("Authorization", bearer).header("Last-Event-ID", last_id);
        let answer = request.call()?;
        if !answer.status().is_success() {
            return Ok(Err(read(answer)?));
        }
        let (tell, told) = sync_channel(MAX_PIECES);
        let mut reader = answer.into_body().into_reader();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            loop {
                let piece = match reader.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(length) => Ok(buffer[..length].to_vec()),
                    Err(why) => Err(why),
                };
                let is_last = piece.is_err();
                // Nobody waits any more where the stream was let go.
                if tell.send(piece).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Ok(told))
    }

    /// Posts to the first of the target's addresses that takes the connection.
    pub(super) fn post(
        &self,
        target: &Uri,
        allow_remote: bool,
        headers: &HeaderMap,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut failed = anyhow::anyhow!("the target has no address");
        for address in addresses(target, allow_remote)? {
            // The address that was judged is the one that is called.
            let path = target.path_and_query().map_or("/", |path| path.as_str());
            let host = target.authority().map_or("", |authority| authority.as_str());
            let mut request = self.requests.post(format!("http://{address}{path}")).header("Host", host);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            match request.send(body) {
                Ok(answer) => return Ok(read(answer)?),
                Err(ureq::Error::Io(why)) if why.kind() == std::io::ErrorKind::ConnectionRefused => {
                    failed = anyhow::anyhow!("nothing listens at {address}");
                }
                Err(why) => return Err(why.into()),
            }
        }
        Err(failed)
    }
}

/// The addresses of a URL's host. One of another machine is an error unless that is allowed.
pub(super) fn addresses(uri: &Uri, allow_remote: bool) -> anyhow::Result<Vec<SocketAddr>> {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = (bare, uri.port_u16().unwrap_or(80)).to_socket_addrs();
    let found: Vec<SocketAddr> = found.with_context(|| format!("{host} can't be found"))?.collect();
    if !allow_remote && !found.iter().all(|address| address.ip().is_loopback()) {
        bail!("{host} is another machine; deliveries are forwarded there only with --allow-remote");
    }
    Ok(found)
}

fn read(mut answer: Response<Body>) -> Result<Answer, ureq::Error> {
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
    Ok(Answer { status, body })
}
