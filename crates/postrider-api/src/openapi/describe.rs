//! One operation of the description: who may call it, what it takes, what it answers. What holds for every operation
//! (problems, request ids) is added here.

use serde_json::{Map, Value, json};

use crate::problem::OUTCOME_UNKNOWN;

/// What stands at the top of the description.
pub(super) const ABOUT: &str = "Hand in events, and Postrider delivers each, signed, to every endpoint that subscribed.\n\n\
    **Keys.** `Authorization: Bearer KEY`, or HTTP Basic with the key as the user name. The operator key may do all; an \
    account's keys (`sk_live_…`, `sk_test_…`) see their account and their mode alone.\n\n\
    **Errors** are RFC 9457 problems with a stable `code`; bad input names every place in `errors`.\n\n\
    **Lists** are walked with `limit` and `cursor`, newest first. A page may be short, or empty, although `next_cursor` \
    is set.\n\n\
    **Idempotent requests.** Every POST that creates something accepts an `Idempotency-Key`: repeating it with the same key \
    and body within 24 hours returns the first response, marked `Idempotency-Replayed: true`, and creates nothing; with \
    another body it is 409. Keys are scoped to the API key and the path. Only 2xx responses are stored, in the commit that \
    creates.\n\n\
    **Unknown outcomes.** After 503 `unavailable`, a timeout or a broken connection, the request may have been carried out. \
    Repeating it is safe if it carried an `Idempotency-Key` and carries the same one again. After 503 `overloaded` or \
    `shutting_down` nothing was stored.\n\n\
    Unknown query parameters are 400 and unknown fields 422, never ignored.";

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anyone, without a key.
    Open,
    /// Every key, within what it sees.
    AnyKey,
    /// The operator key alone.
    Operator,
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    pub(super) tag: &'static str,
    summary: &'static str,
    description: &'static str,
    access: Access,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(u16, Value)>,
    problems: Vec<u16>,
}

/// `GET /v1/accounts` as `listAccounts` under `Accounts`.
pub(super) fn operation(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        method,
        path,
        id,
        tag,
        summary,
        description: "",
        access: Access::AnyKey,
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        problems: vec![400, 500, 503],
    }
}

/// A reference to a schema.
pub(super) fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl Operation {
    pub(super) fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    pub(super) fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// The `{id}` in the path, with what it must look like.
    pub(super) fn of(mut self, what: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": "id", "in": "path", "required": true, "description": what, "schema": schema,
        }));
        self.problems.push(404);
        self
    }

    /// A further place in the path.
    pub(super) fn and_of(mut self, name: &str, what: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": what, "schema": schema,
        }));
        self
    }

    pub(super) fn query(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.parameters
            .push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
        self
    }

    pub(super) fn header(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.parameters
            .push(json!({ "name": name, "in": "header", "description": description, "schema": schema }));
        self
    }

    /// A call that creates, once for each idempotency key.
    pub(super) fn once(self) -> Self {
        let key = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" });
        self.header("Idempotency-Key", "Makes repeating the request safe, also after 503, a timeout or a broken connection: see **Idempotent requests** above", key).or(&[409])
    }

    /// `limit` and `cursor`; every list has a letter of its own before its cursors (`query.rs`).
    pub(super) fn pages(self, letter: char) -> Self {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": 250, "default": 50 });
        self.query("limit", "How many rows a page has at most", limit).query(
            "cursor",
            "The `next_cursor` of the page before",
            json!({ "type": "string", "pattern": format!("^{letter}[0-7][0-9a-f]{{15}}$") }),
        )
    }

    /// `account` and `livemode`, which an account's key implies.
    pub(super) fn bounds(self) -> Self {
        let implied = "an account's key sees its own alone, and naming another is 403";
        let id = json!({ "type": "string", "pattern": "^acc_([0-9a-f]{32}|operator)$" });
        self.query("account", &format!("Of this account; {implied}"), id)
            .query("livemode", &format!("Of this mode; {implied}"), json!({ "type": "boolean" }))
            .or(&[403])
    }

    /// A body of this schema.
    pub(super) fn takes(mut self, name: &str) -> Self {
        self.body =
            Some(json!({ "required": true, "content": { "application/json": { "schema": schema(name) } } }));
        self.or(&[408, 413, 415, 422])
    }

    /// A body that may be left out.
    pub(super) fn may_take(mut self, name: &str) -> Self {
        self.body =
            Some(json!({ "required": false, "content": { "application/json": { "schema": schema(name) } } }));
        self.or(&[408, 413, 415, 422])
    }

    /// Further problems that it may answer.
    pub(super) fn or(mut self, problems: &[u16]) -> Self {
        self.problems.extend(problems);
        self
    }

    /// An answer of JSON.
    pub(super) fn gives(self, status: u16, description: &str, name: &str) -> Self {
        self.gives_as(status, description, "application/json", schema(name))
    }

    /// A page of a list.
    pub(super) fn lists(self, name: &str) -> Self {
        let page = json!({
            "type": "object", "required": ["data", "next_cursor"], "additionalProperties": false,
            "properties": {
                "data": { "type": "array", "items": schema(name) },
                "next_cursor": { "type": ["string", "null"], "description": "Where the next page begins; null at the end" },
            },
        });
        self.gives_as(200, "A page, newest first", "application/json", page)
    }

    pub(super) fn gives_as(mut self, status: u16, description: &str, kind: &str, schema: Value) -> Self {
        self.answers.push((
            status,
            json!({ "description": description, "headers": request_id(), "content": { kind: { "schema": schema } } }),
        ));
        self
    }

    /// 204.
    pub(super) fn gives_nothing(mut self, description: &str) -> Self {
        self.answers.push((204, json!({ "description": description, "headers": request_id() })));
        self
    }

    pub(super) fn describe(mut self) -> Value {
        match self.access {
            Access::Open => self.problems.retain(|status| *status != 400),
            Access::AnyKey => self.problems.extend([401, 429]),
            Access::Operator => self.problems.extend([401, 403, 429]),
        }
        let mut answers: Vec<(u16, Value)> = std::mem::take(&mut self.answers);
        for status in self.problems {
            if answers.iter().all(|(known, _)| *known != status) {
                answers.push((status, json!({ "$ref": format!("#/components/responses/{status}") })));
            }
        }
        answers.sort_by_key(|(status, _)| *status);
        let answers: Map<String, Value> =
            answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        let mut operation = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary, "responses": answers,
        });
        let who = if self.access == Access::Operator { "**The operator's alone.** " } else { "" };
        let description = format!("{who}{}", self.description);
        if !description.is_empty() {
            operation["description"] = json!(description.trim_end());
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = json!(self.parameters);
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if self.access == Access::Open {
            operation["security"] = json!([]);
        }
        operation
    }
}

