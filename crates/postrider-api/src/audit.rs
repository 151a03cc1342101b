//! `/v1/audit`: who did what, and from where. The operator's alone.

use http::StatusCode;
use postrider_core::audit::{Action, Entry};
use postrider_core::id::AccountId;
use postrider_engine::AuditFilter;
use serde::Serialize;

use crate::answer::{self, Answer, List, Text, Time};
use crate::call::Call;
use crate::query::Walked;

#[derive(Serialize)]
struct Shown<'a> {
    at: Time,
    actor: ActorShown,
    address: Option<String>,
    action: &'a str,
    account: Text<AccountId>,
    target: &'a str,
    /// The fields that changed; empty where the action says all.
    fields: &'a [String],
}

#[derive(Serialize)]
struct ActorShown {
    kind: &'static str,
    /// The key's or the link's.
    id: Option<String>,
}

impl<'a> Shown<'a> {
    fn new(entry: &'a Entry) -> Self {
        let actor = entry.who.actor;
        Self {
            at: Text(entry.at),
            actor: ActorShown { kind: actor.kind(), id: actor.id() },
            address: entry.who.address.map(|address| address.to_string()),
            action: &entry.action,
            account: Text(entry.account),
            target: &entry.target,
            fields: &entry.fields,
        }
    }
}

pub(crate) async fn list(call: Call) -> Answer {
    call.caller.must_be_operator()?;
    let mut query = call.query(&["account", "action", "since", "until", "limit", "cursor"])?;
    let filter = AuditFilter {
        account: query.id("account", "an account's id, acc_…"),
        action: query.read("action", "an action's name, such as endpoint.updated", Action::from_text),
        since: query.time("since"),
        until: query.time("until"),
    };
    let page = query.page(Walked::Audit)?;
    let page = call.engine().audit(filter, page).await?;
    let data = page.rows.iter().map(Shown::new).collect();
    let next_cursor = page.next.map(|position| Walked::Audit.cursor(position));
    Ok(answer::json(StatusCode::OK, &List { data, next_cursor }))
}
