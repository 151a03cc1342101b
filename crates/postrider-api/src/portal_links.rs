//! A customer's ways into the portal: made and revoked by the operator alone.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use postrider_core::id::{AccountId, LinkId};
use postrider_core::limits::{MAX_PORTAL_LINK, MIN_PORTAL_LINK};
use postrider_engine::CreatedPortalLink;
use serde::Serialize;

use crate::accounts;
use crate::answer::{self, Answer, Text, Time};
use crate::body::{Limit, Received};
use crate::call::Call;
use crate::fields::Fields;
use crate::once::once;
use crate::problem::Problem;

#[derive(Serialize)]
struct Shown {
    id: Text<LinkId>,
    account: Text<AccountId>,
    /// The mode that it shows; null: both.
    livemode: Option<bool>,
    /// Where the pages are served, behind the service's address. Shown here only.
    path: String,
    created_at: Time,
    expires_at: Time,
}

pub(crate) async fn create(mut call: Call) -> Answer {
    let account = accounts::named(&call)?;
    call.no_query()?;
    call.engine().account(account)?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        let (livemode, lasts) = wanted(&body)?;
        let kept = asked.once(StatusCode::CREATED, shown);
        let made = call.acting().create_portal_link(account, livemode, lasts, kept).await?;
        tracing::info!(link = %made.link.id, %account, "the operator made a link into the portal");
        Ok(answer::exact_json(StatusCode::CREATED, shown(&made)))
    })
    .await
}

/// The mode and the time that a body names; both optional.
fn wanted(body: &Received) -> Result<(Option<bool>, Option<Duration>), Problem> {
    if body.is_empty() {
        return Ok((None, None));
    }
    let mut fields = Fields::parse(body.text()?, &["livemode", "expires_in_seconds"])?;
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let livemode = fields.boolean("livemode").flatten();
    let range = seconds(MIN_PORTAL_LINK)..=seconds(MAX_PORTAL_LINK);
    let lasts = fields.whole_number("expires_in_seconds", range).flatten();
    fields.finish()?;
    Ok((livemode, lasts.map(|seconds| Duration::from_secs(seconds.into()))))
}

fn shown(made: &CreatedPortalLink) -> Bytes {
    answer::json_bytes(&Shown {
        id: Text(made.link.id),
        account: Text(made.link.account),
        livemode: made.link.livemode,
        path: format!("/portal/{}", made.token),
        created_at: Text(made.link.created_at),
        expires_at: Text(made.link.expires_at),
    })
}

pub(crate) async fn revoke(call: Call) -> Answer {
    let account = accounts::named(&call)?;
    let link: LinkId = call.second_id()?;
    call.no_query()?;
    call.acting().revoke_portal_link(account, link).await?;
    tracing::info!(%link, %account, "the operator revoked a link into the portal");
    Ok(answer::nothing())
}
