//! The tenancy matrix: every operation of the description, called with every kind of key, by two accounts in both
//! modes, with good and bad bodies and parameters. Nobody sees or touches what isn't theirs.

use std::collections::BTreeMap;

use postrider_api::ApiOptions;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::described::DESCRIPTION;
use crate::harness::{Account, OPERATOR_KEY, Service, event_body, payload};

/// An operation of the description.
#[derive(Debug, Clone, Copy)]
struct Operation {
    method: &'static str,
    path: &'static str,
    of: &'static Value,
}

impl Operation {
    fn is_open(self) -> bool {
        self.of["security"].as_array().is_some_and(Vec::is_empty)
    }

    fn is_operators(self) -> bool {
        self.of["description"].as_str().is_some_and(|text| text.contains("The operator's alone."))
    }

    fn names_something(self) -> bool {
        self.path.contains("{id}")
    }

    fn has_body(self) -> bool {
        self.of["requestBody"].is_object()
    }

    fn body_is_required(self) -> bool {
        self.of["requestBody"]["required"] == true
    }

    /// Whether everything a key may name here is there for every key.
    fn is_shared(self) -> bool {
        self.path.starts_with("/v1/event-types")
    }

    fn is_stream(self) -> bool {
        self.path.ends_with("/stream")
    }
}

fn operations() -> Vec<Operation> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, methods) in paths {
        for (method, of) in methods.as_object().unwrap() {
            let method = ["GET", "POST", "PATCH", "PUT", "DELETE"]
                .into_iter()
                .find(|known| known.eq_ignore_ascii_case(method))
                .unwrap();
            all.push(Operation { method, path, of });
        }
    }
    // What takes something away comes last.
    all.sort_by_key(|operation| operation.method == "DELETE");
    all
}

/// An account with one thing of every kind, in test mode.
struct Customer {
    account: Account,
    /// What `{id}` is, by what its path begins with.
    ids: BTreeMap<&'static str, String>,
    /// A link into its portal.
    link: String,
}

