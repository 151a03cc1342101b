//! Endpoints: made, changed, deleted, and their rows. Secrets and headers are sealed on the way in.

use std::time::Duration;

use deadpool_postgres::Object;
use postrider_core::account::AccountNo;
use postrider_core::audit::Deed;
use postrider_core::endpoint::{
    CustomHeader, Endpoint, EndpointNo, EndpointSettings, RateLimit, State, UnreadableValues,
};
use postrider_core::filter::Filter;
use postrider_core::health::Health;
use postrider_core::id::{AccountId, EndpointId};
use postrider_core::limits::MAX_ENDPOINTS_PER_ACCOUNT;
use postrider_core::replay::CancelReason;
use postrider_core::secret::Secrets;

use tokio_postgres::Row;
use url::Url;

use super::configuration::{bump_version, finish};
use super::replays;
use super::rows::{Failed, id_bytes, time, to_i64, uuid};
use super::{audit, binding, kept};
use crate::columns::{OVERTAKEN, Unreadable};
use crate::endpoint_columns::{Opened, SealedRow, SealedSecrets, Settings, names_as_typed};
use crate::error::StoreError;
use crate::model::{EndpointUpdate, NewEndpoint, SecretsChange};
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
pub(super) fn endpoint(sealer: &Sealer, row: &Row) -> Result<Endpoint, Unreadable> {
    let id = EndpointId::from_bytes(id_bytes(row, 1));
    let sealed = SealedRow { sealer, id, url: row.get(5) };
    let secrets = sealed.open_secrets(row.get(9), row.get(23), row.get(24));
    let Opened { url, secrets, headers, unreadable } =
        Opened::of(sealed.url, secrets, sealed.open_headers(row.get(8), row.get(25)));
    Ok(Endpoint {
        no: EndpointNo(row.get(0)),
        id,
        account_no: AccountNo(row.get(2)),
        account: AccountId::from_bytes(id_bytes(row, 3)),
        livemode: row.get(4),
        settings: settings(url, headers, row)?,
        secrets,
        unreadable,
        state: columns::state(row.get(17), row.get(18))?,
        health: columns::health(row.get(19))?,
        created_at: time(row, 20),
        updated_at: time(row, 21),
    })
}

fn settings(url: Url, headers: Vec<CustomHeader>, row: &Row) -> Result<EndpointSettings, Unreadable> {
    let number = |index: usize, column: &'static str| {
        let read = |number: i64| u32::try_from(number).or(Err(Unreadable(column)));
        row.get::<_, Option<i64>>(index).map(read).transpose()
    };
    let rate_limit = match (number(12, "endpoints.rate_per_second")?, number(13, "endpoints.rate_burst")?) {
        (Some(per_second), Some(burst)) => Some(RateLimit { per_second, burst }),
        _ => None,
    };
    Ok(EndpointSettings {
        url,
        subscription: endpoint_columns::subscription(row.get(6))?,
        filter: endpoint_columns::filter(row.get(22))?,
        description: row.get(7),
        headers,
        timeout: Duration::from_millis(endpoint_columns::timeout_ms(row.get(10))?),
        retry_schedule: endpoint_columns::retry_schedule(row.get(11))?,
        rate_limit,
        max_in_flight: number(14, "endpoints.max_in_flight")?.ok_or(Unreadable("endpoints.max_in_flight"))?,
        ordered: row.get(15),
        standard_webhooks: row.get(16),
    })
}

const INSERT: &str = "INSERT INTO endpoints (url, event_types, description, headers, secret, timeout_ms,
        retry_schedule, rate_per_second, rate_burst, max_in_flight, ordered, standard_webhooks, state,
        health, id, account_no, livemode, created_at, updated_at, filter, header_names_as_typed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'enabled', $13, $14, $15, $16, $17, $17, $18, $19)
    RETURNING no";

