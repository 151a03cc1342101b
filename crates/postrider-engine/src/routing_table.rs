//! Which endpoints of an account an event goes to: by its type and mode from a table, and by its content in one pass over the
//! payload for all filters. What is found out is kept until the account's configuration changes.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use postrider_core::endpoint::Endpoint;
use postrider_core::filter::{Collected, Filter, PathSet};
use postrider_core::limits::MAX_FILTERS_BYTES_PER_ACCOUNT;

use crate::EngineError;
use crate::snapshot::AccountEntry;

/// Accounts with so few endpoints are asked one by one.
const FEW_ENDPOINTS: usize = 8;
/// How many pairs of type and mode one account's table knows; beyond this it begins anew.
const MAX_KEPT_TYPES: usize = 256;

/// By type and mode the places of endpoints.
type Subscribers = HashMap<(Arc<str>, bool), Arc<[usize]>>;

/// What was found out about an account's endpoints.
#[derive(Debug, Default)]
pub(crate) struct RoutingTable {
    /// By type and mode the places of the endpoints that subscribe it.
    subscribers: RwLock<Subscribers>,
    filters: OnceLock<Filters>,
    filter_bytes: OnceLock<usize>,
}

impl Clone for RoutingTable {
    /// A changed configuration begins with nothing known.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The filters of an account's endpoints.
#[derive(Debug)]
pub(crate) struct Filters {
    paths: PathSet,
    /// For each endpoint the place of its filter in the set; none where it has none.
    places: Vec<Option<usize>>,
}

impl Filters {
    fn of(endpoints: &[Arc<Endpoint>]) -> Self {
        let mut count = 0;
        let place = |endpoint: &Arc<Endpoint>| {
            endpoint.settings.filter.as_ref().map(|_| {
                count += 1;
                count - 1
            })
        };
        let places = endpoints.iter().map(place).collect();
        let filters = endpoints.iter().filter_map(|endpoint| endpoint.settings.filter.as_ref());
        Self { paths: PathSet::of(filters), places }
    }

    /// Reads a payload for all of them.
    pub(crate) fn collect<'p>(&self, payload: &'p [u8]) -> Collected<'_, 'p> {
        self.paths.collect(payload)
    }

    /// The place of an endpoint's filter in the set.
    pub(crate) fn place(&self, endpoint: usize) -> Option<usize> {
        self.places.get(endpoint).copied().flatten()
    }
}

impl AccountEntry {
    /// The filters of the endpoints, ready to be asked.
    pub(crate) fn filters(&self) -> &Filters {
        self.table.filters.get_or_init(|| Filters::of(&self.endpoints))
    }

    /// How long the filters of all endpoints are together.
    pub(crate) fn filter_bytes(&self) -> usize {
        let length = |endpoint: &Arc<Endpoint>| {
            endpoint.settings.filter.as_ref().map_or(0, |filter| filter.as_str().len())
        };
        *self.table.filter_bytes.get_or_init(|| self.endpoints.iter().map(length).sum())
    }

    /// Refuses a filter by which an account's filters become too long together: each of its events is matched by all of them. What
    /// was longer before may stay, and become shorter.
    pub(crate) fn check_filters_fit(
        &self,
        before: Option<&Filter>,
        after: Option<&Filter>,
    ) -> Result<(), EngineError> {
        let length = |filter: Option<&Filter>| filter.map_or(0, |filter| filter.as_str().len());
        let (before, after) = (length(before), length(after));
        let total = (self.filter_bytes() + after).saturating_sub(before);
        if after <= before || total <= MAX_FILTERS_BYTES_PER_ACCOUNT {
            return Ok(());
        }
        let detail = format!(
            "the filters of an account's endpoints have at most {MAX_FILTERS_BYTES_PER_ACCOUNT} bytes together; with this one they have {total}"
        );
        Err(EngineError::Refused { field: "filter", detail })
    }

    /// The endpoints that an event goes to.
    pub(crate) fn endpoints_for(
        &self,
        event_type: &Arc<str>,
        livemode: bool,
        payload: &[u8],
    ) -> Vec<&Arc<Endpoint>> {
        let mut collected = None;
        let mut wanted = Vec::new();
        let mut ask = |place: usize| {
            let endpoint = &self.endpoints[place];
            let wants = endpoint.settings.filter.as_ref().is_none_or(|filter| {
                let filters = self.filters();
                // Read only where an endpoint that subscribes the type has a filter.
                let collected = collected.get_or_insert_with(|| filters.collect(payload));
                filters.place(place).is_some_and(|place| filter.matches(&collected.of_filter(place)))
            });
            if wants {
                wanted.push(endpoint);
            }
        };
        match self.known_subscribers(event_type, livemode) {
            Some(subscribers) => subscribers.iter().for_each(|place| ask(*place)),
            None => {
                let subscribes = |place: &usize| self.endpoints[*place].subscribes(event_type, livemode);
                (0..self.endpoints.len()).filter(subscribes).for_each(ask);
            }
        }
        wanted
    }

    /// About what it costs to find these endpoints, in bytes that are looked at.
    pub(crate) fn routing_cost(&self, event_type: &Arc<str>, livemode: bool, payload_bytes: usize) -> usize {
        const ENDPOINT_COST: usize = 16;
        const PATTERN_COST: usize = 8;
        let patterns = || {
            let count =
                |endpoint: &Arc<Endpoint>| endpoint.settings.subscription.patterns().len() * PATTERN_COST;
            self.endpoints.iter().map(count).sum::<usize>()
        };
        let subscribers = match self.kept(event_type, livemode) {
            Some(subscribers) => subscribers.len() * ENDPOINT_COST,
            None => patterns() + self.endpoints.len() * ENDPOINT_COST,
        };
        match self.filter_bytes() {
            0 => subscribers,
            // Made ready once, which costs about as much as to ask them a few times.
            bytes if self.table.filters.get().is_none() => subscribers + payload_bytes + 4 * bytes,
            bytes => subscribers + payload_bytes + bytes,
        }
    }

    fn kept(&self, event_type: &Arc<str>, livemode: bool) -> Option<Arc<[usize]>> {
        if self.endpoints.len() <= FEW_ENDPOINTS {
            return None;
        }
        let table = self.table.subscribers.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&(Arc::clone(event_type), livemode)).cloned()
    }

    /// The places of the endpoints that subscribe the type; none where they are few and asked one by one.
    fn known_subscribers(&self, event_type: &Arc<str>, livemode: bool) -> Option<Arc<[usize]>> {
        if self.endpoints.len() <= FEW_ENDPOINTS {
            return None;
        }
        if let Some(kept) = self.kept(event_type, livemode) {
            return Some(kept);
        }
        let subscribes = |place: &usize| self.endpoints[*place].subscribes(event_type, livemode);
        let found: Arc<[usize]> = (0..self.endpoints.len()).filter(subscribes).collect();
        let mut table = self.table.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= MAX_KEPT_TYPES {
            table.clear();
        }
        table.insert((Arc::clone(event_type), livemode), Arc::clone(&found));
        Some(found)
    }
}
