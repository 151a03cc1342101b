//! Replays as the wire shows them.

use postrider_core::delivery::Status;
use postrider_core::id::{AccountId, EndpointId, ReplayId};
use postrider_core::replay::{Counts, Replay, Selection};
use postrider_engine::model::ReplayDraft;
use serde::Serialize;

use crate::answer::{Text, Time};

/// A replay.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: Text<ReplayId>,
    account: Text<AccountId>,
    endpoint: Text<EndpointId>,
    livemode: bool,
    #[serde(flatten)]
    selection: SelectionShown<'a>,
    state: &'static str,
    reason: Option<&'static str>,
    counts: CountsShown,
    created_at: Time,
    finished_at: Option<Time>,
}

/// What a replay would come to.
#[derive(Serialize)]
pub(super) struct Counted<'a> {
    dry_run: bool,
    endpoint: Text<EndpointId>,
    #[serde(flatten)]
    selection: SelectionShown<'a>,
    counts: CountsShown,
}

#[derive(Serialize)]
struct SelectionShown<'a> {
    status: Option<&'static str>,
    r#type: Option<&'a str>,
    since: Option<Time>,
    until: Option<Time>,
}

#[derive(Serialize)]
struct CountsShown {
    matched: u64,
    resent: u64,
    skipped: u64,
}

impl<'a> Shown<'a> {
    pub(super) fn new(replay: &'a Replay) -> Self {
        Self {
            id: Text(replay.id),
            account: Text(replay.account),
            endpoint: Text(replay.endpoint),
            livemode: replay.livemode,
            selection: SelectionShown::new(&replay.selection),
            state: replay.state.as_str(),
            reason: replay.state.cancel_reason().map(|reason| reason.as_str()),
            counts: CountsShown::new(replay.counts),
            created_at: Text(replay.created_at),
            finished_at: replay.finished_at.map(Text),
        }
    }
}

impl<'a> Counted<'a> {
    pub(super) fn new(draft: &'a ReplayDraft, counts: Counts) -> Self {
        Self {
            dry_run: true,
            endpoint: Text(draft.endpoint),
            selection: SelectionShown::new(&draft.selection),
            counts: CountsShown::new(counts),
        }
    }
}

impl<'a> SelectionShown<'a> {
    fn new(selection: &'a Selection) -> Self {
        Self {
            status: selection.status.map(Status::as_str),
            r#type: selection.event_type.as_deref(),
            since: selection.since.map(Text),
            until: selection.until.map(Text),
        }
    }
}

impl CountsShown {
    fn new(counts: Counts) -> Self {
        Self { matched: counts.matched, resent: counts.resent, skipped: counts.skipped }
    }
}
