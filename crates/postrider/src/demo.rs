//! `postrider demo`: the main job, live. A service on a temporary store, a receiver that checks signatures, one
//! endpoint that fails now and then, and the contract's four events flowing.

mod receivers;
mod show;

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use postrider_core::address::AddressGuard;
use postrider_core::catalogue::{Catalogue, EventType};
use postrider_dashboard::DashboardOptions;
use postrider_engine::EngineConfig;
use postrider_store::postgres::PostgresOptions;
use postrider_store::seal::MasterKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::receivers::Receivers;
use self::show::Show;
use crate::cli::DemoArgs;
use crate::client::Client;
use crate::operator_key::{Destination, GeneratedKey};
use crate::running::{self, KeyPlan, Running, WayOut};
use crate::store_url::StoreUrl;
use crate::{process_limits, receiver, trigger};

/// Short delays, so that retries are seen.
const RETRY_SCHEDULE: &str = "1s,2s,4s,8s";

/// Runs until Ctrl-C, or for as long as was asked.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't start")?;
    let code = runtime.block_on(demo(args, folder.path()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn demo(args: &DemoArgs, folder: &std::path::Path) -> anyhow::Result<ExitCode> {
    let files = process_limits::raise_open_files();
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (api, inbox) = (listen().await?, listen().await?);
    let service_url = format!("http://{}", api.local_addr()?);
    let receiver_url = format!("http://{}", inbox.local_addr()?);
    let config = EngineConfig {
        guard: AddressGuard { allow_nets: vec!["127.0.0.0/8".parse()?], ..AddressGuard::default() },
        retry_schedule: RETRY_SCHEDULE.parse()?,
        ..EngineConfig::default()
    };
    let Running { engine, generated_key } = running::start(
        &StoreUrl::Sqlite(folder.join("demo.db")),
        MasterKey::generate(),
        PostgresOptions::default(),
        KeyPlan { configured: None, destination: Destination::Caller },
        config,
        WayOut::of_demo(files),
    )
    .await?;
    let Some(GeneratedKey::Shown(key)) = generated_key else { bail!("a new store always gets a new key") };
    let receivers = Arc::new(Receivers::default());
    let answering = receivers.clone();
    tokio::spawn(receiver::serve(inbox, move |arrived| answering.answer(&arrived)));
    tokio::spawn(postrider_api::serve(
        api,
        engine.clone(),
        running::api_options(files, &engine, DashboardOptions::default()),
        std::future::pending(),
    ));
    let client = Client::with(&service_url, &key)?;
    let mut show = Show::new(&service_url, &receiver_url, &key);
    let attempts = engine.watch_attempts();
    let account = tokio::task::spawn_blocking({
        let (client, receivers) = (client.clone(), receivers.clone());
        move || set_up(&client, &receiver_url, &receivers)
    })
    .await??;
    show.name_endpoints(receivers.names());
    let pause = Duration::from_secs(1) / args.rate;
    let events = tokio::task::spawn_blocking(move || hand_in_events(&client, &account, pause));
    tokio::select! {
        () = show.run(attempts) => {}
        () = end_of(args.seconds) => {}
        ended = events => ended??,
    }
    show.summary(&receivers);
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C, or the time that was asked for.
async fn end_of(seconds: Option<u64>) {
    let time_is_up = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = time_is_up => {}
    }
}

/// Makes the account and its endpoints, as an operator would: over REST.
fn set_up(client: &Client, receiver_url: &str, receivers: &Receivers) -> anyhow::Result<String> {
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("the answer has no {name}"))
    };
    let account =
        text(&client.post("/v1/accounts", &json!({ "name": "Acme Insurance" }).to_string())?, "id")?;
    for (path, name, event_types) in [
        ("/crm", "Acme CRM", json!(["*"])),
        ("/ledger", "Acme ledger", json!(["policy.*"])),
        ("/partner", "flaky partner", json!(["policy.created", "offer.created"])),
    ] {
        let endpoint = json!({
            "account": account, "url": format!("{receiver_url}{path}"), "livemode": false,
            "event_types": event_types, "description": name,
        });
        let made = client.post("/v1/endpoints", &endpoint.to_string())?;
        receivers.subscribe(path, name, &text(&made, "id")?, &text(&made, "secret")?);
    }
    Ok(account)
}

/// Hands in the contract's four examples, one after the other, until the process ends.
fn hand_in_events(client: &Client, account: &str, pause: Duration) -> anyhow::Result<()> {
    let catalogue = Catalogue::built_in();
    let with_example = |event_type: &&Arc<EventType>| event_type.example().is_some();
    for event_type in catalogue.of_platform().filter(with_example).cycle() {
        let example = event_type.example().unwrap_or_default();
        client.post("/v1/events", &trigger::request(Some(account), None, event_type.name(), example))?;
        std::thread::sleep(pause);
    }
    Ok(())
}
