//! Near retries, waiting in memory for their time. Far ones wait in the store alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use postrider_core::delivery::{DeliverySeq, Progress};
use postrider_core::endpoint::{EndpointNo, State};
use postrider_core::time::Timestamp;

use super::lane::{Item, Spilled};
use super::{Lanes, keep_payload};

/// Due retries queued under one hold of the lanes' lock.
const FIRED_AT_ONCE: usize = 1_000;

/// A due retry that memory has no room for: it must be made ready in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WithoutRoom {
    pub(crate) endpoint_no: EndpointNo,
    pub(crate) seq: DeliverySeq,
    pub(crate) progress: Progress,
}

/// Retries by the time they are due.
#[derive(Debug, Default)]
pub(super) struct Retries {
    by_time: BTreeMap<(Timestamp, DeliverySeq), (EndpointNo, Item)>,
    by_lane: HashMap<EndpointNo, BTreeSet<(Timestamp, DeliverySeq)>>,
}

impl Retries {
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }

    pub(super) fn insert(&mut self, due: Timestamp, no: EndpointNo, item: Item) {
        let key = (due, item.seq);
        self.by_lane.entry(no).or_default().insert(key);
        self.by_time.insert(key, (no, item));
    }

    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.by_time.first_key_value().map(|((due, _), _)| *due)
    }

    /// The first retry that is due at `now`.
    fn pop_due(&mut self, now: Timestamp) -> Option<(EndpointNo, Item)> {
        let entry = self.by_time.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let (key, (no, item)) = entry.remove_entry();
        if let Some(keys) = self.by_lane.get_mut(&no) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_lane.remove(&no);
            }
        }
        Some((no, item))
    }

    /// All of them are due earlier by so much.
    pub(super) fn move_earlier(&mut self, by: Duration) {
        self.by_lane.clear();
        for ((due, _), (no, item)) in std::mem::take(&mut self.by_time) {
            self.insert(due.minus(by), no, item);
        }
    }

    /// Takes out one delivery.
    pub(super) fn remove(&mut self, no: EndpointNo, seq: DeliverySeq) -> Option<Item> {
        let keys = self.by_lane.get_mut(&no)?;
        let key = keys.iter().find(|(_, waits)| *waits == seq).copied()?;
        keys.remove(&key);
        if keys.is_empty() {
            self.by_lane.remove(&no);
        }
        self.by_time.remove(&key).map(|(_, item)| item)
    }

    /// Takes out all of one lane's.
    pub(super) fn remove_lane(&mut self, no: EndpointNo) -> Vec<Item> {
        let keys = self.by_lane.remove(&no).unwrap_or_default();
        keys.iter().filter_map(|key| self.by_time.remove(key)).map(|(_, item)| item).collect()
    }
}

impl Lanes {
    /// Queues retries that are due, up to [`FIRED_AT_ONCE`]; the rest is still due. Gives those that have no room and
    /// must be made ready in the store.
    pub(super) fn fire_retries(&mut self, now: Timestamp) -> Vec<WithoutRoom> {
        let mut without_room = Vec::new();
        for _ in 0..FIRED_AT_ONCE {
            let Some((no, item)) = self.retries.pop_due(now) else { break };
            self.queue_due(no, item, now, &mut without_room);
        }
        without_room
    }

    /// Queues one due retry, already counted as loaded.
    fn queue_due(&mut self, no: EndpointNo, item: Item, now: Timestamp, without_room: &mut Vec<WithoutRoom>) {
        let room = self.room();
        let Some(lane) = self.lanes.get_mut(&no) else { return };
        if lane.state == State::Enabled && lane.queue.len() < room {
            if lane.endpoint.settings.ordered {
                lane.insert_sorted(item);
            } else {
                lane.queue.push_back(item);
            }
            self.settle(no, now);
            return;
        }
        self.loaded = self.loaded.saturating_sub(usize::from(lane.known.drop_from_memory(item.seq)));
        // It waits for a time there, and is made ready.
        lane.in_store += 1;
        self.forget_payload(&item);
        without_room.push(WithoutRoom { endpoint_no: no, seq: item.seq, progress: item.progress });
    }

    /// A read of due retries begins; [`Self::load_retries`] takes in what it brings.
    pub(crate) fn begin_due(&mut self) {
        self.let_go_during_due = Some(HashSet::new());
        self.is_due_void = false;
    }

    /// The read failed; there is nothing to take in.
    pub(crate) fn end_due(&mut self) {
        self.let_go_during_due = None;
    }

    /// Due retries without room are ready in the store now: their lanes find them by a refill.
    pub(crate) fn made_ready(&mut self, made_ready: &[WithoutRoom]) {
        for WithoutRoom { endpoint_no, .. } in made_ready {
            if let Some(lane) = self.lanes.get_mut(endpoint_no) {
                lane.spilled = Spilled::Yes;
            }
            self.want_refill(*endpoint_no);
        }
    }

    /// Takes retries that the store says are due soon. Those due later than `now` wait in memory while there is
    /// room (the rest is found again by the next read). Gives those that must be made ready in the store.
    pub(crate) fn load_retries(&mut self, rows: Vec<(EndpointNo, Item)>, now: Timestamp) -> Vec<WithoutRoom> {
        let mut without_room = Vec::new();
        let rows = if self.is_due_void { Vec::new() } else { rows };
        let room = self.room();
        for (no, mut item) in rows {
            let Some(lane) = self.lanes.get_mut(&no) else { continue };
            if lane.is_elsewhere() {
                self.leave_to_others(no);
                continue;
            }
            let due = item.not_before.unwrap_or(now);
            let has_no_place = match lane.endpoint.settings.ordered {
                true => lane.queue.len() >= room,
                false => self.retries.len() >= self.limits.retries,
            };
            if due > now && (has_no_place || lane.state != State::Enabled) {
                continue;
            }
            let was_let_go = self.let_go_during_due.as_ref().is_some_and(|let_go| let_go.contains(&item.seq));
            if was_let_go || !lane.known.load(item.seq) {
                continue;
            }
            self.loaded += 1;
            keep_payload(&mut item, &mut self.payload_bytes, self.limits.payload_bytes);
            if lane.endpoint.settings.ordered && due > now {
                lane.insert_sorted(item);
                self.settle(no, now);
            } else if due > now {
                self.retries.insert(due, no, item);
            } else {
                self.queue_due(no, item, now, &mut without_room);
            }
        }
        self.let_go_during_due = None;
        without_room
    }
}
