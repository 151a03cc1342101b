//! The list of deliveries: one table, its filters in the address.

use maud::{Markup, html};
use postrider_core::delivery::{Delivery, Status};
use postrider_core::time::Timestamp;

use super::names;
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::show::{badge, time};
use crate::visit::Visit;

/// What of the list is asked for at a glance: the whole, or one status.
const GLANCES: [(&str, &str); 5] = [
    ("", "All"),
    ("pending", "Pending"),
    ("delivered", "Delivered"),
    ("exhausted", "Exhausted"),
    ("cancelled", "Cancelled"),
];

pub(crate) async fn list(visit: Visit) -> Answer {
    let mut filters = Filters::read(&visit.query);
    let filter = filters.deliveries(visit.viewer.scope);
    let page = visit.engine().deliveries(filter, filters.page()).await?;
    filters.more = page.next.is_some();
    let next = page.next.map(|next| format!("/deliveries?{}&before={next}", filters.query()));
    let content = html! {
        div.head {
            h1 { "Deliveries" }
            div.actions {
                (live_button(&visit, &filters.query(), filters.before.is_none()))
                a.button href=(visit.link(&format!("/replays/new?{}", filters.query()))) { "Resend these…" }
            }
        }
        (form(&visit, &filters))
        (faults(&filters))
        (table(&visit, &page.rows, &filters, Shows::All))
        (pages(&visit, &filters, "/deliveries", next.as_deref()))
    };
    layout::page(&visit, Section::Deliveries, "Deliveries", content)
}

/// The switch of the live feed. A page that is not the newest stands still.
pub(crate) fn live_button(visit: &Visit, query: &str, is_newest: bool) -> Markup {
    html! {
        @if is_newest {
            button #live.js-only type="button" aria-pressed="false" aria-keyshortcuts="l"
                title="Show what happens as it happens"
                data-source=(visit.link(&format!("/live?{query}"))) { "Live" }
        }
    }
}

fn form(visit: &Visit, filters: &Filters) -> Markup {
    let types: Vec<String> = super::event_types::all_names(visit);
    html! {
        nav.chips aria-label="Status" {
            @for (status, name) in GLANCES {
                a href=(visit.link(&format!("/deliveries?{}", filters.with("status", status))))
                    aria-current=[(filters.get("status") == status).then_some("true")] { (name) }
            }
        }
        form.filters action=(visit.link("/deliveries")) data-at-once {
            @if !filters.get("status").is_empty() { input type="hidden" name="status" value=(filters.get("status")); }
            (account_field(visit, filters))
            div {
                label for="f-type" { "Event type" }
                select #f-type name="type" {
                    option value="" { "Any" }
                    @for name in &types { option value=(name) selected[filters.get("type") == name] { (name) } }
                }
            }
            (endpoint_field(visit, filters))
            (mode_field(visit, filters))
            (time_fields(filters))
            div {
                label for="f-event" { "Guid" }
                input #f-event name="event" value=(filters.get("event")) size="8" spellcheck="false" autocomplete="off";
            }
            (go(visit, filters, "/deliveries"))
        }
    }
}

/// The choice of an account, for the operator.
pub(crate) fn account_field(visit: &Visit, filters: &Filters) -> Markup {
    if !visit.viewer.scope.is_operator() {
        return html! {};
    }
    let accounts = super::accounts::some(visit);
    let chosen = filters.get("account");
    html! {
        div {
            label for="f-account" { "Account" }
            select #f-account name="account" {
                option value="" { "Any" }
                @for account in &accounts {
                    @let id = account.id.to_string();
                    option value=(id) selected[chosen == id] { (account.name) }
                }
                @if !chosen.is_empty() && accounts.iter().all(|account| account.id.to_string() != chosen) {
                    option value=(chosen) selected { (chosen) }
                }
            }
        }
    }
}

/// The choice of an endpoint, among those of the account where one is chosen.
pub(crate) fn endpoint_field(visit: &Visit, filters: &Filters) -> Markup {
    let endpoints = super::endpoints::some(visit, filters.get("account").parse().ok());
    let chosen = filters.get("endpoint");
    html! {
        div {
            label for="f-endpoint" { "Endpoint" }
            select #f-endpoint name="endpoint" {
                option value="" { "Any" }
                @for view in &endpoints {
                    @let id = view.endpoint.id.to_string();
                    option value=(id) selected[chosen == id] { (names::of_endpoint(&view.endpoint)) }
                }
                @if !chosen.is_empty() && endpoints.iter().all(|view| view.endpoint.id.to_string() != chosen) {
                    option value=(chosen) selected { (chosen) }
                }
            }
        }
    }
}

/// The choice of a mode, where the visitor has one.
pub(crate) fn mode_field(visit: &Visit, filters: &Filters) -> Markup {
    if visit.viewer.scope.livemode().is_some() {
        return html! {};
    }
    html! {
        div {
            label for="f-mode" { "Mode" }
            select #f-mode name="mode" {
                @for (value, name) in [("", "Both"), ("live", "Live"), ("test", "Test")] {
                    option value=(value) selected[filters.get("mode") == value] { (name) }
                }
            }
        }
    }
}

