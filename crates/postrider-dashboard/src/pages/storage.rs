//! Storage, a part of the operations page: how much room the store takes, how far back the log goes, and what pruning did.

use maud::{Markup, html};
use postrider_core::time::Timestamp;
use postrider_engine::{AboutRows, EngineError, Gone, Prunings, Storage};

use crate::show::text::{bytes, number, visible};
use crate::show::time;

/// The part of the page; a store that does not answer is said and hides nothing else.
pub(super) fn part(storage: &Result<Storage, EngineError>, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="storage" {
            h2 #storage { "Storage" }
            @match storage {
                Ok(storage) => (told(storage, now)),
                Err(_) => p.muted { "The store does not answer just now." },
            }
        }
    }
}

fn told(storage: &Storage, now: Timestamp) -> Markup {
    let Storage { size, retention, prunings } = storage;
    html! {
        div.cards {
            div.card { div.figure { (bytes(size.database_bytes)) } div.label { "database" } }
            @if let Some(write_ahead) = size.write_ahead_bytes {
                div.card { div.figure { (bytes(write_ahead)) } div.label { "write-ahead log" } }
            }
            @if let Some(free) = size.free_bytes {
                div.card { div.figure { (bytes(free)) } div.label { "of the database free, used again before it grows" } }
            }
            div.card {
                @match size.oldest_event_at {
                    Some(at) => { div.figure { (time::span(now.since(at))) } div.label { "back goes the log, to " (time::short(at, now)) } }
                    None => { div.figure { "–" } div.label { "no event in the log" } }
                }
            }
        }
        dl.facts {
            dt { "Retention" } dd { (time::span(*retention)) ", as " code { "retention-days" } " says: what has ended longer ago is deleted" }
            dt { "In the log" } dd { (in_the_log(size.about)) }
            dt { "Last pruning" } dd { (last_pruning(prunings, now)) }
            dt { "Next pruning" } dd { (next_pruning(prunings, now)) }
        }
        @if !size.tables.is_empty() {
            h3.sub { "The largest tables" }
            div.scroll { table {
                thead { tr { th scope="col" { "Table" } th.num scope="col" { "With its indexes" } } }
                tbody { @for table in &size.tables {
                    tr { td { code { (visible(&table.name)) } } td.num { (bytes(table.bytes)) } }
                } }
            } }
        }
    }
}

/// The estimates there are.
fn in_the_log(about: AboutRows) -> Markup {
    let parts = [("events", about.events), ("deliveries", about.deliveries), ("attempts", about.attempts)];
    let known: Vec<String> =
        parts.iter().filter_map(|(name, count)| Some(format!("{} {name}", number((*count)?)))).collect();
    html! {
        @if known.is_empty() { span.muted { "the database has no estimate yet" } } @else { "about " (known.join(", ")) }
    }
}

fn last_pruning(prunings: &Prunings, now: Timestamp) -> Markup {
    let Some(last) = prunings.last else {
        return html! { span.muted { "none since the start" } };
    };
    html! {
        (time::short(last.ended_at, now)) ", took " (time::span(last.took)) ": " (gone(last.gone))
        @if !last.is_whole { ". " strong { "It did not come to its end: the store failed, or the clock is in doubt. " } "The next one goes on." }
    }
}

/// What pruning took away, in words.
fn gone(gone: Gone) -> String {
    let parts = [
        (gone.events, "event deleted", "events deleted"),
        (gone.pages, "page of the log dropped", "pages of the log dropped"),
        (gone.replays, "replay deleted", "replays deleted"),
        (
            gone.cancelled,
            "delivery cancelled that was held too long",
            "deliveries cancelled that were held too long",
        ),
    ];
    let said: Vec<String> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{} {}", number(count), if count == 1 { one } else { many }))
        .collect();
    if said.is_empty() { "nothing was old enough".to_owned() } else { said.join(", ") }
}

fn next_pruning(prunings: &Prunings, now: Timestamp) -> Markup {
    html! {
        @match (prunings.running_since, prunings.next_at) {
            (Some(since), _) => { "one is under way, for " (time::span(now.since(since))) },
            (None, Some(at)) => { (time::ago(at, now)) },
            (None, None) => { "in a moment" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_said_and_what_did_not_is_left_out() {
        assert_eq!(gone(Gone::default()), "nothing was old enough");
        let some = Gone { events: 1, pages: 0, replays: 2, cancelled: 12_345 };
        assert_eq!(
            gone(some),
            "1 event deleted, 2 replays deleted, 12,345 deliveries cancelled that were held too long"
        );
        assert_eq!(gone(Gone { pages: 1, ..Gone::default() }), "1 page of the log dropped");
    }

    #[test]
    fn estimates_are_told_as_such_and_only_where_there_are_any() {
        let about = AboutRows { events: Some(1_200), deliveries: None, attempts: Some(7) };
        assert_eq!(in_the_log(about).into_string(), "about 1,200 events, 7 attempts");
        assert!(in_the_log(AboutRows::default()).into_string().contains("no estimate yet"));
    }
}
