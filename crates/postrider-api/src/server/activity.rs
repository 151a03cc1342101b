//! What a connection is doing and since when: the basis of its timeouts, and of the choice of one to close when there are
//! too many. Shared by the connection's task, its stream, its requests' bodies and the table of all connections.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long each state may last that waits for the client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the connection's start to the first byte.
    pub(super) first_byte: Duration,
    /// From the first byte of a request's head to its last.
    pub(super) header: Duration,
    /// From one response to the next request's first byte.
    pub(super) keep_alive: Duration,
}

impl Timeouts {
    /// After how long a connection is looked at again that has no deadline now. None that it gets in the meantime is earlier.
    fn shortest(self) -> Duration {
        self.first_byte.min(self.header).min(self.keep_alive)
    }
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Nothing has arrived yet.
    AwaitsFirstByte = 0,
    /// The last response is done, and nothing has arrived since.
    Idle = 1,
    /// The head of a request is arriving.
    ReceivesHead = 2,
    /// A request is being served.
    Serves = 3,
}

/// The state of a connection that was chosen to be closed.
const CLOSING: u64 = u64::MAX;
const DOING_BITS: u32 = 2;

/// A state with its time, as the table compares it. The earlier, the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State(u64);

impl State {
    fn new(doing: Doing, at_ms: u64) -> Self {
        Self(at_ms << DOING_BITS | doing as u64)
    }

    fn doing(self) -> Option<Doing> {
        const MASK: u64 = (1 << DOING_BITS) - 1;
        Some(match self.0 {
            CLOSING => return None,
            state => match state & MASK {
                0 => Doing::AwaitsFirstByte,
                1 => Doing::Idle,
                2 => Doing::ReceivesHead,
                _ => Doing::Serves,
            },
        })
    }

    fn at_ms(self) -> u64 {
        self.0 >> DOING_BITS
    }
}

/// What one connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    /// When the server began; times are counted from there.
    epoch: Instant,
    state: AtomicU64,
    /// A request's body is waited for.
    waits_for_body: AtomicBool,
    /// The client does not take the response.
    waits_to_write: AtomicBool,
    /// The last key accepted on this connection, hashed with the minute; see [`Activity::is_new_key`].
    last_key: AtomicU64,
    close: Notify,
}

