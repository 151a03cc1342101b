//! Endpoints: made, changed, deleted. Secrets and headers are sealed on the way in.

use postrider_core::account::AccountNo;
use postrider_core::audit::Deed;
use postrider_core::endpoint::{Endpoint, EndpointNo, EndpointSettings, State, UnreadableValues};
use postrider_core::filter::Filter;
use postrider_core::health::Health;
use postrider_core::id::AccountId;
use postrider_core::limits::MAX_ENDPOINTS_PER_ACCOUNT;
use postrider_core::replay::CancelReason;
use postrider_core::secret::Secrets;

use rusqlite::{OptionalExtension as _, Row, params};

use super::accounts::bump_version;
use super::replays::cancel_of_endpoint;
use super::{Context, NotMade};
use crate::columns::{self, OVERTAKEN};
use crate::endpoint_columns::{SealedRow, SealedSecrets, Settings, names_as_typed};
use crate::error::StoreError;
use crate::model::{EndpointUpdate, NewEndpoint, SecretsChange};
use crate::seal::Scheme;
use crate::sqlite::endpoint_row::{self, ENDPOINTS};
use crate::sqlite::{audit, kept};

const INSERT: &str = "INSERT INTO endpoints (url, event_types, description, headers, secret, timeout_ms,
        retry_schedule, rate_per_second, rate_burst, max_in_flight, ordered, standard_webhooks, state,
        health, id, account_no, livemode, created_at, updated_at, filter, header_names_as_typed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'enabled', ?13, ?14, ?15, ?16, ?17, ?17, ?18, ?19)";

/// Values that do not open stay as they are. The others are sealed again, for the URL that stands beside them now.
const UPDATE: &str =
    "UPDATE endpoints SET url = ?1, event_types = ?2, description = ?3, filter = ?5,
        timeout_ms = ?6, retry_schedule = ?7, rate_per_second = ?8, rate_burst = ?9, max_in_flight = ?10,
        ordered = ?11, standard_webhooks = ?12, updated_at = ?15, health = coalesce(?16, health),
        state = coalesce(?13, state), disabled_reason = CASE WHEN ?13 IS NULL THEN disabled_reason ELSE ?14 END,
        headers = CASE WHEN ?19 THEN headers ELSE ?4 END,
        header_names_as_typed = CASE WHEN ?19 THEN header_names_as_typed ELSE ?18 END,
        secret = coalesce(?20, secret), next_secret = CASE WHEN ?20 IS NULL THEN next_secret ELSE ?21 END
    WHERE no = ?17 AND deleted_at IS NULL";

