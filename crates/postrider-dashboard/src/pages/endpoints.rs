//! The list of endpoints: how each does, at a glance.

use maud::{Markup, html};
use postrider_core::endpoint::State;
use postrider_core::id::AccountId;
use postrider_engine::PageRequest;
use postrider_engine::model::{EndpointFilter, EndpointView};

use super::{deliveries, names};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::show::text::{number, visible};
use crate::show::{badge, chart, time};
use crate::visit::Visit;

/// How many endpoints a field offers to choose from.
const OFFERED: usize = 200;

pub(crate) async fn list(visit: Visit) -> Answer {
    let mut filters = Filters::read(&visit.query);
    let scope = visit.viewer.scope;
    let deliveries_filter = filters.deliveries(scope);
    let filter = EndpointFilter {
        account: deliveries_filter.account,
        livemode: deliveries_filter.livemode,
        state: state(&visit),
    };
    let page = visit.engine().endpoints(filter, filters.page());
    let state = visit.query.get("state");
    let with_state = |query: String| if state.is_empty() { query } else { format!("{query}&state={state}") };
    let next = page.next.map(|next| format!("/endpoints?{}&before={next}", with_state(filters.query())));
    let content = html! {
        div.head {
            h1 { "Endpoints" }
            div.actions {
                (deliveries::live_button(&visit, &filters.query(), filters.before.is_none()))
                a.button.primary href=(visit.link("/endpoints/new")) { "New endpoint" }
            }
        }
        (layout::said(&visit))
        nav.chips aria-label="State" {
            @for (value, name) in [("", "All"), ("enabled", "Enabled"), ("paused", "Paused"), ("disabled", "Disabled")] {
                a href=(visit.link(&format!("/endpoints?{}&state={value}", filters.query())))
                    aria-current=[(state == value).then_some("true")] { (name) }
            }
        }
        @if scope.is_operator() || scope.livemode().is_none() {
            form.filters action=(visit.link("/endpoints")) data-at-once {
                @if !state.is_empty() { input type="hidden" name="state" value=(state); }
                (deliveries::account_field(&visit, &filters))
                (deliveries::mode_field(&visit, &filters))
                (deliveries::go(&visit, &filters, "/endpoints"))
            }
        }
        (deliveries::faults(&filters))
        (table(&visit, &page.rows, "endpoints"))
        (deliveries::pages(&visit, &filters, "/endpoints", next.as_deref()))
    };
    layout::page(&visit, Section::Endpoints, "Endpoints", content)
}

fn state(visit: &Visit) -> Option<&'static str> {
    ["enabled", "paused", "disabled"].into_iter().find(|state| *state == visit.query.get("state"))
}

/// Endpoints as a table; `part` names it among the live parts of its page.
pub(super) fn table(visit: &Visit, rows: &[EndpointView], part: &str) -> Markup {
    let now = visit.engine().now();
    let is_operator = visit.viewer.scope.is_operator();
    html! {
        @if rows.is_empty() {
            div.empty {
                h2 { "No endpoints" }
                p { "An endpoint is a URL that wants certain events." }
                p { a.button href=(visit.link("/endpoints/new")) { "New endpoint" } }
            }
        } @else {
            div.scroll {
                table.list {
                    thead { tr {
                        th scope="col" { "Health" }
                        th scope="col" { "Endpoint" }
                        @if is_operator { th scope="col" { "Account" } }
                        th scope="col" { "Mode" }
                        th scope="col" { "Last 24 h" }
                        th.num scope="col" { "Backlog" }
                        th scope="col" { "Last success" }
                    } }
                    tbody data-live=(part) {
                        @for view in rows {
                            @let id = view.endpoint.id;
                            tr data-key=(id) {
                                td { (badge::endpoint(view)) }
                                td.wide {
                                    a.row href=(visit.link(&format!("/endpoints/{id}"))) { bdi { (names::of_endpoint(&view.endpoint)) } }
                                    @if !view.endpoint.settings.description.is_empty() {
                                        br; span.muted.cut title=(view.endpoint.settings.url) { (visible(&names::short_url(&view.endpoint))) }
                                    }
                                }
                                @if is_operator { td { (names::account_link(visit, view.endpoint.account)) } }
                                td { (badge::mode(view.endpoint.livemode)) }
                                td { (chart::spark(&visit.engine().endpoint_activity(id).unwrap_or_default())) }
                                td.num data-label="Backlog" { (number(view.backlog)) }
                                td { @match view.health.last_success_at { Some(at) => (time::short(at, now)), None => span.muted { "never" } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Endpoints to choose from, the newest first: the visitor's own, or those of an account.
pub(super) fn some(visit: &Visit, account: Option<AccountId>) -> Vec<EndpointView> {
    let scope = visit.viewer.scope;
    let filter =
        EndpointFilter { account: scope.account().or(account), livemode: scope.livemode(), state: None };
    visit.engine().endpoints(filter, PageRequest { limit: OFFERED, before: None }).rows
}

/// How much an endpoint asks for somebody to look at it; none where it does not.
pub(super) fn trouble(view: &EndpointView) -> Option<u8> {
    match view.state {
        State::Disabled(reason) if reason != postrider_core::endpoint::DisabledReason::Operator => Some(0),
        State::Enabled if view.health.is_failing() => Some(1),
        State::Disabled(_) | State::Paused if view.backlog > 0 => Some(2),
        State::Enabled if view.health.is_degraded() => Some(3),
        _ => None,
    }
}
