//! What a check costs, in steps and in bytes, for each pair of a schema and a kind of payload.

use serde_json::{Value, json};

use super::{check, faults};
use crate::catalogue::Catalogue;
use crate::limits::{MAX_PAYLOAD_BYTES, MAX_VIOLATIONS};
use crate::payload::{Json, read_json, step_budget};
use crate::validator::{Outcome, Validator, Verdict};

/// About so many bytes of items, one after the other.
fn list_of(bytes: usize, item: impl Fn(usize) -> String) -> String {
    let mut text = String::from("[");
    let mut index = 0;
    while text.len() < bytes {
        text.push_str(if index == 0 { "" } else { "," });
        text.push_str(&item(index));
        index += 1;
    }
    text.push(']');
    text
}

fn object_of(bytes: usize, value: &str) -> String {
    let members = list_of(bytes, |index| format!("\"k{index}\":{value}"));
    format!("{{{}}}", &members[1..members.len() - 1])
}

/// A name, a schema, and a payload of about so many bytes.
type Costly = (&'static str, Value, fn(usize) -> String);

/// Schemas and payloads whose costs once multiplied: cases 21 and 22, H4, and their siblings.
fn costly() -> Vec<Costly> {
    let mut all = costly_values();
    all.extend(costly_combinations());
    all
}

fn costly_values() -> Vec<Costly> {
    vec![
        ("powers of ten", json!({"uniqueItems": true}), |bytes| list_of(bytes, |i| format!("1e-{i}"))),
        ("long ids", json!({"uniqueItems": true}), |bytes| {
            list_of(bytes, |i| format!("184467440737{i:013}"))
        }),
        ("long numbers", json!({"uniqueItems": true}), |bytes| {
            list_of(bytes, |i| format!("{}{i}", "7".repeat(1_000)))
        }),
        ("equal but for the end", json!({"uniqueItems": true}), |bytes| {
            list_of(bytes, |i| format!("[{{\"a\":[[\"{i}\"]]}}]"))
        }),
        ("one number", json!({"minimum": 1, "maximum": 2, "multipleOf": 7, "enum": [1, 2]}), |bytes| {
            "7".repeat(bytes)
        }),
        ("long enum", json!({"items": {"enum": (0..5_000).collect::<Vec<_>>()}}), |bytes| {
            list_of(bytes, |i| (i % 5_000).to_string())
        }),
    ]
}

fn costly_combinations() -> Vec<Costly> {
    let branches = |count: usize, of: fn(usize) -> Value| (0..count).map(of).collect::<Vec<_>>();
    let deep = |next: Value| json!({"$ref": "#/$defs/n", "$defs": {"n": next}});
    let n = json!({"$ref": "#/$defs/n"});
    vec![
        (
            "oneOf of objects",
            json!({"items": {"oneOf": branches(30, |i| json!({"properties": {"a": {"const": i}}, "required": [format!("r{i}")]}))}}),
            |bytes| list_of(bytes, |_| "{\"a\":99}".to_owned()),
        ),
        (
            "unevaluated",
            json!({"anyOf": branches(300, |i| json!({"properties": {format!("p{i}"): true}})), "unevaluatedProperties": true}),
            |bytes| object_of(bytes, "1"),
        ),
        (
            "patterns",
            json!({"patternProperties": {"a.*b": true, "[ab]*c": true}, "propertyNames": {"pattern": "k"}}),
            |bytes| object_of(bytes, "1"),
        ),
        ("a pattern with many states", json!({"items": {"pattern": "[ab]*a[ab]{300}c"}}), |bytes| {
            list_of(bytes, |_| format!("\"{}\"", "ab".repeat(500)))
        }),
        ("contains", json!({"contains": {"const": 0}, "minContains": 3}), |bytes| {
            list_of(bytes, |_| "1".to_owned())
        }),
        ("two ways down", deep(json!({"anyOf": [{"items": n, "minItems": 9}, {"items": n}]})), |bytes| {
            format!("{}{}", "[".repeat(100), "]".repeat(100)) + &" ".repeat(bytes)
        }),
        (
            "two ways down, all",
            deep(json!({"allOf": [{"items": n}, {"items": n}, {"maxItems": 1}]})),
            |bytes| format!("{}1,2{}", "[".repeat(100), "]".repeat(100)) + &" ".repeat(bytes),
        ),
        ("nested unique", deep(json!({"uniqueItems": true, "items": n})), |bytes| {
            format!("{}\"{}\"{}", "[".repeat(100), "x".repeat(bytes), "]".repeat(100))
        }),
        (
            "a chain of references",
            json!({"items": {"$ref": "#/$defs/c0"}, "$defs": (0..2_000).map(|i| (format!("c{i}"), if i == 1_999 { json!({"items": {"$ref": "#/$defs/c0"}}) } else { json!({"$ref": format!("#/$defs/c{}", i + 1)}) })).collect::<serde_json::Map<_, _>>()}),
            |bytes| list_of(bytes, |_| "[]".to_owned()),
        ),
        (
            "many required",
            json!({"items": {"required": (0..1_000).map(|i| format!("r{i}")).collect::<Vec<_>>()}}),
            |bytes| list_of(bytes, |_| "{}".to_owned()),
        ),
        (
            "many dependent",
            json!({"items": {"dependentRequired": (0..1_000).map(|i| (format!("r{i}"), json!(["x"]))).collect::<serde_json::Map<_, _>>()}}),
            |bytes| list_of(bytes, |_| "{}".to_owned()),
        ),
        (
            "every branch",
            json!({"items": {"allOf": branches(1_000, |_| json!({"type": "integer"}))}}),
            |bytes| list_of(bytes, |_| "1".to_owned()),
        ),
        ("equal keys", json!({"properties": {"k": {"uniqueItems": true}}}), |bytes| {
            let text = list_of(bytes, |_| "\"k\":[1,2]".to_owned());
            format!("{{{}}}", &text[1..text.len() - 1])
        }),
    ]
}

#[test]
fn whatever_the_schema_says_no_payload_takes_more_than_its_steps() {
    for (name, schema, payload) in costly() {
        for bytes in [1_000, 10_000, 100_000] {
            let text = payload(bytes);
            let budget = step_budget(text.len());
            let outcome = check(&schema, &text, budget);
            assert!(outcome.steps <= budget, "{name}: {} of {budget}", outcome.steps);
            if let Verdict::Faults(faults) = &outcome.verdict {
                assert!(faults.len() <= MAX_VIOLATIONS, "{name}");
                assert!(faults.iter().map(|fault| fault.pointer.len()).sum::<usize>() < 60_000, "{name}");
            }
        }
    }
}

#[test]
fn what_one_payload_costs_grows_with_its_length_alone() {
    const ENOUGH: usize = 20_000_000;
    for (name, schema, payload) in costly() {
        let steps = |bytes: usize| match check(&schema, &payload(bytes), ENOUGH) {
            Outcome { verdict: Verdict::TooExpensive { .. }, .. } => 0,
            outcome => outcome.steps,
        };
        let (one, four) = (steps(5_000), steps(20_000));
        assert!(four <= 4 * one + one / 2 + 1_000, "{name}: {one} steps, and {four} for four times as much");
    }
}

#[test]
fn unique_items_are_told_apart_exactly_in_a_few_steps_for_each_byte() {
    let schema = json!({"uniqueItems": true});
    for (text, fits) in [
        (list_of(100_000, |i| format!("1e-{i}")), true),
        (list_of(100_000, |i| format!("18446744073709551{i:06}")), true),
        (list_of(100_000, |i| format!("{i}.0e-0")).replace("[0.0e-0", "[17"), false),
    ] {
        let outcome = check(&schema, &text, 4 * text.len());
        assert_eq!(outcome.verdict == Verdict::Fits, fits, "{:?}", &text[..80]);
    }
}

#[test]
fn one_of_reports_its_place_and_no_branch() {
    let branches: Vec<Value> = (0..30)
        .map(|i| json!({"type": "object", "properties": {"items": {"items": {"required": [i.to_string()]}}}}))
        .collect();
    let text = format!(r#"{{"items":{}}}"#, list_of(200_000, |_| "[{},{}]".to_owned()));
    let found = faults(&json!({"oneOf": branches}), &text);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "");
}

#[test]
fn the_contracts_types_are_never_too_expensive() {
    let bytes = MAX_PAYLOAD_BYTES - 4_096;
    let list = |item: &str| list_of(bytes, |_| item.to_owned());
    let short = |item: &str| list_of(bytes / 8, |_| item.to_owned());
    let least =
        |more: &str| format!(r#"{{"id":"i","livemode":false,"policy_id":"P","product_id":"p"{more}}}"#);
    for text in [
        least(&format!(r#","assets":{}"#, list("{}"))),
        least(&format!(r#","assets":{}"#, list("1"))),
        least(&format!(r#","assets":{}"#, list(r#"{"href":1}"#))),
        least(&format!(
            r#","assets":{}"#,
            list(r#"{"name":"a","extension":"b","href":"c","designation":"d"}"#)
        )),
        least(&format!(r#","gross_premium":{}"#, "7".repeat(bytes))),
        least(&format!(r#","gross_premium":1e{}"#, "7".repeat(bytes))),
        least(&format!(r#","x":{}{}"#, "[".repeat(100), "]".repeat(100))),
        least(&format!(r#","first_name":"{}""#, "\\u0041".repeat(bytes / 6))),
        object_of(bytes, "{}"),
        format!(r#"{{"_links":{}}}"#, object_of(bytes, "{\"href\":1}")),
        format!(r#"{{"metadata":{}}}"#, short("{\"id\":[]}")),
        "{}".to_owned(),
    ] {
        let value = read_json(&text).unwrap();
        for event_type in Catalogue::built_in().all() {
            let schema: Value = serde_json::from_str(event_type.schema().unwrap()).unwrap();
            let validator = Validator::compile(&schema).unwrap();
            let outcome = validator.check(&value, usize::MAX);
            // Half of it at most, so that there is room.
            assert!(outcome.steps * 2 < step_budget(text.len()), "{}: {}", event_type.name(), outcome.steps);
        }
    }
}

/// How many bytes a value holds beside its text.
fn held(value: &Json<'_>) -> usize {
    match value {
        Json::String(std::borrow::Cow::Owned(text)) => text.capacity(),
        Json::Array(items) => {
            items.capacity() * size_of::<Json<'_>>() + items.iter().map(held).sum::<usize>()
        }
        Json::Object(members) => {
            let keys = members.len() * (size_of::<Json<'_>>() + size_of::<std::borrow::Cow<'_, str>>());
            // A list that grows may have room for as many again.
            2 * keys + members.iter().map(|(_, value)| held(value)).sum::<usize>()
        }
        _ => 0,
    }
}

#[test]
fn the_memory_of_a_check_is_some_times_the_payload_s_whatever_it_says() {
    for (name, schema, payload) in costly() {
        let text = payload(200_000);
        let value = held(&read_json(&text).unwrap());
        assert!(value <= 40 * text.len(), "{name}: {value} bytes for {}", text.len());
        let Verdict::Faults(faults) = check(&schema, &text, step_budget(text.len())).verdict else {
            continue;
        };
        let report: usize = faults.iter().map(|fault| fault.pointer.len() + fault.detail.len()).sum();
        assert!(report < 100_000, "{name}: {report} bytes of faults");
    }
    for text in [
        list_of(200_000, |_| "1".to_owned()),
        list_of(200_000, |_| "[]".to_owned()),
        list_of(200_000, |_| "\"\\n\"".to_owned()),
    ] {
        let value = held(&read_json(&text).unwrap());
        assert!(value <= 40 * text.len(), "{value} bytes for {}", text.len());
    }
}
