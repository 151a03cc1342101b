//! What every page works with, and how much may be going on at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postrider_engine::{Engine, EngineError};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::DashboardOptions;
use crate::login_limit::LoginLimit;
use crate::refusal::Refusal;
use crate::session::Sessions;
use crate::watchers::Watchers;

/// How many forms of the operator, and as many of all customers, are read at once; further ones wait for a while.
const FORMS_AT_ONCE: usize = 16;
/// How long a form waits for its turn.
const FORM_PATIENCE: Duration = Duration::from_secs(5);

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
    forms: Semaphore,
    customers_forms: Semaphore,
    pub(crate) watchers: Watchers,
    sessions: Mutex<Sessions>,
    login_limit: Mutex<LoginLimit>,
}

impl App {
    pub(crate) fn new(engine: Engine, options: DashboardOptions) -> Arc<Self> {
        Arc::new(Self {
            engine,
            options,
            forms: Semaphore::new(FORMS_AT_ONCE),
            customers_forms: Semaphore::new(FORMS_AT_ONCE),
            watchers: Watchers::default(),
            sessions: Mutex::default(),
            login_limit: Mutex::default(),
        })
    }

    /// A turn to read a form. Customers can't hold up the operator.
    pub(crate) async fn turn(&self, is_operator: bool) -> Result<SemaphorePermit<'_>, Refusal> {
        let forms = if is_operator { &self.forms } else { &self.customers_forms };
        match tokio::time::timeout(FORM_PATIENCE, forms.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Refusal::Unavailable(EngineError::Overloaded)),
        }
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn login_limit(&self) -> MutexGuard<'_, LoginLimit> {
        self.login_limit.lock().unwrap_or_else(PoisonError::into_inner)
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
