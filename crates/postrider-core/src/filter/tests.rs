//! What filters say of payloads, and what is no filter.

use super::*;
use crate::limits::{MAX_FILTER_BYTES, MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH};
use proptest::prelude::*;

const PAYLOAD: &str = r#"{
    "livemode": true, "type": "policy", "premium": 19.990, "count": 3, "big": 12345678901234567890123,
    "holder": { "country": "DE", "email": "a\u00e4@example.com", "vip": null, "a/b": 1, "c~d": 2 },
    "tags": ["new", "web"], "twice": 1, "twice": 2
}"#;

fn says(filter: &str) -> bool {
    let filter = Filter::parse(filter).unwrap_or_else(|faults| panic!("{filter}: {faults:?}"));
    let (matches, explained) = asked(&filter, PAYLOAD.as_bytes());
    assert_eq!(explained.matches, matches);
    matches
}

/// What one filter makes of a payload.
fn asked(filter: &Filter, payload: &[u8]) -> (bool, Explanation) {
    let set = PathSet::of([filter]);
    let collected = set.collect(payload);
    let values = collected.of_filter(0);
    (filter.matches(&values), filter.explain(&values))
}

#[test]
fn each_test_looks_at_one_value() {
    for (filter, expected) in [
        (r#"{"path":"/holder/country","equals":"DE"}"#, true),
        (r#"{"path":"/holder/country","equals":"de"}"#, false),
        (r#"{"path":"/holder/email","equals":"aä@example.com"}"#, true),
        (r#"{"path":"/livemode","equals":true}"#, true),
        (r#"{"path":"/livemode","equals":"true"}"#, false),
        (r#"{"path":"/holder/vip","equals":null}"#, true),
        (r#"{"path":"/nowhere","equals":null}"#, false),
        (r#"{"path":"/premium","equals":19.99}"#, true),
        (r#"{"path":"/premium","equals":1.999e1}"#, true),
        (r#"{"path":"/count","equals":"3"}"#, false),
        (r#"{"path":"/big","equals":12345678901234567890123}"#, true),
        (r#"{"path":"/big","equals":12345678901234567890124}"#, false),
        (r#"{"path":"/holder","equals":"DE"}"#, false),
        (r#"{"path":"/holder/country","in":["AT","DE"]}"#, true),
        (r#"{"path":"/holder/country","in":["AT",1,null]}"#, false),
        (r#"{"path":"/holder/vip","exists":true}"#, true),
        (r#"{"path":"/holder/vip","exists":false}"#, false),
        (r#"{"path":"/nowhere","exists":false}"#, true),
        (r#"{"path":"/holder/country/deeper","exists":false}"#, true),
        (r#"{"path":"/holder/email","prefix":"a"}"#, true),
        (r#"{"path":"/holder/email","prefix":"b"}"#, false),
        (r#"{"path":"/count","prefix":"3"}"#, false),
        (r#"{"path":"/tags/1","equals":"web"}"#, true),
        (r#"{"path":"/tags/01","exists":true}"#, false),
        (r#"{"path":"/tags/2","exists":true}"#, false),
        (r#"{"path":"/holder/a~1b","equals":1}"#, true),
        (r#"{"path":"/holder/c~0d","equals":2}"#, true),
        (r#"{"path":"/twice","equals":2}"#, true),
        (r#"{"path":"/count","less_than":3}"#, false),
        (r#"{"path":"/count","at_most":3.0}"#, true),
        (r#"{"path":"/count","more_than":2.999}"#, true),
        (r#"{"path":"/count","at_least":4}"#, false),
        (r#"{"path":"/big","more_than":12345678901234567890122}"#, true),
        (r#"{"path":"/big","less_than":12345678901234567890123.1}"#, true),
        (r#"{"path":"/holder/country","more_than":0}"#, false),
    ] {
        assert_eq!(says(filter), expected, "{filter}");
    }
}

#[test]
fn conditions_are_joined_and_turned_round() {
    let (yes, no) = (r#"{"path":"/count","equals":3}"#, r#"{"path":"/count","equals":4}"#);
    for (filter, expected) in [
        (format!(r#"{{"all":[{yes},{yes}]}}"#), true),
        (format!(r#"{{"all":[{yes},{no}]}}"#), false),
        (format!(r#"{{"any":[{no},{yes}]}}"#), true),
        (format!(r#"{{"any":[{no},{no}]}}"#), false),
        (format!(r#"{{"not":{no}}}"#), true),
        (format!(r#"{{"not":{{"any":[{no},{{"not":{yes}}}]}}}}"#), true),
    ] {
        assert_eq!(says(&filter), expected, "{filter}");
    }
}

#[test]
fn an_explanation_names_the_part_that_decided_and_what_it_found() {
    for (filter, matches, pointer, detail) in [
        (r#"{"path":"/count","at_least":4}"#, false, "", "/count is 3: it is not a number of at least 4"),
        (
            r#"{"all":[{"path":"/count","exists":true},{"any":[{"path":"/a","equals":1},{"path":"/b","equals":1}]}]}"#,
            false,
            "/all/1",
            "none of 2 conditions holds",
        ),
        (
            r#"{"any":[{"path":"/a","equals":1},{"path":"/holder/country","in":["DE"]}]}"#,
            true,
            "/any/1",
            "/holder/country is \"DE\": it is one of the 1 values of \"in\"",
        ),
        (
            r#"{"not":{"path":"/tags","exists":true}}"#,
            false,
            "/not",
            "/tags is an array of 2: it is there, as it should be",
        ),
        (r#"{"path":"/a","prefix":"x"}"#, false, "", "/a is absent: it is not a text that begins with \"x\""),
        (r#"{"all":[{"path":"/count","equals":3}]}"#, true, "", "all 1 conditions hold"),
    ] {
        let explained = asked(&Filter::parse(filter).unwrap(), PAYLOAD.as_bytes()).1;
        let expected = Explanation { matches, pointer: pointer.to_owned(), detail: detail.to_owned() };
        assert_eq!(explained, expected, "{filter}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_its_places() {
    let deep = |depth: usize| {
        format!("{}{}{}", "{\"not\":".repeat(depth), r#"{"path":"/a","equals":1}"#, "}".repeat(depth))
    };
    let many =
        |count: usize| format!(r#"{{"all":[{}]}}"#, vec![r#"{"path":"/a","equals":1}"#; count].join(","));
    assert!(Filter::parse(&deep(MAX_FILTER_DEPTH - 1)).is_ok());
    assert!(Filter::parse(&many(MAX_FILTER_CONDITIONS - 1)).is_ok());
    let too_deep = "/not".repeat(MAX_FILTER_DEPTH);
    let too_many = format!("/all/{}", MAX_FILTER_CONDITIONS - 1);
    let long = format!(r#"{{"path":"/a","equals":"{}"}}"#, "x".repeat(MAX_FILTER_BYTES));
    let long_path = format!(r#"{{"path":"/{}","exists":true}}"#, "x".repeat(600));
    let values = format!(r#"{{"path":"/a","in":[{}]}}"#, vec!["1"; 101].join(","));
    for (filter, places) in [
        ("", vec![""]),
        ("nonsense", vec![""]),
        ("[]", vec![""]),
        ("7", vec![""]),
        ("{}", vec!["/path"]),
        (r#"{"all":[]}"#, vec!["/all"]),
        (r#"{"any":{}}"#, vec!["/any"]),
        (r#"{"not":[]}"#, vec!["/not"]),
        (r#"{"all":[1,{"path":"/a","equals":1},"x"]}"#, vec!["/all/0", "/all/2"]),
        (r#"{"all":[{"path":"/a","equals":1}],"any":[]}"#, vec!["/all", "/any"]),
        (r#"{"path":"/a"}"#, vec![""]),
        (r#"{"path":"/a","equals":1,"exists":true}"#, vec![""]),
        (r#"{"equals":1}"#, vec!["/path"]),
        (r#"{"path":"a","equals":1}"#, vec!["/path"]),
        (r#"{"path":"","equals":1}"#, vec!["/path"]),
        (r#"{"path":"/a~2","equals":1}"#, vec!["/path"]),
        (r#"{"path":"/a~","equals":1}"#, vec!["/path"]),
        (r#"{"path":7,"equals":[]}"#, vec!["/path", "/equals"]),
        (r#"{"path":"/a","equals":{}}"#, vec!["/equals"]),
        (r#"{"path":"/a","in":[]}"#, vec!["/in"]),
        (r#"{"path":"/a","in":[1,[],2,{}]}"#, vec!["/in/1", "/in/3"]),
        (&values, vec!["/in"]),
        (r#"{"path":"/a","exists":1}"#, vec!["/exists"]),
        (r#"{"path":"/a","prefix":""}"#, vec!["/prefix"]),
        (r#"{"path":"/a","prefix":7}"#, vec!["/prefix"]),
        (r#"{"path":"/a","less_than":"7"}"#, vec!["/less_than"]),
        (r#"{"path":"/a","equals":"\ud800"}"#, vec!["/equals"]),
        (r#"{"path":"/a","path":"/b","equals":1}"#, vec!["/path"]),
        (r#"{"path":"/a","matches":".*"}"#, vec!["/matches"]),
        (r#"{"path":"/a","a/b":1}"#, vec!["/a~1b"]),
        (&long_path, vec!["/path"]),
        (&deep(MAX_FILTER_DEPTH), vec![too_deep.as_str()]),
        (&many(MAX_FILTER_CONDITIONS), vec![too_many.as_str()]),
        (&long, vec![""]),
    ] {
        let faults = Filter::parse(filter).expect_err(filter);
        let found: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(found, places, "{filter}: {faults:?}");
        assert!(faults.iter().all(|fault| !fault.detail.is_empty()));
    }
}

#[test]
fn a_filter_keeps_its_text_without_the_space_between_its_parts() {
    let spaced = "{ \"path\" : \"/a b\" ,\n \"in\": [ 1.10, \"c \\\" d\" ] }";
    let filter = Filter::parse(spaced).unwrap();
    assert_eq!(filter.as_str(), r#"{"path":"/a b","in":[1.10,"c \" d"]}"#);
    assert_eq!(Filter::parse(filter.as_str()).unwrap(), filter);
}

#[test]
fn a_payload_that_can_t_be_read_has_nothing_anywhere() {
    let filter = Filter::parse(r#"{"path":"/a","exists":true}"#).unwrap();
    for payload in [&b"not JSON"[..], b"[1]", b"\xff"] {
        assert!(!asked(&filter, payload).0);
    }
}

proptest! {
    #[test]
    fn no_text_and_no_payload_panics(filter: String, payload: Vec<u8>) {
        if let Ok(filter) = Filter::parse(&filter) {
            asked(&filter, &payload);
        }
    }

    #[test]
    fn whatever_is_turned_round_twice_says_the_same(value in "[a-z]{0,3}", count in -5_i64..5) {
        for test in [format!(r#""prefix":"x{value}""#), format!(r#""at_least":{count}"#), format!(r#""equals":{count}"#)] {
            let once = format!(r#"{{"path":"/count",{test}}}"#);
            let turned = format!(r#"{{"not":{{"not":{once}}}}}"#);
            prop_assert_eq!(says(&once), says(&turned));
            let not = format!(r#"{{"not":{once}}}"#);
            prop_assert_ne!(says(&once), says(&not));
        }
    }
}
