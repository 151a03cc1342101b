//! One direction of a connection: reads, holds back as the faults demand, writes.

use std::collections::VecDeque;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Faults, Way};

/// Most bytes that are read at once.
const MAX_CHUNK_BYTES: usize = 64 << 10;
/// Most chunks that wait for their time. Beyond it nothing is read, and the sender's own buffers fill, as with a
/// network that is slow.
const MAX_WAITING: usize = 256;

/// One direction.
pub(super) struct Pump {
    pub(super) way: Way,
    pub(super) at_begin: Faults,
    pub(super) faults: watch::Receiver<Faults>,
}

impl Pump {
    /// Carries bytes until their source ends or fails, or this direction is closed; then passes the end on.
    pub(super) async fn run(mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let way = self.way as usize;
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut has_source_ended = false;
        let mut buffer = vec![0; MAX_CHUNK_BYTES];
        loop {
            let now = *self.faults.borrow_and_update();
            let is_closed = now.half_closes[way] > self.at_begin.half_closes[way];
            let is_frozen = now.is_frozen[way];
            if is_closed || (has_source_ended && waiting.is_empty() && !is_frozen) {
                // A receiver that is gone already needs no end.
                drop(to.shutdown().await);
                return;
            }
            let due = waiting.front().filter(|_| !is_frozen).map(|(due, _)| *due);
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let may_read = !has_source_ended && waiting.len() < MAX_WAITING;
            tokio::select! {
                biased;
                changed = self.faults.changed() => if changed.is_err() { return },
                () = wait => {
                    let chunk = waiting.pop_front().map(|(_, chunk)| chunk).unwrap_or_default();
                    if to.write_all(&chunk).await.is_err() {
                        return;
                    }
                }
                read = from.read(&mut buffer), if may_read => match read {
                    Ok(0) | Err(_) => has_source_ended = true,
                    Ok(length) => waiting.push_back((Instant::now() + now.delay, buffer[..length].to_vec())),
                },
            }
        }
    }
}