pub(super) async fn create(
    client: &mut Object,
    sealer: &Sealer,
    new: NewEndpoint,
) -> Result<(Endpoint, i64), Failed> {
    let transaction = client.transaction().await?;
    kept::keep(&transaction, sealer, new.keep.as_deref()).await?;
    audit::write(&transaction, &new.deed).await?;
    // This holds the account's row, so that nobody else adds one between the count and the commit.
    let version = bump_version(&transaction, new.account_no).await?;
    let sql = "SELECT id, (SELECT count(*) FROM endpoints WHERE account_no = $1 AND deleted_at IS NULL)
        FROM accounts WHERE no = $1";
    let row = transaction.query_one(sql, &[&new.account_no.0]).await?;
    let account = AccountId::from_bytes(id_bytes(&row, 0));
    if row.get::<_, i64>(1) >= to_i64(MAX_ENDPOINTS_PER_ACCOUNT) {
        return Err(StoreError::Conflict("the account has as many endpoints as it may have").into());
    }
    let NewEndpoint { id, account_no, livemode, settings, secret, created_at, deed: _, keep: _ } = new;
    let health = Health::default();
    let columns = Settings::of(&settings);
    let scheme = binding::scheme(&transaction).await?;
    let sealed = SealedRow { sealer, id, url: &columns.url };
    let secrets = sealed.seal_secrets(scheme, &Secrets::only(secret.clone()));
    let row = transaction
        .query_one(
            INSERT,
            &[
                &columns.url,
                &columns.event_types,
                &settings.description,
                &sealed.seal_headers(scheme, &settings.headers),
                &secrets.current,
                &columns.timeout_ms,
                &columns.retry_schedule,
                &columns.rate_per_second.map(i64::from),
                &columns.rate_burst.map(i64::from),
                &i64::from(settings.max_in_flight),
                &settings.ordered,
                &settings.standard_webhooks,
                &columns::health_text(&health),
                &uuid(id.to_bytes()),
                &account_no.0,
                &livemode,
                &created_at.as_ms(),
                &settings.filter.as_ref().map(Filter::as_str),
                &names_as_typed(&settings.headers),
            ],
        )
        .await?;
    let no = EndpointNo(row.get(0));
    finish(transaction, account_no).await?;
    let (state, updated_at) = (State::Enabled, created_at);
    let endpoint = Endpoint {
        no,
        id,
        account_no,
        account,
        livemode,
        settings,
        secrets: Secrets::only(secret),
        unreadable: UnreadableValues::default(),
        state,
        health,
        created_at,
        updated_at,
    };
    Ok((endpoint, version))
}

/// Values that do not open stay as they are. The others are sealed again, for the URL that stands beside them now.
const UPDATE: &str = "UPDATE endpoints SET url = $1, event_types = $2, description = $3, filter = $5,
        timeout_ms = $6, retry_schedule = $7, rate_per_second = $8, rate_burst = $9, max_in_flight = $10,
        ordered = $11, standard_webhooks = $12, updated_at = $15, health = coalesce($16, health),
        failing = failing AND $16 IS NULL, state = coalesce($13, state),
        disabled_reason = CASE WHEN $13 IS NULL THEN disabled_reason ELSE $14 END,
        headers = CASE WHEN $19 THEN headers ELSE $4 END,
        header_names_as_typed = CASE WHEN $19 THEN header_names_as_typed ELSE $18 END,
        secret = coalesce($20, secret), next_secret = CASE WHEN $20 IS NULL THEN next_secret ELSE $21 END
    WHERE no = $17 AND deleted_at IS NULL";

