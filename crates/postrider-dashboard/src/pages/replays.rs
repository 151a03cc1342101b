//! Replays: a range counted before it is sent again, and how far each has come.

use http::StatusCode;
use maud::{Markup, html};
use postrider_core::delivery::Status;
use postrider_core::endpoint::State as EndpointState;
use postrider_core::id::{EndpointId, ReplayId};
use postrider_core::replay::{Counts, Replay, Selection, State};
use postrider_engine::ReplayFilter;
use postrider_engine::model::{EndpointView, ReplayDraft};

use super::{deliveries, event_types, names};
use crate::answer::Answer;
use crate::form::Fields;
use crate::layout::{self, Section};
use crate::query::Filters;
use crate::refusal::Refusal;
use crate::show::text::number;
use crate::show::time;
use crate::visit::Visit;

pub(crate) async fn list(visit: Visit) -> Answer {
    let mut filters = Filters::read(&visit.query);
    let of = filters.deliveries(visit.viewer.scope);
    let filter = ReplayFilter { account: of.account, endpoint: of.endpoint, livemode: of.livemode };
    let page = visit.engine().replays(filter, filters.page()).await?;
    let next = page.next.map(|next| format!("/replays?{}&before={next}", filters.query()));
    let now = visit.engine().now();
    let content = html! {
        div.head {
            h1 { "Replays" }
            div.actions { a.button.primary href=(visit.link("/replays/new")) { "New replay" } }
        }
        @if page.rows.is_empty() {
            div.empty { h2 { "No replays yet" } p { "A replay sends a range of an endpoint’s finished deliveries again, counted first." } }
        } @else {
            div.scroll { table.list {
                thead { tr {
                    th scope="col" { "State" } th scope="col" { "Endpoint" } th.num scope="col" { "Resent" }
                    th.num scope="col" { "Matched" } th scope="col" { "Begun" } th scope="col" { "Ended" }
                } }
                tbody data-live="replays" {
                    @for replay in &page.rows {
                        tr data-key=(replay.id) {
                            td { a.row href=(visit.link(&format!("/replays/{}", replay.id))) { (state(replay.state)) } }
                            td.wide { (names::endpoint_link(&visit, replay.endpoint)) }
                            td.num data-label="Resent" { (number(replay.counts.resent)) }
                            td.num data-label="Matched" { (number(replay.counts.matched)) }
                            td { (time::short(replay.created_at, now)) }
                            td { @if let Some(at) = replay.finished_at { (time::short(at, now)) } }
                        }
                    }
                }
            } }
        }
        (deliveries::pages(&visit, &filters, "/replays", next.as_deref()))
    };
    layout::page(&visit, Section::Replays, "Replays", content)
}

fn state(state: State) -> Markup {
    match state {
        State::Running => html! { span.badge.wait { "Running" } },
        State::Done => html! { span.badge.good { "Done" } },
        State::Cancelled(_) => html! { span.badge.off { "Cancelled" } },
    }
}

/// A range as an address or a form has it; faults are in the filters.
fn draft(visit: &Visit, fields: &Fields) -> (Filters, Option<(EndpointView, ReplayDraft)>) {
    let mut filters = Filters::read(fields);
    let endpoint =
        filters.get("endpoint").parse::<EndpointId>().ok().and_then(|id| visit.engine().endpoint(id).ok());
    let endpoint =
        endpoint.filter(|view| visit.viewer.scope.sees(view.endpoint.account, view.endpoint.livemode));
    let selection = Selection {
        status: filters.status(),
        event_type: filters.text("type"),
        since: filters.time("since"),
        until: filters.time("until"),
    };
    if selection.status == Some(Status::Pending) {
        filters
            .faults
            .push("what is pending is tried by itself; a replay is about what has ended".to_owned());
    }
    let is_good = filters.faults.is_empty();
    let draft = endpoint.filter(|_| is_good).map(|view| {
        let draft = ReplayDraft { endpoint: view.endpoint.id, selection };
        (view, draft)
    });
    (filters, draft)
}

/// The form, and the count once an endpoint is chosen.
pub(crate) async fn new(visit: Visit) -> Answer {
    let (filters, draft) = draft(&visit, &visit.query);
    let counted = match draft {
        Some((view, draft)) => {
            let counts = visit.engine().count_replay(draft).await?;
            counted(&visit, &filters, &view, counts)
        }
        None => {
            html! { @if filters.faults.is_empty() { p.muted { "Choose an endpoint: what would be sent again is counted first, and nothing is sent by counting." } } }
        }
    };
    let content = html! {
        (layout::trail(&visit, &[("/replays", "Replays")]))
        div.head { h1 { "Send a range again" } }
        (form(&visit, &filters))
        (deliveries::faults(&filters))
        (counted)
    };
    layout::page(&visit, Section::Replays, "New replay", content)
}

