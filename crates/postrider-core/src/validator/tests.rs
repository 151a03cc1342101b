//! The evaluator against the `jsonschema` crate, and how it reports faults.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::*;
use crate::catalogue::compiled;
use crate::json_types::Types;
use crate::payload::read_json;

mod costs;

fn check(schema: &Value, text: &str, budget: usize) -> Outcome {
    let validator = Validator::compile(schema).unwrap_or_else(|why| panic!("{schema}: {why}"));
    validator.check(&read_json(text).unwrap(), budget)
}

fn verdict(schema: &Value, text: &str) -> Verdict {
    check(schema, text, 1_000_000_000).verdict
}

fn faults(schema: &Value, text: &str) -> Vec<(String, String)> {
    match verdict(schema, text) {
        Verdict::Faults(faults) => faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect(),
        other => panic!("{schema} of {text}: {other:?}"),
    }
}

/// Asserts that both say the same of a value.
fn agree(schema: &Value, text: &str) {
    let expected = compiled(schema).unwrap_or_else(|why| panic!("{schema}: {why}"));
    let expected = expected.is_valid(&serde_json::from_str(text).unwrap());
    let found = verdict(schema, text);
    assert_eq!(found == Verdict::Fits, expected, "{schema} of {text}: {found:?}");
    assert!(!matches!(found, Verdict::TooExpensive { .. }), "{schema} of {text}");
}

