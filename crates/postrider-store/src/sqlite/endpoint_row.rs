//! An endpoint's row: settings to columns and back, secrets and headers sealed in between.

use std::time::Duration;

use postrider_core::account::AccountNo;
use postrider_core::endpoint::{CustomHeader, Endpoint, EndpointNo, EndpointSettings, RateLimit};
use postrider_core::event_type::Subscription;
use postrider_core::filter::Filter;
use postrider_core::id::{AccountId, EndpointId};
use postrider_core::schedule::RetrySchedule;
use postrider_core::secret::Secret;
use rusqlite::Row;
use url::Url;
use zeroize::Zeroizing;

use super::rows::{self, time, unreadable};
use crate::seal::{Place, Sealer};

/// Every endpoint that is not deleted, in the order of [`endpoint`]'s columns.
pub(super) const ALL_ENDPOINTS: &str = "SELECT ep.no, ep.id, ep.account_no, a.id, ep.livemode, ep.url,
        ep.event_types, ep.description, ep.headers, ep.secret, ep.timeout_ms, ep.retry_schedule,
        ep.rate_per_second, ep.rate_burst, ep.max_in_flight, ep.ordered, ep.standard_webhooks, ep.state,
        ep.disabled_reason, ep.health, ep.created_at, ep.updated_at, ep.filter
    FROM endpoints ep JOIN accounts a ON a.no = ep.account_no
    WHERE ep.deleted_at IS NULL ORDER BY ep.no";

/// The settings that need another shape in their columns.
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) event_types: String,
    pub(super) timeout_ms: i64,
    pub(super) retry_schedule: Option<String>,
    pub(super) rate_per_second: Option<u32>,
    pub(super) rate_burst: Option<u32>,
}

impl Settings {
    pub(super) fn of(settings: &EndpointSettings) -> rusqlite::Result<Self> {
        let schedule = settings.retry_schedule.as_ref().map(RetrySchedule::to_texts);
        Ok(Self {
            url: settings.url.as_str().to_owned(),
            event_types: json(&settings.subscription.to_texts())?,
            timeout_ms: i64::try_from(settings.timeout.as_millis()).unwrap_or(i64::MAX),
            retry_schedule: schedule.as_ref().map(json).transpose()?,
            rate_per_second: settings.rate_limit.map(|limit| limit.per_second),
            rate_burst: settings.rate_limit.map(|limit| limit.burst),
        })
    }
}

fn json(texts: &Vec<String>) -> rusqlite::Result<String> {
    serde_json::to_string(texts).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

/// The secret as its column holds it.
pub(super) fn sealed_secret(sealer: &Sealer, id: EndpointId, secret: &Secret) -> Vec<u8> {
    sealer.seal(place("secret", &id.to_bytes()), secret.expose().as_bytes())
}

/// The headers as their column holds them: sealed JSON, nothing where there are none.
pub(super) fn sealed_headers(
    sealer: &Sealer,
    id: EndpointId,
    headers: &[CustomHeader],
) -> rusqlite::Result<Option<Vec<u8>>> {
    if headers.is_empty() {
        return Ok(None);
    }
    let pairs: Vec<(&str, &str)> =
        headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect();
    let text = serde_json::to_vec(&pairs).map(Zeroizing::new);
    let text = text.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    Ok(Some(sealer.seal(place("headers", &id.to_bytes()), &text)))
}

fn place<'a>(column: &'static str, row: &'a [u8; 16]) -> Place<'a> {
    Place { table: "endpoints", column, row }
}

/// An endpoint from a row of [`ALL_ENDPOINTS`].
pub(super) fn endpoint(sealer: &Sealer, row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let id = EndpointId::from_bytes(row.get(1)?);
    let state = rows::state(&row.get::<_, String>(17)?, row.get::<_, Option<String>>(18)?.as_deref())?;
    Ok(Endpoint {
        no: EndpointNo(row.get(0)?),
        id,
        account_no: AccountNo(row.get(2)?),
        account: AccountId::from_bytes(row.get(3)?),
        livemode: row.get(4)?,
        settings: settings(sealer, id, row)?,
        secret: open_secret(sealer, id, &row.get::<_, Vec<u8>>(9)?)?,
        state,
        health: rows::health(&row.get::<_, String>(19)?)?,
        created_at: time(row, 20)?,
        updated_at: time(row, 21)?,
    })
}

fn settings(sealer: &Sealer, id: EndpointId, row: &Row<'_>) -> rusqlite::Result<EndpointSettings> {
    let timeout_ms = u64::try_from(row.get::<_, i64>(10)?).or(Err(unreadable("endpoints.timeout_ms")))?;
    let rate_limit = match (row.get(12)?, row.get(13)?) {
        (Some(per_second), Some(burst)) => Some(RateLimit { per_second, burst }),
        _ => None,
    };
    Ok(EndpointSettings {
        url: Url::parse(&row.get::<_, String>(5)?).or(Err(unreadable("endpoints.url")))?,
        subscription: subscription(&row.get::<_, String>(6)?)?,
        filter: filter(row.get(22)?)?,
        description: row.get(7)?,
        headers: open_headers(sealer, id, row.get(8)?)?,
        timeout: Duration::from_millis(timeout_ms),
        retry_schedule: retry_schedule(row.get(11)?)?,
        rate_limit,
        max_in_flight: row.get(14)?,
        ordered: row.get(15)?,
        standard_webhooks: row.get(16)?,
    })
}

fn subscription(text: &str) -> rusqlite::Result<Subscription> {
    let texts: Vec<String> = serde_json::from_str(text).or(Err(unreadable("endpoints.event_types")))?;
    Subscription::parse(&texts).or(Err(unreadable("endpoints.event_types")))
}

fn filter(text: Option<String>) -> rusqlite::Result<Option<Filter>> {
    let read = |text: String| Filter::parse(&text).or(Err(unreadable("endpoints.filter")));
    text.map(read).transpose()
}

fn retry_schedule(text: Option<String>) -> rusqlite::Result<Option<RetrySchedule>> {
    let Some(text) = text else { return Ok(None) };
    let texts: Vec<String> = serde_json::from_str(&text).or(Err(unreadable("endpoints.retry_schedule")))?;
    RetrySchedule::from_texts(&texts).map(Some).or(Err(unreadable("endpoints.retry_schedule")))
}

fn open_secret(sealer: &Sealer, id: EndpointId, sealed: &[u8]) -> rusqlite::Result<Secret> {
    let unreadable = || unreadable("endpoints.secret");
    let opened = sealer.open(place("secret", &id.to_bytes()), sealed).or(Err(unreadable()))?;
    Secret::parse(std::str::from_utf8(&opened).or(Err(unreadable()))?).or(Err(unreadable()))
}

fn open_headers(
    sealer: &Sealer,
    id: EndpointId,
    sealed: Option<Vec<u8>>,
) -> rusqlite::Result<Vec<CustomHeader>> {
    let Some(sealed) = sealed else { return Ok(Vec::new()) };
    let unreadable = || unreadable("endpoints.headers");
    let opened = sealer.open(place("headers", &id.to_bytes()), &sealed).or(Err(unreadable()))?;
    let pairs: Vec<(String, Zeroizing<String>)> = serde_json::from_slice::<Vec<(String, String)>>(&opened)
        .or(Err(unreadable()))?
        .into_iter()
        .map(|(name, value)| (name, Zeroizing::new(value)))
        .collect();
    Ok(pairs.into_iter().map(|(name, value)| CustomHeader { name, value }).collect())
}
