//! Name resolution as the system's resolver does it: the hosts file, then the name servers of `/etc/resolv.conf`, both read again
//! when they change. Names are absolute, as a URL's host is.
//!
//! A lookup is shared by everyone of one tenant who wants that name. It runs as a task of its own, so that what it finds is kept
//! even if nobody waits for it any more, within the bounds of [`crate::limits`], of which each tenant has a share.

mod configuration;
mod hosts;
mod lookup;
mod message;
mod name_servers;
mod resolv_conf;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use postrider_core::host_name;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::configuration::Configuration;
pub use self::configuration::ResolverFiles;
use self::lookup::{Lookup, LookupSlots, NO_SLOT, Progress};
use crate::Tenant;
use crate::fair_slots::{FairSlots, Slot};
use crate::limits::{MAX_CACHED_ADDRESSES, MAX_CACHED_LOOKUPS, MAX_CONCURRENT_LOOKUPS, MAX_LOOKUPS};
use crate::resolve::{Resolve, ResolveError, Resolved};
use crate::tenant_cache::TenantCache;

/// The system's hosts file and name servers (`/etc/hosts`, `/etc/resolv.conf`).
///
/// Replies are kept for as long as they say, within [`crate::limits`]. Nothing is read before the first lookup.
pub struct SystemResolver {
    shared: Arc<Shared>,
    files: ResolverFiles,
    /// Held while the files are read.
    reading: tokio::sync::Mutex<()>,
}

struct Shared {
    slots: LookupSlots,
    /// Lookups that are known about at all, those that wait for a slot included.
    lookups: Arc<FairSlots>,
    /// Held for a few map operations, never across an await.
    state: Mutex<State>,
}

struct State {
    configuration: Option<Arc<Configuration>>,
    /// What earlier lookups by this configuration came to.
    cache: TenantCache<Cached>,
    under_way: HashMap<(Tenant, Arc<str>), watch::Receiver<Progress>>,
}

struct Cached {
    outcome: Result<Arc<[IpAddr]>, ResolveError>,
    expires_at: Instant,
}

impl SystemResolver {
    /// A resolver that has not read the system's configuration yet.
    pub fn new() -> Self {
        Self::with(ResolverFiles::default(), MAX_CONCURRENT_LOOKUPS)
    }

    /// The same with other files, and fewer or more lookups at one time. Each may take six file descriptors.
    pub fn with(files: ResolverFiles, concurrent_lookups: usize) -> Self {
        let state = State {
            configuration: None,
            cache: TenantCache::new(MAX_CACHED_LOOKUPS),
            under_way: HashMap::new(),
        };
        let shared = Shared {
            slots: LookupSlots {
                running: FairSlots::new(concurrent_lookups),
                late: FairSlots::new(concurrent_lookups),
            },
            lookups: FairSlots::new(MAX_LOOKUPS),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared), files, reading: tokio::sync::Mutex::default() }
    }

    /// Returns the name servers that are asked; none if the machine has none configured.
    ///
    /// # Errors
    /// If the process lacks what reading the configuration needs.
    pub async fn name_servers(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        Ok(self.configuration().await?.read.name_servers.clone())
    }

    /// What the files say now.
    async fn configuration(&self) -> Result<Arc<Configuration>, ResolveError> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let _reading = self.reading.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        match read {
            Ok(Ok(read)) => {
                self.shared.state().adopt(Arc::clone(&read));
                Ok(read)
            }
            Ok(Err(error)) => {
                let known = self.shared.state().configuration.clone();
                known.ok_or_else(|| ResolveError::Shortage(crate::failure::io_in_words(&error)))
            }
            Err(_panic) => Err(ResolveError::Shortage("reading the configuration broke off".to_owned())),
        }
    }

    /// The configuration in memory, if the files have not changed.
    fn current(&self) -> Option<Arc<Configuration>> {
        let known = self.shared.state().configuration.clone();
        known.filter(|known| self.files.are_as_read(known))
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, tenant: Tenant, deadline: Instant) -> Result<Resolved, ResolveError> {
        let asked_at = Instant::now();
        drop(host_name::labels(host).map_err(ResolveError::Impossible)?);
        let name: Arc<str> = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase().into();
        let configuration = self.configuration().await?;
        if let Some(addresses) = configuration.hosts.get(&name) {
            return Ok(addresses.into());
        }
        if &*name == "localhost" || name.ends_with(".localhost") {
            // Never a question for a name server (RFC 6761, section 6.3).
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()].into());
        }
        if configuration.name_servers.is_empty() {
            return Err(ResolveError::Shortage(name_servers::NO_NAME_SERVER.to_owned()));
        }
        let mut progress = match self.shared.find_or_begin(&name, tenant, &configuration)? {
            Found::Kept(outcome) => return outcome.map(|addresses| addresses.to_vec().into()),
            Found::UnderWay(progress) => progress,
        };
        let waited = timeout_at(deadline, progress.wait_for(Progress::is_decided)).await;
        let waited = waited.map(|decided| decided.map(|progress| progress.clone()));
        match waited {
            Ok(Ok(decided)) => resolved(decided, progress, asked_at),
            Ok(Err(_task_gone)) => Err(ResolveError::Shortage("the lookup broke off".to_owned())),
            Err(_deadline) => match &*progress.borrow() {
                Progress::Queued => Err(ResolveError::Shortage(NO_SLOT.to_owned())),
                _ => Err(ResolveError::TimedOut),
            },
        }
    }
}

