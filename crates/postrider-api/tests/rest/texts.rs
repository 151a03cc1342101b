//! Every text that a caller can give, on both stores: a text that a database can't hold is the caller's 422 with the
//! field's pointer, never an outage, and both stores treat every text alike.

use serde_json::{Value, json};

use crate::described::{DESCRIPTION, resolved};
use crate::harness::{Account, Service, event_body, payload};

/// Stands for the text under test until the body is JSON, because no JSON value holds half a surrogate pair.
const TEXT: &str = "@@text@@";
/// Texts as JSON writes them that no field of text may contain.
const REFUSED: [&str; 9] = [
    r"\u0000",
    r"a\u0000b",
    r"a\u0001b",
    r"a\u001f",
    r"\u001b[0m",
    r"a\u007fb",
    r"a\u0085b",
    r"\ud800",
    r"\udfff\ud800",
];
/// Fields that hold JSON, in which an escape is part of the value.
const JSON_FIELDS: [&str; 4] = ["payload", "schema", "example", "filter"];

/// An account with an endpoint, an event and a delivery.
struct Customer {
    account: Account,
    endpoint: String,
    delivery: String,
}

impl Customer {
    async fn new(service: &Service) -> Self {
        let account = service.account("Acme").await;
        let endpoint = service.endpoint(&account, json!({})).await["id"].as_str().unwrap().to_owned();
        let event = service.event(&account).await;
        Self { account, endpoint, delivery: event["deliveries"][0]["id"].as_str().unwrap().to_owned() }
    }

    fn path(&self, template: &str) -> String {
        let id = match template.split('/').nth(2).unwrap_or_default() {
            "accounts" => &self.account.id,
            "endpoints" => &self.endpoint,
            "deliveries" => &self.delivery,
            "event-types" => "policy.created",
            _ => "absent",
        };
        template.replace("{id}", id)
    }

    /// The example of a body, with what this customer has in it.
    fn body(&self, schema: &Value) -> Value {
        let mut body = schema["examples"][0].clone();
        if schema["properties"]["account"].is_object() {
            body["account"] = json!(self.account.id);
        }
        if schema["properties"]["endpoint"].is_object() {
            body["endpoint"] = json!(self.endpoint);
        }
        body
    }
}

/// The places of a body of this schema that hold text.
fn text_places(schema: &'static Value, base: &str) -> Vec<String> {
    let is = |schema: &Value, kind: &str| match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(several) => several.iter().any(|one| one == kind),
        _ => false,
    };
    let mut places = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let (property, place) = (resolved(property), format!("{base}/{name}"));
        if JSON_FIELDS.contains(&name.as_str()) {
            continue;
        }
        if is(property, "string") || property["enum"].is_array() {
            places.push(place);
        } else if is(property, "array") {
            let items = resolved(&property["items"]);
            match is(items, "string") {
                true => places.push(format!("{place}/0")),
                false => places.extend(text_places(items, &format!("{place}/0"))),
            }
        } else if is(&property["additionalProperties"], "string") {
            places.push(format!("{place}/X-Text"));
            places.push(format!("{place}/{TEXT}"));
        } else {
            places.extend(text_places(property, &place));
        }
    }
    places
}

/// Puts `text` at a place, with whatever is missing on the way there.
fn put(body: &mut Value, place: &str) {
    let mut at = body;
    for part in place.split('/').skip(1) {
        if part == "0" {
            if !at.is_array() {
                *at = json!([null]);
            }
            at = &mut at[0];
        } else {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[part];
        }
    }
    *at = json!(TEXT);
}

