//! A bounded cache whose capacity all tenants share: when it is full, the tenant that has most in it loses its oldest entry, so
//! that nobody can push out what others have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::Tenant;

/// Values by tenant and key.
pub(crate) struct TenantCache<V> {
    capacity: usize,
    len: usize,
    inserted: u64,
    shelves: HashMap<Tenant, Shelf<V>>,
    /// The tenants by how much they have.
    sizes: BTreeSet<(usize, Tenant)>,
}

struct Shelf<V> {
    entries: HashMap<Arc<str>, (u64, V)>,
    /// The keys in the order of their insertion.
    order: BTreeMap<u64, Arc<str>>,
}

impl<V> TenantCache<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (shelves, sizes) = (HashMap::new(), BTreeSet::new());
        Self { capacity: capacity.max(1), len: 0, inserted: 0, shelves, sizes }
    }

    pub(crate) fn get(&self, tenant: Tenant, key: &str) -> Option<&V> {
        self.shelves.get(&tenant)?.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, tenant: Tenant, key: &str) -> Option<&mut V> {
        self.shelves.get_mut(&tenant)?.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Keeps a value in place of an older one of that key.
    pub(crate) fn insert(&mut self, tenant: Tenant, key: &str, value: V) {
        self.remove(tenant, key);
        if self.len >= self.capacity {
            self.evict();
        }
        self.inserted += 1;
        let shelf = self
            .shelves
            .entry(tenant)
            .or_insert_with(|| Shelf { entries: HashMap::new(), order: BTreeMap::new() });
        self.sizes.remove(&(shelf.entries.len(), tenant));
        let key: Arc<str> = key.into();
        shelf.order.insert(self.inserted, Arc::clone(&key));
        shelf.entries.insert(key, (self.inserted, value));
        self.sizes.insert((shelf.entries.len(), tenant));
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, tenant: Tenant, key: &str) {
        let Some(shelf) = self.shelves.get_mut(&tenant) else { return };
        let before = shelf.entries.len();
        let Some((number, _)) = shelf.entries.remove(key) else { return };
        shelf.order.remove(&number);
        self.len -= 1;
        self.sizes.remove(&(before, tenant));
        match before - 1 {
            0 => drop(self.shelves.remove(&tenant)),
            left => drop(self.sizes.insert((left, tenant))),
        }
    }

    fn evict(&mut self) {
        let Some((_, tenant)) = self.sizes.last().copied() else { return };
        let oldest = self.shelves.get(&tenant).and_then(|shelf| shelf.order.values().next()).cloned();
        if let Some(key) = oldest {
            self.remove(tenant, &key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_fills_the_cache_pushes_out_only_its_own_oldest_entries() {
        let mut cache = TenantCache::new(10);
        for (tenant, key) in [(1, "a"), (1, "b"), (2, "c")] {
            cache.insert(Tenant(tenant), key, key.len());
        }
        for n in 0..1_000 {
            cache.insert(Tenant(3), &n.to_string(), n);
        }
        assert_eq!(cache.len, 10);
        for (tenant, key) in [(1, "a"), (1, "b"), (2, "c")] {
            assert_eq!(cache.get(Tenant(tenant), key), Some(&1));
        }
        assert_eq!(cache.get(Tenant(3), "999"), Some(&999));
        assert_eq!(cache.get(Tenant(3), "992"), None);
    }

    #[test]
    fn entries_are_replaced_and_removed() {
        let mut cache = TenantCache::new(2);
        cache.insert(Tenant(1), "a", 1);
        cache.insert(Tenant(1), "a", 2);
        assert_eq!((cache.get(Tenant(1), "a"), cache.len), (Some(&2), 1));
        assert_eq!(cache.get(Tenant(2), "a"), None, "no tenant sees another's");
        *cache.get_mut(Tenant(1), "a").unwrap() = 3;
        cache.insert(Tenant(1), "b", 4);
        cache.insert(Tenant(1), "c", 5);
        assert_eq!((cache.get(Tenant(1), "a"), cache.get(Tenant(1), "b")), (None, Some(&4)));
        for key in ["a", "b", "c"] {
            cache.remove(Tenant(1), key);
        }
        assert!(cache.len == 0 && cache.shelves.is_empty() && cache.sizes.is_empty());
    }
}
