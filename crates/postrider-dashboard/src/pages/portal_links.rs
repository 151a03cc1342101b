//! Links into the portal, made by the operator for a customer.

use std::time::Duration;

use maud::{Markup, html};
use postrider_core::account::Account;
use postrider_core::id::{AccountId, LinkId};
use postrider_engine::CreatedPortalLink;

use crate::answer::Answer;
use crate::door::PORTAL;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::show::text::visible;
use crate::show::time;
use crate::visit::Visit;

/// How long a link may last, as the form offers it, in seconds.
const LASTS: [(&str, &str); 4] =
    [("3600", "1 hour"), ("28800", "8 hours"), ("86400", "1 day"), ("604800", "7 days")];

/// The form on an account's page.
pub(super) fn form(visit: &Visit, account: &Account) -> Markup {
    let path = format!("/accounts/{}/portal-links", account.id);
    html! {
        section aria-labelledby="portal" {
            h2 #portal { "Portal" }
            p.muted { "A link shows this customer their own endpoints, events and deliveries, and nothing else." }
            form.filters method="post" action=(visit.link(&path)) {
                (visit.viewer.token())
                div {
                    label for="portal-mode" { "Mode" }
                    select #portal-mode name="mode" {
                        option value="" { "Both" } option value="live" { "Live" } option value="test" { "Test" }
                    }
                }
                div {
                    label for="portal-lasts" { "Lasts" }
                    select #portal-lasts name="lasts" { @for (seconds, name) in LASTS { option value=(seconds) { (name) } } }
                }
                div.go { button type="submit" { "Make a link" } }
            }
        }
    }
}

fn account(visit: &Visit) -> Result<Account, Refusal> {
    Ok(visit.engine().account(visit.id::<AccountId>()?)?)
}

/// Makes one, and shows it, which is shown here alone.
pub(crate) async fn create(visit: Visit) -> Answer {
    let account = account(&visit)?;
    let livemode = match visit.form.get("mode") {
        "" => None,
        "live" => Some(true),
        "test" => Some(false),
        _ => return Err(Refusal::BadRequest("A mode is live, test, or none for both.".to_owned())),
    };
    let lasts = match visit.form.given("lasts").map(str::parse) {
        None => None,
        Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Err(_)) => {
            return Err(Refusal::BadRequest("How long it lasts is a number of seconds.".to_owned()));
        }
    };
    let made = visit.acting().create_portal_link(account.id, livemode, lasts, None).await?;
    tracing::info!(account = %account.id, link = %made.link.id, "the operator made a portal link");
    layout::page(&visit, Section::Accounts, "Portal link", created(&visit, &account, &made))
}

fn created(visit: &Visit, account: &Account, made: &CreatedPortalLink) -> Markup {
    let now = visit.engine().now();
    let path = format!("/accounts/{}", account.id);
    let link = format!("{PORTAL}{}/", made.token);
    html! {
        (layout::trail(visit, &[("/accounts", "Accounts"), (&path, &account.name)]))
        div.head { h1 { "Portal link" } }
        section.card {
            p { "Whoever has it sees what belongs to " strong { bdi { (visible(&account.name)) } } ", until " (time::long(made.link.expires_at, now)) ". It is " strong { "shown here once" } "." }
            button.copy.small.js-only type="button" data-copy="#link" { "Copy" }
            pre #link { (link) }
            div.actions {
                a.button href=(link) target="_blank" rel="noopener noreferrer" { "Open it" }
                form method="post" action=(visit.link(&format!("{path}/portal-links/revoke"))) {
                    (visit.viewer.token())
                    input type="hidden" name="link" value=(made.link.id);
                    button.danger type="submit" { "Revoke" }
                }
            }
        }
    }
}

/// Ends one at once.
pub(crate) async fn revoke(visit: Visit) -> Answer {
    let account = account(&visit)?;
    let link = visit.form.get("link").parse::<LinkId>().or(Err(Refusal::NotFound))?;
    visit.acting().revoke_portal_link(account.id, link).await?;
    Ok(visit.see(&format!("/accounts/{}?said=revoked", account.id)))
}
