//! `/v1/endpoints`: made and managed by the operator and by the account they belong to; secrets are the
//! operator's to read and to rotate (`endpoints/secrets.rs`).

mod secrets;
mod settings;
mod shown;

use std::borrow::Cow;

use http::StatusCode;
use postrider_core::endpoint::State;
use postrider_core::id::EndpointId;
use postrider_engine::model::{
    Accepted, EndpointDraft, EndpointFilter, EndpointView, StateChange, Submission,
};

use crate::answer::{self, Answer, List};
use crate::body::{Limit, Received};
use crate::call::Call;
use crate::events::{About, AcceptedShown};
use crate::fields::Fields;
use crate::loops;
use crate::once::once;
use crate::owner::{self, NO_SUCH_ACCOUNT};
use crate::problem::Problem;
use crate::query::Walked;
pub(crate) use secrets::{end_overlap, reveal, rotate};
use settings::{CHANGED, GIVEN};
use shown::Shown;

const STATES: [&str; 3] = [State::Enabled.as_str(), State::Paused.as_str(), "disabled"];

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query(&["account", "livemode", "state", "limit", "cursor"])?;
    let (account, livemode) = query.bounds(call.caller)?;
    let state =
        query.read("state", STATES.join(", "), |text| STATES.into_iter().find(|state| *state == text));
    let page = query.page(Walked::Endpoints)?;
    let page = call.engine().endpoints(EndpointFilter { account, livemode, state }, page);
    let now = call.engine().now();
    let data = page.rows.iter().map(|view| Shown::new(view, None, now)).collect();
    let next_cursor = page.next.map(|position| Walked::Endpoints.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        let mut fields = Fields::parse(body.text()?, &GIVEN)?;
        let draft = draft(&call, &mut fields).await?;
        fields.finish()?;
        // Whatever is missing was noted as a fault, so that this can't be reached without a draft.
        let draft = draft.ok_or_else(|| Problem::invalid(Vec::new()))?;
        let now = call.engine().now();
        let shown = move |made: &EndpointView| {
            let secret = Some(made.endpoint.secrets.current.expose());
            answer::json_bytes(&Shown::new(made, secret, now))
        };
        let made = call.acting().create_endpoint_once(draft, asked.once(StatusCode::CREATED, shown)).await;
        let made = made.map_err(|why| Problem::from(why).or_invalid_field("/account", NO_SUCH_ACCOUNT))?;
        Ok(answer::exact_json(StatusCode::CREATED, shown(&made)))
    })
    .await
}

/// Judges the body of a new endpoint; none where faults were noted. 403 where it names another's account or mode.
async fn draft(call: &Call, fields: &mut Fields<'_>) -> Result<Option<EndpointDraft>, Problem> {
    let (account, livemode) = owner::of_body(call.engine(), call.caller, fields).await?;
    if call.caller.bounds().is_none() && livemode.is_none() {
        fields.require("livemode");
    }
    fields.require("url");
    fields.require("event_types");
    let patch = settings::read(fields, call.engine(), call.caller, account, None);
    let secret = settings::secret(fields);
    if let (Some(secret), Some(true)) = (&secret, patch.standard_webhooks)
        && let Err(why) = secret.standard_webhooks_key()
    {
        fields.refuse("secret", why.to_string());
    }
    let settings = settings::with_defaults(patch);
    Ok(account.zip(livemode).zip(settings).map(|((account, livemode), settings)| EndpointDraft {
        account,
        livemode,
        settings,
        secret,
    }))
}

pub(crate) async fn show(call: Call) -> Answer {
    let view = find(&call)?;
    call.no_query()?;
    Ok(shown(&call, &view))
}

pub(crate) async fn change(mut call: Call) -> Answer {
    let before = find(&call)?;
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    let mut fields = Fields::parse(body.text()?, &CHANGED)?;
    settings::refuse_what_never_changes(&mut fields);
    let (account, settings_before) = (Some(before.endpoint.account), &before.endpoint.settings);
    let patch = settings::read(&mut fields, call.engine(), call.caller, account, Some(settings_before));
    if patch.standard_webhooks == Some(true)
        && !before.endpoint.unreadable.secret
        && let Err(why) = before.endpoint.secrets.check_standard_webhooks(call.engine().now())
    {
        fields.refuse("standard_webhooks", why.to_string());
    }
    fields.finish()?;
    let view = call.acting().update_endpoint(before.endpoint.id, patch).await?;
    Ok(shown(&call, &view))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let view = find(&call)?;
    call.no_query()?;
    call.acting().delete_endpoint(view.endpoint.id).await?;
    Ok(answer::nothing())
}

pub(crate) async fn test(mut call: Call) -> Answer {
    let view = find(&call)?;
    call.no_query()?;
    loops::refuse(&call).await?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        let event_type = type_to_test(&body)?;
        let kept = |submission: &Submission| {
            let about = About::of(submission);
            asked.once(StatusCode::ACCEPTED, move |accepted: &[Accepted]| {
                answer::json_bytes(&accepted.first().map(|only| AcceptedShown::new(&about, only)))
            })
        };
        let sent = call.acting().send_test(view.endpoint.id, event_type.as_deref(), kept).await;
        let (submission, accepted) = sent?;
        let about = About::of(&submission);
        Ok(answer::json(StatusCode::ACCEPTED, &AcceptedShown::new(&about, &accepted)))
    })
    .await
}

/// The event type that a test's body names, if it names one.
fn type_to_test(body: &Received) -> Result<Option<String>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut fields = Fields::parse(body.text()?, &["event_type"])?;
    let event_type = fields.text("event_type").flatten().map(Cow::into_owned);
    fields.finish()?;
    Ok(event_type)
}

pub(crate) async fn pause(call: Call) -> Answer {
    change_state(call, StateChange::Pause).await
}

pub(crate) async fn resume(call: Call) -> Answer {
    change_state(call, StateChange::Resume).await
}

pub(crate) async fn enable(call: Call) -> Answer {
    change_state(call, StateChange::Enable).await
}

pub(crate) async fn disable(call: Call) -> Answer {
    change_state(call, StateChange::Disable).await
}

async fn change_state(mut call: Call, change: StateChange) -> Answer {
    let view = find(&call)?;
    call.no_query()?;
    call.no_fields().await?;
    let view = call.acting().change_state(view.endpoint.id, change).await?;
    Ok(shown(&call, &view))
}

fn shown(call: &Call, view: &EndpointView) -> axum::response::Response {
    answer::json(StatusCode::OK, &Shown::new(view, None, call.engine().now()))
}

/// The endpoint in the path, if the caller may see it.
fn find(call: &Call) -> Result<EndpointView, Problem> {
    let view = call.engine().endpoint(call.id::<EndpointId>()?)?;
    let (account, livemode) = (view.endpoint.account, view.endpoint.livemode);
    if call.caller.sees(account, livemode) { Ok(view) } else { Err(Problem::not_found()) }
}