fn form(visit: &Visit, filters: &Filters) -> Markup {
    html! {
        form.filters action=(visit.link("/replays/new")) {
            (deliveries::endpoint_field(visit, filters))
            div {
                label for="f-status" { "Those that ended" }
                select #f-status name="status" {
                    @for (value, name) in [("", "In any way"), ("exhausted", "Exhausted"), ("cancelled", "Cancelled"), ("delivered", "Delivered")] {
                        option value=(value) selected[filters.get("status") == value] { (name) }
                    }
                }
            }
            div {
                label for="f-type" { "Event type" }
                select #f-type name="type" {
                    option value="" { "Any" }
                    @for name in event_types::all_names(visit) { option value=(name) selected[filters.get("type") == name] { (name) } }
                }
            }
            (deliveries::time_fields(filters))
            div.go { button type="submit" { "Count" } }
        }
    }
}

fn counted(visit: &Visit, filters: &Filters, view: &EndpointView, counts: Counts) -> Markup {
    let is_disabled = matches!(view.state, EndpointState::Disabled(_));
    html! {
        section.card {
            p.figure { (number(counts.matched)) @if counts.matched == 1 { " delivery" } @else { " deliveries" } }
            p { "to " strong { bdi { (names::of_endpoint(&view.endpoint)) } } " would be sent again, each event once." }
            @if counts.skipped > 0 { p.muted { (number(counts.skipped)) " are skipped: still pending, or their event is not kept any more." } }
            @if is_disabled {
                p.fault { "The endpoint is disabled; enable it first." }
            } @else if counts.matched > 0 {
                form method="post" action=(visit.link("/replays/new")) {
                    (visit.viewer.token())
                    @for name in ["endpoint", "status", "type", "since", "until"] {
                        @if !filters.get(name).is_empty() { input type="hidden" name=(name) value=(filters.get(name)); }
                    }
                    button.primary type="submit" { "Resend " (number(counts.matched)) }
                }
                p.muted { "At a bounded pace beside live traffic; it can be cancelled while it runs." }
            }
        }
    }
}

/// Makes the replay.
pub(crate) async fn create(visit: Visit) -> Answer {
    let (filters, draft) = draft(&visit, &visit.form);
    let Some((_, draft)) = draft else {
        let content = html! { div.head { h1 { "Send a range again" } } (form(&visit, &filters)) (deliveries::faults(&filters)) };
        return Ok(layout::page_with(
            &visit,
            StatusCode::UNPROCESSABLE_ENTITY,
            Section::Replays,
            "New replay",
            content,
        ));
    };
    let replay = visit.acting().create_replay(draft).await?;
    Ok(visit.see(&format!("/replays/{}", replay.id)))
}

/// The replay in the path, if the visitor may see it.
async fn find(visit: &Visit) -> Result<Replay, Refusal> {
    let replay = visit.engine().replay(visit.id::<ReplayId>()?).await?;
    if visit.viewer.scope.sees(replay.account, replay.livemode) { Ok(replay) } else { Err(Refusal::NotFound) }
}

pub(crate) async fn show(visit: Visit) -> Answer {
    let replay = find(&visit).await?;
    let now = visit.engine().now();
    let Counts { matched, resent, skipped } = replay.counts;
    let runs = replay.state == State::Running;
    let content = html! {
        (layout::trail(&visit, &[("/replays", "Replays")]))
        div.head {
            h1 { "Replay " span data-live="state" { (state(replay.state)) } }
            @if runs {
                div.actions { form method="post" action=(visit.link(&format!("/replays/{}/cancel", replay.id))) {
                    (visit.viewer.token()) button.danger type="submit" { "Cancel" }
                } }
            }
        }
        (layout::said(&visit))
        section.card data-again=[runs.then_some("2")] {
            div data-live="progress" {
                p.figure { (number(resent)) " of " (number(matched)) " resent" }
                label.visually-hidden for="progress" { "Progress" }
                progress #progress max=(matched.max(1)) value=(if replay.state == State::Done { matched.max(1) } else { resent.min(matched) }) {}
                @if skipped > 0 { p.muted { (number(skipped)) " skipped" } }
                @if runs { p.muted { "It pauses while its endpoint has enough to do, is paused, or is failing. Without JavaScript, load the page again to see how far it is." } }
            }
        }
        section.card { dl.facts {
            dt { "Endpoint" } dd { (names::endpoint_link(&visit, replay.endpoint)) }
            dt { "Ended" } dd { (replay.selection.status.map_or("in any way", Status::as_str)) }
            dt { "Event type" } dd { (replay.selection.event_type.as_deref().unwrap_or("any")) }
            dt { "Since" } dd { @match replay.selection.since { Some(at) => (time::long(at, now)), None => "the beginning" } }
            dt { "Until" } dd { @match replay.selection.until { Some(at) => (time::long(at, now)), None => "it was begun" } }
            dt { "Begun" } dd { (time::long(replay.created_at, now)) }
            @if let Some(at) = replay.finished_at { dt { "Ended at" } dd { (time::long(at, now)) } }
        } }
        p { a href=(visit.link(&format!("/deliveries?endpoint={}", replay.endpoint))) { "Deliveries of this endpoint" } }
    };
    layout::page(&visit, Section::Replays, "Replay", content)
}

/// Ends it early.
pub(crate) async fn cancel(visit: Visit) -> Answer {
    let replay = find(&visit).await?;
    visit.acting().cancel_replay(replay.id).await?;
    Ok(visit.see(&format!("/replays/{}?said=cancelled", replay.id)))
}