impl Activity {
    pub(super) fn new(epoch: Instant) -> Self {
        let activity = Self {
            epoch,
            state: AtomicU64::new(0),
            waits_for_body: AtomicBool::new(false),
            waits_to_write: AtomicBool::new(false),
            last_key: AtomicU64::new(0),
            close: Notify::new(),
        };
        let begun = State::new(Doing::AwaitsFirstByte, activity.now_ms());
        activity.state.store(begun.0, Ordering::Relaxed);
        activity
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX >> DOING_BITS)
    }

    pub(super) fn state(&self) -> State {
        State(self.state.load(Ordering::Acquire))
    }

    /// Enters a state, unless the connection was chosen to be closed: then it returns false.
    fn enter(&self, doing: Doing) -> bool {
        let state = State::new(doing, self.now_ms()).0;
        let entered = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now != CLOSING).then_some(state));
        entered.is_ok()
    }

    /// Bytes have arrived.
    pub(super) fn received(&self) {
        if matches!(self.state().doing(), Some(Doing::AwaitsFirstByte | Doing::Idle)) {
            self.enter(Doing::ReceivesHead);
        }
    }

    /// A request begins to be served; false if the connection is being closed.
    pub(crate) fn begin_request(&self) -> bool {
        self.waits_for_body.store(false, Ordering::Relaxed);
        self.enter(Doing::Serves)
    }

    /// The response is done.
    pub(super) fn end_request(&self) {
        self.enter(Doing::Idle);
    }

    pub(crate) fn set_waits_for_body(&self, waits: bool) {
        self.waits_for_body.store(waits, Ordering::Relaxed);
    }

    pub(super) fn set_waits_to_write(&self, waits: bool) {
        self.waits_to_write.store(waits, Ordering::Relaxed);
    }

    /// Since when a connection has no request; `None` if it has one.
    pub(super) fn idle_since(state: State) -> Option<u64> {
        match state.doing()? {
            Doing::Serves => None,
            Doing::AwaitsFirstByte | Doing::Idle | Doing::ReceivesHead => Some(state.at_ms()),
        }
    }

    /// Since when a connection has a request that waits for its client, if that is longer than `least`: for the rest of a
    /// body, or to get rid of the response.
    pub(super) fn stalled_since(&self, state: State, least: Duration) -> Option<u64> {
        let waits =
            self.waits_for_body.load(Ordering::Relaxed) || self.waits_to_write.load(Ordering::Relaxed);
        let lasts = Duration::from_millis(self.now_ms().saturating_sub(state.at_ms()));
        (state.doing()? == Doing::Serves && waits && lasts >= least).then_some(state.at_ms())
    }

    /// Has the connection closed, unless its state has changed.
    pub(super) fn close(&self, state: State) -> bool {
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let is_closing = self.state.compare_exchange(state.0, CLOSING, order.0, order.1).is_ok();
        if is_closing {
            self.close.notify_one();
        }
        is_closing
    }

    #[cfg(test)]
    pub(super) fn is_closing(&self) -> bool {
        self.state().doing().is_none()
    }

    /// Waits until the connection is to be closed: it was chosen for that, or waits longer than it may.
    pub(super) async fn expires(&self, timeouts: Timeouts) {
        let expired = async {
            while let Some(at) = self.next_look(timeouts) {
                tokio::time::sleep_until(at).await;
            }
        };
        tokio::select! {
            () = self.close.notified() => {}
            () = expired => {}
        }
    }

    /// When the connection is looked at next; `None` if it has waited too long.
    fn next_look(&self, timeouts: Timeouts) -> Option<Instant> {
        let state = self.state();
        let within = match state.doing()? {
            Doing::AwaitsFirstByte => timeouts.first_byte,
            Doing::Idle => timeouts.keep_alive,
            Doing::ReceivesHead => timeouts.header,
            Doing::Serves => return Some(Instant::now() + timeouts.shortest()),
        };
        let deadline = self.epoch + Duration::from_millis(state.at_ms()) + within;
        (Instant::now() < deadline).then_some(deadline.min(Instant::now() + timeouts.shortest()))
    }

    /// Whether a key, hashed together with its client's address, was not the last one that this connection noted this minute.
    pub(crate) fn is_new_key(&self, hash: u64) -> bool {
        let noted = hash ^ (self.now_ms() / 60_000);
        self.last_key.swap(noted, Ordering::Relaxed) != noted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        first_byte: Duration::from_secs(10),
        header: Duration::from_secs(60),
        keep_alive: Duration::from_secs(75),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_own_time() {
        let began = Instant::now();
        let fresh = Activity::new(began);
        fresh.expires(TIMEOUTS).await;
        assert_eq!(began.elapsed(), seconds(10), "no first byte");

        let began = Instant::now();
        let head = Activity::new(began);
        tokio::time::advance(seconds(9)).await;
        head.received();
        tokio::time::advance(seconds(20)).await;
        head.received();
        head.expires(TIMEOUTS).await;
        assert_eq!(began.elapsed(), seconds(69), "a head that never ends");

        let began = Instant::now();
        let idle = Activity::new(began);
        assert!(idle.begin_request());
        tokio::time::advance(seconds(100)).await;
        idle.end_request();
        idle.expires(TIMEOUTS).await;
        assert_eq!(began.elapsed(), seconds(175), "kept alive, and no next request");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_no_deadline_here() {
        let serving = Activity::new(Instant::now());
        serving.begin_request();
        assert!(tokio::time::timeout(seconds(3_600), serving.expires(TIMEOUTS)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_being_closed_begins_no_request() {
        let activity = Activity::new(Instant::now());
        let state = activity.state();
        activity.received();
        assert!(!activity.close(state), "it has begun to send since it was looked at");
        assert!(activity.close(activity.state()));
        assert!(!activity.begin_request());
        activity.end_request();
        assert_eq!(Activity::idle_since(activity.state()), None, "it stays so");
        tokio::time::timeout(seconds(1), activity.expires(TIMEOUTS)).await.unwrap();
    }
}
