//! What every page works with, and how much may be going on at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postrider_engine::Engine;
use tokio::sync::Semaphore;

use crate::DashboardOptions;
use crate::failed_keys::FailedKeys;
use crate::form_memory::FormMemory;
use crate::live_limits::LiveLimits;
use crate::refusal::Refusal;
use crate::session::Sessions;

/// How many wrong keys one address may try at the login, and how many links that open nothing; within a quarter of an hour.
const LOGINS_PER_ADDRESS: u32 = 10;
const LINKS_PER_ADDRESS: u32 = 300;
/// How long the answer to a wrong key is delayed if the client's address can't be determined …
const DELAY: Duration = Duration::from_secs(3);
/// … and how many answers are at once; further ones are refused.
const MAX_DELAYED: usize = 64;

/// A setting of the running service, as the operator sees it.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name, as in the configuration file.
    pub name: String,
    /// Its value; a secret's is masked.
    pub value: String,
    /// Where the value is from.
    pub source: String,
}

/// What every page works with.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) options: DashboardOptions,
    pub(crate) form_memory: FormMemory,
    pub(crate) live_limits: LiveLimits,
    sessions: Mutex<Sessions>,
    failed_logins: Mutex<FailedKeys>,
    failed_links: Mutex<FailedKeys>,
    delayed: Semaphore,
}

impl App {
    pub(crate) fn new(engine: Engine, options: DashboardOptions) -> Arc<Self> {
        Arc::new(Self {
            engine,
            options,
            form_memory: FormMemory::default(),
            live_limits: LiveLimits::default(),
            sessions: Mutex::default(),
            failed_logins: Mutex::new(FailedKeys::new(LOGINS_PER_ADDRESS)),
            failed_links: Mutex::new(FailedKeys::new(LINKS_PER_ADDRESS)),
            delayed: Semaphore::new(MAX_DELAYED),
        })
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed_logins(&self) -> MutexGuard<'_, FailedKeys> {
        self.failed_logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed_links(&self) -> MutexGuard<'_, FailedKeys> {
        self.failed_links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delays the answer to a wrong key from an address that can't be determined, and so can't be counted.
    pub(crate) async fn delay(&self) -> Result<(), Refusal> {
        let Ok(_delayed) = self.delayed.try_acquire() else { return Err(Refusal::TooManyTries(DELAY)) };
        tokio::time::sleep(DELAY).await;
        Ok(())
    }
}

/// Fresh chance as 64 hex digits.
pub(crate) fn random_token() -> String {
    use std::fmt::Write as _;
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).expect("the operating system has chance to give");
    let mut token = String::with_capacity(64);
    for byte in bytes {
        write!(token, "{byte:02x}").expect("writing to a string never fails");
    }
    token
}
