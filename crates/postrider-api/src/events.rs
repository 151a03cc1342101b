//! `/v1/events`: events handed in, one or many at once, and read again.

mod routing;
mod shown;
mod submission;

use axum::response::Response;
use http::StatusCode;
use postrider_core::event::Event;
use postrider_core::event_type::is_event_type_name;
use postrider_core::id::EventId;
use postrider_core::limits::MAX_BATCH_EVENTS;
use postrider_engine::model::{Accepted, Submission};
use postrider_engine::traces::Origin;
use postrider_engine::{EngineError, EventFilter, Once};

use crate::answer::{self, Answer, List};
use crate::body::Limit;
use crate::call::Call;
use crate::event_types;
use crate::fields::Fields;
use crate::once::once;
use crate::owner::NO_SUCH_ACCOUNT;
use crate::problem::Problem;
use crate::query::Walked;
pub(crate) use shown::{About, AcceptedShown};
use shown::{Results, Shown};

pub(crate) async fn create(mut call: Call) -> Answer {
    let origin = call.origin("/v1/events");
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        let mut validation =
            call.engine().begin_validation(call.caller.requester(), body.bytes().len()).await?;
        let mut fields = validation.run(|| Fields::parse(body.text()?, &submission::FIELDS))?;
        let submission =
            submission::check(call.engine(), call.caller, body.bytes(), &mut fields, &mut validation).await?;
        // Its slot is free for others while this waits for the commit.
        drop(validation);
        fields.finish()?;
        // Whatever keeps a submission from being made was noted as a fault.
        let submission = submission.ok_or_else(|| Problem::invalid(Vec::new()))?;
        let about = About::of(&submission);
        let shown = move |accepted: &[Accepted]| {
            answer::json_bytes(&accepted.first().map(|only| AcceptedShown::new(&about, only)))
        };
        let kept = asked.once(StatusCode::ACCEPTED, shown.clone());
        let accepted = accept(&call, vec![submission], "/account", kept, origin).await?;
        Ok(answer::exact_json(StatusCode::ACCEPTED, shown(&accepted)))
    })
    .await
}

pub(crate) async fn create_batch(mut call: Call) -> Answer {
    let origin = call.origin("/v1/events/batch");
    call.no_query()?;
    let body = call.body(Limit::Batch).await?;
    once(&call, &body, async |asked| {
        let mut validation =
            call.engine().begin_validation(call.caller.requester(), body.bytes().len()).await?;
        let each = validation.run(|| {
            let mut fields = Fields::parse(body.text()?, &["events"])?;
            fields.require("events");
            let each = fields.objects("events", &submission::FIELDS, MAX_BATCH_EVENTS);
            fields.finish()?;
            Ok::<_, Problem>(each.unwrap_or_default())
        })?;
        let submissions =
            submission::check_all(call.engine(), call.caller, body.bytes(), each, &mut validation).await?;
        drop(validation);
        let abouts: Vec<_> = submissions.iter().map(About::of).collect();
        let shown = move |accepted: &[Accepted]| {
            let results = abouts.iter().zip(accepted).map(|(about, one)| AcceptedShown::new(about, one));
            answer::json_bytes(&Results { results: results.collect() })
        };
        let kept = asked.once(StatusCode::ACCEPTED, shown.clone());
        let accepted = accept(&call, submissions, "/events", kept, origin).await?;
        Ok(answer::exact_json(StatusCode::ACCEPTED, shown(&accepted)))
    })
    .await
}

/// Hands judged events to the engine. An account that was deleted since it was judged is a fault at `pointer`.
async fn accept(
    call: &Call,
    submissions: Vec<Submission>,
    pointer: &str,
    once: Option<Once<[Accepted]>>,
    origin: Option<Origin>,
) -> Result<Vec<Accepted>, Problem> {
    let accepted = call.engine().ingest_call(submissions, once, origin).await;
    let base = |index| if pointer == "/events" { format!("/events/{index}") } else { String::new() };
    accepted.map_err(|why| match why {
        EngineError::EventRefused { index, faults } => event_types::faults(&base(index), faults),
        EngineError::TooExpensive { index, place } => Problem::too_expensive(&base(index), place),
        other => Problem::from(other).or_invalid_field(pointer, NO_SUCH_ACCOUNT),
    })
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query(&["account", "type", "livemode", "since", "until", "limit", "cursor"])?;
    let (account, livemode) = query.bounds(call.caller)?;
    let filter = EventFilter {
        account,
        event_type: query
            .read("type", "an event type's name", |text| is_event_type_name(text).then(|| text.to_owned())),
        livemode,
        since: query.time("since"),
        until: query.time("until"),
    };
    let page = query.page(Walked::Events)?;
    let page = call.engine().events(filter, page).await?;
    let data = page.rows.iter().map(|event| Shown::new(event, None)).collect();
    let next_cursor = page.next.map(|position| Walked::Events.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}

pub(crate) async fn show(call: Call) -> Answer {
    let event = find(&call).await?;
    call.no_query()?;
    let payload = shown::payload(&event)?;
    Ok(answer::json(StatusCode::OK, &Shown::new(&event, Some(payload))))
}

pub(crate) async fn payload(call: Call) -> Result<Response, Problem> {
    let event = find(&call).await?;
    call.no_query()?;
    Ok(answer::exact_json(StatusCode::OK, event.payload))
}

/// What each endpoint of the account that the caller sees would make of the event by today's configuration.
pub(crate) async fn routing(call: Call) -> Answer {
    let event = find(&call).await?;
    call.no_query()?;
    let mut routing = call.engine().routing(call.caller.requester(), &event).await?;
    routing.retain(|one| call.caller.sees(one.view.endpoint.account, one.view.endpoint.livemode));
    Ok(answer::json(StatusCode::OK, &routing::Shown::new(&event, &routing)))
}

/// The event in the path, if the caller may see it.
async fn find(call: &Call) -> Result<Event, Problem> {
    let event = call.engine().event(call.id::<EventId>()?).await?;
    if call.caller.sees(event.account, event.livemode) { Ok(event) } else { Err(Problem::not_found()) }
}
