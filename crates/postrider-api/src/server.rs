//! Serves the routes: accepts connections within bounds, speaks HTTP/1.1, waits for nothing forever, and leaves in an orderly
//! way.

mod activity;
mod connections;
mod response_body;
mod write_timeout;

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use postrider_engine::Engine;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ApiOptions;
use crate::seldom::Seldom;
use crate::surface::Surface;
pub(crate) use activity::Activity;
use activity::Timeouts;
use connections::{Connections, Slot, share_of_address};
pub(crate) use response_body::ResponseBody;
use write_timeout::WriteTimeout;

/// How large a request's header block may be, and how much of a body is read at once.
const MAX_READ_BUFFER_BYTES: usize = 64 * 1024;
/// How long accepting rests after the operating system refused a connection, for want of files or memory.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// How far the server has come; every connection watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Requests are taken.
    Serving,
    /// Requests that run are finished, idle connections closed.
    Finishing,
    /// What is still open is dropped.
    Leaving,
}

/// Serves the API on `listener` until `shutdown` is done: then accepts nothing more, lets running requests finish
/// within [`ApiOptions::grace`], and returns when every connection is closed.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    options: ApiOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let per_address = (!options.behind_proxy).then(|| share_of_address(options.max_connections));
    let connections = Arc::new(Connections::new(options.max_connections, per_address));
    let (phase, watched) = watch::channel(Phase::Serving);
    let surface = Surface::new(engine, &options, watched.clone());
    tokio::select! {
        () = accept(&listener, &surface, &options, &connections, &watched) => {}
        () = shutdown => {}
    }
    // From here on the operating system refuses connections itself.
    drop(listener);
    phase.send_replace(Phase::Finishing);
    if tokio::time::timeout(options.grace, connections.all_closed()).await.is_err() {
        tracing::warn!("requests were still running after the grace time; their connections are closed");
    }
    phase.send_replace(Phase::Leaving);
    Ok(())
}

/// Accepts connections forever.
async fn accept(
    listener: &TcpListener,
    surface: &Surface,
    options: &ApiOptions,
    connections: &Arc<Connections>,
    phase: &watch::Receiver<Phase>,
) {
    let mut is_resting = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                is_resting = false;
                let Some(slot) = connections.admit(peer.ip()).await else {
                    log_refusal(peer.ip());
                    continue;
                };
                let surface = surface.with_peer(peer, Arc::clone(&slot.activity));
                tokio::spawn(serve_connection(stream, surface, options.clone(), slot, phase.clone()));
            }
            // The client's doing, and over with it.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !is_resting {
                    tracing::warn!(%error, "connections can't be accepted at the moment; trying again");
                }
                is_resting = true;
                // Where files are short, an idle connection is one that can be spared.
                connections.close_one();
                tokio::time::sleep(REST_AFTER_FAILURE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn log_refusal(address: std::net::IpAddr) {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    static REFUSED: Seldom = Seldom::new();
    if let Some(suppressed) = REFUSED.turn(START.elapsed()) {
        tracing::warn!(%address, suppressed, "connection refused: the address has too many requests running");
    }
}

async fn serve_connection(
    stream: TcpStream,
    surface: Surface,
    options: ApiOptions,
    slot: Slot,
    mut phase: watch::Receiver<Phase>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let timeouts = Timeouts {
        first_byte: options.first_byte_timeout,
        header: options.header_timeout,
        keep_alive: options.keep_alive,
    };
    let activity = Arc::clone(&slot.activity);
    let io = TokioIo::new(WriteTimeout::new(stream, options.write_timeout, Arc::clone(&activity)));
    // Times are the activity's: hyper has one for idleness and the head together.
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(MAX_READ_BUFFER_BYTES)
        .serve_connection(io, surface);
    tokio::pin!(served);
    let expired = activity.expires(timeouts);
    tokio::pin!(expired);
    loop {
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = expired.as_mut() => break,
            changed = phase.changed() => {
                let phase = if changed.is_ok() { *phase.borrow_and_update() } else { Phase::Leaving };
                match phase {
                    Phase::Serving => {}
                    Phase::Finishing => served.as_mut().graceful_shutdown(),
                    Phase::Leaving => break,
                }
                continue;
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
        break;
    }
    drop(slot);
}
