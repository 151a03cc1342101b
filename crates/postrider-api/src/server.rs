//! Serves the routes: accepts connections within a bound, speaks HTTP/1.1, waits for nothing for ever, and leaves
//! in an orderly way.

mod patient;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use postrider_engine::Engine;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::ApiOptions;
use crate::surface::Surface;
use patient::Patient;

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
    let bound = u32::try_from(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let slots = Arc::new(Semaphore::new(bound as usize));
    let (phase, watched) = watch::channel(Phase::Serving);
    let surface = Surface::new(engine, &options, watched.clone());
    tokio::select! {
        () = accept(&listener, &surface, &options, &slots, &watched) => {}
        () = shutdown => {}
    }
    // From here on the operating system refuses connections itself.
    drop(listener);
    phase.send_replace(Phase::Finishing);
    let all_closed = slots.acquire_many(bound);
    if tokio::time::timeout(options.grace, all_closed).await.is_err() {
        tracing::warn!("requests were still running after the grace time; their connections are closed");
    }
    phase.send_replace(Phase::Leaving);
    Ok(())
}

/// Accepts connections for ever.
async fn accept(
    listener: &TcpListener,
    surface: &Surface,
    options: &ApiOptions,
    slots: &Arc<Semaphore>,
    phase: &watch::Receiver<Phase>,
) {
    let mut is_resting = false;
    loop {
        // The slot first: a connection that is accepted is served.
        let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => {
                is_resting = false;
                let served =
                    serve_connection(stream, surface.facing(peer), options.clone(), slot, phase.clone());
                tokio::spawn(served);
            }
            // The client's doing, and over with it.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !is_resting {
                    tracing::warn!(%error, "connections can't be accepted at the moment; trying again");
                }
                is_resting = true;
                tokio::time::sleep(REST_AFTER_FAILURE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn serve_connection(
    stream: TcpStream,
    surface: Surface,
    options: ApiOptions,
    slot: OwnedSemaphorePermit,
    mut phase: watch::Receiver<Phase>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    let io = TokioIo::new(Patient::new(stream, options.write_timeout));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(MAX_READ_BUFFER_BYTES)
        .serve_connection(io, surface);
    tokio::pin!(served);
    loop {
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
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
