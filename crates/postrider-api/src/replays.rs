//! `/v1/replays`: a range of an endpoint's finished deliveries is sent again in the background; counted first, watched,
//! cancelled.

mod shown;

use http::StatusCode;
use postrider_core::delivery::Status;
use postrider_core::event_type::is_event_type_name;
use postrider_core::id::{EndpointId, ReplayId};
use postrider_core::replay::{Replay, Selection};
use postrider_engine::ReplayFilter;
use postrider_engine::model::ReplayDraft;

use crate::answer::{self, Answer, List};
use crate::body::{Limit, Received};
use crate::call::Call;
use crate::fields::Fields;
use crate::loops;
use crate::once::{Asked, once};
use crate::problem::Problem;
use crate::query::Walked;
use shown::{Counted, Shown};

const GIVEN: [&str; 6] = ["endpoint", "status", "type", "since", "until", "dry_run"];
/// How a finished delivery may have ended.
const ENDED: [Status; 3] = [Status::Delivered, Status::Exhausted, Status::Cancelled];

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query(&["account", "livemode", "endpoint", "limit", "cursor"])?;
    let (account, livemode) = query.bounds(call.caller)?;
    let endpoint = query.id("endpoint", "an endpoint's id, ep_…");
    let page = query.page(Walked::Replays)?;
    let page = call.engine().replays(ReplayFilter { account, endpoint, livemode }, page).await?;
    let data = page.rows.iter().map(Shown::new).collect();
    let next_cursor = page.next.map(|position| Walked::Replays.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}

/// 201 with the replay, which runs by itself from then on; with `dry_run`, 200 and what it would come to.
pub(crate) async fn create(mut call: Call) -> Answer {
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| create_asked(&call, &body, &asked).await).await
}

async fn create_asked(call: &Call, body: &Received, asked: &Asked) -> Answer {
    let mut fields = Fields::parse(body.text()?, &GIVEN)?;
    let endpoint = endpoint(call, &mut fields).await?;
    let selection = selection(&mut fields);
    let dry_run = fields.boolean("dry_run").flatten().unwrap_or(false);
    fields.finish()?;
    // Whatever is missing was noted as a fault, so that this can't be reached without an endpoint.
    let endpoint = endpoint.ok_or_else(|| Problem::invalid(Vec::new()))?;
    let draft = ReplayDraft { endpoint, selection };
    if dry_run {
        let counts = call.engine().count_replay(draft.clone()).await?;
        return Ok(answer::json(StatusCode::OK, &Counted::new(&draft, counts)));
    }
    loops::refuse(call).await?;
    let shown = |made: &Replay| answer::json_bytes(&Shown::new(made));
    let made = call.acting().create_replay_once(draft, asked.once(StatusCode::CREATED, shown)).await?;
    Ok(answer::exact_json(StatusCode::CREATED, shown(&made)))
}

/// The endpoint that is named; none where that is at fault. 404 where it is not there for the caller.
async fn endpoint(call: &Call, fields: &mut Fields<'_>) -> Result<Option<EndpointId>, Problem> {
    fields.require("endpoint");
    let Some(text) = fields.needed_text("endpoint") else { return Ok(None) };
    if text == "*" {
        call.caller.must_be_operator()?;
        let detail = "must be one endpoint's id, ep_…: range, progress and the limit of one running replay are an \
                      endpoint's own, so make one for each";
        fields.refuse("endpoint", detail);
        return Ok(None);
    }
    let id: EndpointId = text.parse().map_err(|_not_an_id| Problem::not_found())?;
    let found = call.engine().endpoint_anywhere(id).await?.endpoint;
    if call.caller.sees(found.account, found.livemode) { Ok(Some(id)) } else { Err(Problem::not_found()) }
}

fn selection(fields: &mut Fields<'_>) -> Selection {
    let statuses = ENDED.map(Status::as_str).join(", ");
    let status = fields.text("status").flatten().and_then(|text| {
        let status = Status::from_text(&text).filter(|status| ENDED.contains(status));
        if status.is_none() {
            fields.refuse("status", format!("must be one of {statuses}; what is pending is sent by itself"));
        }
        status
    });
    let event_type = fields.text("type").flatten().and_then(|text| {
        let is_name = is_event_type_name(&text);
        if !is_name {
            fields.refuse("type", "must be an event type's name, such as policy.created");
        }
        is_name.then(|| text.into_owned())
    });
    let (since, until) = (fields.time("since").flatten(), fields.time("until").flatten());
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        fields.refuse("until", "must be later than \"since\"");
    }
    Selection { status, event_type, since, until }
}

pub(crate) async fn show(call: Call) -> Answer {
    let replay = find(&call).await?;
    call.no_query()?;
    Ok(answer::json(StatusCode::OK, &Shown::new(&replay)))
}

pub(crate) async fn cancel(mut call: Call) -> Answer {
    let before = find(&call).await?;
    call.no_query()?;
    call.no_fields().await?;
    let cancelled = call.acting().cancel_replay(before.id).await?;
    Ok(answer::json(StatusCode::OK, &Shown::new(&cancelled)))
}

/// The replay in the path, if the caller may see it.
async fn find(call: &Call) -> Result<Replay, Problem> {
    let replay = call.engine().replay(call.id::<ReplayId>()?).await?;
    if call.caller.sees(replay.account, replay.livemode) { Ok(replay) } else { Err(Problem::not_found()) }
}
