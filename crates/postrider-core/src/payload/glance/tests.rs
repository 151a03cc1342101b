//! What passes at a glance passes the full check; the contract's own types do take the short way.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::*;
use crate::catalogue::Catalogue;
use crate::payload::{PayloadValidator, check_at_a_glance};

const NAMES: [&str; 6] = ["a", "b", "id", "livemode", "policy_number", "ä\"\\"];

fn shape_of(schema: &Value) -> Shape {
    Shape::of_payload(schema).unwrap()
}

#[test]
fn every_type_takes_the_short_way_with_its_example() {
    for event_type in Catalogue::built_in().of_platform() {
        let shape = event_type
            .payload_validator()
            .shape()
            .unwrap_or_else(|| panic!("{} has no shape", event_type.name()));
        assert_eq!(
            check_at_a_glance(shape, event_type.example().unwrap(), None),
            Some(false),
            "{}",
            event_type.name()
        );
        // As a program writes it: without spaces, its fields in another order.
        let compact = serde_json::from_str::<Value>(event_type.example().unwrap()).unwrap().to_string();
        assert_eq!(check_at_a_glance(shape, &compact, Some(false)), Some(false), "{}", event_type.name());
    }
}

#[test]
fn all_kinds_of_values_pass_in_a_field_that_may_hold_anything() {
    let shape = shape_of(&json!({"type": "object", "properties": {"n": {"type": "number"}}}));
    for value in [
        "0",
        "-0",
        "-12",
        "1.5",
        "0.5e+10",
        "1E400",
        "[]",
        "{}",
        "[ 1 , [ ] , { } ]",
        "\"\"",
        "\"a b\"",
        r#""\"\\\/\b\f\n\r\t\u00aF\ud800""#,
        r#""twelve bytes\" and a tail""#,
        "\"Zoë 🦀\u{7f}\"",
        "true",
        "null",
    ] {
        let payload = format!(" {{ \"x\" : {value} , \"n\" : 1.5 , \"livemode\" : true }}\r\n\t");
        assert_eq!(at(&shape, &payload), Some(Good { livemode: Some(true) }), "{payload}");
    }
}

#[test]
fn what_is_rare_or_wrong_is_left_to_the_full_check() {
    let shape = shape_of(&json!({
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}, "list": {"items": {"type": "string"}}, "o": {"required": ["x"]}}
    }));
    assert!(at(&shape, r#"{"id":1,"list":["a"],"o":{"x":1}}"#).is_some());
    for doubtful in [
        "",
        "{",
        "{}",
        "[]",
        "1",
        r#"{"id":1"#,
        r#"{"id":1}}"#,
        r#"{"id":1,}"#,
        r#"{"id" 1}"#,
        r#"{"id":1 "a":2}"#,
        r#"{"id":1.0}"#,
        r#"{"id":1e2}"#,
        r#"{"id":01}"#,
        r#"{"id":-}"#,
        r#"{"id":+1}"#,
        r#"{"id":"1"}"#,
        r#"{"id":null}"#,
        r#"{"id":1,"id":1}"#,
        r#"{"id":1,"\u0069d":"x"}"#,
        r#"{"id":1,"list":["a",1]}"#,
        r#"{"id":1,"o":{}}"#,
        r#"{"id":1,"o":{"y":1}}"#,
        r#"{"id":1,"x":tru}"#,
        r#"{"id":1,"x":nul"#,
        r#"{"id":1,"x":1.}"#,
        r#"{"id":1,"x":.5}"#,
        r#"{"id":1,"x":1e}"#,
        r#"{"id":1,"x":"\x"}"#,
        r#"{"id":1,"x":"\u12g4"}"#,
        r#"{"id":1,"x":"\u12"#,
        "{\"id\":1,\"x\":\"a\nb\"}",
        r#"{"id":1,"x":"a"#,
        r#"{"id":1,"x":"a\"#,
        r#"{"id":1,"livemode":1}"#,
        r#"{"id":1,"livemode":true,"livemode":true}"#,
        "{\"id\":1,\"x\":\"long enough for words\u{1f}\"}",
        r#"{id:1}"#,
        r#"{"id":1,"x":}"#,
    ] {
        assert_eq!(at(&shape, doubtful), None, "{doubtful}");
    }
    let deep = |levels| format!(r#"{{"id":1,"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(at(&shape, &deep(MAX_DEPTH - 1)).is_some());
    assert!(at(&shape, &deep(MAX_DEPTH)).is_none());
}

#[test]
fn a_schema_that_asks_for_more_has_no_shape() {
    for more in [
        json!({"minLength": 1}),
        json!({"enum": ["a"]}),
        json!({"additionalProperties": false}),
        json!({"properties": {"a": {"const": 1}}}),
        json!({"properties": {"a": false}}),
        json!({"items": {"pattern": "a"}}),
        json!({"$ref": "#"}),
        json!({"type": "whole"}),
        json!(false),
    ] {
        assert_eq!(Shape::of_payload(&more), None, "{more}");
    }
}

/// A schema of what a shape can say, and now and then of something else.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => types().prop_map(|types| json!({"type": types})),
        1 => Just(json!({})),
        1 => Just(json!({"type": "string", "format": "date-time", "description": "when"})),
        1 => select(vec![json!(true), json!({"minLength": 2}), json!({"enum": ["a", 1]}), json!({"maximum": 3})]),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let properties = btree_map(select(&NAMES[..]), inner.clone(), 0..4);
        let required = subsequence(&NAMES[..], 0..3);
        (types(), properties, required, inner).prop_map(|(types, properties, required, items)| {
            json!({"type": types, "properties": properties, "required": required, "items": items})
        })
    })
}

