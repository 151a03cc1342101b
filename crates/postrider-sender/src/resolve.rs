//! Turning a host name into addresses. What may be done with them is the address guard's to say, not ours.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use crate::Tenant;
use crate::failure::is_shortage;
use crate::limits::{MAX_CACHED_LOOKUPS, MAX_CONCURRENT_LOOKUPS, MAX_LOOKUP_AGE, MAX_NEGATIVE_LOOKUP_AGE};

/// Finds the addresses of a host name.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Returns the addresses of `host`, in the order they should be tried. `host` is never a literal address.
    ///
    /// `deadline` is the attempt's; the caller may drop the future at any time.
    async fn resolve(&self, host: &str, tenant: Tenant, deadline: Instant) -> Result<Resolved, ResolveError>;
}

/// Addresses that arrive after the first ones: those of the other family.
pub type LateAddresses = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>>;

/// The addresses of a name.
#[derive(Default)]
pub struct Resolved {
    /// Those that are known, in the order they should be tried.
    pub addresses: Vec<IpAddr>,
    /// Those that a name server still owes an answer about. Check them with the address guard before dialling.
    pub late: Option<LateAddresses>,
    /// How long the lookup waited for the service's own capacity, for which the receiver is not to blame.
    pub waited: Duration,
}

impl From<Vec<IpAddr>> for Resolved {
    fn from(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ..Self::default() }
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addresses, late, waited } = self;
        write!(f, "Resolved {{ {addresses:?}, more: {}, waited: {waited:?} }}", late.is_some())
    }
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("the name does not exist or has no address")]
    NotFound,
    /// The service itself lacks what a look-up needs, so that nobody was asked; in plain words.
    #[error("{0}")]
    Shortage(String),
    /// Nobody could say; in plain words.
    #[error("{0}")]
    Failed(String),
}

/// The system's name servers and hosts file (`/etc/resolv.conf`, `/etc/hosts`), read at the first look-up.
///
/// Answers are kept for as long as they say, within [`crate::limits`].
pub struct SystemResolver {
    /// Made at first use, so that a process that resolves nothing reads no configuration. Where reading it
    /// fails, the next look-up tries again.
    resolver: OnceCell<TokioResolver>,
    permits: Semaphore,
}

impl SystemResolver {
    /// A resolver that has not read the system's configuration yet.
    pub fn new() -> Self {
        Self { resolver: OnceCell::new(), permits: Semaphore::new(MAX_CONCURRENT_LOOKUPS) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(
        &self,
        host: &str,
        _tenant: Tenant,
        _deadline: Instant,
    ) -> Result<Resolved, ResolveError> {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let resolver = self.resolver.get_or_try_init(async || from_system()).await.map_err(to_error)?;
        let answer = resolver.lookup_ip(host).await.map_err(to_error)?;
        Ok(answer.iter().collect::<Vec<_>>().into())
    }
}

fn from_system() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.use_hosts_file = ResolveHosts::Always;
    options.cache_size = MAX_CACHED_LOOKUPS;
    options.positive_max_ttl = Some(MAX_LOOKUP_AGE);
    options.negative_max_ttl = Some(MAX_NEGATIVE_LOOKUP_AGE);
    builder.build()
}

fn to_error(error: NetError) -> ResolveError {
    match error {
        // A name server's refusal or failure also comes as "no records", told apart by its response code.
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NXDomain | ResponseCode::NoError,
            ..
        })) => ResolveError::NotFound,
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
            ResolveError::Failed(format!("the name server answered: {response_code}"))
        }
        NetError::Io(error) if is_shortage(&error) => ResolveError::Shortage(error.to_string()),
        other => ResolveError::Failed(other.to_string()),
    }
}
