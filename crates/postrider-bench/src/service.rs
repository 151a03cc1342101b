//! The service under measurement: the product's own binary as a child process in a folder of its own, set up
//! through its REST interface like anyone would.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use postrider_pgtemp::Cluster;
use serde_json::{Value, json};
use tokio::process::Child;

use crate::place::Place;
use crate::post::Connection;
use crate::{children, process};

/// The operator's key of the measured service. It guards nothing: a throwaway store on loopback.
pub(crate) const KEY: &str = "a-key-for-a-throwaway-store-on-loopback";
/// Longest wait until the service answers.
const START_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);

/// Seconds of processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) service: f64,
    pub(crate) database: f64,
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    started: Instant,
    /// The server that its store is in, where it is not inside the service.
    database: Option<Arc<Cluster>>,
}

impl Service {
    /// Starts it on the store in `place`, which it makes where there is none. It may not answer yet.
    pub(crate) fn start(binary: &Path, place: &Place) -> anyhow::Result<Self> {
        let address = free_address()?;
        let log = File::options().create(true).append(true).open(place.path().join("log"));
        let log = log.context("could not make the service's log")?;
        let mut command = children::own_role("bound")?;
        command.arg("--").arg(binary).arg("serve");
        command.args(["--listen", &address.to_string(), "--operator-key", KEY]);
        command.args(["--allow-nets", "127.0.0.0/8", "--log-level", "info"]).args(place.flags());
        // A configuration of the folder or the environment would make it another service.
        command.current_dir(place.path()).env_clear();
        command.stdout(Stdio::null()).stderr(log);
        let started = Instant::now();
        let child = command.spawn().context("could not start the service")?;
        let pid = child.id().context("the service ended at once")?;
        Ok(Self { child, address, pid, started, database: place.cluster() })
    }

    /// Processor time of the service's process so far, and of its database's processes; steps of 10 ms.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let database = self.database.as_ref().map_or(0.0, |cluster| cluster.cpu_time().as_secs_f64());
        Ok(Cpu { service: process::cpu_seconds(self.pid)?, database })
    }

    /// Seconds of processor time that its database's living processes have used, finely.
    pub(crate) fn database_running_seconds(&self) -> f64 {
        self.database.as_ref().map_or(0.0, |cluster| cluster.running_time().as_secs_f64())
    }

    /// Waits until it answers at all.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Connection> {
        while self.started.elapsed() < START_WITHIN {
            if let Ok(connection) = Connection::open(self.address).await {
                return Ok(connection);
            }
            if let Some(status) = self.child.try_wait().context("could not look at the service")? {
                bail!("the service ended at its start ({status})");
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("the service does not answer")
    }

    /// Hands in one event as soon as the service takes it: the seconds from its start to the 202, and its guid.
    pub(crate) async fn first_event(&mut self, account: &str, payload: &str) -> anyhow::Result<(f64, u128)> {
        let mut connection = self.ready().await?;
        let event =
            format!(r#"{{"account":"{account}","type":"{}","payload":{payload}}}"#, crate::bare::EVENT_TYPE);
        let answer = post(&mut connection, "/v1/events", event).await?;
        let seconds = self.started.elapsed().as_secs_f64();
        let guid = answer["id"].as_str().and_then(|id| crate::records::guid(id.as_bytes()));
        Ok((seconds, guid.context("the service gave no guid")?))
    }

    /// Makes accounts with one endpoint each, so that every event goes to exactly one place.
    pub(crate) async fn set_up(
        &mut self,
        accounts: usize,
        receiver: SocketAddr,
    ) -> anyhow::Result<Vec<String>> {
        self.add(&Customers::answered(accounts, receiver)).await
    }

    /// Makes accounts with endpoints, and gives the accounts' ids.
    pub(crate) async fn add(&mut self, customers: &Customers) -> anyhow::Result<Vec<String>> {
        let Customers { accounts, endpoints_each, receiver, place, settings } = customers;
        let mut connection = self.ready().await?;
        let mut made = Vec::with_capacity(*accounts);
        for index in 0..*accounts {
            let name = json!({ "name": format!("bench {place} {index}") });
            let account = post(&mut connection, "/v1/accounts", name.to_string()).await?;
            let account = account["id"].as_str().context("an account without an id")?.to_owned();
            for number in 0..*endpoints_each {
                let mut endpoint = settings.clone();
                endpoint["account"] = json!(account);
                endpoint["url"] = json!(format!("http://{receiver}/{place}/{index}-{number}"));
                endpoint["livemode"] = json!(false);
                endpoint["event_types"] = json!(["*"]);
                post(&mut connection, "/v1/endpoints", endpoint.to_string()).await?;
            }
            made.push(account);
        }
        Ok(made)
    }

    /// Creates something with the operator key.
    pub(crate) async fn create(&mut self, path: &str, body: Value) -> anyhow::Result<Value> {
        let mut connection = self.ready().await?;
        post(&mut connection, path, body.to_string()).await
    }

    /// Hands in one event with an account key.
    pub(crate) async fn hand_in(&mut self, key: &str, event: Bytes) -> anyhow::Result<Value> {
        let mut connection = self.ready().await?;
        let headers = [(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))?)];
        let (status, answer) = connection.post("/v1/events", headers, event).await?;
        ensure!(status == StatusCode::ACCEPTED, "an event was answered {status}");
        serde_json::from_slice(&answer).context("an event was answered with something else than JSON")
    }

    /// A customer's way into the portal: the path that it begins with.
    pub(crate) async fn portal_link(&self, account: &str) -> anyhow::Result<String> {
        let mut connection = Connection::open(self.address).await?;
        let path = format!("/v1/accounts/{account}/portal-links");
        let link = post(&mut connection, &path, "{}".to_owned()).await?;
        Ok(link["path"].as_str().context("a link without a path")?.to_owned())
    }

    /// Whether every endpoint of an account counts as failing.
    pub(crate) async fn is_failing(&self, account: &str) -> anyhow::Result<bool> {
        let mut connection = Connection::open(self.address).await?;
        let path = format!("/v1/endpoints?account={account}");
        let headers = [(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {KEY}"))?)];
        let (status, answer) = connection.get(&path, headers).await?;
        ensure!(status == StatusCode::OK, "{path} answered {status}");
        let endpoints: Value = serde_json::from_slice(&answer).context("the endpoints are no JSON")?;
        let endpoints = endpoints["data"].as_array().context("a list without data")?;
        Ok(endpoints.iter().all(|endpoint| endpoint["health"] == "failing"))
    }

    /// Ends it without grace and waits for its end: every accepted event is on the disk.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("could not stop the service")
    }
}

