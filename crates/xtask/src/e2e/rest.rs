//! The platform's side: calls of the service's REST surface, by the names of its published description.
//!
//! Bodies are texts, so that an event's payload goes out exactly as written.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use ureq::Agent;

use super::events::Event;
use super::process::{PATIENCE, wait_for};

/// A client with a key.
pub(super) struct Rest {
    agent: Agent,
    base: String,
    key: String,
}

/// An account with its two keys.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) live_key: String,
    pub(super) test_key: String,
}

/// An endpoint and the secret it was made with.
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) secret: String,
}

/// What `POST /v1/events` answered.
pub(super) struct Accepted {
    /// The event's id, which is its guid.
    pub(super) guid: String,
    /// The deliveries as pairs of their id and their endpoint's.
    pub(super) deliveries: Vec<(String, String)>,
}

impl Rest {
    pub(super) fn new(address: SocketAddr, key: &str) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Self { agent: config.into(), base: format!("http://{address}"), key: key.to_owned() }
    }

    /// The same service through another key.
    pub(super) fn with_key(&self, key: &str) -> Self {
        Self { agent: self.agent.clone(), base: self.base.clone(), key: key.to_owned() }
    }

    /// The address of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A GET that must answer 200.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header("Authorization", format!("Bearer {}", self.key)).call();
        judged(&format!("GET {path}"), 200, answer)
    }

    /// A POST that must answer `expected`.
    fn post(&self, path: &str, expected: u16, body: &str) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        let answer = request.header("Authorization", format!("Bearer {}", self.key)).send(body);
        judged(&format!("POST {path}"), expected, answer)
    }

    /// Makes an account.
    pub(super) fn account(&self, name: &str) -> Result<Account> {
        let made = self.post("/v1/accounts", 201, &json!({ "name": name }).to_string())?;
        Ok(Account {
            id: text(&made, "/id")?,
            live_key: text(&made, "/secret_keys/live")?,
            test_key: text(&made, "/secret_keys/test")?,
        })
    }

    /// Makes an endpoint of an account; the service makes the secret where none is given.
    pub(super) fn endpoint(
        &self,
        account: &Account,
        url: &str,
        livemode: bool,
        event_types: &[&str],
        secret: Option<&str>,
    ) -> Result<Endpoint> {
        let mut wanted =
            json!({ "account": account.id, "url": url, "livemode": livemode, "event_types": event_types });
        if let Some(secret) = secret {
            wanted["secret"] = secret.into();
        }
        let made = self.post("/v1/endpoints", 201, &wanted.to_string())?;
        Ok(Endpoint { id: text(&made, "/id")?, secret: text(&made, "/secret")? })
    }

    /// Rotates an endpoint's secret with an overlap and gives the new one.
    pub(super) fn rotate(&self, endpoint: &Endpoint, overlap_seconds: u32) -> Result<String> {
        let path = format!("/v1/endpoints/{}/secret/rotate", endpoint.id);
        let rotated = self.post(&path, 200, &json!({ "overlap_seconds": overlap_seconds }).to_string())?;
        text(&rotated, "/secret")
    }

    /// Whether two secrets sign an endpoint's requests just now.
    pub(super) fn overlaps(&self, endpoint: &Endpoint) -> Result<bool> {
        Ok(self.get(&format!("/v1/endpoints/{}", endpoint.id))?["secret_overlap_until"].is_string())
    }

    /// Hands an event in, as the operator does: with the account named.
    pub(super) fn event(&self, account: &Account, event: &Event) -> Result<Accepted> {
        self.hand_in(&format!(
            r#"{{"account":"{}","type":"{}","payload":{}}}"#,
            account.id, event.kind, event.payload
        ))
    }

    /// Hands an event in with an account's own key, which implies the account and the mode.
    pub(super) fn own_event(&self, event: &Event) -> Result<Accepted> {
        // White space around the payload is not part of it and must not reach a receiver.
        self.hand_in(&format!("{{\"type\":\"{}\",\n \"payload\" :\t{} \n}}", event.kind, event.payload))
    }

    fn hand_in(&self, body: &str) -> Result<Accepted> {
        let answer = self.post("/v1/events", 202, body)?;
        let deliveries = answer["deliveries"].as_array().context("the answer has no deliveries")?;
        let pair = |delivery| Ok((text(delivery, "/id")?, text(delivery, "/endpoint")?));
        Ok(Accepted {
            guid: text(&answer, "/id")?,
            deliveries: deliveries.iter().map(pair).collect::<Result<_>>()?,
        })
    }

    /// Waits until a delivery is as wanted and gives it.
    pub(super) fn wait_for_delivery(&self, id: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = wait_for("the delivery", || {
            last = self.get(&format!("/v1/deliveries/{id}"))?;
            Ok(is_wanted(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("the delivery is still {last}"))
    }

    /// Waits until each delivery of an event is `delivered`, at its first attempt.
    pub(super) fn wait_until_delivered(&self, accepted: &Accepted) -> Result<()> {
        for (id, _) in &accepted.deliveries {
            let delivery = self.wait_for_delivery(id, |delivery| delivery["status"] != "pending")?;
            let attempts = delivery["attempts"].as_array().map_or(0, Vec::len);
            if delivery["status"] != "delivered" || attempts != 1 {
                bail!("not delivered at the first attempt: {delivery}");
            }
        }
        Ok(())
    }
}

/// The JSON of an answer that has the expected status.
fn judged(
    what: &str,
    expected: u16,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Value> {
    let mut answer = answer.with_context(|| what.to_owned())?;
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_string().with_context(|| format!("{what}: the body"))?;
    if status != expected {
        bail!("{what} answered {status}, not {expected}: {body}");
    }
    serde_json::from_str(&body).with_context(|| format!("{what} answered something that isn't JSON: {body}"))
}

/// The text at a place of an answer.
fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no text at {pointer} of {value}"))
}