impl Customer {
    async fn new(service: &Service, name: &str) -> Self {
        let account = service.account(name).await;
        let endpoint = service.endpoint(&account, json!({})).await["id"].as_str().unwrap().to_owned();
        // Paused, so that nothing about it changes by itself.
        let path = format!("/v1/endpoints/{endpoint}/pause");
        assert_eq!(service.operator("POST", &path, "").await.status, 200);
        let event = service.event(&account).await;
        let delivery = event["deliveries"][0]["id"].as_str().unwrap().to_owned();
        let replay = json!({ "endpoint": endpoint }).to_string();
        let replay = service.operator("POST", "/v1/replays", &replay).await.json();
        let keys = format!("/v1/accounts/{}/keys", account.id);
        let key = service.operator("POST", &keys, r#"{"livemode":false}"#).await.json();
        let ids = BTreeMap::from([
            ("/v1/accounts/", account.id.clone()),
            ("/v1/endpoints/", endpoint),
            ("/v1/events/", event["id"].as_str().unwrap().to_owned()),
            ("/v1/deliveries/", delivery),
            ("/v1/replays/", replay["id"].as_str().unwrap().to_owned()),
            ("/v1/keys/", key["id"].as_str().unwrap().to_owned()),
            ("/v1/event-types/", "policy.created".to_owned()),
        ]);
        let links = format!("/v1/accounts/{}/portal-links", account.id);
        let link = service.operator("POST", &links, "").await.json()["id"].as_str().unwrap().to_owned();
        Self { account, ids, link }
    }

    /// The path of an operation on what is this customer's.
    fn path(&self, operation: Operation) -> String {
        if !operation.names_something() {
            return operation.path.to_owned();
        }
        let (_, id) = self
            .ids
            .iter()
            .find(|(begin, _)| operation.path.starts_with(**begin))
            .unwrap_or_else(|| panic!("the matrix has nothing that {} names", operation.path));
        operation.path.replace("{id}", id).replace("{link}", &self.link)
    }

    /// Everything of this customer as the operator sees it.
    async fn state(&self, service: &Service) -> Vec<Value> {
        let mut state = Vec::new();
        for operation in operations() {
            let reads = operation.method == "GET" && operation.names_something() && !operation.is_shared();
            if reads {
                let mut shown = service.get(&self.path(operation)).await;
                // That a key is used is seen, and is no change.
                for row in shown["data"].as_array_mut().into_iter().flatten() {
                    row.as_object_mut().unwrap().remove("last_used_at");
                }
                state.push(shown);
            }
        }
        for list in ["endpoints", "events", "deliveries", "replays"] {
            state.push(service.get(&format!("/v1/{list}?account={}", self.account.id)).await);
        }
        state
    }
}

/// Bodies of every wrong kind, and one that is an object.
fn bodies(operation: Operation) -> Vec<&'static str> {
    if operation.has_body() {
        vec!["", "{}", "[]", "nonsense", r#"{"nonsense":1}"#, "null"]
    } else {
        vec![""]
    }
}

async fn call(service: &Service, key: &str, operation: Operation, path: &str, body: &str) -> Answer {
    service.call(key, operation.method, path, body).await
}

#[tokio::test]
async fn without_a_key_that_is_known_nothing_but_the_open_routes_answers() {
    // So many guesses come from one address here that they would be held back.
    let service =
        Service::start_with(ApiOptions { failed_keys_per_address: u32::MAX, ..ApiOptions::default() }).await;
    let customer = Customer::new(&service, "a").await;
    let test_key = &customer.account.test_key;
    let cut = &test_key[..test_key.len() - 1];
    let swapped = test_key.replace("sk_test_", "sk_live_");
    for operation in operations() {
        let path = customer.path(operation);
        let json = ("Content-Type", "application/json");
        let bearers =
            ["sk_live_0", "", cut, &swapped, "op_", "' OR '1'='1"].map(|key| format!("Bearer {key}"));
        let mut answers =
            vec![service.connect().await.request(operation.method, &path, &[json], b"{}").await];
        for value in bearers.iter().map(String::as_str).chain(["Basic !", "Basic Og==", "Digest x", "x"]) {
            let headers = [("Authorization", value), json];
            answers.push(service.connect().await.request(operation.method, &path, &headers, b"{}").await);
        }
        for answer in answers {
            if operation.is_open() {
                assert_eq!(answer.status, 200, "{operation:?}");
            } else {
                assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{operation:?}");
            }
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_someone_elses_or_of_the_other_mode_is_not_there_and_stays_as_it_is() {
    let service = Service::start().await;
    let victim = Customer::new(&service, "a").await;
    let stranger = Customer::new(&service, "b").await;
    let before = victim.state(&service).await;
    // The account itself is of both modes: its own keys are refused there for another reason.
    let keys = [
        ("another account's live key", &stranger.account.live_key, false),
        ("another account's test key", &stranger.account.test_key, false),
        ("its own key of the other mode", &victim.account.live_key, true),
    ];
    for operation in operations().into_iter().filter(|one| one.names_something() && !one.is_shared()) {
        let path = victim.path(operation);
        for (whose, key, is_own_account) in keys {
            let expected = if is_own_account && path.contains("/accounts/") { 403 } else { 404 };
            for body in bodies(operation) {
                for query in ["", "?nonsense=1"] {
                    let answer = call(&service, key, operation, &format!("{path}{query}"), body).await;
                    let found = answer.status;
                    assert_eq!(found, expected, "{whose}: {} {path}{query} {body}", operation.method);
                }
            }
        }
    }
    assert_eq!(victim.state(&service).await, before);
    service.stop().await;
}

#[tokio::test]
async fn what_is_the_operators_alone_is_refused_to_every_account_key() {
    let service = Service::start().await;
    let customer = Customer::new(&service, "a").await;
    let before = customer.state(&service).await;
    for operation in operations().into_iter().filter(|one| one.is_operators()) {
        // Whatever of its own the key names, in its own mode.
        let path = customer.path(operation);
        for body in bodies(operation) {
            let answer = call(&service, &customer.account.test_key, operation, &path, body).await;
            let found = (answer.status, answer.code());
            assert_eq!(found, (403, "forbidden".to_owned()), "{} {path} {body}", operation.method);
        }
    }
    assert_eq!(customer.state(&service).await, before);
    service.stop().await;
}

#[tokio::test]
async fn every_list_and_every_answer_to_a_key_shows_its_own_account_and_mode_alone() {
    fn judge(shown: &Value, account: &str, livemode: bool, place: &str) {
        match shown {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        "account" => assert_eq!(value, account, "{place}"),
                        "livemode" => assert_eq!(value, livemode, "{place}"),
                        // What the platform or a customer wrote is theirs.
                        "payload" | "example" | "schema" => {}
                        _ => judge(value, account, livemode, place),
                    }
                }
            }
            Value::Array(rows) => rows.iter().for_each(|row| judge(row, account, livemode, place)),
            _ => {}
        }
    }
    let service = Service::start().await;
    let customers = [Customer::new(&service, "a").await, Customer::new(&service, "b").await];
    for customer in &customers {
        service.endpoint(&customer.account, json!({ "livemode": true })).await;
        let live = event_body(&customer.account.id, &payload(true));
        assert_eq!(service.operator("POST", "/v1/events", &live).await.status, 202);
    }
    let gets =
        operations().into_iter().filter(|one| one.method == "GET" && !one.is_open() && !one.is_stream());
    let (mut lists, mut rows) = (0, 0);
    for operation in gets.filter(|one| !one.path.ends_with("/payload")) {
        for customer in &customers {
            let account = &customer.account;
            for (key, livemode) in [(&account.test_key, false), (&account.live_key, true)] {
                let path = customer.path(operation);
                let answer = call(&service, key, operation, &path, "").await;
                if answer.status == 200 {
                    let shown = answer.json();
                    judge(&shown, &account.id, livemode, &path);
                    if !operation.names_something() {
                        lists += 1;
                        rows += shown["data"].as_array().map_or(0, Vec::len);
                    }
                } else {
                    assert!(matches!(answer.status, 403 | 404), "{path}: {}", answer.text());
                }
                // Whoever names another's account is refused, whatever the list.
                let other = &customers[usize::from(customer.account.id == customers[0].account.id)];
                let takes_account = operation.of["parameters"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one["name"] == "account"));
                if takes_account {
                    for query in
                        [format!("?account={}", other.account.id), format!("?livemode={}", !livemode)]
                    {
                        let answer = call(&service, key, operation, &format!("{path}{query}"), "").await;
                        assert_eq!(answer.status, 403, "{path}{query}");
                    }
                }
            }
        }
    }
    assert!(lists >= 16 && rows >= 12, "{lists} lists with {rows} rows were looked at");
    service.stop().await;
}

