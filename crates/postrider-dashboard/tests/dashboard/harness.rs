//! A whole service for one test: API and dashboard on a free port, a SQLite file in a folder of its own, the real sender,
//! and a receiver that answers as it is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode};
use postrider_api::ApiOptions;
use postrider_core::address::AddressGuard;
use postrider_core::endpoint::EndpointSettings;
use postrider_core::event_type::Subscription;
use postrider_core::id::{AccountId, DeliveryId, EndpointId};
use postrider_core::time::Timestamp;
use postrider_dashboard::DashboardOptions;
use postrider_engine::environment::{Clock, SystemChance, SystemClock};
use postrider_engine::model::{EndpointDraft, Submission};
use postrider_engine::{Engine, EngineConfig, Parts, key_sha256};
use postrider_sender::{Sender, SenderConfig};
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use tokio::net::TcpListener;

pub(crate) const OPERATOR_KEY: &str = "op_the_operators_key_of_this_test";
/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the receiver does and what came to it.
#[derive(Default)]
pub(crate) struct Receiver {
    status: AtomicU16,
    body: Mutex<String>,
    arrived: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Receiver {
    pub(crate) fn answer(&self, status: u16, body: &str) {
        self.status.store(status, Ordering::SeqCst);
        body.clone_into(&mut self.body.lock().unwrap());
    }

    /// The headers and bodies that arrived, in order.
    pub(crate) fn arrived(&self) -> Vec<(HeaderMap, Bytes)> {
        self.arrived.lock().unwrap().clone()
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    receiver.arrived.lock().unwrap().push((headers, body));
    let status = StatusCode::from_u16(receiver.status.load(Ordering::SeqCst)).unwrap();
    (status, receiver.body.lock().unwrap().clone())
}

/// The machine's clock, and how far a test has put it ahead.
#[derive(Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    pub(crate) fn go_ahead(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(SystemClock.now().as_ms() + self.0.load(Ordering::SeqCst))
    }
}

/// The service and its surroundings.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) clock: Arc<MovedClock>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) receiver_url: String,
    _folder: tempfile::TempDir,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::start_with(DashboardOptions::default()).await
    }

    pub(crate) async fn start_with(options: DashboardOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postrider.db");
        let store = SqliteStore::open(&file, MasterKey::generate(), SqliteOptions::default()).unwrap();
        let store = Arc::new(store);
        let guard =
            AddressGuard { allow_nets: vec!["127.0.0.0/8".parse().unwrap()], ..AddressGuard::default() };
        let sender = Sender::new(SenderConfig { guard: guard.clone(), ..SenderConfig::default() }).unwrap();
        let config = EngineConfig {
            operator_key_sha256: Some(key_sha256(OPERATOR_KEY)),
            guard,
            // A failed delivery ends soon, and is seen pending until then.
            retry_schedule: "1s".parse().unwrap(),
            ..EngineConfig::default()
        };
        let clock = Arc::new(MovedClock::default());
        let parts = Parts {
            store: store.clone(),
            transport: Arc::new(sender),
            clock: clock.clone(),
            chance: Arc::new(SystemChance),
        };
        let engine = Engine::start(config, parts).await.unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let beside = Some(postrider_dashboard::router(engine.clone(), options));
        let api = ApiOptions { beside, ..ApiOptions::default() };
        tokio::spawn(postrider_api::serve(listener, engine.clone(), api, std::future::pending()));
        let (receiver, receiver_url) = start_receiver().await;
        Self { address, engine, store, clock, receiver, receiver_url, _folder: folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Makes an account with an endpoint for everything in test mode, at the receiver.
    pub(crate) async fn account(&self, name: &str) -> (AccountId, EndpointId) {
        let account = self
            .engine
            .by(postrider_core::audit::Who::SERVICE)
            .create_account(name.to_owned())
            .await
            .unwrap()
            .account
            .id;
        (account, self.endpoint(account, name).await)
    }

    pub(crate) async fn endpoint(&self, account: AccountId, description: &str) -> EndpointId {
        let url = self.receiver_url.parse().unwrap();
        let settings = EndpointSettings {
            description: description.to_owned(),
            ..EndpointSettings::new(url, Subscription::parse(&["*"]).unwrap())
        };
        let draft = EndpointDraft { account, livemode: false, settings, secret: None };
        self.engine.by(postrider_core::audit::Who::SERVICE).create_endpoint(draft).await.unwrap().endpoint.id
    }

    /// Hands in a payload and gives its first delivery.
    pub(crate) async fn send(&self, account: AccountId, payload: &str) -> DeliveryId {
        let submission = Submission {
            account,
            event_type: self.engine.catalogue().get("policy.created").cloned().unwrap(),
            livemode: false,
            payload: Bytes::from(payload.to_owned()),
        };
        self.engine.ingest(vec![submission]).await.unwrap()[0].deliveries[0].0
    }

    /// Waits until a delivery has this many attempts in the log.
    pub(crate) async fn until_attempted(&self, id: DeliveryId, times: usize) {
        let attempted = async {
            loop {
                let delivery = self.engine.delivery(id).await.unwrap();
                if self.engine.attempts(&delivery).await.unwrap().len() >= times {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, attempted).await.expect("the attempt is made in time");
    }
}

async fn start_receiver() -> (Arc<Receiver>, String) {
    let receiver = Arc::new(Receiver::default());
    receiver.answer(200, "thanks");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let routes = Router::new().fallback(receive).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (receiver, url)
}