/// From when until when.
pub(crate) fn time_fields(filters: &Filters) -> Markup {
    // A browser's field takes no zone.
    let local = |name: &str| filters.get(name).trim_end_matches('Z').to_owned();
    html! {
        @for (name, label) in [("since", "Since (UTC)"), ("until", "Until (UTC)")] {
            div {
                label for={ "f-" (name) } { (label) }
                input id={ "f-" (name) } name=(name) type="datetime-local" value=(local(name));
            }
        }
    }
}

/// The end of a form of filters.
pub(crate) fn go(visit: &Visit, filters: &Filters, path: &str) -> Markup {
    html! {
        div.go {
            button type="submit" { "Filter" }
            @if !filters.is_empty() { a href=(visit.link(path)) { "Clear" } }
        }
    }
}

/// What of the filters can't be read.
pub(crate) fn faults(filters: &Filters) -> Markup {
    html! { @for fault in &filters.faults { p.fault role="alert" { bdi { (fault) } ". It is left out." } } }
}

/// Which columns a table of deliveries has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    All,
    /// All are of one endpoint.
    NoEndpoint,
    /// All are of one event.
    NoEvent,
}

/// Deliveries as a table.
pub(crate) fn table(visit: &Visit, rows: &[Delivery], filters: &Filters, shows: Shows) -> Markup {
    if rows.is_empty() && shows != Shows::All {
        return html! { div.empty data-live="deliveries" { p { "No deliveries yet." } } };
    }
    let now = visit.engine().now();
    let is_operator = visit.viewer.scope.is_operator();
    html! {
        div.scroll {
            table.list {
                thead {
                    tr {
                        th scope="col" { "Status" }
                        @if shows != Shows::NoEvent { th scope="col" { "Event type" } }
                        @if shows != Shows::NoEndpoint { th scope="col" { "Endpoint" } }
                        @if is_operator && shows == Shows::All { th scope="col" { "Account" } }
                        th scope="col" { "Mode" }
                        th.num scope="col" { "Attempts" }
                        th scope="col" { "Accepted" }
                        th scope="col" { "Next attempt" }
                        th scope="col" { "Guid" }
                    }
                }
                tbody data-live="deliveries" {
                    @for delivery in rows { (row(visit, delivery, shows, now)) }
                    @if rows.is_empty() {
                        tr data-key="none" { td.wide colspan="9" { div.empty { (nothing(visit, filters)) } } }
                    }
                }
            }
        }
    }
}

fn row(visit: &Visit, delivery: &Delivery, shows: Shows, now: Timestamp) -> Markup {
    let id = delivery.id.to_string();
    let guid = delivery.event.to_string();
    let path = visit.link(&format!("/deliveries/{id}"));
    html! {
        tr data-key=(id) {
            td {
                @if shows == Shows::NoEvent { a.row href=(path) { (badge::status(delivery.status)) } }
                @else { (badge::status(delivery.status)) }
            }
            @if shows != Shows::NoEvent { td.wide { a.row href=(path) { (delivery.event_type) } @if delivery.resend_of.is_some() { span.muted { " resent" } } } }
            @if shows != Shows::NoEndpoint { td.wide { (names::endpoint_link(visit, delivery.endpoint)) } }
            @if visit.viewer.scope.is_operator() && shows == Shows::All { td { (names::account_link(visit, delivery.account)) } }
            td { (badge::mode(delivery.livemode)) }
            td.num data-label="Attempts" { (delivery.attempt_count) }
            td { (time::short(delivery.created_at, now)) }
            td { @if let Some(next) = next(delivery) { (time::short(next, now)) } }
            td { span.id title=(guid) { "…" (guid.get(24..).unwrap_or_default()) } }
        }
    }
}

fn next(delivery: &Delivery) -> Option<Timestamp> {
    delivery.next_attempt_at.filter(|_| delivery.status == Status::Pending)
}

/// What a page says that shows nothing although there is more.
pub(super) fn nothing_in_this_part() -> Markup {
    html! {
        h2 { "Nothing in this part" }
        p { "So many rows have been looked through. There is more behind them: go on with “Older”." }
    }
}

fn nothing(visit: &Visit, filters: &Filters) -> Markup {
    html! {
        @if filters.more {
            (nothing_in_this_part())
        } @else if filters.is_empty() {
            h2 { "No deliveries yet" }
            p { "An event that an endpoint wants becomes a delivery." }
            @if visit.viewer.scope.is_operator() { p { a.button href=(visit.link("/events/new")) { "Send an event" } } }
        } @else {
            h2 { "Nothing matches" }
            p { "No delivery is within these filters. What is older than the retention is deleted." }
        }
    }
}

/// The way to older rows, and back to the newest.
pub(crate) fn pages(visit: &Visit, filters: &Filters, path: &str, next: Option<&str>) -> Markup {
    html! {
        @if next.is_some() || filters.before.is_some() {
            nav.pages aria-label="Pages" {
                @if filters.before.is_some() { a.button href=(visit.link(&format!("{path}?{}", filters.query()))) { "Newest" } }
                @if let Some(next) = next { a.button rel="next" href=(visit.link(next)) { "Older" } }
            }
        }
    }
}
