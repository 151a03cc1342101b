//! What passes and what is refused, with the places named.

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::catalogue::Catalogue;
use crate::limits::MAX_VIOLATIONS;

fn check_as(name: &str, json: &str, stated: Option<bool>) -> Result<bool, Vec<Violation>> {
    checked(Catalogue::built_in().get(name).unwrap(), json, stated)
}

fn checked(event_type: &EventType, json: &str, stated: Option<bool>) -> Result<bool, Vec<Violation>> {
    check(event_type, json, stated).map_err(PayloadRefused::into_violations)
}

fn pointers(refused: Result<bool, Vec<Violation>>) -> Vec<String> {
    refused.expect_err("it must be refused").into_iter().map(|violation| violation.pointer).collect()
}

/// The least that a payload may have, with `more` put in behind it.
fn least(more: &str) -> String {
    format!(r#"{{"id":"item_1","livemode":false,"policy_id":"P-1","product_id":"ins_1"{more}}}"#)
}

#[test]
fn the_four_examples_pass_and_so_they_do_without_any_optional_field() {
    for event_type in Catalogue::built_in().of_platform() {
        assert_eq!(
            checked(event_type, event_type.example().unwrap(), None),
            Ok(false),
            "{}",
            event_type.name()
        );
        let mut example: Map<String, Value> = serde_json::from_str(event_type.example().unwrap()).unwrap();
        for optional in example.keys().cloned().collect::<Vec<_>>() {
            if !["id", "livemode", "policy_id", "product_id"].contains(&optional.as_str()) {
                example.remove(&optional);
                let shorter = serde_json::to_string(&example).unwrap();
                assert_eq!(
                    checked(event_type, &shorter, None),
                    Ok(false),
                    "{} without {optional}",
                    event_type.name()
                );
            }
        }
    }
}

#[test]
fn the_older_public_shape_passes() {
    let href = format!("https://assets.example.com/{}", "a".repeat(300));
    let more = format!(
        r#","metadata":{{}},"assets":[{{"designation":"d","name":"n","extension":"pdf","href":"{href}"}}],"item_id":"item_33"{}"#,
        r#","gross_premium":1999.0,"email":null,"assets_old":[]"#
    );
    assert_eq!(check_as("policy.created", &least(&more), None), Ok(false));
}

#[test]
fn a_wrong_payload_is_refused_with_every_place_named() {
    for (more, expected) in [
        (r#","gross_premium":"1999""#, vec!["/gross_premium"]),
        (r#","gross_premium":1.10"#, vec!["/gross_premium"]),
        (r#","metadata":[]"#, vec!["/metadata"]),
        (r#","assets":{}"#, vec!["/assets"]),
        (r#","assets":[{"href":1},"x"]"#, vec!["/assets/0/href", "/assets/1"]),
        (r#","_links":{"self":{"href":7}}"#, vec!["/_links/self/href"]),
        (r#","first_name":1,"email":false"#, vec!["/first_name", "/email"]),
        (r#","id":7"#, vec!["/id"]),
    ] {
        let mut found = pointers(check_as("offer.created", &least(more), None));
        let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{more}");
    }
    let mut missing = pointers(check_as("policy.created", "{}", Some(false)));
    missing.sort();
    assert_eq!(missing, ["/id", "/livemode", "/policy_id", "/product_id"]);
    for not_an_object in ["[]", "7", "\"x\"", "null", "true"] {
        assert_eq!(pointers(check_as("policy.created", not_an_object, None)), [""], "{not_an_object}");
    }
}

#[test]
fn numbers_are_judged_by_their_text_and_never_by_a_rounded_value() {
    for integer in ["12345678901234567890123", "-0", "1E400", "1e2", "1.0", "100.00"] {
        let payload = least(&format!(r#","gross_premium":{integer},"x":1E400,"y":1.10"#));
        assert_eq!(check_as("policy.updated", &payload, None), Ok(false), "{integer}");
    }
    for fraction in ["12345678901234567890123.5", "1.10", "1e-400"] {
        let payload = least(&format!(r#","gross_premium":{fraction}"#));
        assert_eq!(pointers(check_as("policy.updated", &payload, None)), ["/gross_premium"], "{fraction}");
    }
}

#[test]
fn the_mode_must_be_named_once_and_without_contradiction() {
    let refused = || vec!["/livemode".to_owned()];
    assert_eq!(check_as("policy.created", &least(""), Some(false)), Ok(false));
    assert_eq!(pointers(check_as("policy.created", &least(""), Some(true))), refused());
    let twice = least(r#","livemode":false"#);
    assert_eq!(check_as("policy.created", &twice, None), Ok(false));
    for contradiction in [r#","livemode":true"#, r#","live\u006dode":true"#, r#","livemode":"no""#] {
        assert_eq!(
            pointers(check_as("policy.created", &least(contradiction), None)),
            refused(),
            "{contradiction}"
        );
    }
    assert_eq!(mode(Livemode::Absent, Some(true)), Ok(true));
    assert!(mode(Livemode::Absent, None).is_err() && mode(Livemode::NotBoolean, Some(true)).is_err());
}

#[test]
fn an_unknown_field_may_hold_any_json_there_is() {
    for any in [
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#"{"\ud800":1}"#,
        r#"{"$serde_json::private::Number":"abc"}"#,
        r#"{"$serde_json::private::RawValue":"abc"}"#,
        r#"{"$serde_json::private::RawValue":7}"#,
        r#"{"a":1,"a":2}"#,
    ] {
        assert_eq!(check_as("policy.created", &least(&format!(r#","z":{any}"#)), None), Ok(false), "{any}");
    }
    // At the top level as well, where such a name is the first key.
    for name in ["$serde_json::private::Number", "$serde_json::private::RawValue", "\\udfff"] {
        let payload = least("").replacen('{', &format!(r#"{{"{name}":"1","#), 1);
        assert_eq!(check_as("policy.created", &payload, None), Ok(false), "{payload}");
    }
}

#[test]
fn an_object_is_no_number_whatever_its_key_is() {
    for name in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        let payload = least(&format!(r#","gross_premium":{{"{name}":"1"}},"livemode":{{"{name}":"false"}}"#));
        let mut found = pointers(check_as("policy.created", &payload, None));
        found.sort();
        assert_eq!(found, ["/gross_premium", "/livemode"], "{name}");
    }
}

#[test]
fn what_is_not_json_is_refused_as_a_whole() {
    for text in ["", "{", "{\"id\":01}", "{\"id\":\"a\nb\"}", "{\"id\":1,}", "{}x", "[1,]"] {
        assert_eq!(pointers(check_as("policy.created", text, Some(false))), [""], "{text}");
    }
}

#[test]
fn nesting_has_a_limit_and_a_hostile_payload_does_no_harm() {
    let deep = |levels: usize| least(&format!(r#","x":{}{}"#, "[".repeat(levels), "]".repeat(levels)));
    assert_eq!(check_as("policy.created", &deep(crate::limits::MAX_PAYLOAD_DEPTH - 1), None), Ok(false));
    assert_eq!(pointers(check_as("policy.created", &deep(5_000), None)), [""]);
    let many = least(&format!(r#","assets":[{}1]"#, "1,".repeat(10_000)));
    assert_eq!(pointers(check_as("policy.created", &many, None)).len(), MAX_VIOLATIONS);
}

#[test]
fn an_answer_never_repeats_what_the_payload_says() {
    let refused = check_as("policy.created", &least(r#","email":{"private":"john@example.com"}"#), None);
    assert!(!format!("{refused:?}").contains("john"));
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        let _unused = check_as("policy.created", &text, None);
    }

    #[test]
    fn unknown_fields_pass_whatever_they_hold(key in "[a-z]{12,20}", number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
        let payload = least(&format!(r#","{key}":{number:e}"#));
        prop_assert_eq!(check_as("policy.created", &payload, None), Ok(false));
    }
}
