//! Connections that wait for their next request. Bounded in number, age and idle time, and shared fairly between
//! tenants; it opens none itself.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Tenant;
use crate::framing::Framing;
use crate::http_connection::HttpConnection;
use crate::limits::{MAX_IDLE_PER_ORIGIN, MAX_POOLED_ORIGINS, POOL_SWEEP_EVERY, REUSE_SUSPENSION};

/// The unused connections of a sender, by origin.
pub(crate) struct Pool {
    /// How many it holds at most in all.
    max_idle: usize,
    /// Held for a lookup and a push or pop, never across an await and never while a socket is closed.
    idle: Mutex<IdleConnections>,
}

/// A connection is used by whichever tenant sends to its origin next; it counts for the tenant that used it last.
#[derive(Default)]
struct IdleConnections {
    by_origin: HashMap<Arc<str>, Origin>,
    /// Each tenant's connections, that which has been idle longest first.
    by_tenant: HashMap<Tenant, BTreeMap<IdleNo, Arc<str>>>,
    /// How many connections there are in all.
    count: usize,
    last_no: IdleNo,
    /// Whether a task closes connections that waited too long; there is none while the pool is empty.
    has_sweeper: bool,
}

/// Counts up as connections become idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct IdleNo(u64);

/// A scheme, host and port: the URL up to its path.
#[derive(Default)]
struct Origin {
    /// The last used connection is last.
    idle: Vec<Idle>,
    /// Until when its connections are not kept, because a request failed on a reused one.
    suspended_until: Option<Instant>,
}

struct Idle {
    no: IdleNo,
    tenant: Tenant,
    connection: Box<HttpConnection>,
    expires_at: Instant,
}

impl Pool {
    pub(crate) fn new(max_idle: usize) -> Arc<Self> {
        Arc::new(Self { max_idle, idle: Mutex::default() })
    }

