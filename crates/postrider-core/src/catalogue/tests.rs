//! What the operator may make of event types, and what is refused with the place named.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::limits::{
    MAX_CUSTOM_EVENT_TYPES, MAX_DESCRIPTION_CHARS, MAX_EXAMPLE_BYTES, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH,
};
use crate::payload::{PayloadRefused, Violation};

const NOW: Timestamp = Timestamp::from_ms(1_500_381_476_000);

fn definition(name: &str, schema: Option<Value>, example: Option<Value>) -> Definition {
    Definition {
        name: name.to_owned(),
        description: None,
        schema: schema.map(|schema| schema.to_string()),
        example: example.map(|example| example.to_string()),
        validation: true,
        archived: false,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn made(schema: Option<Value>, example: Option<Value>) -> Result<EventType, TypeRefused> {
    Catalogue::built_in().judge_new(definition("claim.opened", schema, example))
}

/// The one fault that there is.
fn fault(refused: Result<EventType, TypeRefused>) -> Violation {
    match refused.expect_err("it must be refused") {
        TypeRefused::Faults(mut faults) if faults.len() == 1 => faults.remove(0),
        other => panic!("not one fault: {other:?}"),
    }
}

fn schema() -> Value {
    json!({"type": "object", "required": ["claim"], "properties": {"claim": {"type": "string"}}})
}

fn check(event_type: &EventType, json: &str) -> Result<bool, Vec<Violation>> {
    payload::check(event_type, json, Some(true)).map_err(PayloadRefused::into_violations)
}

#[test]
fn a_custom_type_judges_by_its_schema() {
    let claim = made(Some(schema()), Some(json!({"claim": "C-1", "livemode": true}))).unwrap();
    assert_eq!((claim.is_built_in(), claim.is_archived(), claim.is_validated()), (false, false, true));
    assert_eq!(check(&claim, r#"{"claim":"C-1"}"#), Ok(true));
    assert_eq!(check(&claim, r#"{"claim":7}"#).unwrap_err()[0].pointer, "/claim");
    assert_eq!(claim.example_in_mode(false).unwrap(), r#"{"claim":"C-1","livemode":false}"#);
}

#[test]
fn a_type_without_a_schema_takes_any_object_and_nothing_else() {
    let claim = made(None, None).unwrap();
    assert_eq!(check(&claim, r#"{"what":["ever"],"livemode":true}"#), Ok(true));
    for (wrong, pointer) in [("[]", ""), ("7", ""), ("{", ""), (r#"{"livemode":"yes"}"#, "/livemode")] {
        assert_eq!(check(&claim, wrong).unwrap_err()[0].pointer, pointer, "{wrong}");
    }
    assert_eq!((claim.schema(), claim.example(), claim.description()), (None, None, ""));
}

#[test]
fn with_validation_off_any_object_passes_and_the_example_fits_all_the_same() {
    let off = |example| {
        Catalogue::built_in().judge_new(Definition {
            validation: false,
            ..definition("claim.opened", Some(schema()), Some(example))
        })
    };
    assert_eq!(check(&off(json!({"claim": "C-1"})).unwrap(), r#"{"claim":7}"#), Ok(true));
    assert_eq!(fault(off(json!({"claim": 7}))).pointer, "/example/claim");
}

#[test]
fn names_read_as_event_types_and_are_given_once() {
    let named = |name: &str| Catalogue::built_in().judge_new(definition(name, None, None));
    for wrong in ["", "claim.", "claim.*", "*", "a b", "é", "a..b", &"x".repeat(129)] {
        assert_eq!(fault(named(wrong)).pointer, "/name", "{wrong}");
    }
    let both = Catalogue::built_in().judge_new(definition("claim.*", Some(json!(7)), None));
    assert!(matches!(both, Err(TypeRefused::Faults(faults)) if faults.len() == 2), "all at once");
    for taken in ["policy.created", "endpoint.failing"] {
        assert_eq!(named(taken).unwrap_err(), TypeRefused::IsThere);
    }
    let (mut catalogue, left_out) = Catalogue::new(vec![definition("claim.opened", None, None)]);
    assert_eq!(left_out, []);
    assert_eq!(
        catalogue.judge_new(definition("claim.opened", None, None)).unwrap_err(),
        TypeRefused::IsThere
    );
    for count in 1..MAX_CUSTOM_EVENT_TYPES {
        let another = catalogue.judge_new(definition(&format!("claim.n{count}"), None, None));
        catalogue.put(another.unwrap().into());
    }
    assert_eq!(catalogue.judge_new(definition("claim.last", None, None)).unwrap_err(), TypeRefused::Full);
}

#[test]
fn a_schema_that_is_none_is_refused_at_its_place() {
    for (wrong, pointer, words) in [
        (json!(7), "/schema", "an object"),
        (json!("object"), "/schema", "an object"),
        (json!([]), "/schema", "an object"),
        (json!({"type": "text"}), "/schema/type", "2020-12"),
        (json!({"properties": {"a/b": {"minLength": -1}}}), "/schema/properties/a~1b/minLength", "2020-12"),
        (json!({"required": "claim"}), "/schema/required", "2020-12"),
        (json!({"items": [true]}), "/schema/items", "2020-12"),
        (
            json!({"properties": {"a": {"pattern": "("}}}),
            "/schema/properties/a/pattern",
            "regular expression",
        ),
        (json!({"pattern": "(?=a)a"}), "/schema/pattern", "look-around"),
        (json!({"pattern": "(a{9999}){999}"}), "/schema/pattern", "regular expression"),
        (
            json!({"patternProperties": {"(?<!a)": true}}),
            "/schema/patternProperties/(?<!a)",
            "regular expression",
        ),
        (
            json!({"allOf": (0..33).map(|n| json!({"pattern": n.to_string()})).collect::<Vec<_>>()}),
            "/schema/allOf/32/pattern",
            "more than 32 regular expressions",
        ),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "/schema/$schema", "2020-12"),
        (json!({"$schema": 7}), "/schema/$schema", "2020-12"),
        (json!({"$ref": "https://example.com/x.json"}), "/schema/$ref", "nothing is fetched"),
        (
            json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
            "/schema/properties/a/$ref",
            "nothing is fetched",
        ),
        (
            json!({"properties": {"a": {"$ref": "other.json#/x"}}}),
            "/schema/properties/a/$ref",
            "nothing is fetched",
        ),
        (json!({"allOf": [true, {"$ref": "#/$defs/gone"}]}), "/schema/allOf/1/$ref", "not there"),
        (json!({"$ref": "#gone"}), "/schema/$ref", "not there"),
    ] {
        let found = fault(made(Some(wrong.clone()), None));
        assert_eq!(found.pointer, pointer, "{wrong}: {}", found.detail);
        assert!(found.detail.contains(words), "{wrong}: {}", found.detail);
    }
}

#[test]
fn what_a_schema_holds_in_itself_is_followed() {
    let bundled = json!({
        "$id": "https://example.com/root.json",
        "properties": {"claim": {"$ref": "part.json"}, "next": {"$ref": "#"}, "other": {"$ref": "#named"}},
        "$defs": {
            "part": {"$id": "part.json", "type": "string"},
            "named": {"$anchor": "named", "type": "integer"},
        },
    });
    let claim = made(Some(bundled), None).unwrap();
    assert_eq!(check(&claim, r#"{"claim":"C","other":7,"next":{"claim":"D"}}"#), Ok(true));
    let refused = check(&claim, r#"{"claim":1,"other":"x","next":{"claim":2}}"#).unwrap_err();
    let mut pointers: Vec<_> = refused.iter().map(|fault| fault.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/claim", "/next/claim", "/other"]);
}

#[test]
fn a_schema_that_leads_back_to_itself_ends() {
    for circle in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}, {"not": {"$ref": "#/$defs/b"}}], "$defs": {"b": {"$ref": "#"}}}),
        json!({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"oneOf": [{"$ref": "#/$defs/b"}]}, "b": {"if": {"$ref": "#/$defs/a"}}}}),
        json!({"$dynamicRef": "#x", "$dynamicAnchor": "x"}),
    ] {
        if let Ok(made) = made(Some(circle), None) {
            // Whether it passes is the library's; that it ends is ours.
            let _judged = check(&made, r#"{"a":{"b":[1,2,{"c":null}]}}"#);
        }
    }
}

#[test]
fn a_schema_that_multiplies_with_each_level_is_judged_at_once_all_the_same() {
    let node = json!({"$ref": "#/$defs/node"});
    let tree = json!({"$ref": "#/$defs/node", "$defs": {"node": {"required": ["value"], "anyOf": [
        {"properties": {"child": node}, "required": ["kind"]},
        {"properties": {"child": node}},
    ]}}});
    let tree = made(Some(tree), None).unwrap();
    let levels = 100;
    let nested =
        |leaf: &str| format!("{}{leaf}{}", r#"{"value":1,"child":"#.repeat(levels), "}".repeat(levels));
    assert_eq!(check(&tree, &nested(r#"{"value":1}"#)), Ok(true));
    // With every place looked for this would take longer than the world is old.
    let refused = check(&tree, &nested("{}")).unwrap_err();
    assert_eq!((refused.len(), refused[0].pointer.as_str()), (1, ""));
    assert!(refused[0].detail.contains("anyOf"), "{}", refused[0].detail);
}

#[test]
fn a_schema_has_its_bounds() {
    let mut deep = json!(true);
    for _level in 0..MAX_SCHEMA_DEPTH {
        deep = json!({"not": deep});
    }
    assert!(made(Some(deep.clone()), None).is_ok());
    let found = fault(made(Some(json!({"not": deep})), None));
    assert!(found.pointer.starts_with("/schema/not/not/"), "{}", found.pointer);
    assert!(found.detail.contains("deeper than 64"), "{}", found.detail);

    let long = json!({"description": "x".repeat(MAX_SCHEMA_BYTES)});
    assert_eq!(fault(made(Some(long), None)).pointer, "/schema");
    let long = json!({"text": "x".repeat(MAX_EXAMPLE_BYTES)});
    assert_eq!(fault(made(None, Some(long))).pointer, "/example");
    let described = Definition {
        description: Some("ü".repeat(MAX_DESCRIPTION_CHARS + 1)),
        ..definition("claim.opened", None, None)
    };
    assert_eq!(fault(Catalogue::built_in().judge_new(described)).pointer, "/description");
    let described =
        Definition { description: Some("a\0b".to_owned()), ..definition("claim.opened", None, None) };
    assert_eq!(fault(Catalogue::built_in().judge_new(described)).pointer, "/description");
}

#[test]
fn a_description_is_checked_when_it_is_given_and_not_when_another_field_changes() {
    let catalogue = Catalogue::built_in();
    let known = catalogue.get("policy.created").unwrap();
    let described =
        |text: &str| TypePatch { description: Some(Some(text.to_owned())), ..TypePatch::default() };
    for text in ["a\0b", "a\u{7f}b", "a\u{1b}[0mb"] {
        let Err(TypeRefused::Faults(faults)) = known.changed(described(text), NOW) else {
            panic!("{text:?}")
        };
        assert_eq!(faults[0].pointer, "/description");
        assert!(faults[0].detail.contains("control characters"), "{}", faults[0].detail);
    }
    assert!(known.changed(described("two\r\n\tlines"), NOW).is_ok());
    // An earlier release stored it; every other field still changes.
    let stored =
        Definition { description: Some("a\u{1}b".to_owned()), ..definition("claim.opened", None, None) };
    let stored = catalogue.read(stored).unwrap();
    let archived = TypePatch { archived: Some(true), ..TypePatch::default() };
    assert!(stored.changed(archived, NOW).is_ok());
}

#[test]
fn an_example_is_an_object_that_fits() {
    for (example, pointer) in [
        (json!([]), "/example"),
        (json!({"claim": 7}), "/example/claim"),
        (json!({}), "/example/claim"),
        (json!({"claim": "C", "livemode": 1}), "/example/livemode"),
    ] {
        assert_eq!(fault(made(Some(schema()), Some(example.clone()))).pointer, pointer, "{example}");
    }
    let live = json!({"properties": {"livemode": {"const": true}}});
    assert!(made(Some(live), Some(json!({"livemode": true}))).is_ok());
}

#[test]
fn a_change_keeps_what_it_does_not_name_and_takes_null_as_what_is_built_in() {
    let catalogue = Catalogue::built_in();
    let before = catalogue.get("policy.created").unwrap();
    let later = NOW.plus(std::time::Duration::from_secs(1));
    let patch = TypePatch {
        description: Some(Some("Ours.".to_owned())),
        validation: Some(false),
        ..TypePatch::default()
    };
    let after = before.changed(patch, NOW).unwrap();
    assert_eq!(before.fields_changed_in(&after), ["description", "validation"]);
    assert_eq!((after.schema(), after.example()), (before.schema(), before.example()));
    assert_eq!(check(&after, "{}"), Ok(true));
    let patch = TypePatch {
        description: Some(None),
        validation: Some(true),
        archived: Some(true),
        ..TypePatch::default()
    };
    let last = after.changed(patch, later).unwrap();
    assert_eq!(before.fields_changed_in(&last), ["archived"]);
    assert_eq!(last.definition().map(|own| (own.created_at, own.updated_at)), Some((NOW, later)));
    assert!(check(&last, "{}").is_err());
}

#[test]
fn a_change_that_would_reject_the_own_example_is_refused() {
    let catalogue = Catalogue::built_in();
    let policy = catalogue.get("policy.created").unwrap();
    let narrow =
        TypePatch { schema: Some(Some(r#"{"required":["claim"]}"#.to_owned())), ..TypePatch::default() };
    let found = fault(policy.changed(narrow.clone(), NOW));
    assert_eq!(found.pointer, "/schema");
    assert!(found.detail.contains("\"/claim\" is required"), "{}", found.detail);
    let both = TypePatch { example: Some(Some(r#"{"claim":1}"#.to_owned())), ..narrow };
    let changed = policy.changed(both.clone(), NOW).unwrap();
    assert_eq!(changed.example(), Some(r#"{"claim":1}"#));
    let alone = TypePatch { schema: None, ..both };
    assert!(
        matches!(policy.changed(alone, NOW), Err(TypeRefused::Faults(faults)) if faults.iter().all(|fault| fault.pointer.starts_with("/example/")))
    );
}

#[test]
fn the_services_own_types_are_not_changed() {
    let catalogue = Catalogue::built_in();
    let failing = catalogue.get("endpoint.failing").unwrap();
    assert_eq!(failing.changed(TypePatch::default(), NOW).unwrap_err(), TypeRefused::IsTheServices);
}

#[test]
fn what_has_not_changed_is_not_compiled_again() {
    let (stays, changes) =
        (definition("a.stays", Some(schema()), None), definition("b.changes", Some(schema()), None));
    let touched = Definition { archived: true, ..definition("policy.created", None, None) };
    let (before, _) = Catalogue::new(vec![stays.clone(), changes.clone(), touched]);
    let (after, left_out) = before.read_again(vec![stays, Definition { schema: None, ..changes }]);
    assert_eq!(left_out, []);
    let is_same = |name| Arc::ptr_eq(before.get(name).unwrap(), after.get(name).unwrap());
    assert_eq!(
        (is_same("a.stays"), is_same("b.changes"), is_same("policy.created"), is_same("offer.created")),
        (true, false, false, true)
    );
    assert!(!after.get("policy.created").unwrap().is_archived(), "it is as it comes again");
    assert_eq!(check(after.get("b.changes").unwrap(), "{}"), Ok(true));
}

#[test]
fn what_was_kept_is_read_again_and_what_can_not_be_is_named() {
    let later =
        Definition { created_at: Timestamp::from_ms(NOW.as_ms() + 1), ..definition("a.later", None, None) };
    let changed = Definition { archived: true, ..definition("policy.updated", None, None) };
    let broken = Definition { schema: Some("{\"type\":7}".to_owned()), ..definition("b.broken", None, None) };
    let services = definition("endpoint.failing", None, None);
    let (catalogue, left_out) =
        Catalogue::new(vec![later, definition("z.first", None, None), changed, broken, services]);
    let names: Vec<_> = catalogue.of_platform().map(|known| known.name()).collect();
    assert_eq!(
        names,
        ["offer.created", "policy.created", "policy.updated", "policy.cancelled", "z.first", "a.later"]
    );
    assert!(catalogue.get("policy.updated").unwrap().is_archived());
    let mut left_out: Vec<_> = left_out.iter().map(|(name, _)| name.as_str()).collect();
    left_out.sort_unstable();
    assert_eq!(left_out, ["b.broken", "endpoint.failing"]);
    assert!(catalogue.get("endpoint.failing").unwrap().definition().is_none());
}

proptest! {
    #[test]
    fn no_text_for_a_schema_or_an_example_panics(schema: String, example: String) {
        let given = Definition {
            schema: Some(schema),
            example: Some(example),
            ..definition("claim.opened", None, None)
        };
        let _judged = Catalogue::built_in().judge_new(given);
    }
}
