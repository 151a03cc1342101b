//! What came from a platform or a receiver is text, whatever it says.

use std::fmt::Write as _;

use crate::client::{Answer, Visitor};
use crate::harness::Service;

const SCRIPT: &str = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

/// A payload whose strings are markup, turn the text around, and are 10,000 characters long.
pub(crate) fn hostile_payload() -> String {
    let mut payload = String::from(r#"{"id":"</pre></details>"#);
    payload.push_str(&SCRIPT.replace('"', "\\\""));
    write!(
        payload,
        "\",\"livemode\":false,\"policy_id\":\"\u{202e}evil\u{2066}\u{200f}\",\"product_id\":\"{}\",\"first_name\":\"'`;${{7*7}}{{{{7*7}}}}\"}}",
        "A".repeat(10_000)
    )
    .unwrap();
    payload
}

fn assert_harmless(answer: &Answer, place: &str) {
    assert_eq!(answer.status, 200, "{place}");
    for markup in
        ["<script>", "<img src=x", "</pre></details><script", "\u{202e}", "\u{2066}", "\u{200f}", "<b>bold"]
    {
        assert!(!answer.body.contains(markup), "{place} has {markup:?}");
    }
    assert!(answer.body.len() < 250_000, "{place} has {} bytes", answer.body.len());
}

#[tokio::test]
async fn a_hostile_payload_and_a_hostile_answer_are_shown_as_text() {
    let service = Service::start().await;
    let answer = format!("<b>bold</b>{SCRIPT}\u{202e}turned {}", "B".repeat(10_000));
    service.receiver.answer(500, &answer);
    let (account, endpoint) = service.account(&format!("<b>bold</b>{SCRIPT}\u{202e}")).await;
    let delivery = service.send(account, &hostile_payload()).await;
    service.until_attempted(delivery, 1).await;
    let visitor = Visitor::operator(&service).await;
    let event = service.engine.delivery(delivery).await.unwrap().event;
    let page = visitor.get(&format!("/deliveries/{delivery}")).await;
    assert_harmless(&page, "the delivery");
    assert!(
        page.body.contains("&lt;script&gt;") && page.body.contains("\\u{202e}"),
        "it is shown all the same"
    );
    assert!(page.body.contains("The receiver answered 500"));
    for path in [
        "/".to_owned(),
        "/deliveries".to_owned(),
        "/endpoints".to_owned(),
        "/accounts".to_owned(),
        "/events/new".to_owned(),
        format!("/events/{event}"),
        format!("/endpoints/{endpoint}"),
        format!("/endpoints/{endpoint}/edit"),
        format!("/accounts/{account}"),
        format!("/events/new?event={event}"),
        format!("/search?q={}", "%3Cscript%3E"),
        format!("/deliveries?status={}&type=%22%3E%3Cb%3Ebold&since=%3Cscript%3E", "%3Cscript%3E"),
    ] {
        let page = visitor.get(&path).await;
        // A field for editing holds what is edited as it is; it is escaped all the same.
        let mut shown = Answer { body: page.body.replace('\u{202e}', ""), ..page };
        if path.contains("/edit") || path.contains("/new") || path.contains("/accounts") {
            shown.body = shown.body.replace(['\u{2066}', '\u{200f}'], "");
        }
        assert_harmless(&shown, &path);
    }
}

#[tokio::test]
async fn a_payload_opened_alone_is_text_to_every_browser() {
    let service = Service::start().await;
    let (account, _) = service.account("Acme").await;
    let payload = hostile_payload();
    let delivery = service.send(account, &payload).await;
    let event = service.engine.delivery(delivery).await.unwrap().event;
    let visitor = Visitor::operator(&service).await;
    let raw = visitor.get(&format!("/events/{event}/payload")).await;
    assert_eq!(raw.body, payload, "byte for byte");
    assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
    assert!(raw.header("content-security-policy").contains("sandbox"));
}
