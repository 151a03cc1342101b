//! The running service against its own description: schemathesis calls every operation with what the description
//! allows and with what it does not, and holds each answer against it.
//!
//! The stream is left out, as a request to it has no end; it has tests of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::events::Event;
use super::process::end_of_log;
use super::rest::Rest;
use super::service::{OPERATOR_KEY, Service};
use crate::tools;

/// How long the run may take; one that takes longer has failed.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// How many requests are made up for each operation, beside those of the examples.
const MAX_EXAMPLES: &str = "25";
/// The run is the same every time.
const SEED: &str = "1";

pub(super) fn run(binary: &Path) -> Result<()> {
    let program = tools::schemathesis()?;
    let folder = tempfile::tempdir().context("no folder for the run")?;
    let service = Service::start(binary, folder.path())?;
    std::fs::write(folder.path().join("schemathesis.toml"), configuration(&service.rest)?)?;
    let log = folder.path().join("schemathesis.log");
    let output = std::fs::File::create(&log)?;
    let mut child = Command::new(program)
        .args(["--no-color", "run", &service.rest.url("/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {OPERATOR_KEY}")])
        .args(["--exclude-path", "/v1/deliveries/stream", "--phases", "examples,fuzzing,stateful"])
        .args(["--max-examples", MAX_EXAMPLES, "--seed", SEED, "--request-timeout", "20", "--no-shrink"])
        .args(["--warnings", "off", "--continue-on-failure"])
        // It tries many wrong keys, whose answers are held back. The tenancy matrix of the tests tries them as well.
        .args(["--exclude-checks", "ignored_auth"])
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("schemathesis can't be started")?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("schemathesis took more than {} s:\n{}", TIME_LIMIT.as_secs(), end_of_log(&log));
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        bail!("schemathesis found failures:\n{}", std::fs::read_to_string(&log)?);
    }
    service.leave()?;
    let said = std::fs::read_to_string(&log)?;
    let summary = said.lines().filter(|line| line.contains("generated") || line.contains("passed"));
    println!("schemathesis: {}", summary.map(str::trim).collect::<Vec<_>>().join("; "));
    Ok(())
}

/// What the run is told: real ids for the paths, and that a body may be 422 for what a schema can't say (an account
/// that is there, an event type that is known).
fn configuration(rest: &Rest) -> Result<String> {
    let account = rest.account("schemathesis")?;
    let to_delete = rest.account("schemathesis, to be deleted")?;
    // Nothing listens there, so that deliveries stay pending.
    let endpoint = rest.endpoint(&account, "http://127.0.0.1:1/", false, &["*"], None)?;
    let endpoint_to_delete = rest.endpoint(&to_delete, "http://127.0.0.1:1/", false, &["*"], None)?;
    let payload = json!({ "id": "lpol_1", "livemode": false, "policy_id": "TEST-1", "product_id": "ins_1" });
    let event = rest.event(&account, &Event { kind: "policy.created", payload: payload.to_string() })?;
    let (delivery, _) = event.deliveries.first().context("the endpoint wants every event")?;
    let mut text = "[checks.positive_data_acceptance]\n\
        expected-statuses = [\"2xx\", \"401\", \"403\", \"404\", \"409\", \"422\", \"429\", \"5xx\"]\n"
        .to_owned();
    for (name, id) in [
        ("DELETE /v1/accounts/{id}", to_delete.id.as_str()),
        ("DELETE /v1/endpoints/{id}", endpoint_to_delete.id.as_str()),
    ] {
        text.push_str(&format!(
            "\n[[operations]]\ninclude-name = \"{name}\"\nparameters = {{ \"path.id\" = \"{id}\" }}\n"
        ));
    }
    for (paths, id) in [
        ("^/v1/accounts/", account.id.as_str()),
        ("^/v1/endpoints/", endpoint.id.as_str()),
        ("^/v1/event-types/", "policy.updated"),
        ("^/v1/events/\\\\{", event.guid.as_str()),
        ("^/v1/deliveries/\\\\{", delivery.as_str()),
    ] {
        text.push_str(&format!(
            "\n[[operations]]\ninclude-path-regex = \"{paths}\"\nexclude-method = \"DELETE\"\nparameters = {{ \"path.id\" = \"{id}\" }}\n"
        ));
    }
    Ok(text)
}
