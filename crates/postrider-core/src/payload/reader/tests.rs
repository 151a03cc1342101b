//! The reader against serde_json, which is right about all but marks of its own and lone surrogates.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::limits::MAX_PAYLOAD_DEPTH;
use crate::payload::json::Json;

use super::*;

fn value(json: &str) -> Value {
    read::<Value>(json).map(|payload| payload.value).unwrap_or_else(|why| panic!("{json}: {why}"))
}

fn fault(json: &str) -> NotJson {
    read::<Value>(json).map(|payload| payload.value).expect_err(json)
}

#[test]
fn every_kind_of_value_is_read() {
    let text = " {\"a\" : [ ] ,\r\n\t\"b\":{},\"c\":[1,-0,1.10,\"x\",true,false,null],\"a\":\"again\"} ";
    assert_eq!(value(text), json!({"a": "again", "b": {}, "c": value(r#"[1,-0,1.10,"x",true,false,null]"#)}));
    assert_eq!(value(r#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00é😀""#), "\"\\/\u{8}\u{c}\n\r\té😀é😀");
    for number in ["0", "-0", "7", "12345678901234567890123", "1.10", "-1.5e-7", "0.0", "1e+400"] {
        assert_eq!(value(number).to_string(), number);
    }
}

#[test]
fn a_surrogate_without_its_partner_is_the_replacement_character() {
    for (text, expected) in [
        (r#""\ud800""#, "\u{fffd}"),
        (r#""a\uDFFFb""#, "a\u{fffd}b"),
        (r#""\ud800\ud800""#, "\u{fffd}\u{fffd}"),
        (r#""\udc00\ud800""#, "\u{fffd}\u{fffd}"),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        (r#""\ud800\u0041""#, "\u{fffd}A"),
        (r#""\ud800\n""#, "\u{fffd}\n"),
        (r#""\u0041\ude00""#, "A\u{fffd}"),
        (r#""\ud800é""#, "\u{fffd}é"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn names_that_serde_json_keeps_for_itself_are_keys_like_any_other() {
    for name in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        let read = value(&format!(r#"{{"{name}":"1"}}"#));
        assert_eq!(read.as_object().unwrap().get(name), Some(&Value::String("1".to_owned())));
        assert!(value(&format!(r#"{{"x":{{"{name}":[1]}}}}"#))["x"].is_object());
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    use NotJson as N;
    for (text, expected) in [
        ("", N::End),
        (" ", N::End),
        ("[", N::End),
        ("[1", N::End),
        ("[1,", N::End),
        ("{", N::End),
        (r#"{"a"#, N::End),
        (r#"{"a""#, N::End),
        (r#"{"a":"#, N::End),
        (r#"{"a":1"#, N::End),
        (r#"{"a":1,"#, N::End),
        (r#""a\"#, N::End),
        ("[1,]", N::Value(3)),
        ("[,1]", N::Value(1)),
        ("tru", N::Value(0)),
        ("nul ", N::Value(0)),
        ("Null", N::Value(0)),
        ("'a'", N::Value(0)),
        ("+1", N::Value(0)),
        (".5", N::Value(0)),
        ("NaN", N::Value(0)),
        ("\u{feff}1", N::Value(0)),
        ("\u{a0}1", N::Value(0)),
        ("\u{c}1", N::Value(0)),
        ("/**/1", N::Value(0)),
        ("[01]", N::Number(1)),
        ("-01", N::Number(0)),
        ("-", N::Number(0)),
        ("1.", N::Number(0)),
        ("1.e1", N::Number(0)),
        ("1e", N::Number(0)),
        ("1e+", N::Number(0)),
        ("1-2", N::Number(0)),
        ("1.2.3", N::Number(0)),
        ("\"a\nb\"", N::Control(2)),
        ("\"\0\"", N::Control(1)),
        (r#""\x""#, N::Escape(1)),
        (r#""\u12""#, N::Escape(1)),
        (r#""\u12g4""#, N::Escape(1)),
        (r#""\u+123""#, N::Escape(1)),
        (r#""\u123é""#, N::Escape(1)),
        (r#""\ud800\u12""#, N::Escape(7)),
        ("{1:2}", N::Key(1)),
        (r#"{"a":1,}"#, N::Key(7)),
        (r#"{"a",1}"#, N::Colon(4)),
        (r#"{"a":1]"#, N::Comma(6)),
        ("[1}", N::Comma(2)),
        ("[1 2]", N::Comma(3)),
        ("truefalse", N::Trailing(4)),
        ("0x1", N::Trailing(1)),
        ("{}{}", N::Trailing(2)),
        ("1 é", N::Trailing(2)),
    ] {
        assert_eq!(fault(text), expected, "{text:?}");
        assert!(serde_json::from_str::<IgnoredAny>(text).is_err(), "{text:?}");
    }
}

#[test]
fn nesting_ends_at_its_limit_and_not_before() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert!(read::<Value>(&deep(MAX_PAYLOAD_DEPTH)).is_ok());
        assert_eq!(fault(&deep(MAX_PAYLOAD_DEPTH + 1)), NotJson::TooDeep);
        assert_eq!(fault(&open.repeat(500_000)), NotJson::TooDeep);
    }
    // What is closed again counts no longer.
    assert!(read::<Value>(&format!("[{}[]]", "[[]],".repeat(1_000))).is_ok());
}

#[test]
fn every_livemode_of_the_top_level_is_found_and_none_below() {
    let livemode = |text| read::<Value>(text).unwrap().livemode;
    for (text, expected) in [
        (
            r#"{"livemode":true,"x":{"livemode":1},"live\u006dode":true,"y":[{"livemode":2}]}"#,
            Livemode::Is(true),
        ),
        (r#"{"livemode":true,"live\u006dode":false,"livemode":3}"#, Livemode::Contradiction),
        (r#"{"livemode":3,"livemode":false,"livemode":true}"#, Livemode::NotBoolean),
        (r#"{"livemode":"true"}"#, Livemode::NotBoolean),
        (r#"[{"livemode":true}]"#, Livemode::Absent),
    ] {
        assert_eq!(livemode(text), expected, "{text}");
    }
}

#[test]
fn the_borrowed_value_is_the_one_that_serde_json_has() {
    let text = r#"{"b":1.10,"a":"x\n","b":[null,true,{}],"a":"last"}"#;
    let Json::Object(members) = read::<Json<'_>>(text).unwrap().value else { panic!("an object") };
    let keys: Vec<_> = members.iter().map(|(key, _)| key.to_owned()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(members.find("a"), Some(&Json::String("last".into())));
    assert_eq!(members.find("c"), None);
    assert!(matches!(members.entry("b"), Some((1, "b", Json::Array(items))) if items.len() == 3));
}

/// Values as serde_json has them, of every kind and some levels deep.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Text that is nearly JSON: its tokens, and what is nearly one, in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        3 => prop::sample::select(vec!["[", "]", "{", "}", ",", ":", "\"a\":", "\"a\"", "1", "[]", "{}"]),
        1 => prop::sample::select(vec![
            "true", "null", "\"", "\\", "\\u", "\\ud800", "\\n", "\\x", "d83d", "00", "-", "+", ".", "e", "E5",
            "0", "0.1", " ", "\n", "\t", "\r", "\u{c}", "\u{a0}", "\u{7f}", "\0", "é", "😀", "/", "fals",
        ]),
    ];
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn values_are_read_as_serde_json_reads_them(value in values(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read::<Value>(&text).map(|payload| payload.value), Ok(expected));
    }

    #[test]
    fn any_text_is_json_here_exactly_where_serde_json_says_so(text: String) {
        prop_assert_eq!(read::<Value>(&text).is_ok(), is_json(&text));
        let quoted = format!("\"{text}\"");
        prop_assert_eq!(read::<Value>(&quoted).is_ok(), is_json(&quoted));
    }

    #[test]
    fn text_that_is_nearly_json_is_json_here_exactly_where_serde_json_says_so(text in nearly_json()) {
        prop_assert_eq!(read::<Value>(&text).is_ok(), is_json(&text), "{:?}", text);
        let quoted = format!("[\"{text}\",[{text}]]");
        prop_assert_eq!(read::<Value>(&quoted).is_ok(), is_json(&quoted), "{:?}", quoted);
    }

    #[test]
    fn json_with_a_few_bytes_changed_is_judged_as_serde_json_judges_it(
        value in values(), place: prop::sample::Index, length in 0_usize..3, put in ".{0,2}"
    ) {
        let mut characters: Vec<char> = serde_json::to_string(&value).unwrap().chars().collect();
        let start = place.index(characters.len());
        let end = (start + length).min(characters.len());
        characters.splice(start..end, put.chars());
        let text: String = characters.into_iter().collect();
        prop_assert_eq!(read::<Value>(&text).is_ok(), is_json(&text), "{:?}", text);
    }
}
