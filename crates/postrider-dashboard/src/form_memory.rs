//! The memory that forms share while they are read and handled: of what customers have together, each account a part; and
//! places for the login's forms, of which each client address has a part.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_core::client_address::client_network;
use postrider_core::fair_share::{FairPool, Shares};
use postrider_core::id::AccountId;

const KIB: usize = 1024;
/// All of it in KiB. A customer's form has 4 MiB at most, so an account can send four of the largest; the operator's part
/// has room for as many.
const MEMORY: Shares = Shares { total: 64 * KIB, reserved: 16 * KIB, largest: 16 * KIB, guaranteed: 256 };
/// How many login forms are read at once, of 16 KiB each.
const LOGINS: Shares = Shares { total: 256, reserved: 0, largest: 16, guaranteed: 1 };

/// The memory of forms.
#[derive(Debug)]
pub(crate) struct FormMemory {
    forms: Arc<Mutex<FairPool<AccountId>>>,
    logins: Arc<Mutex<FairPool<IpAddr>>>,
}

/// What one form holds of it.
#[derive(Debug)]
pub(crate) struct FormShare {
    forms: Arc<Mutex<FairPool<AccountId>>>,
    holder: Option<AccountId>,
    kib: usize,
}

/// One login form that is being read.
#[derive(Debug)]
pub(crate) struct LoginSlot {
    logins: Arc<Mutex<FairPool<IpAddr>>>,
    holder: Option<IpAddr>,
}

impl Default for FormMemory {
    fn default() -> Self {
        Self {
            forms: Arc::new(Mutex::new(FairPool::new(MEMORY))),
            logins: Arc::new(Mutex::new(FairPool::new(LOGINS))),
        }
    }
}

impl FormMemory {
    /// Nothing yet for a form of this account's customer, or of the operator.
    pub(crate) fn share(&self, holder: Option<AccountId>) -> FormShare {
        FormShare { forms: Arc::clone(&self.forms), holder, kib: 0 }
    }

    /// A slot for a login form from this address; `None` if there is none. Addresses that can't be determined share what is
    /// there.
    pub(crate) fn login(&self, from: Option<IpAddr>) -> Option<LoginSlot> {
        let holder = from.map(client_network);
        let taken = lock(&self.logins).take(holder, 1);
        taken.ok().map(|()| LoginSlot { logins: Arc::clone(&self.logins), holder })
    }
}

impl FormShare {
    /// Makes it at least so many bytes; false if there are not as many for the holder.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.div_ceil(KIB).saturating_sub(self.kib);
        let is_taken = missing == 0 || lock(&self.forms).take(self.holder, missing).is_ok();
        self.kib += if is_taken { missing } else { 0 };
        is_taken
    }
}

impl Drop for FormShare {
    fn drop(&mut self) {
        lock(&self.forms).give_back(self.holder, self.kib);
    }
}

impl Drop for LoginSlot {
    fn drop(&mut self) {
        lock(&self.logins).give_back(self.holder, 1);
    }
}

fn lock<T>(pool: &Mutex<T>) -> MutexGuard<'_, T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = KIB * KIB;

    #[test]
    fn one_account_s_forms_leave_room_for_others_and_for_the_operator() {
        let memory = FormMemory::default();
        let account = |number: u8| Some(AccountId::from_bytes([number; 16]));
        let unfinished = |holder| {
            let mut share = memory.share(holder);
            share.grow_to(4 * MIB - 1).then_some(share)
        };
        let held: Vec<_> = std::iter::from_fn(|| unfinished(account(1))).collect();
        assert_eq!(held.len(), 4);
        let crowd: Vec<_> = (2..20)
            .flat_map(|number| std::iter::from_fn(move || Some(number)).take(4))
            .filter_map(|number| unfinished(account(number)))
            .collect();
        assert!(memory.share(account(99)).grow_to(100 * KIB), "a newcomer's form is read");
        assert!(unfinished(None).is_some());
        drop((held, crowd));
        assert!(lock(&memory.forms).is_empty());
    }

    #[test]
    fn one_address_s_logins_leave_room_for_others() {
        let memory = FormMemory::default();
        let address = |host: u8| Some(IpAddr::from([192, 0, 2, host]));
        let held: Vec<_> = std::iter::from_fn(|| memory.login(address(1))).collect();
        assert_eq!(held.len(), 16);
        assert!(memory.login(address(2)).is_some());
        drop(held);
        assert!(lock(&memory.logins).is_empty());
    }
}
