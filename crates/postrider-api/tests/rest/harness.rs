//! A whole service for one test: the API on a free port over an engine, a SQLite file in a folder of its own, and
//! receivers that do as they are told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use postrider_api::ApiOptions;
use postrider_core::attempt::{FailureCode, HeaderLog, Outcome, RequestLog, ResponseLog, Timings};
use postrider_engine::environment::{SystemChance, SystemClock};
use postrider_engine::{Engine, EngineConfig, Parts, key_sha256};
use postrider_pgtemp::Cluster;
use postrider_sender::{AttemptReport, AttemptRequest, Transport};
use postrider_store::Store;
use postrider_store::postgres::{PostgresOptions, PostgresStore};
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Answer, Connection};

pub(crate) const OPERATOR_KEY: &str = "op_the_operators_key_of_this_test";
/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the receivers do: answer with this status, or not at all.
const NEVER: u16 = 0;

/// Every receiver of the test.
#[derive(Default)]
pub(crate) struct Receivers {
    status: AtomicU16,
    /// How attempts fail without an answer, if they do.
    failure: Mutex<Option<(FailureCode, String)>>,
    bodies: Mutex<Vec<Vec<u8>>>,
}

impl Receivers {
    pub(crate) fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn fail_with(&self, code: FailureCode, detail: &str) {
        *self.failure.lock().unwrap() = Some((code, detail.to_owned()));
        self.answer_with(1);
    }

    /// The bodies that arrived, in order.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }
}

#[async_trait]
impl Transport for Receivers {
    async fn attempt(&self, request: AttemptRequest) -> AttemptReport {
        let status = self.status.load(Ordering::SeqCst);
        if status == NEVER {
            std::future::pending::<()>().await;
        }
        self.bodies.lock().unwrap().push(request.body.to_vec());
        let failure = self.failure.lock().unwrap().clone();
        let answered = Outcome::Answered { status, retry_after: None };
        AttemptReport {
            outcome: failure.map_or(answered, |(code, detail)| Outcome::Failed { code, detail }),
            timings: Timings {
                dns_us: None,
                connect_us: Some(1_500),
                tls_us: None,
                first_byte_us: Some(250),
                total_us: 2_125,
            },
            request: RequestLog {
                url: request.url.to_string(),
                headers: request.headers.iter().map(|(name, _)| (name.as_str(), "shown")).collect(),
            },
            response: Some(ResponseLog {
                headers: HeaderLog::from_iter([("X-Answer", "yes")]),
                body: if status == 200 { "thanks".into() } else { vec![0xff, 0x00].into() },
                body_truncated: status != 200,
            }),
            not_made: false,
            on_reused_connection: false,
        }
    }
}

/// The service, and the operator's hands.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    pub(crate) receivers: Arc<Receivers>,
    stop: oneshot::Sender<()>,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

/// An account with its keys.
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) live_key: String,
    pub(crate) test_key: String,
}

impl Service {
    /// A service whose receivers never answer, so that deliveries stay pending until a test says otherwise.
    pub(crate) async fn start() -> Self {
        Self::start_with(ApiOptions::default()).await
    }

    pub(crate) async fn start_with(options: ApiOptions) -> Self {
        Self::start_on(SqliteOptions::default(), options).await
    }

    /// The same on a store with options of its own.
    pub(crate) async fn start_on(store_options: SqliteOptions, options: ApiOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postrider.db");
        let store = SqliteStore::open(&file, MasterKey::generate(), store_options).unwrap();
        Self::start_over(Arc::new(store), folder, options).await
    }

    /// A service on each kind of store.
    pub(crate) async fn start_on_each_store() -> [(&'static str, Self); 2] {
        let url = Cluster::shared().database().unwrap();
        let store_options =
            PostgresOptions { connections: 4, patience: PATIENCE, ..PostgresOptions::default() };
        let store = PostgresStore::connect(&url, &MasterKey::generate(), store_options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let postgres = Self::start_over(Arc::new(store), folder, ApiOptions::default()).await;
        [("SQLite", Self::start().await), ("PostgreSQL", postgres)]
    }

    async fn start_over(store: Arc<dyn Store>, folder: tempfile::TempDir, options: ApiOptions) -> Self {
        let receivers = Arc::new(Receivers::default());
        let config =
            EngineConfig { operator_key_sha256: Some(key_sha256(OPERATOR_KEY)), ..EngineConfig::default() };
        let parts = Parts {
            store,
            transport: receivers.clone(),
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
        };
        let engine = Engine::start(config, parts).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let served = tokio::spawn(postrider_api::serve(listener, engine.clone(), options, shutdown));
        Self { address, engine, receivers, stop, served, _folder: folder }
    }

    /// Tells the API to stop; what comes of it is in `served`.
    pub(crate) fn tell_to_stop(self) -> (JoinHandle<std::io::Result<()>>, Engine, tempfile::TempDir) {
        self.stop.send(()).unwrap();
        (self.served, self.engine, self._folder)
    }

    /// The end of every test: the service stops as it should.
    pub(crate) async fn stop(self) {
        let (served, engine, _folder) = self.tell_to_stop();
        tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap().unwrap();
        engine.shutdown(Duration::ZERO).await;
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// One call on a connection of its own, with this key and this body of JSON.
    pub(crate) async fn call(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        let mut connection = self.connect().await;
        let answered = connection.request(method, path, &headers, body.as_bytes());
        tokio::time::timeout(PATIENCE, answered).await.unwrap()
    }

    /// The same by the operator.
    pub(crate) async fn operator(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call(OPERATOR_KEY, method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.operator("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) async fn account(&self, name: &str) -> Account {
        let made = self.operator("POST", "/v1/accounts", &json!({ "name": name }).to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Account {
            id: text(&made["id"]),
            live_key: text(&made["secret_keys"]["live"]),
            test_key: text(&made["secret_keys"]["test"]),
        }
    }

    /// An endpoint for test events with whatever else is in `more`; gives the whole object.
    pub(crate) async fn endpoint(&self, account: &Account, more: Value) -> Value {
        let mut body = json!({
            "account": account.id, "livemode": false, "url": "https://example.com/hook", "event_types": ["*"],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.operator("POST", "/v1/endpoints", &body.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()
    }

    /// Hands in a test event; gives the answer's object.
    pub(crate) async fn event(&self, account: &Account) -> Value {
        let body = event_body(&account.id, &payload(false));
        let accepted = self.operator("POST", "/v1/events", &body).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        accepted.json()
    }

    /// Waits until a delivery is as wanted.
    pub(crate) async fn wait_for_delivery(&self, id: &Value, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/deliveries/{}", id.as_str().unwrap());
        let found = async {
            loop {
                let delivery = self.get(&path).await;
                if is_wanted(&delivery) {
                    return delivery;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap()
    }

    /// How many events are stored.
    pub(crate) async fn stored_events(&self) -> usize {
        self.get("/v1/events?limit=250").await["data"].as_array().unwrap().len()
    }
}

pub(crate) fn payload(livemode: bool) -> String {
    json!({ "id": "lpol_1", "livemode": livemode, "policy_id": "TEST-1", "product_id": "ins_1" }).to_string()
}

pub(crate) fn event_body(account: &str, payload: &str) -> String {
    format!(r#"{{"account":"{account}","type":"policy.created","payload":{payload}}}"#)
}