#[test]
fn keywords_that_look_at_each_other_mean_what_they_mean_in_the_library() {
    let tree = json!({
        "$id": "https://example.com/strict",
        "$dynamicAnchor": "node", "$ref": "tree", "unevaluatedProperties": false,
        "$defs": {"tree": {"$id": "tree", "$dynamicAnchor": "node", "type": "object", "properties": {
            "data": true, "children": {"type": "array", "items": {"$dynamicRef": "#node"}}
        }}}
    });
    let bundled = json!({
        "$id": "https://example.com/dir/root.json",
        "properties": {"a": {"$ref": "part.json"}, "b": {"$ref": "part.json#/$defs/in"}, "c": {"$ref": "#x"}, "d": {"$ref": "/dir/part.json#y"}},
        "$defs": {
            "part": {"$id": "part.json", "type": "string", "$defs": {"in": {"type": "integer"}, "named": {"$anchor": "y", "const": 1}}},
            "x": {"$anchor": "x", "type": "null"}
        }
    });
    let meta = json!({"properties": {"schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}});
    let outer = json!({"allOf": [{"properties": {"a": true}}, {"prefixItems": [true]}], "unevaluatedProperties": {"type": "string"}, "unevaluatedItems": {"type": "string"}});
    let chosen = json!({"if": {"properties": {"k": {"const": 1}}, "required": ["k"]}, "then": {"properties": {"x": true}}, "else": {"properties": {"y": true}}, "unevaluatedProperties": false});
    let any = json!({"anyOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": true}, "required": ["b"]}], "unevaluatedProperties": false});
    let contained = json!({"contains": {"type": "integer"}, "unevaluatedItems": {"type": "string"}, "minContains": 2, "maxContains": 3});
    let dependent = json!({"dependentSchemas": {"a": {"properties": {"b": true}}}, "properties": {"a": true}, "unevaluatedProperties": false, "dependentRequired": {"b": ["a"]}, "dependencies": {"c": ["a"], "d": {"required": ["b"]}}});
    for (schema, values) in [
        (&tree, &[r#"{"children":[{"data":1}]}"#, r#"{"children":[{"daat":1}]}"#, r#"{"daat":1}"#, "7"][..]),
        (
            &bundled,
            &[r#"{"a":"x","b":1,"c":null,"d":1}"#, r#"{"a":1}"#, r#"{"b":"x"}"#, r#"{"c":1}"#, r#"{"d":2}"#],
        ),
        (
            &meta,
            &[
                r#"{"schema":{"type":"object"}}"#,
                r#"{"schema":{"properties":{"a":{"type":7}}}}"#,
                r#"{"schema":{"items":{"minimum":"x"}}}"#,
            ],
        ),
        (&outer, &[r#"{"a":1,"b":"x"}"#, r#"{"a":1,"b":1}"#, r#"[1,"x"]"#, "[1,1]"]),
        (&chosen, &[r#"{"k":1,"x":1}"#, r#"{"k":1,"y":1}"#, r#"{"y":1}"#, r#"{"k":2,"y":1}"#, r#"{"x":1}"#]),
        (&any, &[r#"{"a":"x","b":1}"#, r#"{"a":1,"b":1}"#, r#"{"b":1}"#, r#"{"c":1}"#]),
        (&contained, &["[1,2]", "[1,\"x\",2]", "[1,2,3,4]", "[1,null,2]", "[1]"]),
        (&dependent, &[r#"{"a":1,"b":1}"#, r#"{"b":1}"#, r#"{"a":1,"c":1}"#, r#"{"c":1}"#, r#"{"d":1}"#]),
    ] {
        values.iter().for_each(|value| agree(schema, value));
    }
}

#[test]
fn numbers_and_patterns_mean_what_they_mean_in_the_library() {
    for (schema, values) in [
        (json!({"multipleOf": 0.01}), &["1.10", "1.105", "0", "1e5", "-3", "19.99", "\"x\""][..]),
        (json!({"multipleOf": 3}), &["9", "10", "3.0", "3.5", "300000000000000000000001"]),
        (
            json!({"maximum": 12345678901234567890123_i128.to_string().parse::<serde_json::Number>().unwrap()}),
            &["12345678901234567890123", "12345678901234567890124"],
        ),
        (json!({"minimum": 1.5, "exclusiveMaximum": 2}), &["1.5", "2", "1.4999", "1.99"]),
        (json!({"type": "integer"}), &["1.0", "1.5", "1e2", "1e-1", "12345678901234567890123"]),
        (
            json!({"enum": [1, "a", null, [1.0], {"a": 1}]}),
            &["1.0", "\"a\"", "null", "[1]", r#"{"a":1e0}"#, "2", "[1,1]"],
        ),
        (json!({"const": {"a": [1, 2], "b": true}}), &[r#"{"b":true,"a":[1,2]}"#, r#"{"a":[2,1],"b":true}"#]),
        (
            json!({"uniqueItems": true}),
            &[
                "[1,1.0]",
                "[1,\"1\"]",
                r#"[{"a":1,"b":2},{"b":2,"a":1}]"#,
                "[[1,2],[12]]",
                "[\"a\",\"b\"]",
                "[0,-0]",
            ],
        ),
        (json!({"minLength": 2, "maxLength": 3}), &["\"ä\"", "\"äö\"", "\"🦀🦀🦀\"", "\"abcd\"", "\"\""]),
        (json!({"minLength": 2.0, "maxItems": 1e0}), &["\"a\"", "\"ab\"", "[1]", "[1,2]"]),
        (json!({"pattern": "^a+$"}), &["\"aa\"", "\"ab\"", "\"\"", "\"a\\n\""]),
        (json!({"pattern": "^(ab|cd)$"}), &["\"ab\"", "\"abcd\"", "\"cd\""]),
        (json!({"pattern": "^\\S*$"}), &["\"ab\"", "\"a b\"", "\"a\\u00a0b\"", "\"a\\u2028b\""]),
        (json!({"pattern": "\\bfoo\\b"}), &["\"a foo b\"", "\"afoob\"", "\"foo\""]),
        (
            json!({"pattern": "\\d{2}-\\w+$"}),
            &["\"x12-ab\"", "\"1-ab\"", "\"12-ä\"", "\"\u{0661}\u{0661}-a\""],
        ),
        (json!({"pattern": "\\p{Lu}"}), &["\"ä\"", "\"Ä\""]),
        (
            json!({"patternProperties": {"^x-": {"type": "string"}, "y$": true}, "additionalProperties": false}),
            &[r#"{"x-a":"b","ay":1}"#, r#"{"x-y":1}"#, r#"{"z":1}"#],
        ),
        (
            json!({"propertyNames": {"maxLength": 2, "pattern": "^[a-z]"}}),
            &[r#"{"ab":1}"#, r#"{"abc":1}"#, r#"{"A":1}"#],
        ),
    ] {
        values.iter().for_each(|value| agree(&schema, value));
    }
}

#[test]
fn faults_are_told_by_their_places_and_without_the_value() {
    let schema = json!({
        "required": ["id"], "minProperties": 9,
        "properties": {
            "kind": {"enum": ["a", "b"]}, "n": {"maximum": 3}, "one": {"oneOf": [{"type": "string"}, {"properties": {"x": {"type": "integer"}}, "required": ["x"]}]},
            "list": {"uniqueItems": true, "items": {"not": {"const": "secret"}}}, "text": {"maxLength": 1, "pattern": "^z"}
        },
        "additionalProperties": false
    });
    let found = faults(
        &schema,
        r#"{"kind":"secret","n":4,"one":{"x":"secret"},"list":["secret","secret"],"text":"secret","a/b":"secret"}"#,
    );
    let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(
        pointers,
        ["", "/id", "/a~1b", "/kind", "/list/0", "/list/1", "/list", "/n", "/one", "/text", "/text"]
    );
    assert!(found.iter().all(|(_, detail)| !detail.replace("\"not\"", "").contains("secret")), "{found:?}");
    assert_eq!(found[3].1, "must be one of \"a\", \"b\"");
    assert_eq!(found[8].1, "must fit one of the 2 schemas of \"oneOf\", and fits none");
}

#[test]
fn a_pointer_ends_where_it_becomes_too_long() {
    let key = "k".repeat(600);
    let schema = json!({"additionalProperties": {"additionalProperties": {"type": "string"}}});
    let found = faults(&schema, &format!(r#"{{"{key}":{{"{key}":1}}}}"#));
    assert_eq!(found[0].0, format!("/{key}"));
}

#[test]
fn a_schema_that_never_ends_is_found_and_its_payloads_are_too_expensive() {
    for circle in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#"}]}}}),
        json!({"if": {"$ref": "#"}}),
    ] {
        let validator = Validator::compile(&circle).unwrap();
        assert_eq!(validator.exceeded().len(), 1, "{circle}");
        assert!(matches!(verdict(&circle, "{}"), Verdict::TooExpensive { .. }), "{circle}");
    }
    for fine in [
        json!({"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#"}}),
        json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "object"}}}),
        json!({"multipleOf": 0.000_001}),
    ] {
        assert!(Validator::compile(&fine).unwrap().exceeded().is_empty(), "{fine}");
    }
    let long = json!({"properties": {"n": {"multipleOf": "1234567890123456789".parse::<serde_json::Number>().unwrap()}}});
    let validator = Validator::compile(&long).unwrap();
    assert_eq!(validator.exceeded()[0].pointer, "/properties/n/multipleOf");
    assert_eq!(verdict(&long, r#"{"n":7}"#), Verdict::TooExpensive { pointer: "/n".to_owned() });
    assert_eq!(verdict(&long, r#"{"m":7}"#), Verdict::Fits);
}

const NAMES: [&str; 5] = ["a", "b", "c", "ab", "ä"];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        select(vec!["0.5", "1.0", "1e1", "10", "-0", "2.50", "12345678901234567890123"])
            .prop_map(|number| serde_json::from_str(number).unwrap()),
        select(vec!["", "a", "ab", "abc", "ä", "b a"]).prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(select(&NAMES[..]), inner, 0..4).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

fn assertion() -> impl Strategy<Value = Value> {
    prop_oneof![
        subsequence(&Types::NAMES[..], 1..4).prop_map(|types| json!({"type": types})),
        vec(value(), 1..4).prop_map(|values| json!({"enum": values})),
        value().prop_map(|value| json!({"const": value})),
        (select(vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), -2..3_i64)
            .prop_map(|(keyword, limit)| json!({keyword: limit})),
        select(vec![json!(2), json!(0.5), json!(10), json!(0.1)]).prop_map(|by| json!({"multipleOf": by})),
        (
            select(vec!["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]),
            0..4_u64
        )
            .prop_map(|(keyword, count)| json!({keyword: count})),
        select(vec!["^a", "b$", "^.$", "a|b", "^\\S+$", "^[^a]*$"]).prop_map(|text| json!({"pattern": text})),
        Just(json!({"uniqueItems": true})),
        subsequence(&NAMES[..], 0..3).prop_map(|names| json!({"required": names})),
        (select(&NAMES[..]), subsequence(&NAMES[..], 0..3))
            .prop_map(|(name, names)| json!({"dependentRequired": {name: names}})),
        any::<bool>().prop_map(Value::from),
    ]
}

/// A schema of all keywords, in any combination.
fn schema() -> impl Strategy<Value = Value> {
    let merged = |parts: Vec<Value>| {
        let mut whole = serde_json::Map::new();
        for part in parts {
            if let Value::Object(fields) = part {
                whole.extend(fields);
            }
        }
        Value::Object(whole)
    };
    assertion().prop_recursive(4, 32, 4, move |inner| {
        let part = prop_oneof![
            3 => assertion(),
            2 => btree_map(select(&NAMES[..]), inner.clone(), 0..3).prop_map(|fields| json!({"properties": fields})),
            1 => btree_map(select(vec!["^a", "b"]), inner.clone(), 0..3).prop_map(|fields| json!({"patternProperties": fields})),
            1 => btree_map(select(&NAMES[..]), inner.clone(), 0..3).prop_map(|fields| json!({"dependentSchemas": fields})),
            1 => vec(inner.clone(), 1..3).prop_map(|items| json!({"prefixItems": items})),
            4 => (select(vec!["items", "additionalProperties", "propertyNames", "not", "if", "then", "else", "unevaluatedItems", "unevaluatedProperties", "contains"]), inner.clone())
                .prop_map(|(keyword, inner)| json!({keyword: inner})),
            3 => (select(vec!["allOf", "anyOf", "oneOf"]), vec(inner.clone(), 1..4)).prop_map(|(keyword, inner)| json!({keyword: inner})),
            1 => (0..3_u64, 0..3_u64, inner.clone()).prop_map(|(min, max, inner)| json!({"contains": inner, "minContains": min, "maxContains": max})),
        ];
        vec(part, 1..4).prop_map(merged)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_schema_says_of_any_value_what_it_says_in_the_library(schema in schema(), values in vec(value(), 4)) {
        for value in values {
            agree(&schema, &value.to_string());
        }
    }

    #[test]
    fn references_lead_where_they_lead_in_the_library(
        parts in vec(schema(), 2), more in schema(), values in vec(value(), 4), to in select(vec!["#/$defs/a", "#/$defs/b", "#"])
    ) {
        let schema = json!({
            "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": to, "unevaluatedProperties": more}},
            "items": {"$ref": "#/$defs/b"},
            "$defs": {"a": parts[0], "b": {"allOf": [parts[1], {"$ref": "#/$defs/a"}]}}
        });
        for value in values {
            agree(&schema, &value.to_string());
        }
    }
}