fn resolved(
    decided: Progress,
    mut progress: watch::Receiver<Progress>,
    asked_at: Instant,
) -> Result<Resolved, ResolveError> {
    let (addresses, began, is_complete) = match decided {
        Progress::Known { addresses, began, is_complete } => (addresses, began, is_complete),
        Progress::Failed(error) => return Err(error),
        Progress::Queued | Progress::Running => return Err(ResolveError::TimedOut),
    };
    let known = Arc::clone(&addresses);
    let later = async move {
        match progress.wait_for(Progress::is_complete).await.as_deref() {
            Ok(Progress::Known { addresses, .. }) => {
                addresses.iter().copied().filter(|address| !known.contains(address)).collect()
            }
            _ => Vec::new(),
        }
    };
    Ok(Resolved {
        addresses: addresses.to_vec(),
        late: (!is_complete).then(|| Box::pin(later) as _),
        waited: began.saturating_duration_since(asked_at),
    })
}

enum Found {
    Kept(Result<Arc<[IpAddr]>, ResolveError>),
    UnderWay(watch::Receiver<Progress>),
}

impl Shared {
    /// A lookup under way, else what an earlier one came to, else a new one.
    fn find_or_begin(
        self: &Arc<Self>,
        name: &Arc<str>,
        tenant: Tenant,
        configuration: &Arc<Configuration>,
    ) -> Result<Found, ResolveError> {
        let mut state = self.state();
        let key = (tenant, Arc::clone(name));
        if let Some(progress) = state.under_way.get(&key) {
            return Ok(Found::UnderWay(progress.clone()));
        }
        if let Some(cached) =
            state.cache.get(tenant, name).filter(|cached| cached.expires_at > Instant::now())
        {
            return Ok(Found::Kept(cached.outcome.clone()));
        }
        let Some(known_about) = self.lookups.try_take(tenant) else {
            return Err(ResolveError::Shortage(NO_SLOT.to_owned()));
        };
        let (sender, progress) = watch::channel(Progress::Queued);
        let lookup = Lookup {
            host: Arc::clone(name),
            tenant,
            configuration: Arc::clone(configuration),
            progress: sender,
        };
        state.under_way.insert(key, progress.clone());
        drop(state);
        let task = LookupTask { shared: Arc::clone(self), lookup, _known_about: known_about };
        tokio::spawn(task.run());
        Ok(Found::UnderWay(progress))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Goes by another configuration: what was found by the last one is not believed any more.
    fn adopt(&mut self, configuration: Arc<Configuration>) {
        self.configuration = Some(configuration);
        self.cache = TenantCache::new(MAX_CACHED_LOOKUPS);
        self.under_way.clear();
    }

    fn goes_by(&self, configuration: &Arc<Configuration>) -> bool {
        self.configuration.as_ref().is_some_and(|current| Arc::ptr_eq(current, configuration))
    }

    /// Keeps what a lookup came to for as long as it may be believed.
    fn keep(&mut self, tenant: Tenant, name: &str, progress: &Progress, age: Duration) {
        let outcome = match progress {
            Progress::Known { addresses, .. } if addresses.len() <= MAX_CACHED_ADDRESSES => {
                Ok(Arc::clone(addresses))
            }
            Progress::Failed(error) => Err(error.clone()),
            _ => return,
        };
        if !age.is_zero() {
            self.cache.insert(tenant, name, Cached { outcome, expires_at: Instant::now() + age });
        }
    }
}

/// A lookup in a task of its own; however that ends, the name can be looked up again.
struct LookupTask {
    shared: Arc<Shared>,
    lookup: Lookup,
    _known_about: Slot,
}

impl LookupTask {
    async fn run(self) {
        let Lookup { host, tenant, configuration, progress } = &self.lookup;
        let (outcome, age) = self.lookup.run(&self.shared.slots).await;
        {
            let mut state = self.shared.state();
            if state.goes_by(configuration) {
                state.under_way.remove(&(*tenant, Arc::clone(host)));
                state.keep(*tenant, host, &outcome, age);
            }
        }
        progress.send_replace(outcome);
    }
}

impl Drop for LookupTask {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let key = (self.lookup.tenant, Arc::clone(&self.lookup.host));
        let is_mine =
            |current: &watch::Receiver<Progress>| current.same_channel(&self.lookup.progress.subscribe());
        if state.under_way.get(&key).is_some_and(is_mine) {
            state.under_way.remove(&key);
        }
    }
}
