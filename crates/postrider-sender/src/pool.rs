//! Connections that wait for their next request. Bounded in number, age and idle time; it opens none itself.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::{Instant, sleep};

use crate::limits::{MAX_CONNECTION_IDLE, MAX_IDLE_PER_ORIGIN, MAX_POOLED_ORIGINS, POOL_SWEEP_EVERY};
use crate::link::Link;

/// The unused connections of a sender, by origin.
pub(crate) struct Pool {
    /// How many it holds at most in all.
    max_idle: usize,
    /// Held for a look-up and a push or pop, never across an await and never while a socket is closed.
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    /// The key is the URL up to its path: scheme, host and port. The last used connection is last.
    by_origin: HashMap<Box<str>, Vec<Idle>>,
    /// How many connections there are in all.
    idle: usize,
    /// Whether a task looks for connections that waited too long; there is none while the pool is empty.
    swept: bool,
}

struct Idle {
    link: Box<Link>,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(max_idle: usize) -> Arc<Self> {
        Arc::new(Self { max_idle, shelves: Mutex::default() })
    }

    /// A connection to `origin` that is alive as far as can be told; the one used last, since it is the likeliest
    /// to be.
    pub(crate) fn take(&self, origin: &str) -> Option<Box<Link>> {
        loop {
            let mut waiting = self.pop(origin)?;
            let now = Instant::now();
            let fresh = now.duration_since(waiting.since) < MAX_CONNECTION_IDLE;
            if fresh && waiting.link.is_still_alive(now) {
                return Some(waiting.link);
            }
        }
    }

    fn pop(&self, origin: &str) -> Option<Idle> {
        let mut shelves = self.shelves();
        let waiting = shelves.by_origin.get_mut(origin)?.pop()?;
        shelves.idle -= 1;
        Some(waiting)
    }

    /// Keeps a connection whose last answer was read to its end. Where it can't be used again, or there are
    /// enough, it is closed.
    pub(crate) fn put(self: &Arc<Self>, origin: &str, mut link: Box<Link>) {
        let now = Instant::now();
        if !link.is_reusable(now) {
            return;
        }
        let (refused, starts_sweeping) = {
            let mut shelves = self.shelves();
            let refused = shelves.put(origin, Idle { link, since: now }, self.max_idle);
            let starts_sweeping = shelves.idle > 0 && !mem::replace(&mut shelves.swept, true);
            (refused, starts_sweeping)
        };
        drop(refused);
        if starts_sweeping {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Takes out what has waited too long. None when nothing is left and the sweeping ends.
    fn remove_expired(&self, now: Instant) -> Option<Vec<Idle>> {
        let mut shelves = self.shelves();
        let mut expired = Vec::new();
        shelves.by_origin.retain(|_, shelf| {
            let kept = shelf.partition_point(|idle| now.duration_since(idle.since) >= MAX_CONNECTION_IDLE);
            expired.extend(shelf.drain(..kept));
            !shelf.is_empty()
        });
        shelves.idle -= expired.len();
        if shelves.idle == 0 && expired.is_empty() {
            shelves.swept = false;
            return None;
        }
        Some(expired)
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        // Nothing panics while it is held, and were it so, the counts would at worst be stale.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    /// Gives back what there is no room for.
    fn put(&mut self, origin: &str, idle: Idle, max_idle: usize) -> Option<Idle> {
        if self.idle >= max_idle {
            return Some(idle);
        }
        let origins = self.by_origin.len();
        match self.by_origin.get_mut(origin) {
            Some(shelf) if shelf.len() >= MAX_IDLE_PER_ORIGIN => return Some(idle),
            Some(shelf) => shelf.push(idle),
            None if origins >= MAX_POOLED_ORIGINS => return Some(idle),
            None => {
                self.by_origin.insert(origin.into(), vec![idle]);
            }
        }
        self.idle += 1;
        None
    }
}

/// Closes connections that have waited too long, until there are none left or the sender is gone.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(POOL_SWEEP_EVERY).await;
        let Some(expired) = pool.upgrade().and_then(|pool| pool.remove_expired(Instant::now())) else {
            return;
        };
        drop(expired);
    }
}
