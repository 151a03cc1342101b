//! An endpoint's secret, for the operator: shown when asked for, by a form, so that no address and no history shows it; and
//! rotated, with the overlap explained.

use std::time::Duration;

use maud::{Markup, html};
use postrider_core::limits::DEFAULT_SECRET_OVERLAP;
use postrider_core::secret::Secret;
use postrider_core::time::Timestamp;
use postrider_engine::model::{EndpointView, RevealedSecrets};

use super::names;
use crate::answer::Answer;
use crate::layout::{self, Section};
use crate::refusal::Refusal;
use crate::show::time;
use crate::visit::Visit;

/// How long both secrets may sign, as the form offers it, in seconds.
const OVERLAPS: [(u64, &str); 5] =
    [(86_400, "1 day"), (3_600, "1 hour"), (604_800, "7 days"), (2_592_000, "30 days"), (0, "None")];

pub(crate) async fn show(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    page(&visit, &view, None)
}

/// Shows it.
pub(crate) async fn reveal(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let secrets = visit.acting().secrets(view.endpoint.id).await?;
    tracing::info!(endpoint = %view.endpoint.id, "the operator read an endpoint's secret");
    page(&visit, &view, Some(&secrets))
}

/// Gives the endpoint another secret, and goes back to the page, where it can be revealed.
pub(crate) async fn rotate(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    let bad = |what: String| Refusal::BadRequest(format!("{what} Nothing was changed."));
    let secret = match visit.form.given("secret") {
        None => None,
        Some(text) => {
            Some(Secret::parse(text).map_err(|why| bad(format!("The new secret can’t be one: {why}.")))?)
        }
    };
    let overlap = match visit.form.given("overlap").map(str::parse) {
        None => DEFAULT_SECRET_OVERLAP,
        Some(Ok(seconds)) => Duration::from_secs(seconds),
        Some(Err(_)) => return Err(bad("The overlap is a number of seconds.".to_owned())),
    };
    visit.acting().rotate_secret(view.endpoint.id, secret, overlap).await?;
    tracing::info!(endpoint = %view.endpoint.id, ?overlap, "the operator rotated an endpoint's secret");
    let said = if overlap.is_zero() { "ended" } else { "rotated" };
    Ok(visit.see(&format!("/endpoints/{}/secret?said={said}", view.endpoint.id)))
}

/// Ends a running overlap, where that was confirmed.
pub(crate) async fn end_overlap(visit: Visit) -> Answer {
    let view = names::find_endpoint(&visit)?;
    if !visit.form.is_ticked("sure") {
        return Err(Refusal::BadRequest(
            "Tick “The receiver has the new secret” first; nothing was changed.".to_owned(),
        ));
    }
    visit.acting().end_secret_overlap(view.endpoint.id).await?;
    Ok(visit.see(&format!("/endpoints/{}/secret?said=ended", view.endpoint.id)))
}

fn page(visit: &Visit, view: &EndpointView, secrets: Option<&RevealedSecrets>) -> Answer {
    let path = format!("/endpoints/{}", view.endpoint.id);
    let now = visit.engine().now();
    let content = html! {
        (layout::trail(visit, &[("/endpoints", "Endpoints"), (&path, &names::of_endpoint(&view.endpoint))]))
        div.head { h1 { "Secret" } }
        (layout::said(visit))
        section.card {
            p { "Requests are signed with it. Whoever has it can forge requests to this receiver." }
            (shown(visit, &path, secrets))
        }
        @match view.endpoint.secrets.next(now) {
            Some(next) => (overlap(visit, &path, next.takes_over_at, now)),
            None => (rotation(visit, &path)),
        }
    };
    layout::page(visit, Section::Endpoints, "Secret", content)
}

fn shown(visit: &Visit, path: &str, secrets: Option<&RevealedSecrets>) -> Markup {
    html! {
        @match secrets {
            Some(secrets) => {
                @if secrets.next.is_some() { h3 { "The old one, which makes the signature until the overlap ends" } }
                (one(secrets.secret.expose(), "secret"))
                @if let Some(next) = &secrets.next {
                    h3 { "The new one" }
                    (one(next.secret.expose(), "next-secret"))
                }
            }
            None => {
                form method="post" action=(visit.link(&format!("{path}/secret"))) {
                    (visit.viewer.token())
                    button type="submit" { "Reveal" }
                }
                p.muted { "That somebody has looked at it is written into the audit log." }
            }
        }
    }
}

fn one(secret: &str, id: &str) -> Markup {
    html! {
        button.copy.small.js-only type="button" data-copy={ "#" (id) } { "Copy" }
        pre id=(id) { (secret) }
    }
}

/// What a running overlap means, and its end by hand.
fn overlap(visit: &Visit, path: &str, until: Timestamp, now: Timestamp) -> Markup {
    let prefix = visit.engine().header_prefix();
    html! {
        section aria-labelledby="overlap" {
            h2 #overlap { "Rotating" }
            div.note {
                p { strong { "Both secrets sign until " (time::long(until, now)) ". " }
                    code { (prefix) "Signature" } " is made with the old one, " code { (prefix) "Signature-Next" } " with the new one. "
                    "Deploy the new secret at the receiver within this time, and let it read the second header where it is there, else the first: then nothing is refused, whenever that happens." }
            }
            form.filters method="post" action=(visit.link(&format!("{path}/secret/overlap"))) {
                (visit.viewer.token())
                label.tick { input type="checkbox" name="sure" required; " The receiver has the new secret" }
                div.go { button.danger type="submit" { "End the overlap now" } }
            }
        }
    }
}

fn rotation(visit: &Visit, path: &str) -> Markup {
    html! {
        section aria-labelledby="rotation" {
            h2 #rotation { "Rotate" }
            p.muted { "The endpoint gets another secret. For the time of the overlap every request carries a signature of each, so that the receiver can be changed at any moment of it without refusing one. Then the new one takes over and the old one is forgotten." }
            form.filters method="post" action=(visit.link(&format!("{path}/secret/rotate"))) {
                (visit.viewer.token())
                div.whole {
                    label for="new-secret" { "New secret (24 to 256 visible characters; one is made where this is empty)" }
                    input #new-secret name="secret" autocomplete="off" spellcheck="false";
                }
                div {
                    label for="overlap-length" { "Overlap" }
                    select #overlap-length name="overlap" { @for (seconds, name) in OVERLAPS { option value=(seconds) { (name) } } }
                }
                div.go { button type="submit" { "Rotate" } }
            }
        }
    }
}
