//! The open connections: a bounded number, and of each client address only a part of it. At a bound the connection that has
//! been idle for the longest is closed, so that a newcomer is served however many others just sit there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postrider_core::client_address::client_network;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::activity::{Activity, State};

/// One client address has at most one part in so many, and as many in any case.
const PARTS_PER_ADDRESS: usize = 4;
const LEAST_PER_ADDRESS: usize = 16;
/// How long a request must have waited for its client before its connection may be closed for a newcomer, if none is idle.
const LEAST_STALL: Duration = Duration::from_secs(1);
/// How many connections to close are chosen at once, so that a flood of newcomers does not look through all for each.
const CANDIDATES: usize = 64;
/// How often a newcomer that finds no place looks again for a stalled connection.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    epoch: Instant,
    max: usize,
    /// `None` behind a proxy, from which all connections come.
    max_per_address: Option<usize>,
    table: Mutex<Table>,
    /// A connection was closed.
    closed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    count: usize,
    next: u64,
    by_address: HashMap<IpAddr, HashMap<u64, Arc<Activity>>>,
    /// The longest idle ones when they were last looked for, the longest idle of them last.
    candidates: Vec<Found>,
}

/// A connection that may be closed, as it was found.
#[derive(Debug)]
struct Found {
    state: State,
    address: IpAddr,
    number: u64,
    activity: Arc<Activity>,
}

/// One open connection. Its place is free when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    connections: Arc<Connections>,
    address: IpAddr,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

/// How many of so many connections one client address may have.
pub(super) fn share_of_address(max: usize) -> usize {
    max.div_ceil(PARTS_PER_ADDRESS).max(LEAST_PER_ADDRESS)
}

impl Connections {
    pub(super) fn new(max: usize, max_per_address: Option<usize>) -> Self {
        let max = max.max(1);
        Self { epoch: Instant::now(), max, max_per_address, table: Mutex::default(), closed: Notify::new() }
    }

    /// Makes a place for a connection from this address, once there is one. `None` if the address has as many as it may have
    /// and all of them are being served: then this one is refused.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let address = client_network(address);
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            {
                let mut table = self.table();
                let of_address = table.by_address.get(&address).map_or(0, HashMap::len);
                if self.max_per_address.is_some_and(|max| of_address >= max) && !table.close_one_of(address) {
                    return None;
                }
                if table.count < self.max || table.close_one() {
                    return Some(self.insert(&mut table, address));
                }
            }
            // Everything is in use by requests that are being served, each of which takes a bounded time.
            drop(tokio::time::timeout(LOOK_AGAIN, closed).await);
        }
    }

    /// Closes the connection that can best be spared; false if there is none.
    pub(super) fn close_one(&self) -> bool {
        self.table().close_one()
    }

    /// Waits until every connection is closed.
    pub(super) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if self.table().count == 0 {
                return;
            }
            closed.await;
        }
    }

    fn insert(self: &Arc<Self>, table: &mut Table, address: IpAddr) -> Slot {
        let activity = Arc::new(Activity::new(self.epoch));
        table.next += 1;
        let number = table.next;
        table.by_address.entry(address).or_default().insert(number, Arc::clone(&activity));
        table.count += 1;
        Slot { connections: Arc::clone(self), address, number, activity }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.table().remove(self.address, self.number);
        self.connections.closed.notify_waiters();
    }
}

impl Table {
    /// One that was closed for a newcomer is not there any more.
    fn remove(&mut self, address: IpAddr, number: u64) {
        let Some(of_address) = self.by_address.get_mut(&address) else { return };
        if of_address.remove(&number).is_some() {
            self.count -= 1;
        }
        if of_address.is_empty() {
            self.by_address.remove(&address);
        }
    }

    /// Closes the longest idle connection, or else the one whose request has waited for its client for the longest.
    fn close_one(&mut self) -> bool {
        loop {
            let Some(found) = self.candidates.pop() else {
                self.candidates = self.longest_idle();
                if self.candidates.is_empty() {
                    return self.close_stalled();
                }
                continue;
            };
            if found.activity.close(found.state) {
                self.remove(found.address, found.number);
                return true;
            }
        }
    }

    fn longest_idle(&self) -> Vec<Found> {
        let mut idle: Vec<Found> = self
            .by_address
            .iter()
            .flat_map(|(address, connections)| found_of(*address, connections))
            .filter(|found| Activity::idle_since(found.state).is_some())
            .collect();
        if idle.len() > CANDIDATES {
            idle.select_nth_unstable_by_key(CANDIDATES, |found| found.state);
            idle.truncate(CANDIDATES);
        }
        idle.sort_unstable_by_key(|found| std::cmp::Reverse(found.state));
        idle
    }

