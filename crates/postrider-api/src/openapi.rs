//! The OpenAPI 3.1 description of the surface, made from the tables below: `/openapi.json`, `docs/openapi.json`, and
//! what the tests hold every answer against.
//!
//! A route without an entry here, or an entry without a route, fails a test of `routes.rs`.

mod describe;
mod operations;
mod schemas;

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::answer::{self, Answer};

/// The page: one file, its style and script inside, nothing loaded from elsewhere.
const PAGE: &str = include_str!("openapi/page.html");
/// What the page may do: run its own script and style, and read this service's description.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description of the whole surface, as JSON for people and programs to read.
pub fn openapi() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("a JSON value is always written");
    text.push('\n');
    text
}

fn document() -> Value {
    let mut paths = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for operation in operations::all() {
        if !tags.contains(&operation.tag) {
            tags.push(operation.tag);
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), operation.describe());
        }
    }
    let tags: Vec<Value> = tags.iter().map(|tag| json!({ "name": tag })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postrider",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Webhooks, delivered",
            "description": describe::ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This service" }],
        "security": [{ "bearer": [] }, { "basic": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "The operator key, or an account's `sk_live_…` or `sk_test_…`",
                },
                "basic": {
                    "type": "http", "scheme": "basic",
                    "description": "The key as the user name; the password is not looked at",
                },
            },
            "headers": describe::headers(),
            "responses": describe::problems(),
            "schemas": schemas::all(),
        },
    })
}

pub(crate) async fn description() -> Answer {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| openapi().into());
    Ok(answer::exact_json(StatusCode::OK, TEXT.clone()))
}

pub(crate) async fn page() -> Answer {
    let mut response = Response::new(PAGE.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}