pub(super) async fn update(
    client: &mut Object,
    sealer: &Sealer,
    (before, endpoint): (Endpoint, Endpoint),
    update: EndpointUpdate,
    deed: Deed,
) -> Result<i64, Failed> {
    let transaction = client.transaction().await?;
    // The account's row first, as everywhere. It keeps others from changing settings, and the endpoint's own row keeps
    // nodes from changing its state, between the look and the commit.
    let version = bump_version(&transaction, endpoint.account_no).await?;
    let find = format!("{ENDPOINTS} AND ep.no = $1 FOR NO KEY UPDATE OF ep");
    let stored = transaction.query_opt(&find, &[&endpoint.no.0]).await?.ok_or(StoreError::NotFound)?;
    let stored = self::endpoint(sealer, &stored)?;
    if update.is_overtaken(&before, &stored) {
        return Err(StoreError::Conflict(OVERTAKEN).into());
    }
    let settings = &endpoint.settings;
    let columns = Settings::of(settings);
    let scheme = binding::scheme(&transaction).await?;
    let sealed = SealedRow { sealer, id: endpoint.id, url: &columns.url };
    let readable = Some(&stored.secrets).filter(|_| !stored.unreadable.secret);
    let secrets = readable.map(|secrets| sealed.seal_secrets(scheme, secrets));
    let (state, fresh_health) = match update {
        EndpointUpdate::Settings => (None, false),
        EndpointUpdate::State { fresh_health } => (Some(endpoint.state), fresh_health),
    };
    let health = fresh_health.then(|| columns::health_text(&stored.health.begin_anew()));
    transaction
        .execute(
            UPDATE,
            &[
                &columns.url,
                &columns.event_types,
                &settings.description,
                &sealed.seal_headers(scheme, &settings.headers),
                &settings.filter.as_ref().map(Filter::as_str),
                &columns.timeout_ms,
                &columns.retry_schedule,
                &columns.rate_per_second.map(i64::from),
                &columns.rate_burst.map(i64::from),
                &i64::from(settings.max_in_flight),
                &settings.ordered,
                &settings.standard_webhooks,
                &state.map(State::as_str),
                &state.and_then(State::disabled_reason).map(|reason| reason.as_str()),
                &endpoint.updated_at.as_ms(),
                &health,
                &endpoint.no.0,
                &names_as_typed(&settings.headers),
                &endpoint.unreadable.headers,
                &secrets.as_ref().map(|secrets| &secrets.current),
                &secrets.as_ref().and_then(|secrets| secrets.next.as_ref()),
            ],
        )
        .await?;
    audit::write(&transaction, &deed).await?;
    finish(transaction, endpoint.account_no).await?;
    Ok(version)
}

/// Writes an endpoint's secrets, where they are still what the change begins with.
pub(super) async fn set_secrets(
    client: &mut Object,
    sealer: &Sealer,
    change: SecretsChange,
) -> Result<i64, Failed> {
    let transaction = client.transaction().await?;
    // This holds the account's row, so that nobody else changes the endpoint between the look and the commit.
    let version = bump_version(&transaction, change.account_no).await?;
    let (id, no) = (change.endpoint, change.endpoint_no.0);
    let find = "SELECT secret, next_secret, next_secret_at, url FROM endpoints
        WHERE no = $1 AND deleted_at IS NULL FOR NO KEY UPDATE";
    let row = transaction.query_opt(find, &[&no]).await?.ok_or(StoreError::NotFound)?;
    let sealed = SealedRow { sealer, id, url: row.get(3) };
    let found = sealed.open_secrets(row.get(0), row.get(1), row.get(2));
    if found.unwrap_or_else(Secrets::unreadable) != change.before {
        return Err(StoreError::Conflict("the secret was changed by somebody else at this moment").into());
    }
    let scheme = binding::scheme(&transaction).await?;
    let SealedSecrets { current, next, next_at } = sealed.seal_secrets(scheme, &change.after);
    let set = "UPDATE endpoints SET secret = $2, next_secret = $3, next_secret_at = $4, updated_at = $5
        WHERE no = $1";
    transaction.execute(set, &[&no, &current, &next, &next_at, &change.at.as_ms()]).await?;
    audit::write(&transaction, &change.deed).await?;
    finish(transaction, change.account_no).await?;
    Ok(version)
}

pub(super) async fn delete(client: &mut Object, no: EndpointNo, deed: Deed) -> Result<i64, Failed> {
    let transaction = client.transaction().await?;
    let find = "SELECT account_no FROM endpoints WHERE no = $1 AND deleted_at IS NULL";
    let account: Option<i64> = transaction.query_opt(find, &[&no.0]).await?.map(|row| row.get(0));
    let account = AccountNo(account.ok_or(StoreError::NotFound)?);
    let version = bump_version(&transaction, account).await?;
    let sql = "UPDATE endpoints SET deleted_at = $2 WHERE no = $1 AND deleted_at IS NULL";
    if transaction.execute(sql, &[&no.0, &deed.at.as_ms()]).await? == 0 {
        return Err(StoreError::NotFound.into());
    }
    replays::cancel_of_endpoint(&transaction, no, CancelReason::EndpointDeleted, deed.at).await?;
    audit::write(&transaction, &deed).await?;
    finish(transaction, account).await?;
    Ok(version)
}
