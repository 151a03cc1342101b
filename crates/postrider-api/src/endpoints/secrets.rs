//! An endpoint's secret: revealed and rotated, by the operator alone.

use std::time::Duration;

use http::StatusCode;
use postrider_core::limits::{DEFAULT_SECRET_OVERLAP, MAX_SECRET_OVERLAP};
use postrider_core::secret::Secret;
use postrider_engine::model::EndpointView;
use serde::Serialize;

use super::settings;
use super::shown::Shown;
use crate::answer::{self, Answer, Text, Time};
use crate::body::{Limit, Received};
use crate::call::Call;
use crate::fields::Fields;
use crate::problem::Problem;

#[derive(Serialize)]
struct Revealed<'a> {
    /// The one that makes the contract's signature.
    secret: &'a str,
    /// The new one, which signs beside it while an overlap runs …
    next_secret: Option<&'a str>,
    /// … and when it takes over.
    secret_overlap_until: Option<Time>,
}

pub(crate) async fn reveal(call: Call) -> Answer {
    let view = find(&call)?;
    call.no_query()?;
    let secrets = call.acting().secrets(view.endpoint.id).await?;
    tracing::info!(endpoint = %view.endpoint.id, "the operator read an endpoint's secret");
    let next = secrets.next.as_ref();
    let revealed = Revealed {
        secret: secrets.secret.expose(),
        next_secret: next.map(|next| next.secret.expose()),
        secret_overlap_until: next.map(|next| Text(next.takes_over_at)),
    };
    Ok(answer::json(StatusCode::OK, &revealed))
}

pub(crate) async fn rotate(mut call: Call) -> Answer {
    let view = find(&call)?;
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    let (secret, overlap) = rotation(&body, &view)?;
    let (view, secret) = call.acting().rotate_secret(view.endpoint.id, secret, overlap).await?;
    tracing::info!(endpoint = %view.endpoint.id, ?overlap, "the operator rotated an endpoint's secret");
    let shown = Shown::new(&view, Some(secret.expose()), call.engine().now());
    Ok(answer::json(StatusCode::OK, &shown))
}

/// The fields of a rotation, all of them optional.
fn rotation(body: &Received, view: &EndpointView) -> Result<(Option<Secret>, Duration), Problem> {
    if body.is_empty() {
        return Ok((None, DEFAULT_SECRET_OVERLAP));
    }
    let mut fields = Fields::parse(body.text()?, &["secret", "overlap_seconds"])?;
    let secret = settings::secret(&mut fields);
    if view.endpoint.settings.standard_webhooks
        && let Some(Err(why)) = secret.as_ref().map(Secret::standard_webhooks_key)
    {
        fields.refuse("secret", why.to_string());
    }
    let longest = u32::try_from(MAX_SECRET_OVERLAP.as_secs()).unwrap_or(u32::MAX);
    let seconds = fields.whole_number("overlap_seconds", 0..=longest).flatten();
    fields.finish()?;
    Ok((secret, seconds.map_or(DEFAULT_SECRET_OVERLAP, |seconds| Duration::from_secs(seconds.into()))))
}

pub(crate) async fn end_overlap(call: Call) -> Answer {
    let view = find(&call)?;
    call.no_query()?;
    call.acting().end_secret_overlap(view.endpoint.id).await?;
    tracing::info!(endpoint = %view.endpoint.id, "the operator ended the overlap of a rotation");
    Ok(answer::nothing())
}

/// The endpoint in the path, for the operator.
fn find(call: &Call) -> Result<EndpointView, Problem> {
    let view = super::find(call)?;
    call.caller.must_be_operator()?;
    Ok(view)
}
