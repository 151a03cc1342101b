//! Work whose cost a caller chooses: checking large payloads and expensive schemas, matching many filters. It takes a slot and
//! leaves the threads that everyone shares; what takes less than a millisecond stays where it is.
//!
//! The slots are few. An account holds a share of them, and one more is kept for the operator. Waiting for one is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use postrider_core::catalogue::EventType;
use postrider_core::id::AccountId;
use postrider_core::limits::MAX_INLINE_BYTES;
use postrider_core::payload::{self, PayloadRefused};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::VALIDATION_WAIT;
use crate::{Engine, EngineError};

/// Accounts whose slots are remembered before those without work are forgotten.
const ACCOUNTS_REMEMBERED: usize = 256;

/// Who asks for the work, and whose share it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// The operator, or nobody in particular.
    Operator,
    /// An account.
    Account(AccountId),
}

/// The slots of all requesters.
#[derive(Debug)]
pub(crate) struct ValidationSlots {
    shared: Arc<Semaphore>,
    /// Kept for the operator.
    reserved: Arc<Semaphore>,
    /// How many slots one account may hold.
    per_account: usize,
    accounts: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// A slot that was taken; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ValidationSlot {
    _slot: OwnedSemaphorePermit,
    _of_account: Option<OwnedSemaphorePermit>,
}

impl ValidationSlots {
    /// So many slots for everyone, and one more for the operator.
    pub(crate) fn new(shared: usize) -> Self {
        Self {
            shared: Arc::new(Semaphore::new(shared.max(1))),
            reserved: Arc::new(Semaphore::new(1)),
            per_account: (shared / 2).max(1),
            accounts: Mutex::default(),
        }
    }

    /// Waits for a slot. `Overloaded` where none was free for [`VALIDATION_WAIT`].
    pub(crate) async fn take(&self, requester: Requester) -> Result<ValidationSlot, EngineError> {
        let taken = tokio::time::timeout(VALIDATION_WAIT, self.wait(requester)).await;
        // The semaphores are never closed.
        taken.map_err(|_elapsed| EngineError::Overloaded)?.map_err(|_closed| EngineError::Overloaded)
    }

    async fn wait(&self, requester: Requester) -> Result<ValidationSlot, tokio::sync::AcquireError> {
        match requester {
            Requester::Operator => {
                let slot = tokio::select! {
                    biased;
                    slot = Arc::clone(&self.shared).acquire_owned() => slot?,
                    slot = Arc::clone(&self.reserved).acquire_owned() => slot?,
                };
                Ok(ValidationSlot { _slot: slot, _of_account: None })
            }
            // The account's own first: however much it asks for, no more than its share waits beside others'.
            Requester::Account(account) => {
                let of_account = self.of_account(account).acquire_owned().await?;
                let slot = Arc::clone(&self.shared).acquire_owned().await?;
                Ok(ValidationSlot { _slot: slot, _of_account: Some(of_account) })
            }
        }
    }

    fn of_account(&self, account: AccountId) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_REMEMBERED {
            accounts.retain(|_, slots| Arc::strong_count(slots) > 1);
        }
        Arc::clone(accounts.entry(account).or_insert_with(|| Arc::new(Semaphore::new(self.per_account))))
    }
}

/// Runs work of up to a second and lets the thread's other tasks go on elsewhere meanwhile. A runtime of one thread, as in tests,
/// has nowhere else.
pub(crate) fn run_off_shared_threads<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The checking of one request's payloads. Holds a slot once one was needed.
pub struct Validation {
    engine: Engine,
    requester: Requester,
    slot: Option<ValidationSlot>,
}

impl Engine {
    /// Begins to check what a request of this length hands in. A long one waits for a slot first: reading it is work, too.
    ///
    /// `Overloaded` where no slot was free in time.
    pub async fn begin_validation(
        &self,
        requester: Requester,
        bytes: usize,
    ) -> Result<Validation, EngineError> {
        let mut validation = Validation { engine: self.clone(), requester, slot: None };
        if bytes > MAX_INLINE_BYTES {
            validation.take_slot().await?;
        }
        Ok(validation)
    }