    /// A connection to `origin` that is alive as far as can be told; the one used last, since it is the likeliest
    /// to be.
    pub(crate) fn take(&self, origin: &str) -> Option<Box<HttpConnection>> {
        loop {
            let mut idle = self.idle().pop(origin)?;
            let now = Instant::now();
            if now < idle.expires_at && idle.connection.is_alive(now) {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose last response was read to its end, where it can be used again. At a bound, the connection
    /// that has been idle longest of the tenant that has most is closed for it.
    pub(crate) fn put(
        self: &Arc<Self>,
        origin: &str,
        tenant: Tenant,
        framing: &Framing,
        mut connection: Box<HttpConnection>,
    ) {
        let now = Instant::now();
        let Some(idle_for) = connection.reusable_for(framing, now) else { return };
        let (evicted, starts_sweeper) = {
            let mut idle = self.idle();
            let evicted = idle.put(origin, tenant, connection, (now, idle_for), self.max_idle);
            let starts_sweeper = idle.count > 0 && !mem::replace(&mut idle.has_sweeper, true);
            (evicted, starts_sweeper)
        };
        drop(evicted);
        if starts_sweeper {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// A request failed on a reused connection to `origin`: closes the others that wait for it, which are of the same kind.
    /// Where the receiver `misused` the connection (reset it, closed it, or left bytes of another response on it), none is
    /// kept for [`REUSE_SUSPENSION`], so that one response's fault is not charged to other events.
    pub(crate) fn distrust(&self, origin: &str, misused: bool) {
        let suspended_until = misused.then(|| Instant::now() + REUSE_SUSPENSION);
        let closed = self.idle().clear(origin, suspended_until);
        drop(closed);
    }

    /// Takes out what has waited too long. `None` when nothing is left and the sweeper ends.
    fn remove_expired(&self, now: Instant) -> Option<Vec<Idle>> {
        let mut idle = self.idle();
        let expired = idle.remove_expired(now);
        if idle.count == 0 && expired.is_empty() {
            idle.has_sweeper = false;
            return None;
        }
        Some(expired)
    }

    fn idle(&self) -> MutexGuard<'_, IdleConnections> {
        // Nothing panics while it is held, and were it so, the counts would at worst be stale.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleConnections {
    fn pop(&mut self, origin: &str) -> Option<Idle> {
        let idle = self.by_origin.get_mut(origin)?.idle.pop()?;
        self.uncount(idle.tenant, idle.no);
        Some(idle)
    }

    /// Returns what is closed for the newcomer, or the newcomer.
    fn put(
        &mut self,
        origin: &str,
        tenant: Tenant,
        connection: Box<HttpConnection>,
        (now, idle_for): (Instant, Duration),
        max_idle: usize,
    ) -> Option<Box<HttpConnection>> {
        if max_idle == 0 {
            return Some(connection);
        }
        let known = self.by_origin.get_key_value(origin);
        let (name, is_full) = match known {
            Some((_, of_origin)) if of_origin.suspended_until.is_some_and(|until| now < until) => {
                return Some(connection);
            }
            Some((name, of_origin)) => (name.clone(), of_origin.idle.len() >= MAX_IDLE_PER_ORIGIN),
            None => (Arc::from(origin), false),
        };
        let evicted = if is_full {
            self.evict_oldest_of(&name)
        } else if self.count >= max_idle {
            self.evict_of_largest_tenant()
        } else {
            None
        };
        if self.by_origin.len() >= MAX_POOLED_ORIGINS && !self.by_origin.contains_key(&name) {
            // There are fewer connections than that, so some of the origins have none.
            self.by_origin.retain(|_, of_origin| !of_origin.idle.is_empty());
        }
        self.last_no.0 += 1;
        let no = self.last_no;
        self.by_tenant.entry(tenant).or_default().insert(no, name.clone());
        self.count += 1;
        let idle = Idle { no, tenant, connection, expires_at: now + idle_for };
        self.by_origin.entry(name).or_default().idle.push(idle);
        evicted
    }

    fn evict_oldest_of(&mut self, origin: &str) -> Option<Box<HttpConnection>> {
        let of_origin = self.by_origin.get_mut(origin)?;
        if of_origin.idle.is_empty() {
            return None;
        }
        let idle = of_origin.idle.remove(0);
        self.uncount(idle.tenant, idle.no);
        Some(idle.connection)
    }

    fn evict_of_largest_tenant(&mut self) -> Option<Box<HttpConnection>> {
        let (_, largest) = self.by_tenant.iter().max_by_key(|(_, connections)| connections.len())?;
        let (no, origin) = largest.first_key_value()?;
        let (no, origin) = (*no, origin.clone());
        let of_origin = &mut self.by_origin.get_mut(&origin)?.idle;
        let at = of_origin.iter().position(|idle| idle.no == no)?;
        let idle = of_origin.remove(at);
        self.uncount(idle.tenant, no);
        Some(idle.connection)
    }

    fn clear(&mut self, origin: &str, suspended_until: Option<Instant>) -> Vec<Idle> {
        let Some(of_origin) = self.by_origin.get_mut(origin) else { return Vec::new() };
        of_origin.suspended_until = suspended_until.or(of_origin.suspended_until);
        let closed = mem::take(&mut of_origin.idle);
        for idle in &closed {
            self.uncount(idle.tenant, idle.no);
        }
        closed
    }

    fn remove_expired(&mut self, now: Instant) -> Vec<Idle> {
        let mut expired = Vec::new();
        self.by_origin.retain(|_, of_origin| {
            expired.extend(of_origin.idle.extract_if(.., |idle| idle.expires_at <= now));
            of_origin.suspended_until = of_origin.suspended_until.filter(|until| now < *until);
            !of_origin.idle.is_empty() || of_origin.suspended_until.is_some()
        });
        for idle in &expired {
            self.uncount(idle.tenant, idle.no);
        }
        expired
    }

    /// A connection has left the pool.
    fn uncount(&mut self, tenant: Tenant, no: IdleNo) {
        self.count = self.count.saturating_sub(1);
        if let Some(connections) = self.by_tenant.get_mut(&tenant) {
            connections.remove(&no);
            if connections.is_empty() {
                self.by_tenant.remove(&tenant);
            }
        }
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
