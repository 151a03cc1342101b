//! The command line's own client of the REST API. It talks to the operator's service and to nobody else.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use crate::cli::ClientArgs;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of one service.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    key: String,
}

impl Client {
    /// A client for the service and key that the arguments name.
    pub(crate) fn new(args: &ClientArgs) -> anyhow::Result<Self> {
        let Some(key) = args.key.clone().filter(|key| !key.is_empty()) else {
            bail!(
                "no key: set POSTRIDER_OPERATOR_KEY to the operator key or an account's key, or give --key"
            );
        };
        Ok(Self::with(&args.url, key))
    }

    /// A client for this service with this key.
    pub(crate) fn with(url: &str, key: String) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .build()
            .new_agent();
        Self { agent, base: url.trim_end_matches('/').to_owned(), key }
    }

    /// GET, answered in JSON.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("Authorization", self.bearer());
        self.read(request.call(), path)
    }

    /// POST of JSON text, answered in JSON.
    pub(crate) fn post(&self, path: &str, body: &str) -> anyhow::Result<Value> {
        let request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("Authorization", self.bearer())
            .header("Content-Type", "application/json");
        self.read(request.send(body), path)
    }

    /// DELETE.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<()> {
        let request =
            self.agent.delete(format!("{}{path}", self.base)).header("Authorization", self.bearer());
        self.read(request.call(), path).map(drop)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// The answer's JSON, or its problem in words.
    fn read(&self, answer: Result<Response<ureq::Body>, ureq::Error>, path: &str) -> anyhow::Result<Value> {
        let mut answer =
            answer.with_context(|| format!("no answer from {}; is the service running there?", self.base))?;
        let text = answer
            .body_mut()
            .read_to_string()
            .with_context(|| format!("{path}: the answer can't be read"))?;
        if answer.status().is_success() {
            if text.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_str(&text).with_context(|| format!("{path}: the answer is not JSON"));
        }
        bail!("{}", problem_in_words(answer.status().as_u16(), &text))
    }
}

/// A problem document as a person reads it.
fn problem_in_words(status: u16, text: &str) -> String {
    let Ok(problem) = serde_json::from_str::<Value>(text) else {
        return format!("the service answered {status}");
    };
    let word = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut words = match (word("title"), word("detail")) {
        (title, detail) if detail.is_empty() => format!("{title} ({status})"),
        (_, detail) => format!("{detail} ({status})"),
    };
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        words.push_str(&format!("\n  {} {}", part("pointer"), part("detail")));
    }
    words
}
