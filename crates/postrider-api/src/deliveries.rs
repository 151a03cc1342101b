//! `/v1/deliveries`: the log, each delivery with its attempts, and sending one again or cancelling it by hand.

mod shown;
mod slots;
mod stream;
mod waiting;

use http::StatusCode;
use postrider_core::attempt::Attempt;
use postrider_core::delivery::{Delivery, Status};
use postrider_core::event_type::is_event_type_name;
use postrider_core::id::DeliveryId;
use postrider_engine::DeliveryFilter;

use crate::answer::{self, Answer, List};
use crate::body::Limit;
use crate::call::Call;
use crate::once::once;
use crate::problem::Problem;
use crate::query::{Query, Walked};
use shown::Shown;
use waiting::Reasons;

pub(crate) use slots::StreamSlots;
pub(crate) use stream::stream;

const PARAMETERS: [&str; 10] =
    ["account", "endpoint", "event", "type", "livemode", "status", "since", "until", "limit", "cursor"];
/// A stream has no pages.
const OF_STREAM: &[&str] = PARAMETERS.split_at(8).0;

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query(&PARAMETERS)?;
    let filter = filter(&call, &mut query)?;
    let page = query.page(Walked::Deliveries)?;
    let page = call.engine().deliveries(filter, page).await?;
    let mut reasons = Reasons::new(call.engine());
    let data = page.rows.iter().map(|delivery| Shown::new(delivery, reasons.of(delivery))).collect();
    let next_cursor = page.next.map(|position| Walked::Deliveries.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}

fn filter(call: &Call, query: &mut Query) -> Result<DeliveryFilter, Problem> {
    let (account, livemode) = query.bounds(call.caller)?;
    let statuses = Status::ALL.map(Status::as_str).join(", ");
    Ok(DeliveryFilter {
        account,
        endpoint: query.id("endpoint", "an endpoint's id, ep_…"),
        event: query.id("event", "an event's id, 32 hex digits"),
        event_type: query
            .read("type", "an event type's name", |text| is_event_type_name(text).then(|| text.to_owned())),
        livemode,
        status: query.read("status", statuses, Status::from_text),
        since: query.time("since"),
        until: query.time("until"),
    })
}

pub(crate) async fn show(call: Call) -> Answer {
    let delivery = find(&call).await?;
    call.no_query()?;
    let mut attempts = call.engine().attempts(&delivery).await?;
    if !call.caller.is_operator() {
        attempts = attempts.into_iter().map(Attempt::for_customers).collect();
    }
    let waiting_for = Reasons::new(call.engine()).of(&delivery);
    Ok(answer::json(StatusCode::OK, &Shown::new(&delivery, waiting_for).with_attempts(&attempts)))
}

pub(crate) async fn resend(mut call: Call) -> Answer {
    let before = find(&call).await?;
    call.no_query()?;
    let body = call.body(Limit::Request).await?;
    once(&call, &body, async |asked| {
        body.has_no_fields()?;
        let engine = call.engine().clone();
        let shown = move |made: &Delivery| {
            let waiting_for = Reasons::new(&engine).of(made);
            answer::json_bytes(&Shown::new(made, waiting_for))
        };
        let kept = asked.once(StatusCode::ACCEPTED, shown.clone());
        let made = call.acting().resend(before.id, kept).await?;
        Ok(answer::exact_json(StatusCode::ACCEPTED, shown(&made)))
    })
    .await
}

pub(crate) async fn cancel(mut call: Call) -> Answer {
    let before = find(&call).await?;
    call.no_query()?;
    call.no_fields().await?;
    let cancelled = call.acting().cancel_delivery(before.id).await?;
    Ok(answer::json(StatusCode::OK, &Shown::new(&cancelled, None)))
}

/// The delivery in the path, if the caller may see it.
async fn find(call: &Call) -> Result<Delivery, Problem> {
    let delivery = call.engine().delivery(call.id::<DeliveryId>()?).await?;
    if call.caller.sees(delivery.account, delivery.livemode) {
        Ok(delivery)
    } else {
        Err(Problem::not_found())
    }
}
