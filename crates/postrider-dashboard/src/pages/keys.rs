//! An account's keys for the REST API, for the operator: issued, listed with their last use, revoked.

use maud::{Markup, html};
use postrider_core::account::Account;
use postrider_core::id::{AccountId, KeyId};
use postrider_engine::model::KeyView;

use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::show::text::visible;
use crate::show::{badge, time};
use crate::visit::Visit;

/// The keys on an account's page.
pub(super) fn section(visit: &Visit, account: &Account) -> Markup {
    let keys = visit.engine().keys(account.id).unwrap_or_default();
    let path = format!("/accounts/{}/keys", account.id);
    let now = visit.engine().now();
    html! {
        section aria-labelledby="account-keys" {
            h2 #account-keys { "Keys" }
            @if keys.is_empty() { p.muted { "This account has no key, so it can call nothing." } } @else {
                div.scroll { table.list {
                    thead { tr {
                        th scope="col" { "Key" } th scope="col" { "Mode" } th scope="col" { "Issued" }
                        th scope="col" { "Last used" } th scope="col" { span.visually-hidden { "Revoke" } }
                    } }
                    tbody { @for key in &keys { (row(visit, &path, key, now)) } }
                } }
            }
            form.filters method="post" action=(visit.link(&path)) {
                (visit.viewer.token())
                div {
                    label for="key-mode" { "Mode" }
                    select #key-mode name="mode" { option value="test" { "Test" } option value="live" { "Live" } }
                }
                div.go { button type="submit" { "Issue a key" } }
            }
        }
    }
}

fn row(visit: &Visit, path: &str, key: &KeyView, now: postrider_core::time::Timestamp) -> Markup {
    html! {
        tr data-key=(key.id) {
            td { span.id { (key.id) } }
            td { (badge::mode(key.livemode)) }
            td { (time::short(key.created_at, now)) }
            td data-label="Last used" { @match key.last_used_at { Some(at) => (time::short(at, now)), None => span.muted { "never" } } }
            td {
                form method="post" action=(visit.link(&format!("{path}/revoke"))) data-sure="Revoke this key? Whoever uses it is refused from this moment on." {
                    (visit.viewer.token())
                    input type="hidden" name="key" value=(key.id);
                    button.small.danger type="submit" aria-label={ "Revoke " (key.id) } { "Revoke" }
                }
            }
        }
    }
}

fn account(visit: &Visit) -> Result<Account, Refusal> {
    Ok(visit.engine().account(visit.id::<AccountId>()?)?)
}

/// Issues one, and shows it, which is shown here alone.
pub(crate) async fn create(visit: Visit) -> Answer {
    let account = account(&visit)?;
    let livemode = match visit.form.get("mode") {
        "live" => true,
        "test" => false,
        _ => return Err(Refusal::BadRequest("A key is for live or for test events.".to_owned())),
    };
    let (key, text) = visit.acting().create_key(account.id, livemode, None).await?;
    tracing::info!(key = %key.id, account = %account.id, "the operator issued a key");
    let path = format!("/accounts/{}", account.id);
    let content = html! {
        (layout::trail(&visit, &[("/accounts", "Accounts"), (&path, &account.name)]))
        div.head { h1 { "Key " (badge::mode(livemode)) } }
        section.card {
            p { "Whoever has it acts for " strong { bdi { (visible(&account.name)) } } ". It is " strong { "shown here once" } "." }
            button.copy.small.js-only type="button" data-copy="#key" { "Copy" }
            pre #key { (text) }
            p { a.button.primary href=(visit.link(&path)) { "To the account" } }
        }
    };
    layout::page(&visit, Section::Accounts, "Key", content)
}

/// Ends one at once.
pub(crate) async fn revoke(visit: Visit) -> Answer {
    let account = account(&visit)?;
    let key = visit.form.get("key").parse::<KeyId>().or(Err(Refusal::NotFound))?;
    if visit.engine().key(key)?.account != account.id {
        return Err(Refusal::NotFound);
    }
    visit.acting().revoke_key(key).await?;
    tracing::info!(%key, account = %account.id, "the operator revoked a key");
    Ok(visit.see(&format!("/accounts/{}?said=revoked", account.id)))
}