/// Of each endpoint that is there to be quick: as many as the bare loop has connections.
pub(crate) const MAX_IN_FLIGHT: u32 = 64;

/// Accounts to be made, and where their endpoints are.
#[derive(Debug)]
pub(crate) struct Customers {
    pub(crate) accounts: usize,
    pub(crate) endpoints_each: usize,
    pub(crate) receiver: SocketAddr,
    /// What the URLs' paths begin with: the receiver's `hook`, `hang` or `down`.
    pub(crate) place: &'static str,
    /// What else is set of each endpoint.
    pub(crate) settings: Value,
}

impl Customers {
    /// With one endpoint each, which is answered at once.
    pub(crate) fn answered(accounts: usize, receiver: SocketAddr) -> Self {
        let settings = json!({ "max_in_flight": MAX_IN_FLIGHT });
        Self { accounts, endpoints_each: 1, receiver, place: "hook", settings }
    }
}

async fn post(connection: &mut Connection, path: &str, body: String) -> anyhow::Result<Value> {
    let headers = [(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {KEY}"))?)];
    let (status, answer) = connection.post(path, headers, Bytes::from(body)).await?;
    let text = String::from_utf8_lossy(&answer);
    ensure!(matches!(status, StatusCode::CREATED | StatusCode::ACCEPTED), "{path} answered {status}: {text}");
    serde_json::from_slice(&answer).with_context(|| format!("{path} answered with something else than JSON"))
}

/// A port that nobody has now. Another process may take it before the service does; then the run fails clearly.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    listener.local_addr().context("no address")
}

/// The `postrider` beside this program, or the one that was named.
pub(crate) fn binary(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path,
        None => {
            std::env::current_exe().context("this program's own file is unknown")?.with_file_name("postrider")
        }
    };
    let found = path.canonicalize();
    found.with_context(|| {
        format!("no service at {}; build it with `cargo build --release -p postrider`", path.display())
    })
}