const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

fn types() -> impl Strategy<Value = Value> {
    prop_oneof![
        subsequence(&TYPES[..], 2..6).prop_map(|several| json!(several)),
        select(&TYPES[..]).prop_map(|one| json!(one)),
        Just(json!("object")),
    ]
}

const LEAVES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-7",
    "1.0",
    "2e1",
    "1.5",
    "\"\"",
    "\"a\"",
    r#""a\nb\u0041c""#,
    "\"quite a long text, ä and so on\"",
    "12345678901234567890123",
];

/// A payload as text, whose fields may be there twice.
fn payload() -> impl Strategy<Value = String> {
    let leaf = select(LEAVES).prop_map(str::to_owned);
    let key = || prop_oneof![9 => select(&NAMES[..]).prop_map(|name| json!(name).to_string()), 1 => Just(r#""\u0061""#.to_owned())];
    let object = move |inner: BoxedStrategy<String>| {
        vec((key(), inner), 0..5).prop_map(|members| {
            let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    };
    let value = leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            object(inner.clone().boxed()),
            vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" ,")))
        ]
    });
    vec((select(&NAMES[..]), value), 0..6).prop_map(|members| {
        let members: Vec<_> =
            members.into_iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
        format!("{{{}}}", members.join(",\n"))
    })
}

/// Puts one character for another, takes it out, or puts it in.
fn mutated(text: &str, at: prop::sample::Index, with: char, how: u8) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len());
    match how {
        0 => characters[at] = with,
        1 => drop(characters.remove(at)),
        _ => characters.insert(at, with),
    }
    characters.into_iter().collect()
}

/// Judges both ways: nothing may pass at a glance that does not pass in full, and with the same mode.
fn agree(schema: &Value, text: &str, stated: Option<bool>) -> Result<bool, TestCaseError> {
    let Some(shape) = Shape::of_payload(schema) else { return Ok(false) };
    let Some(livemode) = check_at_a_glance(&shape, text, stated) else { return Ok(false) };
    let in_full = PayloadValidator::of_schema(schema).unwrap().check_in_full(text, stated, usize::MAX);
    prop_assert_eq!(in_full, Ok(livemode), "{} passed at a glance by {}", text, schema);
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn what_passes_at_a_glance_passes_in_full(
        schema in schema(), text in payload(), stated: Option<bool>,
        at: prop::sample::Index, with in prop::char::any(), how in 0_u8..3,
    ) {
        agree(&schema, &text, stated)?;
        agree(&schema, &mutated(&text, at, with, how), stated)?;
    }

    #[test]
    fn so_do_the_examples_with_faults_put_in(
        which in 0_usize..4, at: prop::sample::Index,
        with in select(&['"', '\\', '{', '}', '[', ']', ',', ':', '0', '.', 'e', '-', 't', ' ', '\u{1}', 'ä'][..]), how in 0_u8..3,
    ) {
        let catalogue = Catalogue::built_in();
        let event_type = &catalogue.all()[which];
        let schema: Value = serde_json::from_str(event_type.schema().unwrap()).unwrap();
        agree(&schema, &mutated(event_type.example().unwrap(), at, with, how), None)?;
    }

    #[test]
    fn eight_bytes_at_once_end_where_one_by_one_do(bytes in "[ -~\u{0}-\u{20}ä🦀\"\\\\]{0,40}") {
        let glance = Glance { text: &bytes, at: 0, depth: 0, livemode: None };
        let expected = bytes.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        prop_assert_eq!(glance.end_of_plain_part(0), expected.unwrap_or(bytes.len()));
    }
}

#[test]
fn generated_payloads_do_pass_at_a_glance_now_and_then() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let passed = (0..1_000).filter(|_round| {
        let (schema, text) = (schema(), payload()).new_tree(&mut runner).unwrap().current();
        agree(&schema, &text, Some(true)).unwrap()
    });
    assert!(passed.count() > 50, "the property is tested with too few payloads that pass");
}
