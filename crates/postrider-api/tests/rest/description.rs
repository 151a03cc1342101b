//! The OpenAPI description and its page: complete, sound, and in need of nothing from outside.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::described::{DESCRIPTION, resolved, validator};
use crate::harness::Service;

/// Every method of every path that is described.
fn described() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let methods = |(path, methods): (&'static String, &'static Value)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    };
    paths.iter().flat_map(methods).collect()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_has_its_route() {
    let service = Service::start().await;
    let mut routes = BTreeSet::new();
    for path in postrider_api::paths() {
        // A method that no route has is answered with those that it has.
        let answer = service.operator("BREW", &path.replace("{id}", "x"), "").await;
        let allowed =
            answer.header("allow").unwrap_or_else(|| panic!("{path}: {}", answer.status)).to_lowercase();
        let methods = allowed.split(',').filter(|method| *method != "head");
        routes.extend(methods.map(|method| (method.to_owned(), path.to_owned())));
    }
    let described: BTreeSet<_> =
        described().into_iter().map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(routes, described);
    service.stop().await;
}

#[tokio::test]
async fn the_description_and_its_page_are_served_without_a_key_and_load_nothing_from_elsewhere() {
    let service = Service::start().await;
    let shown = service.connect().await.request("GET", "/openapi.json", &[], b"").await;
    assert_eq!((shown.status, shown.text()), (200, postrider_api::openapi()));
    let page = service.connect().await.request("GET", "/docs", &[], b"").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && policy.contains("connect-src 'self'"), "{policy}");
    for elsewhere in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.text().contains(elsewhere), "{elsewhere}");
    }
    service.stop().await;
}

#[test]
fn every_operation_has_a_name_of_its_own_a_summary_and_its_problems() {
    let mut names = BTreeSet::new();
    for (method, path, operation) in described() {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name}");
        let answers = operation["responses"].as_object().unwrap();
        let has = |status: &str| answers.contains_key(status);
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name}");
        let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(has("401"), !is_open, "{name}");
        assert_eq!(has("400"), !is_open, "{name}");
        assert!(has("500") && has("503"), "{name}");
        assert_eq!(path.contains("{id}"), operation["parameters"][0]["in"] == "path", "{method} {path}");
        if operation["requestBody"].is_object() {
            assert!(["408", "413", "415", "422"].into_iter().all(has), "{name}");
        }
        for answer in answers.values() {
            let answer = resolved(answer);
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{name}");
            assert!(answer["headers"]["X-Request-Id"].is_object(), "{name}");
        }
    }
}

#[test]
fn every_schema_has_an_example_that_is_valid_and_every_reference_leads_somewhere() {
    fn references(part: &Value, found: &mut Vec<String>) {
        match part {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|part| references(part, found));
            }
            Value::Array(parts) => parts.iter().for_each(|part| references(part, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&DESCRIPTION, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        assert!(DESCRIPTION.pointer(&reference[1..]).is_some(), "{reference}");
    }
    for (name, schema) in DESCRIPTION["components"]["schemas"].as_object().unwrap() {
        let example = &schema["examples"][0];
        assert!(!example.is_null(), "{name} has no example");
        let faults: Vec<String> =
            validator(schema).iter_errors(example).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}");
    }
    for (status, response) in DESCRIPTION["components"]["responses"].as_object().unwrap() {
        let content = &response["content"]["application/problem+json"];
        assert!(validator(&content["schema"]).is_valid(&content["example"]), "{status}");
    }
}
