//! `postrider trigger`: hands in an event and shows what becomes of it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cli::TriggerArgs;
use crate::client::Client;
use crate::payload_file;
use crate::terminal::{BAD, DIM, GOOD, NAME, WAIT, paint, say};

/// How long the deliveries are watched.
const WATCH: Duration = Duration::from_secs(20);
/// How often.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Hands it in.
pub(crate) fn run(args: &TriggerArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.client)?;
    // An account's key implies the mode; the operator's events are test events unless asked otherwise.
    let livemode = match args.client.key.as_deref() {
        Some(key) if key.starts_with("sk_live_") => true,
        _ => args.live,
    };
    let text = match &args.file {
        Some(file) => payload_file::read_text(file)?,
        None => payload_file::example(&client, &args.event_type)?,
    };
    let payload = payload_file::changed(text, &args.set, Some(livemode))?;
    let account = account(args, &client)?;
    let body = request(account.as_deref(), Some(livemode), &args.event_type, &payload);
    let (answer, is_replayed) =
        client.post_once("/v1/events", &body, args.once.idempotency_key.as_deref())?;
    if is_replayed {
        crate::resources::hint("this was accepted before, by a call with the same key; nothing new was");
    }
    if args.json {
        say(serde_json::to_string_pretty(&answer).context("the answer can't be shown")?);
        return Ok(ExitCode::SUCCESS);
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    say(format!("{} accepted {} as {}", paint(GOOD, "✓"), paint(NAME, text("type")), text("id")));
    let deliveries = answer.get("deliveries").and_then(Value::as_array).cloned().unwrap_or_default();
    if deliveries.is_empty() {
        let mode = if livemode { "live" } else { "test" };
        say(paint(
            DIM,
            format!("  no endpoint of the account wants {mode} events of this type, so nothing is sent"),
        ));
    }
    let mut all_received = true;
    for delivery in &deliveries {
        all_received &= watch(&client, delivery)?;
    }
    Ok(if all_received { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The request body, the payload's text in it as it is.
pub(crate) fn request(
    account: Option<&str>,
    livemode: Option<bool>,
    event_type: &str,
    payload: &str,
) -> String {
    let account =
        account.map(|account| format!(r#""account":{},"#, Value::from(account))).unwrap_or_default();
    let livemode = livemode.map(|livemode| format!(r#""livemode":{livemode},"#)).unwrap_or_default();
    format!(r#"{{{account}{livemode}"type":{},"payload":{payload}}}"#, Value::from(event_type))
}

/// The account to name: the given one; none with an account's key; the only one there is.
fn account(args: &TriggerArgs, client: &Client) -> anyhow::Result<Option<String>> {
    if args.account.is_some() {
        return Ok(args.account.clone());
    }
    if args.client.key.as_deref().is_some_and(|key| key.starts_with("sk_")) {
        return Ok(None);
    }
    let answer = client.get("/v1/accounts?limit=20")?;
    let accounts = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let field = |account: &Value, name: &str| {
        account.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    match accounts.as_slice() {
        [] => bail!("there is no account yet; make one with POST /v1/accounts, or run `postrider receive`"),
        [only] => Ok(Some(field(only, "id"))),
        several => {
            let list: Vec<String> =
                several.iter().map(|one| format!("  {}  {}", field(one, "id"), field(one, "name"))).collect();
            bail!("there are several accounts; name one with --account\n{}", list.join("\n"))
        }
    }
}

/// Watches one delivery until its first outcome; whether it was received.
fn watch(client: &Client, delivery: &Value) -> anyhow::Result<bool> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, endpoint) = (text(delivery, "id"), text(delivery, "endpoint"));
    let began = Instant::now();
    loop {
        let seen = client.get(&format!("/v1/deliveries/{id}"))?;
        let attempts = seen.get("attempts").and_then(Value::as_array).cloned().unwrap_or_default();
        let status = text(&seen, "status");
        if let Some(last) = attempts.last() {
            // The delivery may have been read a moment before this attempt was.
            let received = status == "delivered" || text(last, "outcome") == "received";
            let sign = if received { paint(GOOD, "✓") } else { paint(BAD, "✗") };
            say(format!("  {sign} {endpoint}  {}  {}", outcome(last), paint(DIM, &id)));
            if let Some(next) = seen.get("next_attempt_at").and_then(Value::as_str) {
                say(format!("    {}", paint(WAIT, format!("tried again at {next}"))));
            }
            return Ok(received);
        }
        if status != "pending" || began.elapsed() > WATCH {
            let why = seen.get("waiting_for").and_then(Value::as_str).unwrap_or("no attempt was made yet");
            say(format!("  {} {endpoint}  {status}: {why}  {}", paint(WAIT, "…"), paint(DIM, &id)));
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// An attempt's outcome in words.
fn outcome(attempt: &Value) -> String {
    let failure = attempt.get("failure").filter(|failure| !failure.is_null());
    let status =
        attempt.get("status").or_else(|| attempt.pointer("/response/status")).and_then(Value::as_u64);
    let took = attempt
        .pointer("/timings/total_ms")
        .and_then(Value::as_f64)
        .map(|ms| format!(" in {ms:.1} ms"))
        .unwrap_or_default();
    match (status, failure) {
        (Some(status), _) => format!("answered {status}{took}"),
        (None, Some(failure)) => {
            failure.get("detail").and_then(Value::as_str).unwrap_or("not received").to_owned()
        }
        (None, None) => "no answer".to_owned(),
    }
}
