//! A fixed number of slots that all tenants share, so that no tenant can take them all.
//!
//! A tenant may hold as many slots as are free besides: one tenant gets at most half of them, two a third each, and a newcomer
//! always finds as many as each of the others holds (the dynamic threshold of shared-memory switches: Choudhury and Hahne,
//! 1998). Some slots are kept for the operator. Freed slots go to waiting tenants in turn.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::Tenant;

/// The slots of one resource.
pub(crate) struct FairSlots {
    kept_for_operator: usize,
    /// Held for a few map operations, never across an await.
    state: Mutex<State>,
}

struct State {
    free: usize,
    held: HashMap<Tenant, usize>,
    waiting: HashMap<Tenant, VecDeque<oneshot::Sender<Slot>>>,
    /// The tenants that wait, the next one to be served first.
    turns: VecDeque<Tenant>,
}

/// A slot that is taken until it is dropped.
pub(crate) struct Slot {
    slots: Arc<FairSlots>,
    tenant: Tenant,
}

impl FairSlots {
    /// `capacity` slots, of which a sixteenth is kept for the operator, and one at the least.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let state =
            State { free: capacity, held: HashMap::new(), waiting: HashMap::new(), turns: VecDeque::new() };
        Arc::new(Self { kept_for_operator: (capacity / 16).max(1), state: Mutex::new(state) })
    }

    /// A slot, if the tenant may have one now and does not wait for others.
    pub(crate) fn try_take(self: &Arc<Self>, tenant: Tenant) -> Option<Slot> {
        let mut state = self.state();
        let may_take = !state.waiting.contains_key(&tenant) && self.may_take(&state, tenant);
        may_take.then(|| self.grant(&mut state, tenant))
    }

    /// A slot as soon as the tenant may have one. Callers of one tenant are served in order.
    pub(crate) async fn take(self: &Arc<Self>, tenant: Tenant) -> Slot {
        if let Some(slot) = self.try_take(tenant) {
            return slot;
        }
        let (grant, granted) = oneshot::channel();
        {
            let mut state = self.state();
            let state = &mut *state;
            let queue = state.waiting.entry(tenant).or_insert_with(|| {
                state.turns.push_back(tenant);
                VecDeque::new()
            });
            queue.push_back(grant);
        }
        // A slot may have become free between the two locks.
        self.grant_waiting();
        granted.await.expect("a waiting caller is dropped from the queue only after it has gone")
    }

    fn may_take(&self, state: &State, tenant: Tenant) -> bool {
        match tenant {
            Tenant::OPERATOR => state.free > 0,
            _ => {
                let free = state.free.saturating_sub(self.kept_for_operator);
                state.held.get(&tenant).copied().unwrap_or(0) < free
            }
        }
    }

    fn grant(self: &Arc<Self>, state: &mut State, tenant: Tenant) -> Slot {
        state.free -= 1;
        *state.held.entry(tenant).or_insert(0) += 1;
        Slot { slots: Arc::clone(self), tenant }
    }

    /// Gives free slots to those who wait, one tenant after the other.
    fn grant_waiting(self: &Arc<Self>) {
        let mut grants = Vec::new();
        let mut state = self.state();
        let mut passed_over = 0;
        while passed_over < state.turns.len() {
            let Some(tenant) = state.turns.pop_front() else { break };
            let mut queue = state.waiting.remove(&tenant).unwrap_or_default();
            while queue.front().is_some_and(oneshot::Sender::is_closed) {
                queue.pop_front();
            }
            if !queue.is_empty() && self.may_take(&state, tenant) {
                passed_over = 0;
                grants.extend(queue.pop_front().map(|caller| (caller, self.grant(&mut state, tenant))));
            } else {
                passed_over += 1;
            }
            if !queue.is_empty() {
                state.waiting.insert(tenant, queue);
                state.turns.push_back(tenant);
            }
        }
        drop(state);
        for (caller, slot) in grants {
            // A caller that has just gone drops its slot, which is then granted to the next one.
            drop(caller.send(slot));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.slots.state();
            state.free += 1;
            if let Some(held) = state.held.get_mut(&self.tenant) {
                *held -= 1;
                if *held == 0 {
                    state.held.remove(&self.tenant);
                }
            }
        }
        self.slots.grant_waiting();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }

    fn take_all(slots: &Arc<FairSlots>, tenant: Tenant) -> Vec<Slot> {
        std::iter::from_fn(|| slots.try_take(tenant)).collect()
    }

    #[test]
    fn one_tenant_leaves_as_much_as_it_takes_and_the_operator_always_finds_a_slot() {
        let slots = FairSlots::new(256);
        let mut taken = vec![take_all(&slots, Tenant(1))];
        assert_eq!(taken[0].len(), 120, "half of what is not kept for the operator");
        taken.push(take_all(&slots, Tenant(2)));
        assert_eq!(taken[1].len(), 60);
        for tenant in 3..100 {
            taken.push(take_all(&slots, Tenant(tenant)));
        }
        assert!(taken[..7].iter().all(|slots| !slots.is_empty()), "seven hostile tenants leave room");
        let left = slots.state().free;
        let operator = take_all(&slots, Tenant::OPERATOR);
        assert!(operator.len() == left && left >= 16, "{left}");
        assert!(slots.try_take(Tenant::OPERATOR).is_none() && slots.try_take(Tenant(200)).is_none());
        drop((taken, operator));
        assert_eq!(slots.state().free, 256);
        assert!(slots.state().held.is_empty());
    }

    #[tokio::test]
    async fn freed_slots_go_to_waiting_tenants_in_turn_and_not_to_the_longest_queue() {
        let slots = FairSlots::new(5);
        let mut held = take_all(&slots, Tenant(1));
        held.extend(slots.try_take(Tenant(2)));
        held.extend(slots.try_take(Tenant(3)));
        assert_eq!(held.len(), 4, "and one is the operator's");
        let mut hostile: Vec<_> = (0..50).map(|_| Box::pin(slots.take(Tenant(1)))).collect();
        for caller in &mut hostile {
            assert!(poll_once(caller).await.is_pending());
        }
        let mut newcomer = Box::pin(slots.take(Tenant(4)));
        assert!(poll_once(&mut newcomer).await.is_pending());
        drop(held.pop());
        let Poll::Ready(granted) = poll_once(&mut newcomer).await else { panic!("the newcomer still waits") };
        let mut served = 0;
        for caller in &mut hostile {
            served += usize::from(poll_once(caller).await.is_ready());
        }
        assert_eq!(served, 0, "it holds its share already");
        drop((granted, held, hostile));
        assert_eq!(slots.state().free, 5);
        assert!(slots.state().waiting.is_empty() && slots.state().turns.is_empty());
    }

    #[tokio::test]
    async fn callers_that_have_gone_are_passed_over() {
        let slots = FairSlots::new(3);
        let held = take_all(&slots, Tenant(1));
        let other = slots.try_take(Tenant(2)).unwrap();
        let mut gone: Vec<_> = (0..10_000).map(|_| Box::pin(slots.take(Tenant(1)))).collect();
        for caller in &mut gone {
            assert!(poll_once(caller).await.is_pending());
        }
        drop(gone);
        let mut patient = Box::pin(slots.take(Tenant(1)));
        assert!(poll_once(&mut patient).await.is_pending());
        drop((held, other));
        assert!(poll_once(&mut patient).await.is_ready());
    }
}
