//! Home: how it goes, what needs somebody, and what is happening.

use maud::{Markup, html};
use postrider_core::activity::Counts;
use postrider_core::time::Timestamp;
use postrider_engine::model::{EndpointFilter, EndpointView};
use postrider_engine::{Lookback, PageRequest};

use super::{deliveries, endpoints};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::show::text::number;
use crate::show::{chart, time};
use crate::visit::Visit;

/// How many endpoints in trouble are shown.
const SHOWN_ENDPOINTS: usize = 8;
/// How many deliveries the live tail shows.
const SHOWN_DELIVERIES: usize = 12;

pub(crate) async fn show(visit: Visit) -> Answer {
    let scope = visit.viewer.scope;
    let filter = EndpointFilter { account: scope.account(), livemode: scope.livemode(), state: None };
    let all = visit.engine().endpoints(filter, PageRequest { limit: usize::MAX - 1, before: None }).rows;
    let mut filters = Filters::default();
    let request = PageRequest { limit: SHOWN_DELIVERIES, before: None };
    let recent = visit.engine().deliveries(filters.deliveries(scope), request).await?;
    let lookback = if visit.query.get("span") == "hour" { Lookback::Hour } else { Lookback::Day };
    let (slots, about) = slots(&visit, &all, lookback);
    // Over all accounts, so that a customer does not see it.
    let oldest = if scope.is_operator() { visit.engine().oldest_pending().await? } else { None };
    let content = html! {
        div.head {
            h1 { "Home" }
            div.actions { (deliveries::live_button(&visit, "", true)) }
        }
        div.cards data-live="figures" { (figures(&visit, &all, (&slots, about), oldest)) }
        section.card aria-labelledby="activity" {
            h2 #activity {
                "Attempts"
                @if scope.is_operator() {
                    span.chips role="group" aria-label="How far back" {
                        @for (value, name, is_it) in [("day", "24 hours", lookback == Lookback::Day), ("hour", "1 hour", lookback == Lookback::Hour)] {
                            a href=(visit.link(&format!("/?span={value}"))) aria-current=[is_it.then_some("true")] { (name) }
                        }
                    }
                }
            }
            div data-live="chart" { (chart::bars(&slots, about)) }
            p.legend {
                span { i.good {} "received" } span { i.bad {} "failed" }
                span { "counted since the service started, " (time::short(visit.engine().started_at(), visit.engine().now())) }
            }
        }
        (attention(&visit, all))
        section aria-labelledby="recent" {
            h2 #recent { "Newest deliveries" a href=(visit.link("/deliveries")) { "All of them" } }
            (deliveries::table(&visit, &recent.rows, &filters, deliveries::Shows::All))
        }
    };
    layout::page(&visit, Section::Home, "Home", content)
}

/// What ended lately: over all for the operator, over a customer's endpoints for them.
fn slots(
    visit: &Visit,
    all: &[EndpointView],
    lookback: Lookback,
) -> (Vec<(Timestamp, Counts)>, &'static str) {
    if visit.viewer.scope.is_operator() {
        let about = if lookback == Lookback::Hour { "the last hour" } else { "the last 24 hours" };
        return (visit.engine().activity(lookback), about);
    }
    let mut sum: Vec<(Timestamp, Counts)> = Vec::new();
    for view in all {
        let Ok(slots) = visit.engine().endpoint_activity(view.endpoint.id) else { continue };
        if sum.len() != slots.len() {
            sum = slots;
            continue;
        }
        for ((_, whole), (_, part)) in sum.iter_mut().zip(slots) {
            whole.received = whole.received.saturating_add(part.received);
            whole.failed = whole.failed.saturating_add(part.failed);
        }
    }
    (sum, "the last 24 hours")
}

fn figures(
    visit: &Visit,
    all: &[EndpointView],
    (slots, about): (&[(Timestamp, Counts)], &str),
    oldest: Option<Timestamp>,
) -> Markup {
    let (received, failed) = chart::sum(slots);
    let backlog: u64 = all.iter().map(|view| view.backlog).sum();
    html! {
        div.card { div.figure { (chart::success(received, failed).unwrap_or_else(|| "–".to_owned())) } div.label { "of attempts received, " (about) } }
        div.card { div.figure { (number(received)) } div.label { "received" } }
        div.card { div.figure { (number(failed)) } div.label { "failed attempts" } }
        div.card {
            div.figure { a href=(visit.link("/deliveries?status=pending")) { (number(backlog)) } }
            div.label {
                "in the backlog"
                @if let Some(oldest) = oldest { ", the oldest accepted " (time::ago(oldest, visit.engine().now())) }
            }
        }
    }
}

/// Endpoints that need somebody, the worst first.
fn attention(visit: &Visit, all: Vec<EndpointView>) -> Markup {
    let is_empty = all.is_empty();
    let mut troubled: Vec<(u8, EndpointView)> =
        all.into_iter().filter_map(|view| Some((endpoints::trouble(&view)?, view))).collect();
    troubled.sort_by_key(|(rank, view)| (*rank, std::cmp::Reverse(view.backlog)));
    let count = troubled.len();
    let rows: Vec<EndpointView> = troubled.into_iter().take(SHOWN_ENDPOINTS).map(|(_, view)| view).collect();
    html! {
        section aria-labelledby="attention" {
            h2 #attention { "Needs attention" @if count > SHOWN_ENDPOINTS { span.muted { (rows.len()) " of " (count) } } a href=(visit.link("/endpoints")) { "All endpoints" } }
            @if rows.is_empty() && !is_empty {
                p.muted data-live="attention" { "No endpoint is failing, disabled, or holding deliveries." }
            } @else {
                (endpoints::table(visit, &rows, "attention"))
            }
        }
    }
}