#[tokio::test]
async fn bad_input_is_refused_by_its_kind_on_every_route_and_changes_nothing() {
    let service = Service::start().await;
    let customer = Customer::new(&service, "a").await;
    let before = customer.state(&service).await;
    let accounts = service.get("/v1/accounts").await;
    let big = format!("{{\"nonsense\":\"{}\"}}", "x".repeat(9 * 1024 * 1024));
    let keys = [OPERATOR_KEY, customer.account.test_key.as_str()];
    for operation in operations().into_iter().filter(|one| !one.is_open()) {
        let path = customer.path(operation);
        for key in keys {
            if operation.is_operators() && key != OPERATOR_KEY {
                continue;
            }
            for query in ["?nonsense=1", "?limit=0", "?limit=1&limit=1", "?%00=1", "?cursor=%27%20OR%201=1"] {
                let answer = call(&service, key, operation, &format!("{path}{query}"), "").await;
                let found = (answer.status, answer.code());
                assert_eq!(found, (400, "bad_parameter".to_owned()), "{} {path}{query}", operation.method);
            }
            if !operation.has_body() {
                continue;
            }
            for (body, status) in [
                ("nonsense", 400),
                ("{\"a\":", 400),
                ("\u{0}", 400),
                ("[]", 422),
                ("null", 422),
                ("7", 422),
                (r#"{"nonsense":1}"#, 422),
                (r#"{"__proto__":{}}"#, 422),
                (big.as_str(), 413),
            ] {
                let answer = call(&service, key, operation, &path, body).await;
                let shown: String = body.chars().take(40).collect();
                assert_eq!(answer.status, status, "{} {path} {shown}: {}", operation.method, answer.text());
            }
            if operation.body_is_required() {
                assert_eq!(call(&service, key, operation, &path, "").await.status, 400, "{path}");
            }
            let bearer = format!("Bearer {key}");
            let form = [("Authorization", bearer.as_str()), ("Content-Type", "text/plain")];
            let answer = service.connect().await.request(operation.method, &path, &form, b"{}").await;
            assert_eq!(answer.status, 415, "{path}");
        }
        if operation.names_something() {
            for id in ["x", "%00", "..%2f..", "%27%20OR%201=1--", "%F0%9F%90%8E", "acc_", "-1", "%ff"] {
                let path = operation.path.replace("{id}", id);
                let answer = call(&service, OPERATOR_KEY, operation, &path, "").await;
                assert_eq!(answer.status, 404, "{} {path}", operation.method);
            }
        }
    }
    assert_eq!(customer.state(&service).await, before);
    assert_eq!(service.get("/v1/accounts").await, accounts);
    service.stop().await;
}

#[tokio::test]
async fn whatever_is_written_into_a_text_field_comes_back_as_that_text() {
    let service = Service::start().await;
    let victim = Customer::new(&service, "a").await;
    let before = victim.state(&service).await;
    for text in [
        "'; DROP TABLE events; --",
        "\" OR \"1\"=\"1",
        "<script>alert(1)</script>",
        "{{7*7}} ${7*7} <%= 7*7 %>",
        "%s%n%x %00 \\u0000 \\x00",
        "../../etc/passwd",
        "$(reboot) `reboot` | reboot",
        "\u{202e}gnirts\u{200b} \u{feff}",
        "🐎\u{10ffff}",
    ] {
        let account = service.account(text).await;
        let shown = service.get(&format!("/v1/accounts/{}", account.id)).await;
        assert_eq!(shown["name"], text);
        let filter = json!({ "any": [{ "path": "/a", "equals": text }, { "path": "/b", "prefix": text }] });
        let given = json!({ "description": text, "filter": filter, "url": format!("https://example.com/?q={}", "a") });
        let made = service.endpoint(&account, given).await;
        assert_eq!((&made["description"], &made["filter"]), (&json!(text), &filter));
        let mut own = serde_json::from_str::<Value>(&payload(false)).unwrap();
        own["a"] = json!(text);
        let accepted =
            service.operator("POST", "/v1/events", &event_body(&account.id, &own.to_string())).await;
        assert_eq!(accepted.json()["deliveries"].as_array().unwrap().len(), 1, "the filter met {text}");
        let path = format!("/v1/events/{}", accepted.json()["id"].as_str().unwrap());
        assert_eq!(service.get(&path).await["payload"]["a"], text);
        // As a parameter it is one that can't be read.
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for parameter in ["account", "endpoint", "type", "status", "since"] {
            let path = format!("/v1/deliveries?{parameter}={encoded}");
            assert_eq!(service.operator("GET", &path, "").await.status, 400, "{parameter}={text}");
        }
    }
    assert_eq!(victim.state(&service).await, before);
    service.stop().await;
}
