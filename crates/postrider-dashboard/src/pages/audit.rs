//! The audit log, for the operator: who did what, and from where.

use maud::{Markup, html};
use postrider_core::audit::{Action, Actor, Entry};
use postrider_engine::AuditFilter;

use super::{deliveries, names};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::show::text::visible;
use crate::show::time;
use crate::visit::Visit;

pub(crate) async fn list(visit: Visit) -> Answer {
    let mut filters = Filters::read(&visit.query);
    let filter = AuditFilter {
        account: filters.deliveries(visit.viewer.scope).account,
        action: filters.action(),
        since: filters.time("since"),
        until: filters.time("until"),
    };
    let page = visit.engine().audit(filter, filters.page()).await?;
    let next = page.next.map(|next| format!("/audit?{}&before={next}", filters.query()));
    let now = visit.engine().now();
    let content = html! {
        (layout::trail(&visit, &[("/operations", "Operations")]))
        div.head { h1 { "Audit log" } }
        p.muted { "Every change and every look at a secret, for 400 days. Secrets and header values are never in it." }
        form.filters action=(visit.link("/audit")) data-at-once {
            (deliveries::account_field(&visit, &filters))
            div {
                label for="f-action" { "Action" }
                select #f-action name="action" {
                    option value="" { "Any" }
                    @for action in Action::ALL { option value=(action.as_str()) selected[filters.get("action") == action.as_str()] { (action.as_str()) } }
                }
            }
            (deliveries::time_fields(&filters))
            (deliveries::go(&visit, &filters, "/audit"))
        }
        (deliveries::faults(&filters))
        @if page.rows.is_empty() && page.next.is_none() {
            div.empty { h2 { "Nothing here" } p { "Nobody has done what these filters ask for." } }
        } @else if page.rows.is_empty() {
            div.empty { (deliveries::nothing_in_this_part()) }
        } @else {
            div.scroll { table.list {
                thead { tr {
                    th scope="col" { "Action" } th scope="col" { "Account" } th scope="col" { "Done to" }
                    th scope="col" { "By" } th scope="col" { "From" } th scope="col" { "When" }
                } }
                tbody { @for entry in &page.rows { (row(&visit, entry, now)) } }
            } }
        }
        (deliveries::pages(&visit, &filters, "/audit", next.as_deref()))
    };
    layout::page(&visit, Section::Operations, "Audit log", content)
}

fn row(visit: &Visit, entry: &Entry, now: postrider_core::time::Timestamp) -> Markup {
    html! {
        tr data-key=(entry.no) {
            td.wide {
                (visible(&entry.action))
                @if !entry.fields.is_empty() { " " span.muted { (visible(&entry.fields.join(", "))) } }
            }
            td { (names::account_link(visit, entry.account)) }
            td { (target(visit, entry)) }
            td { (by(entry.who.actor)) }
            td { @if let Some(address) = entry.who.address { span.id { (address) } } @else { span.muted { "–" } } }
            td { (time::short(entry.at, now)) }
        }
    }
}

/// The thing, as a link where it has a page.
fn target(visit: &Visit, entry: &Entry) -> Markup {
    let target = &*entry.target;
    let page = match (Action::from_text(&entry.action), target.split_once('_')) {
        // Its name may look like anything.
        (Some(Action::EventTypeCreated | Action::EventTypeUpdated), _) => "/event-types/",
        (_, Some(("ep", _))) => "/endpoints/",
        (_, Some(("dlv", _))) => "/deliveries/",
        (_, Some(("rpl", _))) => "/replays/",
        (_, Some(("acc", _))) => "/accounts/",
        _ => return html! { span.id { (visible(target)) } },
    };
    html! { a.id href=(visit.link(&format!("{page}{target}"))) { (visible(target)) } }
}

fn by(actor: Actor) -> Markup {
    let what = match actor {
        Actor::Operator => "operator key",
        Actor::Dashboard => "dashboard",
        Actor::Service => "the service",
        Actor::Key(id) => return html! { "key " span.id { (id) } },
        Actor::Portal(id) => return html! { "portal link " span.id { (id) } },
    };
    html! { (what) }
}
