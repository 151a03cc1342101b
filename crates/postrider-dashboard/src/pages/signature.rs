//! The signature panel of a delivery: how it was computed, a checker, and code that verifies it.

use maud::{Markup, html};
use postrider_core::attempt::Attempt;
use postrider_signature::{VerifyError, kasko};

use super::delivery::{self, Seen};
use crate::answer::Answer;
use crate::show::snippets;
use crate::show::text::visible;
use crate::visit::Visit;

/// The panel; `checked` is what came of the last check.
pub(super) fn panel(visit: &Visit, seen: &Seen, attempt: Option<&Attempt>, checked: Markup) -> Markup {
    let prefix = visit.engine().header_prefix();
    let name = format!("{prefix}Signature");
    let header = |wanted: &str| {
        let attempt = attempt?;
        attempt
            .request
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
    };
    let sent = header(&name);
    let next = header(&format!("{prefix}Signature-Next"));
    html! {
        section #signature aria-labelledby="signature-title" {
            h2 #signature-title { "Signature" }
            div.card {
                dl.facts {
                    dt { "Header" } dd { code { (name) } }
                    dt { "Sent" } dd { @match sent { Some(sent) => code { (visible(sent)) }, None => span.muted { "nothing was sent yet" } } }
                    @if let Some(next) = next { dt { "With the new secret" } dd { code { (visible(next)) } } }
                    dt { "Computed as" } dd { code { "\"sha1=\" + hex(HMAC-SHA1(key, body))" } }
                    dt { "Key" } dd { "the whole secret as it is written, " code { "whsec_" } " included, as UTF-8" }
                    dt { "Body" } dd { (seen.event.payload.len()) " bytes, exactly as received: before any parsing, without a change" }
                }
                (checker(visit, seen, sent.unwrap_or_default(), checked))
            }
            h3.sub { "Verify it" }
            @for (index, snippet) in snippets::all(prefix).iter().enumerate() {
                details name="snippet" {
                    summary { (snippet.language) }
                    div.in {
                        button.copy.small.js-only type="button" data-copy={ "#snippet-" (index) } { "Copy" }
                        pre id={ "snippet-" (index) } { (snippet.code) }
                    }
                }
            }
        }
    }
}

fn checker(visit: &Visit, seen: &Seen, sent: &str, checked: Markup) -> Markup {
    let attempt = seen.looking_at(seen.chosen(visit).map_or(0, |attempt| attempt.number));
    html! {
        details open[!checked.0.is_empty()] {
            summary { "Check a secret or a signature" }
            div.in {
                (checked)
                form.form method="post" action=(visit.link(&format!("/deliveries/{}/signature?{attempt}#signature", seen.delivery.id))) {
                    (visit.viewer.token())
                    div.field {
                        label for="check-secret" { "Secret" }
                        input #check-secret name="secret" type="password" required autocomplete="off" spellcheck="false" placeholder="whsec_…";
                        p.hint { "Used for this check alone; it is not stored." }
                    }
                    div.field {
                        label for="check-header" { "Signature" }
                        input #check-header.mono name="signature" value=(visible(sent)) required autocomplete="off" spellcheck="false";
                    }
                    div.field {
                        label for="check-body" { "Body" }
                        textarea #check-body name="body" rows="3" spellcheck="false" placeholder="Empty: this delivery’s payload" {}
                        p.hint { "Paste what your receiver read, to see whether it was changed on the way." }
                    }
                    div { button type="submit" { "Check" } }
                }
            }
        }
    }
}

/// Checks a signature against a secret and a body.
pub(crate) async fn check(visit: Visit) -> Answer {
    let seen = Seen::read(&visit).await?;
    let (secret, given) = (visit.form.get("secret").trim(), visit.form.get("signature").trim());
    // A browser sends line ends as CR LF, whatever was pasted.
    let pasted = visit.form.get("body").replace("\r\n", "\n");
    let body = if pasted.is_empty() { &seen.event.payload[..] } else { pasted.as_bytes() };
    let words = match kasko::verify(secret, body, given) {
        Ok(()) => {
            html! { p.said role="status" { "It matches: this secret and this body give this signature." } }
        }
        Err(VerifyError::MalformedSignature) => html! {
            p.alarm role="alert" { "This is no signature of the contract: it is " code { "sha1=" } " and 40 lower-case hex digits." }
        },
        Err(_) => html! {
            div.alarm role="alert" {
                p { strong { "It does not match. " } "With this secret the body gives " code { (kasko::sign(secret, body)) } "." }
                p { "Usual reasons: the secret of another endpoint or mode, a secret that was rotated, " code { "whsec_" } " left out, or a body that was parsed and written again." }
            }
        },
    };
    delivery::page(&visit, &seen, words)
}