fn request_id() -> Value {
    json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } })
}

pub(super) fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "Names the request in the service's log",
            "required": true, "schema": { "type": "string", "pattern": "^req_[0-9a-f]{24,}$" },
        },
        "Retry-After": {
            "description": "After how many seconds it makes sense to try again",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "RateLimit": {
            "description": "What the key has left this second (draft-ietf-httpapi-ratelimit-headers); on every answer to an account key where requests are limited",
            "schema": { "type": "string" },
        },
        "RateLimit-Policy": { "description": "How much that is at most", "schema": { "type": "string" } },
        "WWW-Authenticate": {
            "description": "The ways to send a key", "required": true, "schema": { "type": "string" },
        },
    })
}

/// Every problem that an operation may answer, by its status.
pub(super) fn problems() -> Value {
    let all = [
        (400, "malformed_json", "The body is not JSON, or a parameter is unknown or can't be read"),
        (401, "unauthorized", "No key, or one that is not known"),
        (403, "forbidden", "Not yours to do"),
        (404, "not_found", "Not there, or someone else's"),
        (408, "body_timeout", "The body was not there in time"),
        (409, "conflict", "It contradicts what is there"),
        (413, "body_too_large", "The body is over the limit (1 MiB; a batch 8 MiB)"),
        (415, "unsupported_media_type", "The body is not application/json in UTF-8"),
        (
            422,
            "invalid",
            "Understood, but invalid; `errors` names every place. `too_expensive`: a payload takes too many steps to check \
             against its event type's schema; `errors` names the place that was reached",
        ),
        (429, "rate_limited", "Too many requests with this key, or too many unknown keys from this address"),
        (500, "internal", "A fault of the service; its log has it under the request's id"),
        (
            503,
            "unavailable",
            "`overloaded` or `shutting_down`: nothing was stored. `unavailable`: the store is unavailable, and a request \
             that changes something may have been carried out; repeating it with the same `Idempotency-Key` is safe",
        ),
    ];
    let mut responses = Map::new();
    for (status, code, description) in all {
        let mut headers = request_id();
        if status == 503 || status == 429 {
            headers["Retry-After"] = json!({ "$ref": "#/components/headers/Retry-After" });
        }
        if status == 429 {
            for name in ["RateLimit", "RateLimit-Policy"] {
                headers[name] = json!({ "$ref": format!("#/components/headers/{name}") });
            }
        }
        if status == 401 {
            headers["WWW-Authenticate"] = json!({ "$ref": "#/components/headers/WWW-Authenticate" });
        }
        let errors = json!([{ "pointer": "/url", "detail": "is required and missing" }]);
        let title = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let mut example = json!({
            "type": "about:blank", "title": title, "status": status, "detail": description, "code": code,
            "request_id": "req_5f2c1a9be3d0474200000007",
        });
        if status == 422 {
            example["errors"] = errors;
        }
        if status == 503 {
            example["detail"] = json!(OUTCOME_UNKNOWN);
        }
        responses.insert(
            status.to_string(),
            json!({
                "description": description, "headers": headers,
                "content": { "application/problem+json": { "schema": schema("Problem"), "example": example } },
            }),
        );
    }
    Value::Object(responses)
}