#[tokio::test]
async fn a_text_that_no_field_may_contain_is_refused_with_its_pointer_on_both_stores() {
    for (store, service) in Service::start_on_each_store().await {
        let customer = Customer::new(&service).await;
        let endpoint = format!("/v1/endpoints/{}", customer.endpoint);
        let before = (service.get("/v1/accounts").await, service.get(&endpoint).await);
        let mut tried = Vec::new();
        for (template, methods) in DESCRIPTION["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let content = &operation["requestBody"]["content"]["application/json"]["schema"];
                let schema = resolved(content);
                let (method, path) = (method.to_uppercase(), customer.path(template));
                for place in text_places(schema, "") {
                    let mut body = customer.body(schema);
                    put(&mut body, &place);
                    let body = body.to_string();
                    for text in REFUSED {
                        let body = body.replace(TEXT, text);
                        let answer = service.operator(&method, &path, &body).await;
                        let case = format!("{store}: {method} {path} {body}: {}", answer.text());
                        // Text that is no id names nothing.
                        if place == "/endpoint" && answer.status == 404 {
                            continue;
                        }
                        assert_eq!(answer.status, 422, "{case}");
                        let parent = place.rsplit_once('/').unwrap().0;
                        let is_there = |found: &String| match place.ends_with(TEXT) {
                            true => found.starts_with(parent),
                            false => *found == place || *found == parent && place.ends_with("/0"),
                        };
                        assert!(answer.pointers().iter().any(is_there), "{case}");
                    }
                    tried.push(format!("{method} {template} {place}"));
                }
            }
        }
        for known in ["POST /v1/endpoints /description", "PATCH /v1/endpoints/{id} /description"] {
            assert!(tried.iter().any(|one| one == known), "{known} is not among {tried:#?}");
        }
        assert!(tried.len() >= 30, "{tried:#?}");
        assert_eq!((service.get("/v1/accounts").await, service.get(&endpoint).await), before, "{store}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_parameter_with_such_a_text_is_refused_on_both_stores() {
    for (store, service) in Service::start_on_each_store().await {
        let customer = Customer::new(&service).await;
        let mut tried = 0;
        for (template, methods) in DESCRIPTION["paths"].as_object().unwrap() {
            for parameter in methods["get"]["parameters"].as_array().into_iter().flatten() {
                let parameter = resolved(parameter);
                if parameter["in"] != "query" {
                    continue;
                }
                for text in ["%00", "a%00b", "a%01", "%7F", "%C2%85", "%ED%A0%80", "%FF"] {
                    let name = parameter["name"].as_str().unwrap();
                    let path = format!("{}?{name}={text}", customer.path(template));
                    let answer = service.operator("GET", &path, "").await;
                    assert_eq!(answer.status, 400, "{store}: {path}: {}", answer.text());
                    tried += 1;
                }
            }
        }
        assert!(tried >= 100, "{tried} were tried");
        service.stop().await;
    }
}

/// Accepted texts are stored unchanged, on both stores.
#[tokio::test]
async fn lines_of_a_description_and_escapes_in_json_are_kept_on_both_stores() {
    for (store, service) in Service::start_on_each_store().await {
        let customer = Customer::new(&service).await;
        let lines = "two\r\n\tlines 🐎 \u{10ffff}\u{202e}";
        let endpoint = json!({ "description": lines, "filter": { "path": "/id", "equals": "a\u{0}b" } });
        let made = service.endpoint(&customer.account, endpoint).await;
        let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
        let shown = service.get(&path).await;
        assert_eq!((&shown["description"], &shown["filter"]["equals"]), (&json!(lines), &json!("a\u{0}b")));
        let event_type = json!({
            "name": "claim.opened", "description": lines,
            "schema": { "type": "object", "description": "a\u{0}b" }, "example": { "note": "a\u{0}b" },
        });
        let added = service.operator("POST", "/v1/event-types", &event_type.to_string()).await;
        assert_eq!(added.status, 201, "{store}: {}", added.text());
        let shown = service.get("/v1/event-types/claim.opened").await;
        assert_eq!(shown["example"]["note"], "a\u{0}b");
        let sent = payload(false).replace("lpol_1", r"a\u0000b");
        let accepted = service.operator("POST", "/v1/events", &event_body(&customer.account.id, &sent)).await;
        assert_eq!(accepted.status, 202, "{store}: {}", accepted.text());
        assert_eq!(accepted.json()["deliveries"].as_array().unwrap().len(), 2, "the filter matched");
        let path = format!("/v1/events/{}/payload", accepted.json()["id"].as_str().unwrap());
        assert_eq!(service.operator("GET", &path, "").await.text(), sent);
        service.stop().await;
    }
}
