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

/// What a filter made of a value of serde_json's before paths were collected: one look-up for each condition.
fn holds_naively(node: &Node, filter: &Filter, payload: Option<&serde_json::Value>) -> bool {
    match node {
        Node::All(parts) => parts.iter().all(|part| holds_naively(part, filter, payload)),
        Node::Any(parts) => parts.iter().any(|part| holds_naively(part, filter, payload)),
        Node::Not(part) => !holds_naively(part, filter, payload),
        Node::Test { condition, test } => {
            use serde_json::Value;
            let value = payload.and_then(|payload| payload.pointer(&filter.paths[*condition]));
            let Some(value) = value else { return *test == Test::Exists(false) };
            let number = || value.as_number().and_then(|number| Decimal::parse(&number.to_string()));
            let compares = |limit: &Decimal| number().map(|number| number.borrowed().cmp(&limit.borrowed()));
            let is = |scalar: &Scalar| match scalar {
                Scalar::Null => value.is_null(),
                Scalar::Bool(wanted) => *value == Value::Bool(*wanted),
                Scalar::Number(wanted) => number().as_ref() == Some(wanted),
                Scalar::Text(wanted) => value.as_str() == Some(wanted),
            };
            match test {
                Test::Exists(wanted) => *wanted,
                Test::Equals(wanted) => is(wanted),
                Test::In(wanted) => {
                    wanted.null && value.is_null()
                        || value.as_bool().is_some_and(|found| wanted.bools[usize::from(found)])
                        || wanted.texts.iter().any(|text| value.as_str() == Some(text))
                        || wanted.numbers.iter().any(|wanted| number().as_ref() == Some(wanted))
                }
                Test::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
                Test::LessThan(limit) => compares(limit).is_some_and(std::cmp::Ordering::is_lt),
                Test::AtMost(limit) => compares(limit).is_some_and(std::cmp::Ordering::is_le),
                Test::MoreThan(limit) => compares(limit).is_some_and(std::cmp::Ordering::is_gt),
                Test::AtLeast(limit) => compares(limit).is_some_and(std::cmp::Ordering::is_ge),
            }
        }
    }
}

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "1.0",
    "10e-1",
    "-2.50",
    "1e400",
    "1e9999999999999999999",
    "12345678901234567890123",
    "\"\"",
    "\"a\"",
    "\"ab\"",
    r#""\u0061""#,
    r#""\ud800""#,
    "\"1\"",
];

