//! Turning a host name into addresses. What may be done with them is the address guard's to say, not ours.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use postrider_core::host_name::HostNameFault;
use tokio::time::Instant;

use crate::Tenant;

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
    /// Nobody had said anything at the caller's deadline.
    #[error("no name server answered in time")]
    TimedOut,
    /// No name server could ever be asked for such a name.
    #[error(transparent)]
    Impossible(HostNameFault),
}
