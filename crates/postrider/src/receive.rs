//! `postrider receive`: a receiver on this machine that subscribes itself to a running service and prints each
//! webhook as it arrives, its signature checked.

use std::process::ExitCode;

use anyhow::Context as _;
use hyper::StatusCode;
use postrider_signature::kasko;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cli::ReceiveArgs;
use crate::client::Client;
use crate::receiver::{self, Arrived};
use crate::terminal::{BAD, BOLD, DIM, GOOD, NAME, paint, say};

/// The account that is used where none is named.
const ACCOUNT_NAME: &str = "Local receiver";

/// What was subscribed, to be taken back at the end.
struct Subscribed {
    endpoint: String,
    secret: String,
    account: String,
}

/// Runs until Ctrl-C.
pub(crate) fn run(args: &ReceiveArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.client)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't start")?;
    let listener = runtime.block_on(TcpListener::bind(args.listen)).with_context(|| {
        format!("can't listen on {}; is it in use? (choose another with --listen)", args.listen)
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    let url = format!("http://{address}/");
    let Subscribed { endpoint, secret, account } = subscribe(args, &client, &url)?;
    say(format!("  {} {url}", paint(BOLD, "receiving at")));
    say(format!("  {}     {account}", paint(DIM, "account")));
    say(format!("  {}    {endpoint}  ({})", paint(DIM, "endpoint"), args.types.join(", ")));
    say(paint(DIM, "  waiting for webhooks; Ctrl-C ends this and removes the endpoint\n"));
    runtime.block_on(async {
        tokio::select! {
            () = receiver::serve(listener, move |arrived| show(&arrived, &secret)) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    });
    client.delete(&format!("/v1/endpoints/{endpoint}"))?;
    say(paint(DIM, "\n  endpoint removed"));
    Ok(ExitCode::SUCCESS)
}

fn subscribe(args: &ReceiveArgs, client: &Client, url: &str) -> anyhow::Result<Subscribed> {
    let with_account_key = args.client.key.as_deref().is_some_and(|key| key.starts_with("sk_"));
    let mut endpoint = json!({ "url": url, "event_types": args.types, "description": "postrider receive" });
    if !with_account_key {
        endpoint["account"] = Value::String(account(args, client)?);
        endpoint["livemode"] = Value::Bool(args.live);
    }
    let made = client.post("/v1/endpoints", &endpoint.to_string()).context(
        "the endpoint was refused; for a receiver on this machine start the service with --allow-nets 127.0.0.0/8",
    )?;
    let text = |name: &str| {
        made.get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("the answer has no {name}"))
    };
    Ok(Subscribed { endpoint: text("id")?, secret: text("secret")?, account: text("account")? })
}

/// The account that is named, or the one of ours, made where it is not there yet.
fn account(args: &ReceiveArgs, client: &Client) -> anyhow::Result<String> {
    if let Some(named) = &args.account {
        return Ok(named.clone());
    }
    let list = client.get("/v1/accounts?limit=250")?;
    let accounts = list.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let ours = accounts
        .into_iter()
        .find(|account| account.get("name").and_then(Value::as_str) == Some(ACCOUNT_NAME));
    let account = match ours {
        Some(account) => account,
        None => client.post("/v1/accounts", &json!({ "name": ACCOUNT_NAME }).to_string())?,
    };
    account.get("id").and_then(Value::as_str).map(str::to_owned).context("the answer has no account id")
}

/// Prints a webhook; one whose signature is wrong is refused, as a receiver should.
fn show(arrived: &Arrived, secret: &str) -> StatusCode {
    let valid = kasko::verify(secret, &arrived.body, arrived.contract_header("-signature")).is_ok();
    let verdict =
        if valid { paint(GOOD, "✓ signature ok") } else { paint(BAD, "✗ signature wrong, answered 403") };
    say(format!("{}  {verdict}", paint(NAME.bold(), arrived.contract_header("-event"))));
    for (name, value) in &arrived.headers {
        if name.as_str().starts_with("x-") || name.as_str().starts_with("webhook-") {
            say(paint(DIM, format!("  {name}: {}", String::from_utf8_lossy(value.as_bytes()))));
        }
    }
    for line in String::from_utf8_lossy(&arrived.body).lines() {
        say(format!("  {line}"));
    }
    say("");
    if valid { StatusCode::OK } else { StatusCode::FORBIDDEN }
}
