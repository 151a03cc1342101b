//! Operations, for the operator: how the service stands, its storage, its configuration as running, and the sessions.

use std::time::Duration;

use maud::{Markup, html};
use postrider_core::time::Timestamp;
use postrider_engine::Node;

use super::storage;
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::show::text::{number, visible};
use crate::show::time;
use crate::visit::Visit;

pub(crate) async fn show(visit: Visit) -> Answer {
    let engine = visit.engine();
    let now = engine.now();
    let is_ready = engine.check_ready().await.is_ok();
    let content = html! {
        div.head {
            h1 { "Operations" }
            div.actions { a.button href=(visit.link("/audit")) { "Audit log" } }
        }
        div.cards {
            div.card { div.figure { @if is_ready { span.badge.good { "Ready" } } @else { span.badge.bad { "Not ready" } } } div.label { "accepts events" } }
            div.card { div.figure { (time::span(now.since(engine.started_at()))) } div.label { "up, since " (time::short(engine.started_at(), now)) } }
            div.card { div.figure { (number(u64::try_from(engine.in_flight()).unwrap_or(u64::MAX))) } div.label { "requests in flight" } }
            div.card { div.figure { (env!("CARGO_PKG_VERSION")) } div.label { "version" } }
        }
        (clock(engine.clock_distrusted_for()))
        (storage::part(&engine.storage().await, now))
        (nodes(engine.nodes().await.ok().as_deref(), now))
        (configuration(&visit))
        (sessions(&visit))
    };
    layout::page(&visit, Section::Operations, "Operations", content)
}

/// Why nothing is deleted by age at the moment; nothing where the clock is trusted.
fn clock(distrusted_for: Option<Duration>) -> Markup {
    html! {
        @if let Some(left) = distrusted_for {
            div.alarm {
                p { strong { "The clock is in doubt. " } "It is more than a day ahead of the last time stored. Nothing is pruned, cancelled for being held too long, or forgotten of idempotency keys until the service has run for " (time::span(left)) " more, or the clock is set right." }
                p { "If the service was stopped for that long, or a backup was restored, there is nothing to do." }
            }
        }
    }
}

/// The nodes that serve from the store.
fn nodes(nodes: Option<&[Node]>, now: Timestamp) -> Markup {
    let is_known = nodes.is_some();
    let nodes = nodes.unwrap_or_default();
    html! {
        section aria-labelledby="nodes" {
            h2 #nodes { "Nodes" }
            @if !is_known {
                p.muted { "The store does not answer just now." }
            } @else if nodes.len() < 2 {
                p.muted { "One process serves this store. Several can on PostgreSQL." }
            }
            @if !nodes.is_empty() {
                div.scroll { table.list {
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Version" } th scope="col" { "Up since" } th scope="col" { "Last seen" }
                        th.num scope="col" { "Pending" } th.num scope="col" { "Leases" }
                    } }
                    tbody { @for node in nodes {
                        tr data-key=(node.no) {
                            td.wide { bdi { (visible(&node.name)) } @if node.is_self { " " span.muted { "this one" } } }
                            td data-label="Version" { (visible(&node.version)) }
                            td data-label="Up since" { (time::short(node.started_at, now)) }
                            td data-label="Seen" { (time::ago(node.seen_at.min(now), now)) }
                            td.num data-label="Pending" { (number(node.pending)) }
                            td.num data-label="Leases" { (number(node.leases)) }
                        }
                    } }
                } }
            }
        }
    }
}

fn configuration(visit: &Visit) -> Markup {
    let settings = &visit.app.options.settings;
    html! {
        section aria-labelledby="configuration" {
            h2 #configuration { "Configuration as running" }
            @if settings.is_empty() { p.muted { "This service runs with built-in settings." } } @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "From" } } }
                    tbody {
                        @for setting in settings {
                            tr {
                                td { code { (setting.name) } }
                                td { code { bdi { (visible(&setting.value)) } } }
                                td.muted { (setting.source) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn sessions(visit: &Visit) -> Markup {
    html! {
        section aria-labelledby="sessions" {
            h2 #sessions { "Sessions" }
            p { "A session ends after two hours in which nobody did anything, after twelve hours in any case, and with a restart. A page that is open and live does not keep it." }
            form method="post" action="/logout-everywhere" {
                (visit.viewer.token())
                button.danger type="submit" { "Log out everywhere" }
            }
        }
    }
}
