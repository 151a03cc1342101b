//! Holds every answer that a test gets against the OpenAPI description: its status, its kind, its body.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::client::Answer;

pub(crate) static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&postrider_api::openapi()).unwrap());

/// What a `$ref` within the description names.
pub(crate) fn resolved(part: &'static Value) -> &'static Value {
    match part["$ref"].as_str() {
        Some(reference) => DESCRIPTION.pointer(reference.strip_prefix('#').unwrap()).expect(reference),
        None => part,
    }
}

/// A validator of a schema of the description.
pub(crate) fn validator(schema: &Value) -> Arc<Validator> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    let make = || {
        let mut whole = json!({ "components": DESCRIPTION["components"] });
        whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
        Arc::new(jsonschema::validator_for(&whole).unwrap())
    };
    known.entry(schema.to_string()).or_insert_with(make).clone()
}

/// Whether a path is one of this template.
fn is_of(template: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some("{id}" | "{link}"), Some(part)) if !part.is_empty() => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return false,
        }
    }
}

/// The described operation of a request; none where there is no such path or method.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or(path);
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let exact = paths.get(path);
    let found =
        exact.or_else(|| paths.iter().find(|(template, _)| is_of(template, path)).map(|(_, found)| found))?;
    found.get(method.to_lowercase())
}

/// Judges an answer to a request by what is described of it.
pub(crate) fn judge(method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else { return };
    let status = answer.status.to_string();
    let described = &operation["responses"][&status];
    assert!(described.is_object(), "{method} {path}: {status} is not described: {}", answer.text());
    let described = resolved(described);
    let Some(content) = described["content"].as_object() else {
        assert!(answer.body.is_empty(), "{method} {path}: {status} has a body");
        return;
    };
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    let schema = content.get(kind).unwrap_or_else(|| panic!("{method} {path}: {kind} is not described"));
    if kind.ends_with("json") {
        // An accepted payload may be JSON that no value here holds, such as half a surrogate pair.
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            assert!(path.starts_with("/v1/events/"), "{method} {path}: {}", answer.text());
            return;
        };
        let faults: Vec<String> = validator(&schema["schema"])
            .iter_errors(&body)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert_eq!(faults, Vec::<String>::new(), "{method} {path} {status}: {body}");
    }
}
