//! The events that the cases hand in: the contract's four examples, and payloads that survive only where nobody
//! parses and writes them again.

use std::fmt::Write as _;

/// An event to hand in.
pub(super) struct Event {
    /// Its type.
    pub(super) kind: &'static str,
    /// Its payload, of which every byte counts.
    pub(super) payload: String,
}

/// The four examples of the contract, byte for byte.
pub(super) fn examples() -> Vec<Event> {
    [
        ("offer.created", include_str!("../../../postrider-core/src/catalogue/offer.created.json")),
        ("policy.created", include_str!("../../../postrider-core/src/catalogue/policy.created.json")),
        ("policy.updated", include_str!("../../../postrider-core/src/catalogue/policy.updated.json")),
        ("policy.cancelled", include_str!("../../../postrider-core/src/catalogue/policy.cancelled.json")),
    ]
    .map(|(kind, payload)| Event { kind, payload: payload.to_owned() })
    .into()
}

/// Valid payloads with what a JSON library likes to change: the text of numbers, the order of keys, keys that
/// come twice, escapes and white space.
pub(super) fn awkward() -> Vec<Event> {
    let members = [
        ("offer.created", r#""n":1.10,"big":12345678901234567890123,"e":1E400,"minus":-0,"small":1e-7"#),
        (
            "policy.created",
            "\"first_name\":\"Jürgen\",\"emoji\":\"🐎\",\"esc\":\"\\u00fc\\u0000\\ud800\",\"slash\":\"\\/\"",
        ),
        ("policy.updated", r#""a":1,"a":2,"metadata":{"z":1,"y":2,"z":{"z":[]}},"last_name":null"#),
        (
            "policy.cancelled",
            "\"gross_premium\":99999999999999999999999 ,\r\n\t\"z\" : 1 ,\n  \"a\" : [ ]   ",
        ),
    ];
    members.map(|(kind, members)| Event { kind, payload: with_members(false, members) }).into()
}

/// A payload of about 1 MiB, just below what the service takes.
pub(super) fn large() -> Event {
    let mut members = String::from("\"metadata\":{\"first\":0");
    let mut number = 0;
    while members.len() < 1_000_000 {
        number += 1;
        write!(members, ",\"key {number}\":\"Größe {number}.{number}0\"").expect("a String takes any text");
    }
    members.push('}');
    Event { kind: "policy.created", payload: with_members(false, &members) }
}

/// A small live event.
pub(super) fn live() -> Event {
    Event { kind: "policy.created", payload: with_members(true, "\"premium_tax\":400") }
}

/// An object with the four members that every payload has, and more.
fn with_members(livemode: bool, members: &str) -> String {
    format!(
        "{{ \"id\":\"lpol_1\",\"livemode\" : {livemode},\"policy_id\":\"P-1\",\"product_id\":\"ins_1\",{members}}}"
    )
}