    /// Runs work that is linear in so many bytes: off the threads that everyone shares if they are many.
    pub fn run_long<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        if bytes > MAX_INLINE_BYTES { run_off_shared_threads(work) } else { work() }
    }

    /// Checks one payload, see [`payload::check`]. The outer error is `Overloaded` where it takes a slot and none was free in
    /// time.
    pub async fn check_payload(
        &self,
        requester: Requester,
        event_type: &EventType,
        json: &str,
        stated_mode: Option<bool>,
    ) -> Result<Result<bool, PayloadRefused>, EngineError> {
        let mut validation = self.begin_validation(requester, json.len()).await?;
        validation.check(event_type, json, stated_mode).await
    }
}

impl Validation {
    /// Runs work on what was handed in, for instance reading it.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.slot.is_some() { run_off_shared_threads(work) } else { work() }
    }

    /// Checks a payload: here if that is soon done, and in a slot otherwise.
    pub async fn check(
        &mut self,
        event_type: &EventType,
        json: &str,
        stated_mode: Option<bool>,
    ) -> Result<Result<bool, PayloadRefused>, EngineError> {
        if let Some(checked) = payload::check_inline(event_type, json, stated_mode) {
            return Ok(checked);
        }
        self.take_slot().await?;
        Ok(run_off_shared_threads(|| payload::check(event_type, json, stated_mode)))
    }

    async fn take_slot(&mut self) -> Result<(), EngineError> {
        if self.slot.is_none() {
            self.slot = Some(self.engine.0.validation_slots.take(self.requester).await?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> Requester {
        Requester::Account(AccountId::from_bytes([number; 16]))
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_takes_all_it_can_leaves_slots_for_others_and_for_the_operator() {
        let slots = Arc::new(ValidationSlots::new(4));
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(slots.take(account(1)).await.unwrap());
        }
        assert!(matches!(slots.take(account(1)).await, Err(EngineError::Overloaded)), "it has its share");
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let slots = Arc::clone(&slots);
                tokio::spawn(async move { slots.take(account(1)).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        for _ in 0..2 {
            held.push(slots.take(account(2)).await.unwrap());
        }
        held.push(slots.take(Requester::Operator).await.unwrap());
        assert_eq!(began.elapsed().as_millis(), 0, "they did not wait");
        for refused in [account(3), Requester::Operator] {
            assert!(matches!(slots.take(refused).await, Err(EngineError::Overloaded)));
            assert!(began.elapsed() >= VALIDATION_WAIT);
        }
        held.clear();
        for waited in waiting {
            drop(waited.await.unwrap());
        }
        assert!(slots.take(account(3)).await.is_ok());
    }

    #[tokio::test]
    async fn accounts_without_work_are_forgotten() {
        let slots = ValidationSlots::new(2);
        let held = slots.take(account(0)).await.unwrap();
        for number in 0..1_000_u16 {
            let mut bytes = [9; 16];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            drop(slots.take(Requester::Account(AccountId::from_bytes(bytes))).await.unwrap());
        }
        assert!(slots.accounts.lock().unwrap().len() <= ACCOUNTS_REMEMBERED);
        assert!(slots.accounts.lock().unwrap().contains_key(&AccountId::from_bytes([0; 16])));
        drop(held);
    }

    #[test]
    fn other_tasks_of_the_thread_go_on_while_work_runs() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let worked = runtime.block_on(async move {
            tokio::spawn(async move {
                tokio::spawn(async move { tell.send("done beside it").unwrap() });
                // Ends only once the other task, on the only thread that is shared, has run.
                run_off_shared_threads(move || told.recv().unwrap())
            })
            .await
        });
        assert_eq!(worked.unwrap(), "done beside it");
    }
}
