//! The list of events.

use maud::html;

use super::{deliveries, event_types, names};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::show::text::bytes;
use crate::show::{badge, time};
use crate::visit::Visit;

pub(crate) async fn list(visit: Visit) -> Answer {
    let mut filters = Filters::read(&visit.query);
    let filter = filters.events(visit.viewer.scope);
    let page = visit.engine().events(filter, filters.page()).await?;
    let next = page.next.map(|next| format!("/events?{}&before={next}", filters.query()));
    let now = visit.engine().now();
    let is_operator = visit.viewer.scope.is_operator();
    let content = html! {
        div.head {
            h1 { "Events" }
            @if is_operator { div.actions { a.button.primary href=(visit.link("/events/new")) { "Send an event" } } }
        }
        form.filters action=(visit.link("/events")) data-at-once {
            (deliveries::account_field(&visit, &filters))
            div {
                label for="f-type" { "Event type" }
                select #f-type name="type" {
                    option value="" { "Any" }
                    @for name in event_types::all_names(&visit) { option value=(name) selected[filters.get("type") == name] { (name) } }
                }
            }
            (deliveries::mode_field(&visit, &filters))
            (deliveries::time_fields(&filters))
            (deliveries::go(&visit, &filters, "/events"))
        }
        (deliveries::faults(&filters))
        @if page.rows.is_empty() && page.next.is_some() {
            div.empty { (deliveries::nothing_in_this_part()) }
        } @else if page.rows.is_empty() {
            div.empty { h2 { "No events" } p { "What the platform hands in shows up here." } }
        } @else {
            div.scroll { table.list {
                thead { tr {
                    th scope="col" { "Event type" }
                    @if is_operator { th scope="col" { "Account" } }
                    th scope="col" { "Mode" }
                    th.num scope="col" { "Payload" }
                    th scope="col" { "Accepted" }
                    th scope="col" { "Guid" }
                } }
                tbody {
                    @for event in &page.rows {
                        tr data-key=(event.id) {
                            td.wide { a.row href=(visit.link(&format!("/events/{}", event.id))) { (event.event_type) } }
                            @if is_operator { td { (names::account_link(&visit, event.account)) } }
                            td { (badge::mode(event.livemode)) }
                            td.num { (bytes(u64::try_from(event.payload.len()).unwrap_or(u64::MAX))) }
                            td { (time::short(event.created_at, now)) }
                            td { span.id { (event.id) } }
                        }
                    }
                }
            } }
        }
        (deliveries::pages(&visit, &filters, "/events", next.as_deref()))
    };
    layout::page(&visit, Section::Events, "Events", content)
}
