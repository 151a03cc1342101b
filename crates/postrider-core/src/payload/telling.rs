//! Whether every place at which a payload breaks a schema can be told in bounded time.
//!
//! Whether a payload passes is found quickly by any schema, because results of references are remembered. The search for
//! all faults remembers nothing: where a schema leads back to itself by more than one way, each level of the payload
//! multiplies the work. So the places are looked for only where this file says that it ends soon.

use std::collections::HashMap;

use serde_json::Value;

use crate::limits::MAX_SCHEMA_EXPANSION;

/// Keywords by which more than one part of a schema can judge the same place.
const DOUBLING: [&str; 12] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "contains",
    "dependentSchemas",
    "patternProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
];

/// What may stand beside a `$ref` and judges nothing.
const BESIDE: [&str; 10] =
    ["$ref", "$schema", "$id", "$anchor", "$comment", "$defs", "title", "description", "examples", "format"];

/// Whether the search for all faults is bounded by this schema.
pub(super) fn is_bounded(schema: &Value) -> bool {
    judges_each_place_once(schema) || Expansion { root: schema, sizes: HashMap::new() }.of(schema).is_some()
}

/// Told too seldom rather than too often: keys are looked at wherever they stand.
fn judges_each_place_once(schema: &Value) -> bool {
    match schema {
        Value::Object(keywords) => {
            let doubles = keywords.keys().any(|key| DOUBLING.contains(&key.as_str()));
            let refers_and_more =
                keywords.contains_key("$ref") && keywords.keys().any(|key| !BESIDE.contains(&key.as_str()));
            !doubles && !refers_and_more && keywords.values().all(judges_each_place_once)
        }
        Value::Array(items) => items.iter().all(judges_each_place_once),
        _ => true,
    }
}

/// How large a schema is with every reference written out.
struct Expansion<'a> {
    root: &'a Value,
    /// By the part's address; none while it is being counted, or where it is too large.
    sizes: HashMap<*const Value, Option<usize>>,
}

impl<'a> Expansion<'a> {
    /// None where it leads back to itself, is too large, or refers in a way that is not followed here.
    fn of(&mut self, part: &'a Value) -> Option<usize> {
        if let Some(known) = self.sizes.get(&std::ptr::from_ref(part)) {
            return *known;
        }
        self.sizes.insert(part, None);
        let size = self.count(part).filter(|size| *size <= MAX_SCHEMA_EXPANSION);
        self.sizes.insert(part, size);
        size
    }

    fn count(&mut self, part: &'a Value) -> Option<usize> {
        let mut size = 1_usize;
        let mut add = |more: Option<usize>| {
            size = size.saturating_add(more?);
            Some(())
        };
        match part {
            Value::Object(keywords) => {
                for (key, value) in keywords {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(to)) => add(self.of(self.target(to)?))?,
                        ("$dynamicRef" | "$recursiveRef", _) => return None,
                        _ => add(self.of(value))?,
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    add(self.of(item))?;
                }
            }
            _ => {}
        }
        Some(size)
    }

    fn target(&self, reference: &str) -> Option<&'a Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_judges_each_place_once_or_can_be_written_out_is_bounded() {
        let step = json!({"$ref": "#/$defs/b"});
        for (schema, expected) in [
            (json!(true), true),
            (json!({"properties": {"next": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}}), true),
            (json!({"$ref": "#/$defs/n", "$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}}), true),
            (json!({"anyOf": [step, step], "$defs": {"b": {"type": "string"}}}), true),
            (json!({"anyOf": [step, step], "$defs": {"b": {"items": {"$ref": "#"}}}}), false),
            (
                json!({"$ref": "#/$defs/b", "items": {"$ref": "#"}, "$defs": {"b": {"items": {"$ref": "#"}}}}),
                false,
            ),
            (json!({"patternProperties": {"^a": {"$ref": "#"}}, "properties": {"a": {"$ref": "#"}}}), false),
            (json!({"anyOf": [{"$ref": "#named"}], "$defs": {"n": {"$anchor": "named"}}}), false),
        ] {
            assert_eq!(is_bounded(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn what_doubles_too_often_is_not() {
        let doubling = |steps: usize| {
            let mut parts = serde_json::Map::new();
            for step in 0..steps {
                let next = json!({"$ref": format!("#/$defs/s{}", step + 1)});
                parts.insert(format!("s{step}"), json!({"allOf": [next, next]}));
            }
            parts.insert(format!("s{steps}"), json!(true));
            json!({"$ref": "#/$defs/s0", "$defs": parts})
        };
        assert!(is_bounded(&doubling(6)));
        assert!(!is_bounded(&doubling(60)));
    }
}