/// A payload in which names stand twice, with escapes, arrays and objects.
fn payloads() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(SCALARS).prop_map(str::to_owned);
    scalar.prop_recursive(4, 40, 5, |inner| {
        let key = prop::sample::select(
            &["\"a\"", "\"b\"", r#""\u0061""#, "\"0\"", "\"a/b\"", "\"c~\"", "\"\""][..],
        );
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((key, inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn filters() -> impl Strategy<Value = String> {
    let scalar = || {
        prop::sample::select(SCALARS)
            .prop_filter("a filter's own", |text| !text.contains("ud800") && !text.contains("1e9999"))
    };
    let segment = prop::sample::select(&["a", "b", "0", "1", "a~1b", "c~0", "", "01"][..]);
    let path = prop::collection::vec(segment, 1..4).prop_map(|segments| format!("/{}", segments.join("/")));
    let test = prop_oneof![
        scalar().prop_map(|value| format!(r#""equals":{value}"#)),
        prop::collection::vec(scalar(), 1..4).prop_map(|values| format!(r#""in":[{}]"#, values.join(","))),
        any::<bool>().prop_map(|wanted| format!(r#""exists":{wanted}"#)),
        Just(r#""prefix":"a""#.to_owned()),
        (prop::sample::select(&["less_than", "at_most", "more_than", "at_least"][..]), -3..12_i64)
            .prop_map(|(test, limit)| format!(r#""{test}":{limit}"#)),
    ];
    let condition = (path, test).prop_map(|(path, test)| format!(r#"{{"path":"{path}",{test}}}"#));
    condition.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(|parts| format!(r#"{{"all":[{}]}}"#, parts.join(","))),
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(|parts| format!(r#"{{"any":[{}]}}"#, parts.join(","))),
            inner.prop_map(|part| format!(r#"{{"not":{part}}}"#)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn one_pass_for_many_filters_says_what_a_look_up_for_each_condition_says(
        filters in prop::collection::vec(filters(), 1..6), payload in payloads(), cut in prop::option::weighted(0.1, any::<prop::sample::Index>())
    ) {
        let mut payload = payload;
        if let Some(cut) = cut {
            payload.truncate((0..=payload.len()).rev().find(|at| *at <= cut.index(payload.len() + 1) && payload.is_char_boundary(*at)).unwrap());
        }
        let filters: Vec<Filter> = filters.iter().map(|text| Filter::parse(text).unwrap()).collect();
        let set = PathSet::of(&filters);
        let collected = set.collect(payload.as_bytes());
        let value = crate::payload::value(&payload);
        for (index, filter) in filters.iter().enumerate() {
            let expected = holds_naively(&filter.root, filter, value.as_ref());
            prop_assert_eq!(filter.matches(&collected.of_filter(index)), expected, "{:?} of {}", filter, payload);
            prop_assert_eq!(filter.explain(&collected.of_filter(index)).matches, expected);
        }
    }
}

/// How many steps it takes to ask all of these filters once.
fn steps(filters: &[Filter], payload: &str, explain: bool) -> usize {
    let set = PathSet::of(filters);
    let collected = set.collect(payload.as_bytes());
    for (index, filter) in filters.iter().enumerate() {
        let values = collected.of_filter(index);
        match explain {
            true => drop(filter.explain(&values)),
            false => drop(filter.matches(&values)),
        }
    }
    collected.steps()
}

#[test]
fn what_filters_cost_is_the_sum_of_their_length_and_the_payload_s() {
    let listed: Vec<String> = (1..=100).map(|value| value.to_string()).collect();
    let condition = format!(r#"{{"path":"/n","in":[{}]}}"#, listed.join(","));
    // H1 of the attack: 25 conditions of 100 values each, over a number of a million digits.
    let attack = Filter::parse(&format!(r#"{{"any":[{}]}}"#, vec![condition; 25].join(","))).unwrap();
    let number = |digits: usize| format!(r#"{{"n":{}}}"#, "7".repeat(digits));
    let many = |count: usize| vec![attack.clone(); count];
    for explain in [false, true] {
        let most = |filters: usize, payload: &str| payload.len() + filters * 25 * 10 + 100;
        for (filters, digits) in [(1, 1_000_000), (1_000, 1_000), (1_000, 1_000_000)] {
            let payload = number(digits);
            let found = steps(&many(filters), &payload, explain);
            assert!(found <= most(filters, &payload), "{filters} filters, {digits} digits: {found}");
        }
    }
    // A name that stands twice makes what was found below it void, without a visit to all of that.
    let below: Vec<String> = (0..60).map(|n| format!(r#"{{"path":"/a/k{n}","exists":true}}"#)).collect();
    let wide = Filter::parse(&format!(r#"{{"all":[{}]}}"#, below.join(","))).unwrap();
    let twice = format!("{{{}}}", vec![r#""a":{"k1":1}"#; 50_000].join(","));
    assert!(steps(&vec![wide; 500], &twice, true) <= 2 * twice.len() + 500 * 60 * 10);
    // The text of a long number is shown, not computed.
    let explained = asked(&attack, number(1_000_000).as_bytes()).1;
    assert!(explained.detail.len() < 1_000, "{}", explained.detail.len());
}

#[test]
fn paths_of_many_filters_are_one_tree() {
    let deep = format!(r#"{{"path":"{}","exists":true}}"#, "/a".repeat(200));
    let filters: Vec<Filter> =
        [r#"{"path":"/a/b","exists":true}"#, r#"{"path":"/a/c","exists":true}"#, &deep]
            .iter()
            .map(|text| Filter::parse(text).unwrap())
            .collect();
    let set = PathSet::of(&filters);
    assert_eq!(set.node_count(), 4, "the root, /a, /a/b and /a/c; nothing is as deep as the third");
    let collected = set.collect(br#"{"a":{"b":1}}"#);
    let found: Vec<bool> = filters
        .iter()
        .enumerate()
        .map(|(index, filter)| filter.matches(&collected.of_filter(index)))
        .collect();
    assert_eq!(found, [true, false, false]);
}
