//! Finds deliveries that come back to this service as requests: an endpoint that points at the service itself would make an
//! event of every event.

use http::{HeaderMap, HeaderName, header};
use postrider_core::id::{AccountId, EndpointId, EventId};
use postrider_store::model::{DeliveryFilter, PageRequest};
use url::Url;

use crate::{Engine, EngineError};

/// The header of Standard Webhooks that carries the guid.
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// How many guids of one request are looked up.
const MAX_GUIDS: usize = 4;
/// How many deliveries of the event are searched for the endpoint.
const MAX_DELIVERIES: usize = 250;

/// An event of this store whose delivery came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopSource {
    /// The event and the endpoint that probably sends it here, as far as the caller may see them.
    pub seen: Option<(EventId, Option<(EndpointId, Url)>)>,
}

impl Engine {
    /// Returns the event that the headers of a request name as one delivered by this service; `None` if they name none.
    /// `sees` says whether the caller may see what belongs to an account and mode. Asks the store only if a request has such
    /// a header.
    ///
    /// `Unavailable` if the store can't be asked.
    pub async fn detect_loop(
        &self,
        headers: &HeaderMap,
        path: &str,
        sees: impl Fn(AccountId, bool) -> bool + Send + Sync,
    ) -> Result<Option<LoopSource>, EngineError> {
        let values =
            headers.get_all(self.0.names.delivery.as_str()).iter().chain(headers.get_all(WEBHOOK_ID));
        let mut guids: Vec<EventId> = Vec::new();
        for guid in values.filter_map(|value| value.to_str().ok()?.trim().parse().ok()) {
            if !guids.contains(&guid) && guids.len() < MAX_GUIDS {
                guids.push(guid);
            }
        }
        for guid in guids {
            let event = match self.event(guid).await {
                Ok(event) => event,
                Err(EngineError::NotFound) => continue,
                Err(error) => return Err(error),
            };
            if !sees(event.account, event.livemode) {
                return Ok(Some(LoopSource { seen: None }));
            }
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let endpoint = self.sender_of(guid, event.account, host, path).await?;
            return Ok(Some(LoopSource { seen: Some((guid, endpoint)) }));
        }
        Ok(None)
    }

    /// Returns the endpoint of this event whose URL fits a request the best; `None` if several fit as well as one another, or
    /// if there is none any more.
    async fn sender_of(
        &self,
        event: EventId,
        account: AccountId,
        host: &str,
        path: &str,
    ) -> Result<Option<(EndpointId, Url)>, EngineError> {
        let filter =
            DeliveryFilter { account: Some(account), event: Some(event), ..DeliveryFilter::default() };
        let page = self.deliveries(filter, PageRequest { limit: MAX_DELIVERIES, before: None }).await?;
        let mut candidates: Vec<(u8, EndpointId, Url)> = Vec::new();
        for delivery in page.rows {
            let is_known = candidates.iter().any(|(_, known, _)| *known == delivery.endpoint);
            if !is_known && let Ok(view) = self.endpoint(delivery.endpoint) {
                let url = view.endpoint.settings.url.clone();
                candidates.push((likeness(&url, host, path), delivery.endpoint, url));
            }
        }
        candidates.sort_by_key(|(likeness, ..)| std::cmp::Reverse(*likeness));
        Ok(match candidates.as_slice() {
            [(best, ..), (next, ..), ..] if best == next => None,
            [(_, id, url), ..] => Some((*id, url.clone())),
            [] => None,
        })
    }
}

/// How much a URL looks like the one that a request with this `Host` and path was sent to. A proxy may have changed the
/// host, so the path says more.
fn likeness(url: &Url, host: &str, path: &str) -> u8 {
    let authority = match (url.host_str(), url.port()) {
        (Some(name), Some(port)) => format!("{name}:{port}"),
        (Some(name), None) => name.to_owned(),
        (None, _) => String::new(),
    };
    2 * u8::from(url.path() == path) + u8::from(authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_more_than_the_host() {
        let url: Url = "https://hooks.example:8443/v1/events".parse().unwrap();
        for (host, path, expected) in [
            ("hooks.example:8443", "/v1/events", 3),
            ("HOOKS.example:8443", "/v1/events", 3),
            ("10.0.0.5:8040", "/v1/events", 2),
            ("hooks.example:8443", "/v1/events/batch", 1),
            ("hooks.example", "/", 0),
        ] {
            assert_eq!(likeness(&url, host, path), expected, "{host}{path}");
        }
    }
}
