//! Remembers at which addresses of a name attempts failed, so that the next one begins at another.
//!
//! Kept in memory, by tenant and origin, for names with several addresses only. It orders addresses and never excludes one.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::Tenant;
use crate::dial::dialling_order;
use crate::limits::{FAILED_ADDRESS_AGE, MAX_ADDRESSES_DIALLED, MAX_ORIGINS_REMEMBERED};
use crate::tenant_cache::TenantCache;

/// The addresses that attempts failed at.
pub(crate) struct FailedAddresses(Mutex<TenantCache<Origin>>);

/// The failed addresses of one origin, the one that failed last at the end.
#[derive(Default)]
struct Origin(Vec<(IpAddr, Instant)>);

impl FailedAddresses {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(TenantCache::new(MAX_ORIGINS_REMEMBERED)))
    }

    /// The order in which the addresses of an origin are dialled: those that failed come last, the latest failure at the end.
    pub(crate) fn order(
        &self,
        tenant: Tenant,
        origin: &str,
        addresses: &[IpAddr],
        port: u16,
    ) -> Vec<SocketAddr> {
        if addresses.len() < 2 {
            return dialling_order(addresses, port);
        }
        let mut origins = self.origins();
        let Some(known) = origins.get_mut(tenant, origin) else {
            // From now on its failures are noted.
            origins.insert(tenant, origin, Origin::default());
            return dialling_order(addresses, port);
        };
        known.0.retain(|(_, failed_at)| failed_at.elapsed() < FAILED_ADDRESS_AGE);
        let has_failed = |address: &IpAddr| known.0.iter().any(|(failed, _)| failed == address);
        let fresh: Vec<IpAddr> = addresses.iter().copied().filter(|address| !has_failed(address)).collect();
        let mut order = dialling_order(&fresh, port);
        let failed = known.0.iter().map(|(failed, _)| *failed).filter(|failed| addresses.contains(failed));
        order.extend(failed.map(|address| SocketAddr::new(address, port)));
        order.truncate(MAX_ADDRESSES_DIALLED);
        order
    }

    /// Notes whether an attempt was received at an address. Returns whether the next attempt should go to another one.
    pub(crate) fn note(&self, tenant: Tenant, origin: &str, address: IpAddr, is_received: bool) -> bool {
        let mut origins = self.origins();
        let Some(known) = origins.get_mut(tenant, origin) else { return false };
        known.0.retain(|(failed, _)| *failed != address);
        if !is_received {
            if known.0.len() >= MAX_ADDRESSES_DIALLED {
                known.0.remove(0);
            }
            known.0.push((address, Instant::now()));
        }
        !is_received
    }

    /// Whether the last failure of an origin was at this address.
    pub(crate) fn failed_last_at(&self, tenant: Tenant, origin: &str, address: IpAddr) -> bool {
        let origins = self.origins();
        let last = origins.get(tenant, origin).and_then(|known| known.0.last());
        last.is_some_and(|(failed, failed_at)| *failed == address && failed_at.elapsed() < FAILED_ADDRESS_AGE)
    }

    fn origins(&self) -> MutexGuard<'_, TenantCache<Origin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://example.com";

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn failed_addresses_come_last_and_the_one_that_failed_first_is_the_first_of_them() {
        let memory = FailedAddresses::new();
        let all = addresses(&["::1", "1.1.1.1", "1.1.1.2"]);
        let order = |tenant| -> Vec<String> {
            let order = memory.order(Tenant(tenant), ORIGIN, &all, 1);
            order.iter().map(|peer| peer.ip().to_string()).collect()
        };
        assert!(!memory.note(Tenant(1), ORIGIN, all[0], false), "nobody has asked for it yet");
        assert_eq!(order(1), ["::1", "1.1.1.1", "1.1.1.2"]);
        assert!(memory.note(Tenant(1), ORIGIN, all[0], false));
        assert!(memory.failed_last_at(Tenant(1), ORIGIN, all[0]));
        assert_eq!(order(1), ["1.1.1.1", "1.1.1.2", "::1"]);
        assert_eq!(order(2), ["::1", "1.1.1.1", "1.1.1.2"], "another tenant's");
        assert!(memory.note(Tenant(1), ORIGIN, all[1], false));
        assert!(!memory.failed_last_at(Tenant(1), ORIGIN, all[0]));
        assert_eq!(order(1), ["1.1.1.2", "::1", "1.1.1.1"]);
        assert!(!memory.note(Tenant(1), ORIGIN, all[0], true));
        assert_eq!(order(1), ["::1", "1.1.1.2", "1.1.1.1"]);
    }

    #[test]
    fn a_failed_address_beyond_those_that_are_dialled_makes_room_for_others() {
        let memory = FailedAddresses::new();
        let many: Vec<IpAddr> = (1..=60).map(|n| IpAddr::from([1, 1, 1, n])).collect();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..12 {
            let order = memory.order(Tenant(1), ORIGIN, &many, 1);
            assert_eq!(order.len(), MAX_ADDRESSES_DIALLED);
            seen.insert(order[0]);
            memory.note(Tenant(1), ORIGIN, order[0].ip(), false);
        }
        assert!(seen.len() > MAX_ADDRESSES_DIALLED, "{seen:?}");
    }

    #[test]
    fn a_name_with_one_address_is_not_remembered() {
        let memory = FailedAddresses::new();
        let one = addresses(&["1.1.1.1"]);
        assert_eq!(memory.order(Tenant(1), ORIGIN, &one, 1).len(), 1);
        assert!(!memory.note(Tenant(1), ORIGIN, one[0], false));
    }
}