pub(in crate::sqlite) fn create(
    context: &mut Context<'_>,
    new: NewEndpoint,
) -> Result<(Endpoint, i64), NotMade> {
    kept::keep(context, new.keep.as_deref())?;
    audit::write(context, &new.deed)?;
    let version = bump_version(context, new.account_no)?;
    let account = account_id(context, new.account_no)?;
    if count_of(context, new.account_no)? >= MAX_ENDPOINTS_PER_ACCOUNT {
        return Err(StoreError::Conflict("the account has as many endpoints as it may have").into());
    }
    let NewEndpoint { id, account_no, livemode, settings, secret, created_at, deed: _, keep: _ } = new;
    let health = Health::default();
    let Settings { url, event_types, timeout_ms, retry_schedule, rate_per_second, rate_burst } =
        Settings::of(&settings);
    let sealed = SealedRow { sealer: context.sealer, id, url: &url };
    let secrets = sealed.seal_secrets(Scheme::Bound, &Secrets::only(secret.clone()));
    let EndpointSettings { description, max_in_flight, ordered, standard_webhooks, .. } = &settings;
    context.connection.prepare_cached(INSERT)?.execute(params![
        url,
        event_types,
        description,
        sealed.seal_headers(Scheme::Bound, &settings.headers),
        secrets.current,
        timeout_ms,
        retry_schedule,
        rate_per_second,
        rate_burst,
        max_in_flight,
        ordered,
        standard_webhooks,
        columns::health_text(&health),
        id.to_bytes(),
        account_no.0,
        livemode,
        created_at.as_ms(),
        settings.filter.as_ref().map(Filter::as_str),
        names_as_typed(&settings.headers),
    ])?;
    let no = EndpointNo(context.connection.last_insert_rowid());
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

pub(in crate::sqlite) fn update(
    context: &mut Context<'_>,
    before: &Endpoint,
    endpoint: &Endpoint,
    update: EndpointUpdate,
    deed: &Deed,
) -> Result<i64, NotMade> {
    let sealer = context.sealer;
    let stored = context
        .connection
        .prepare_cached(&format!("{ENDPOINTS} AND ep.no = ?1"))?
        .query_row([endpoint.no.0], |row| endpoint_row::endpoint(sealer, row))
        .optional()?
        .ok_or(StoreError::NotFound)?;
    if update.is_overtaken(before, &stored) {
        return Err(StoreError::Conflict(OVERTAKEN).into());
    }
    let settings = &endpoint.settings;
    let Settings { url, event_types, timeout_ms, retry_schedule, rate_per_second, rate_burst } =
        Settings::of(settings);
    let sealed = SealedRow { sealer, id: endpoint.id, url: &url };
    let readable = Some(&stored.secrets).filter(|_| !stored.unreadable.secret);
    let secrets = readable.map(|secrets| sealed.seal_secrets(Scheme::Bound, secrets));
    let (state, fresh_health) = match update {
        EndpointUpdate::Settings => (None, false),
        EndpointUpdate::State { fresh_health } => (Some(endpoint.state), fresh_health),
    };
    let health = fresh_health.then(|| columns::health_text(&stored.health.begin_anew()));
    context.connection.prepare_cached(UPDATE)?.execute(params![
        url,
        event_types,
        settings.description,
        sealed.seal_headers(Scheme::Bound, &settings.headers),
        settings.filter.as_ref().map(Filter::as_str),
        timeout_ms,
        retry_schedule,
        rate_per_second,
        rate_burst,
        settings.max_in_flight,
        settings.ordered,
        settings.standard_webhooks,
        state.map(State::as_str),
        state.and_then(State::disabled_reason).map(|reason| reason.as_str()),
        endpoint.updated_at.as_ms(),
        health,
        endpoint.no.0,
        names_as_typed(&settings.headers),
        endpoint.unreadable.headers,
        secrets.as_ref().map(|secrets| &secrets.current),
        secrets.as_ref().and_then(|secrets| secrets.next.as_ref()),
    ])?;
    audit::write(context, deed)?;
    bump_version(context, endpoint.account_no)
}

/// Writes an endpoint's secrets, where they are still what the change begins with.
pub(in crate::sqlite) fn set_secrets(
    context: &mut Context<'_>,
    change: &SecretsChange,
) -> Result<i64, NotMade> {
    const FIND: &str = "SELECT secret, next_secret, next_secret_at, url FROM endpoints
        WHERE no = ?1 AND deleted_at IS NULL";
    const SET: &str =
        "UPDATE endpoints SET secret = ?2, next_secret = ?3, next_secret_at = ?4, updated_at = ?5
        WHERE no = ?1";
    let (sealer, id, no) = (context.sealer, change.endpoint, change.endpoint_no.0);
    let read = |row: &Row<'_>| {
        let (current, next): (Vec<u8>, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
        let url: String = row.get(3)?;
        let sealed = SealedRow { sealer, id, url: &url };
        let found = sealed.open_secrets(&current, next.as_deref(), row.get(2)?);
        Ok((found.unwrap_or_else(Secrets::unreadable), sealed.seal_secrets(Scheme::Bound, &change.after)))
    };
    let found = context.connection.prepare_cached(FIND)?.query_row([no], read).optional()?;
    let (found, SealedSecrets { current, next, next_at }) = found.ok_or(StoreError::NotFound)?;
    if found != change.before {
        return Err(StoreError::Conflict("the secret was changed by somebody else at this moment").into());
    }
    let at = change.at.as_ms();
    context.connection.prepare_cached(SET)?.execute(params![no, current, next, next_at, at])?;
    audit::write(context, &change.deed)?;
    bump_version(context, change.account_no)
}

pub(in crate::sqlite) fn delete(
    context: &mut Context<'_>,
    no: EndpointNo,
    deed: &Deed,
) -> Result<i64, NotMade> {
    let account: Option<i64> = context
        .connection
        .prepare_cached(
            "UPDATE endpoints SET deleted_at = ?2 WHERE no = ?1 AND deleted_at IS NULL RETURNING account_no",
        )?
        .query_row(params![no.0, deed.at.as_ms()], |row| row.get(0))
        .optional()?;
    let account = AccountNo(account.ok_or(StoreError::NotFound)?);
    cancel_of_endpoint(context, no, CancelReason::EndpointDeleted, deed.at)?;
    audit::write(context, deed)?;
    bump_version(context, account)
}

fn account_id(context: &Context<'_>, no: AccountNo) -> Result<AccountId, NotMade> {
    let id =
        context.connection.query_row("SELECT id FROM accounts WHERE no = ?1", [no.0], |row| row.get(0))?;
    Ok(AccountId::from_bytes(id))
}

fn count_of(context: &Context<'_>, no: AccountNo) -> Result<usize, NotMade> {
    let count: i64 = context.connection.query_row(
        "SELECT count(*) FROM endpoints WHERE account_no = ?1 AND deleted_at IS NULL",
        [no.0],
        |row| row.get(0),
    )?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}
