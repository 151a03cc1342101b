//! An endpoint's row.

use std::time::Duration;

use postrider_core::account::AccountNo;
use postrider_core::endpoint::{CustomHeader, Endpoint, EndpointNo, EndpointSettings, RateLimit};
use postrider_core::id::{AccountId, EndpointId};
use rusqlite::Row;
use url::Url;

use super::rows::time;
use crate::endpoint_columns::{Opened, SealedRow};
use crate::seal::Sealer;
use crate::{columns, endpoint_columns};

/// Endpoints that are not deleted, in the order of [`endpoint`]'s columns.
pub(super) const ENDPOINTS: &str = "SELECT ep.no, ep.id, ep.account_no, a.id, ep.livemode, ep.url,
        ep.event_types, ep.description, ep.headers, ep.secret, ep.timeout_ms, ep.retry_schedule,
        ep.rate_per_second, ep.rate_burst, ep.max_in_flight, ep.ordered, ep.standard_webhooks, ep.state,
        ep.disabled_reason, ep.health, ep.created_at, ep.updated_at, ep.filter, ep.next_secret, ep.next_secret_at,
        ep.header_names_as_typed
    FROM endpoints ep JOIN accounts a ON a.no = ep.account_no
    WHERE ep.deleted_at IS NULL";

/// An endpoint from a row of [`ENDPOINTS`].
pub(super) fn endpoint(sealer: &Sealer, row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let id = EndpointId::from_bytes(row.get(1)?);
    let state = columns::state(&row.get::<_, String>(17)?, row.get::<_, Option<String>>(18)?.as_deref())?;
    let Opened { url, secrets, headers, unreadable } = opened(sealer, id, row)?;
    Ok(Endpoint {
        no: EndpointNo(row.get(0)?),
        id,
        account_no: AccountNo(row.get(2)?),
        account: AccountId::from_bytes(row.get(3)?),
        livemode: row.get(4)?,
        settings: settings(url, headers, row)?,
        secrets,
        unreadable,
        state,
        health: columns::health(&row.get::<_, String>(19)?)?,
        created_at: time(row, 20)?,
        updated_at: time(row, 21)?,
    })
}

fn opened(sealer: &Sealer, id: EndpointId, row: &Row<'_>) -> rusqlite::Result<Opened> {
    let url: String = row.get(5)?;
    let (current, next): (Vec<u8>, Option<Vec<u8>>) = (row.get(9)?, row.get(23)?);
    let (headers, names_as_typed): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(8)?, row.get(25)?);
    let sealed = SealedRow { sealer, id, url: &url };
    let secrets = sealed.open_secrets(&current, next.as_deref(), row.get(24)?);
    Ok(Opened::of(&url, secrets, sealed.open_headers(headers.as_deref(), names_as_typed.as_deref())))
}

fn settings(url: Url, headers: Vec<CustomHeader>, row: &Row<'_>) -> rusqlite::Result<EndpointSettings> {
    let rate_limit = match (row.get(12)?, row.get(13)?) {
        (Some(per_second), Some(burst)) => Some(RateLimit { per_second, burst }),
        _ => None,
    };
    Ok(EndpointSettings {
        url,
        subscription: endpoint_columns::subscription(&row.get::<_, String>(6)?)?,
        filter: endpoint_columns::filter(row.get(22)?)?,
        description: row.get(7)?,
        headers,
        timeout: Duration::from_millis(endpoint_columns::timeout_ms(row.get(10)?)?),
        retry_schedule: endpoint_columns::retry_schedule(row.get(11)?)?,
        rate_limit,
        max_in_flight: row.get(14)?,
        ordered: row.get(15)?,
        standard_webhooks: row.get(16)?,
    })
}
