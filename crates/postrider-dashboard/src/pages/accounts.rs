//! Accounts, for the operator: the list, one of them, and its keys.

use http::StatusCode;
use maud::{Markup, html};
use postrider_core::account::Account;
use postrider_core::id::AccountId;
use postrider_core::limits::MAX_NAME_CHARS;
use postrider_core::text::ACCOUNT_NAME;
use postrider_engine::PageRequest;
use postrider_engine::model::{CreatedAccount, EndpointFilter};

use super::{endpoints, keys, portal_links};
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::query::{Filters, ROWS};
use crate::refusal::Refusal;
use crate::show::text::visible;
use crate::show::time;
use crate::visit::Visit;

/// How many accounts a field offers to choose from.
const OFFERED: usize = 200;

/// Accounts to choose from, the newest first.
pub(super) fn some(visit: &Visit) -> Vec<Account> {
    visit.engine().accounts(PageRequest { limit: OFFERED, before: None }).rows
}

pub(crate) async fn list(visit: Visit) -> Answer {
    let content = listed(&visit, None);
    layout::page(&visit, Section::Accounts, "Accounts", content)
}

fn listed(visit: &Visit, fault: Option<&str>) -> Markup {
    let filters = Filters::read(&visit.query);
    let page = visit.engine().accounts(PageRequest { limit: ROWS, before: filters.before });
    let next = page.next.map(|next| format!("/accounts?before={next}"));
    let now = visit.engine().now();
    html! {
        div.head { h1 { "Accounts" } }
        (layout::said(visit))
        form.filters method="post" action=(visit.link("/accounts")) {
            (visit.viewer.token())
            div {
                label for="name" { "New account" }
                input #name name="name" required maxlength=(MAX_NAME_CHARS) placeholder="Acme Insurance" aria-describedby="fault-name";
            }
            div.go { button.primary type="submit" { "Create" } }
        }
        p.fault #fault-name role="alert" { @if let Some(fault) = fault { (fault) } }
        @if page.rows.is_empty() {
            div.empty { h2 { "No accounts yet" } p { "An account is a customer of the platform. It owns endpoints, and everything belongs to exactly one." } }
        } @else {
            div.scroll { table.list {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Id" } th scope="col" { "Created" } } }
                tbody {
                    @for account in &page.rows {
                        tr data-key=(account.id) {
                            td.wide { a.row href=(visit.link(&format!("/accounts/{}", account.id))) { bdi { (visible(&account.name)) } } }
                            td { span.id { (account.id) } }
                            td { (time::short(account.created_at, now)) }
                        }
                    }
                }
            } }
        }
        (super::deliveries::pages(visit, &filters, "/accounts", next.as_deref()))
    }
}

/// The name in a form, if it can be one.
fn name(visit: &Visit) -> Result<String, String> {
    let name = visit.form.given("name").ok_or_else(|| "an account has a name".to_owned())?;
    ACCOUNT_NAME.check(name).map_err(|why| format!("the name {why}"))?;
    Ok(name.to_owned())
}

/// Makes one, and shows its keys, which are shown here alone.
pub(crate) async fn create(visit: Visit) -> Answer {
    match name(&visit) {
        Ok(name) => {
            let made = visit.acting().create_account(name).await?;
            layout::page(&visit, Section::Accounts, "Account created", created(&visit, &made))
        }
        Err(fault) => {
            let content = listed(&visit, Some(&fault));
            Ok(layout::page_with(
                &visit,
                StatusCode::UNPROCESSABLE_ENTITY,
                Section::Accounts,
                "Accounts",
                content,
            ))
        }
    }
}

fn created(visit: &Visit, made: &CreatedAccount) -> Markup {
    html! {
        (layout::trail(visit, &[("/accounts", "Accounts")]))
        div.head { h1 { bdi { (visible(&made.account.name)) } } }
        div.card {
            p { "These are its keys for the REST API. They are " strong { "shown here once" } "." }
            @for (id, name, key) in [("live", "Live", &made.live_key), ("test", "Test", &made.test_key)] {
                h3 { (name) }
                button.copy.small.js-only type="button" data-copy={ "#key-" (id) } { "Copy" }
                pre id={ "key-" (id) } { (key) }
            }
            p { a.button.primary href=(visit.link(&format!("/accounts/{}", made.account.id))) { "To the account" } }
        }
    }
}

fn find(visit: &Visit) -> Result<Account, Refusal> {
    Ok(visit.engine().account(visit.id::<AccountId>()?)?)
}

pub(crate) async fn show(visit: Visit) -> Answer {
    let account = find(&visit)?;
    let content = shown(&visit, &account);
    layout::page(&visit, Section::Accounts, &account.name, content)
}

fn shown(visit: &Visit, account: &Account) -> Markup {
    let id = account.id;
    let filter = EndpointFilter { account: Some(id), ..EndpointFilter::default() };
    let page = visit.engine().endpoints(filter, PageRequest { limit: ROWS, before: None });
    let now = visit.engine().now();
    html! {
        (layout::trail(visit, &[("/accounts", "Accounts")]))
        div.head {
            h1 { bdi { (visible(&account.name)) } }
            div.actions {
                a.button href=(visit.link(&format!("/deliveries?account={id}"))) { "Deliveries" }
                a.button href=(visit.link(&format!("/events/new?account={id}"))) { "Send an event" }
                a.button href=(visit.link(&format!("/endpoints/new?account={id}"))) { "New endpoint" }
            }
        }
        (layout::said(visit))
        section.card { dl.facts {
            dt { "Id" } dd { span.id { (id) } }
            dt { "Created" } dd { (time::long(account.created_at, now)) }
        } }
        section aria-labelledby="endpoints" {
            h2 #endpoints { "Endpoints" a href=(visit.link(&format!("/endpoints?account={id}"))) { "All of them" } }
            (endpoints::table(visit, &page.rows, "endpoints"))
        }
        @if id != AccountId::OPERATOR { (keys::section(visit, account)) (portal_links::form(visit, account)) (changes(visit, account)) }
    }
}

fn changes(visit: &Visit, account: &Account) -> Markup {
    let id = account.id;
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Rename or delete" }
            form.filters method="post" action=(visit.link(&format!("/accounts/{id}/rename"))) {
                (visit.viewer.token())
                div { label for="name" { "Name" } input #name name="name" value=(account.name) required maxlength=(MAX_NAME_CHARS); }
                div.go { button type="submit" { "Rename" } }
            }
            div.actions {
                form method="post" action=(visit.link(&format!("/accounts/{id}/delete"))) data-sure="Delete this account, its keys and its endpoints? What is pending is cancelled; the log stays." {
                    (visit.viewer.token())
                    label.tick { input type="checkbox" name="sure" required; " Yes, delete it, its keys and its endpoints" }
                    button.danger type="submit" { "Delete" }
                }
            }
        }
    }
}

pub(crate) async fn rename(visit: Visit) -> Answer {
    let account = find(&visit)?;
    let name = name(&visit).map_err(|fault| Refusal::BadRequest(format!("{fault}.")))?;
    visit.acting().rename_account(account.id, name).await?;
    Ok(visit.see(&format!("/accounts/{}?said=renamed", account.id)))
}

pub(crate) async fn delete(visit: Visit) -> Answer {
    let account = find(&visit)?;
    if !visit.form.is_ticked("sure") {
        return Err(Refusal::BadRequest("Tick “Yes, delete it” first; nothing was deleted.".to_owned()));
    }
    visit.acting().delete_account(account.id).await?;
    Ok(visit.see("/accounts?said=deleted"))
}
