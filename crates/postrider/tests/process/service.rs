//! The built binary running `serve` on a free port, ended with the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

pub(crate) const OPERATOR_KEY: &str = "op_key_of_these_tests_0123456789abcdef";

/// The built binary, with none of the environment's own settings.
pub(crate) fn postrider(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POSTRIDER_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// `serve` on a free port with the operator key of these tests.
pub(crate) fn serve(folder: &Path) -> Command {
    let mut command = postrider(folder);
    command.args(["serve", "--listen", "127.0.0.1:0", "--operator-key", OPERATOR_KEY]);
    command
}

/// A request body with a small test event of this account.
pub(crate) fn event(account: &str) -> String {
    let payload = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#;
    format!(r#"{{"account":"{account}","type":"policy.created","payload":{payload}}}"#)
}

/// A client that acts as the operator.
pub(crate) struct Poster {
    agent: ureq::Agent,
    url: String,
}

impl Poster {
    pub(crate) fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        Self { agent, url: url.to_owned() }
    }

    /// One that waits no longer than this for an answer.
    pub(crate) fn patient(url: &str, patience: std::time::Duration) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        Self { agent: agent.timeout_global(Some(patience)).build().new_agent(), url: url.to_owned() }
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Result<(u16, Value), ureq::Error> {
        self.post_with(&[], path, body)
    }

    /// The same with an idempotency key.
    pub(crate) fn post_once(&self, key: &str, path: &str, body: &str) -> Result<(u16, Value), ureq::Error> {
        self.post_with(&[("Idempotency-Key", key)], path, body)
    }

    /// The same with headers of its own.
    pub(crate) fn post_with(
        &self,
        headers: &[(&str, &str)],
        path: &str,
        body: &str,
    ) -> Result<(u16, Value), ureq::Error> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {OPERATOR_KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.header("Content-Type", "application/json").send(body)?;
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
    pub(crate) said: Vec<String>,
    client: Poster,
}

impl Service {
    /// Starts it in `folder` and waits until it says where it listens.
    pub(crate) fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = serve(folder);
        command.args(["--log-level", "warn"]).args(flags);
        Self::wait_for(command)
    }

    /// Runs a prepared `serve`.
    pub(crate) fn wait_for(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else { panic!("serve ended before it was ready: {said:?}") };
            let found = line.split_once("listening on").map(|(_, url)| url.trim().to_owned());
            said.push(line);
            if let Some(url) = found {
                break url;
            }
        };
        // The rest must be read, or the service would wait for a full pipe.
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(tell.send(line));
            }
        });
        while let Ok(line) = told.recv_timeout(std::time::Duration::from_millis(200)) {
            said.push(line);
        }
        let client = Poster::new(&url);
        Self { child, url, said, client }
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Result<(u16, Value), ureq::Error> {
        self.client.post(path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let request = self
            .client
            .agent
            .get(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {OPERATOR_KEY}"));
        request.call().unwrap().body_mut().read_json().unwrap()
    }

    /// What `/metrics` says of one of them; zero where it does not name it.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let request = self.client.agent.get(format!("{}/metrics", self.url));
        let request = request.header("Authorization", format!("Bearer {OPERATOR_KEY}"));
        let text = request.call().unwrap().body_mut().read_to_string().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What a resource is answered with, without a key.
    pub(crate) fn status(&self, path: &str) -> u16 {
        self.client.agent.get(format!("{}{path}", self.url)).call().unwrap().status().as_u16()
    }

    /// The status, and when to try again.
    pub(crate) fn post_for_retry_after(&self, path: &str, body: &str) -> (u16, Option<String>) {
        let request = self.client.agent.post(format!("{}{path}", self.url));
        let request = request.header("Authorization", format!("Bearer {OPERATOR_KEY}"));
        let answer = request.header("Content-Type", "application/json").send(body).unwrap();
        let header = answer.headers().get("retry-after");
        (answer.status().as_u16(), header.map(|value| value.to_str().unwrap().to_owned()))
    }

    pub(crate) fn patch(&self, path: &str, body: &str) -> u16 {
        let request = self.client.agent.patch(format!("{}{path}", self.url));
        let request = request.header("Authorization", format!("Bearer {OPERATOR_KEY}"));
        request.header("Content-Type", "application/json").send(body).unwrap().status().as_u16()
    }

    pub(crate) fn delete(&self, path: &str) -> u16 {
        let request = self.client.agent.delete(format!("{}{path}", self.url));
        request.header("Authorization", format!("Bearer {OPERATOR_KEY}")).call().unwrap().status().as_u16()
    }

    /// Makes an account and gives its id.
    pub(crate) fn account(&self) -> String {
        self.post("/v1/accounts", r#"{"name":"Acme"}"#).unwrap().1["id"].as_str().unwrap().to_owned()
    }

    /// Makes an endpoint for test events and gives its answer.
    pub(crate) fn endpoint(&self, account: &str, url: &str) -> Value {
        let body = format!(r#"{{"account":"{account}","url":"{url}","livemode":false,"event_types":["*"]}}"#);
        let (status, answer) = self.post("/v1/endpoints", &body).unwrap();
        assert_eq!(status, 201, "{answer}");
        answer
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// SIGTERM, and the wait for its end.
    pub(crate) fn terminate(self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a command that ends by itself printed: exit code, standard output, standard error.
pub(crate) fn run(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), out, err)
}