    fn close_stalled(&mut self) -> bool {
        let all = self.by_address.iter().flat_map(|(address, connections)| found_of(*address, connections));
        let stalled = all.filter_map(|found| {
            found.activity.stalled_since(found.state, LEAST_STALL).map(|since| (since, found))
        });
        let Some((_, found)) = stalled.min_by_key(|(since, _)| *since) else { return false };
        self.close_found(&found)
    }

    /// The same among the connections of one address.
    fn close_one_of(&mut self, address: IpAddr) -> bool {
        let Some(connections) = self.by_address.get(&address) else { return false };
        let spared = |found: Found| match Activity::idle_since(found.state) {
            Some(since) => Some(((false, since), found)),
            None => {
                let since = found.activity.stalled_since(found.state, LEAST_STALL)?;
                Some(((true, since), found))
            }
        };
        let best = found_of(address, connections).filter_map(spared).min_by_key(|(order, _)| *order);
        best.is_some_and(|(_, found)| self.close_found(&found))
    }

    fn close_found(&mut self, found: &Found) -> bool {
        let is_closed = found.activity.close(found.state);
        if is_closed {
            self.remove(found.address, found.number);
        }
        is_closed
    }
}

fn found_of(address: IpAddr, connections: &HashMap<u64, Arc<Activity>>) -> impl Iterator<Item = Found> {
    connections.iter().map(move |(number, activity)| Found {
        state: activity.state(),
        address,
        number: *number,
        activity: Arc::clone(activity),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    /// Whether a connection has been chosen to be closed.
    fn is_closing(slot: &Slot) -> bool {
        slot.activity.is_closing()
    }

    async fn admit(connections: &Arc<Connections>, of: u8) -> Option<Slot> {
        let slot = connections.admit(address(of)).await;
        tokio::time::advance(Duration::from_millis(10)).await;
        slot
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_bound_the_longest_idle_connection_makes_room() {
        let connections = Arc::new(Connections::new(4, None));
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(admit(&connections, 1).await.unwrap());
        }
        // The first is being served, the second has just been; the third is idle for the longest.
        open[0].activity.begin_request();
        open[1].activity.begin_request();
        open[1].activity.end_request();
        let newcomer = admit(&connections, 2).await.unwrap();
        assert!(is_closing(&open[2]));
        let served = admit(&connections, 2).await.unwrap();
        assert!(is_closing(&open[3]));
        served.activity.begin_request();
        newcomer.activity.begin_request();
        assert!(!is_closing(&open[0]), "a request that is served is not broken off");
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_while_all_are_served_and_takes_the_place_of_one_that_stalls() {
        let connections = Arc::new(Connections::new(1, None));
        let first = admit(&connections, 1).await.unwrap();
        first.activity.begin_request();
        let waits = tokio::time::timeout(Duration::from_secs(60), connections.admit(address(2))).await;
        assert!(waits.is_err(), "the service is the one that takes its time");
        first.activity.set_waits_for_body(true);
        let second = connections.admit(address(2)).await.unwrap();
        assert!(is_closing(&first));
        second.activity.begin_request();
        let (third, ()) = tokio::join!(connections.admit(address(3)), async { drop(second) });
        assert!(third.is_some(), "a closed connection makes room at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_has_only_just_begun_is_not_broken_off() {
        let connections = Arc::new(Connections::new(1, None));
        let first = admit(&connections, 1).await.unwrap();
        first.activity.begin_request();
        first.activity.set_waits_for_body(true);
        let began = Instant::now();
        connections.admit(address(2)).await.unwrap();
        assert!(began.elapsed() >= LEAST_STALL - Duration::from_millis(20), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_has_a_part_and_loses_its_own_longest_idle_one() {
        let connections = Arc::new(Connections::new(8, Some(2)));
        let other = admit(&connections, 9).await.unwrap();
        let one = admit(&connections, 1).await.unwrap();
        let two = admit(&connections, 1).await.unwrap();
        let three = admit(&connections, 1).await.unwrap();
        assert!(is_closing(&one));
        three.activity.begin_request();
        two.activity.begin_request();
        assert!(admit(&connections, 1).await.is_none(), "both are being served");
        assert!(admit(&connections, 2).await.is_some());
        assert!(!is_closing(&other), "another address loses nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_address_and_nothing_stays_behind() {
        let connections = Arc::new(Connections::new(8, Some(2)));
        let mut open = Vec::new();
        for host in 1..=3u16 {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
            open.push(connections.admit(address).await.unwrap());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!(is_closing(&open[0]));
        drop(open);
        connections.all_closed().await;
        assert!(connections.table().by_address.is_empty());
    }
}
