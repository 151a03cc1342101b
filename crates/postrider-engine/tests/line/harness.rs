//! Test support: a whole engine on a real SQLite store in a temporary folder, with a clock that follows tokio's paused time, chance
//! from a printed seed, and receivers that answer by script.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use postrider_core::attempt::{FailureCode, Outcome, RequestLog, Timings};
use postrider_core::catalogue::EventType;
use postrider_core::delivery::{Delivery, Status};
use postrider_core::endpoint::EndpointSettings;
use postrider_core::event_type::Subscription;
use postrider_core::id::{AccountId, DeliveryId};
use postrider_core::schedule::Jitter;
use postrider_core::time::Timestamp;
use postrider_engine::environment::{Chance, Clock};
use postrider_engine::model::{Accepted, EndpointDraft, EndpointView, Submission};
use postrider_engine::{Engine, EngineConfig, PageRequest, Parts, key_sha256};
use postrider_sender::{AttemptReport, AttemptRequest, Transport};
use postrider_store::Store as _;
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{SqliteOptions, SqliteStore};

use crate::held_store::HeldStore;

/// A page that holds everything.
pub(crate) const PAGE: PageRequest = PageRequest { limit: 250, before: None };
pub(crate) const OPERATOR_KEY: &str = "op_test";

/// Time that begins at a fixed point and goes on as tokio's does.
pub(crate) struct TestClock {
    began: tokio::time::Instant,
    offset_ms: Arc<AtomicI64>,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + self.offset_ms.load(Ordering::Relaxed))
            .plus(self.began.elapsed())
    }
}

/// Chance from a seed (splitmix64), which can be made to break.
pub(crate) struct Seeded {
    state: AtomicU64,
    /// So many times there is no jitter: whoever asks for it panics.
    pub(crate) breaks: AtomicU64,
}

impl Chance for Seeded {
    fn jitter(&self) -> Jitter {
        let breaks =
            self.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(breaks.is_err(), "a bug, as it was asked for");
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Jitter(u32::from_le_bytes(bytes))
    }

    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// One request as a receiver saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) guid: String,
    pub(crate) event_type: String,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) fresh_connection: bool,
    pub(crate) at: tokio::time::Instant,
}

/// What a receiver does.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16),
    StatusWithRetryAfter(u16, u64),
    Refuse,
    /// The connection fails for this reason.
    Fail(&'static str),
    /// A connection that was used before breaks; a fresh one brings a 200.
    BreakReused,
    /// The service has no file left for a connection.
    NoFiles,
    /// Answers with this status after so long.
    StatusAfter(u16, Duration),
    /// Answers 200 after so long, or times out where the deadline comes first.
    After(Duration),
}

type Script = Box<dyn Fn(&Seen, usize) -> Reply + Send + Sync>;

/// Receivers by script: the function gets the request and how many came before it with the same guid and host.
pub(crate) struct Scripted {
    script: Script,
    seen: Mutex<Vec<Seen>>,
}

impl Scripted {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn guids(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.guid).collect()
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn attempt(&self, request: AttemptRequest) -> AttemptReport {
        // A request is never answered before whoever makes it has waited.
        tokio::task::yield_now().await;
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let header = |wanted: &str| {
            headers
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        let seen = Seen {
            host: request.url.host_str().unwrap().to_owned(),
            guid: header("X-KASKO-Delivery"),
            event_type: header("X-KASKO-Event"),
            signature: header("X-KASKO-Signature"),
            body: request.body.clone(),
            headers: headers.clone(),
            fresh_connection: request.fresh_connection,
            at: tokio::time::Instant::now(),
        };
        let before = {
            let mut all = self.seen.lock().unwrap();
            let before =
                all.iter().filter(|other| other.guid == seen.guid && other.host == seen.host).count();
            all.push(seen.clone());
            before
        };
        let began = tokio::time::Instant::now();
        let failed = |code, detail: &str| Outcome::Failed { code, detail: detail.to_owned() };
        let reply = (self.script)(&seen, before);
        let not_made = matches!(reply, Reply::NoFiles);
        let on_reused_connection = matches!(reply, Reply::BreakReused) && !request.fresh_connection;
        let outcome = match reply {
            Reply::Status(status) => Outcome::Answered { status, retry_after: None },
            Reply::StatusWithRetryAfter(status, seconds) => {
                Outcome::Answered { status, retry_after: Some(Duration::from_secs(seconds)) }
            }
            Reply::StatusAfter(status, wait) => {
                silence(wait).await;
                Outcome::Answered { status, retry_after: None }
            }
            Reply::BreakReused if request.fresh_connection => {
                Outcome::Answered { status: 200, retry_after: None }
            }
            Reply::BreakReused => failed(FailureCode::ConnectionReset, "reset"),
            Reply::NoFiles => failed(FailureCode::ConnectFailed, "too many open files"),
            Reply::Fail(reason) => failed(FailureCode::ConnectFailed, reason),
            Reply::Refuse => failed(FailureCode::ConnectRefused, "nothing listens there"),
            Reply::After(wait) if wait >= request.timeout => {
                silence(request.timeout).await;
                failed(FailureCode::Timeout, "no answer in time")
            }
            Reply::After(wait) => {
                silence(wait).await;
                Outcome::Answered { status: 200, retry_after: None }
            }
        };
        let total_us = u64::try_from(began.elapsed().as_micros()).unwrap();
        let timings = Timings { total_us, ..Timings::default() };
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = RequestLog { url: request.url.to_string(), headers };
        AttemptReport { outcome, timings, request, response: None, not_made, on_reused_connection }
    }
}

/// A receiver that says nothing for so long (of paused time).
async fn silence(time: Duration) {
    let nothing = tokio::time::timeout(time, std::future::pending::<()>()).await;
    assert!(nothing.is_err(), "silence says nothing");
}

/// An engine with what it stands on.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) receivers: Arc<Scripted>,
    pub(crate) store: Arc<HeldStore>,
    pub(crate) chance: Arc<Seeded>,
    pub(crate) account: AccountId,
    folder: tempfile::TempDir,
    /// While this is held a blocking task waits, and paused time does not run ahead by itself: it would whenever
    /// the store's threads, which it knows nothing of, are awaited.
    _hold: std::sync::mpsc::Sender<()>,
    config: EngineConfig,
    began: tokio::time::Instant,
    /// By how much the clock has jumped.
    pub(crate) offset_ms: Arc<AtomicI64>,
}

impl House {
    /// A fresh one, whose receivers follow `script`.
    pub(crate) async fn build(
        config: EngineConfig,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let _first = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        // In memory where the system has a place for that: paused time does not wait for a disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap();
        let config = EngineConfig { operator_key_sha256: Some(key_sha256(OPERATOR_KEY)), ..config };
        let receivers = Arc::new(Scripted { script: Box::new(script), seen: Mutex::default() });
        let (hold, held) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        let began = tokio::time::Instant::now();
        let (store, chance) = (open(&folder.path().join("test.db")), chance(began));
        let offset_ms = Arc::new(AtomicI64::new(0));
        let engine = start(&store, &chance, &config, receivers.clone(), (began, &offset_ms)).await;
        let account = engine
            .by(postrider_core::audit::Who::SERVICE)
            .create_account("Acme".to_owned())
            .await
            .unwrap()
            .account
            .id;
        Self { engine, receivers, store, chance, account, folder, _hold: hold, config, began, offset_ms }
    }

    /// Stops the service as a signal would, and starts it again on the same file.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(|_file| ()).await;
    }

    /// The same, with something done to the file in between.
    pub(crate) async fn restart_after(&mut self, change: impl FnOnce(&Path)) {
        self.stop(Duration::from_secs(1)).await;
        change(&self.folder.path().join("test.db"));
        (self.store, self.chance) = (open(&self.folder.path().join("test.db")), chance(self.began));
        let receivers = self.receivers.clone();
        self.engine =
            start(&self.store, &self.chance, &self.config, receivers, (self.began, &self.offset_ms)).await;
    }

    /// Stops the service. Time passes until the store begins to close; from there on only its own threads are awaited, so
    /// that the file is free when this returns.
    pub(crate) async fn stop(&self, grace: Duration) -> usize {
        let stopping = self.engine.shutdown(grace);
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                biased;
                left = &mut stopping => return left,
                is_open = self.settle() => if !is_open {
                    return stopping.await;
                }
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }

    /// Waits in real time, without letting any of the paused time pass, until the store's threads have done what they were
    /// asked for. False if the store is closed or closing.
    pub(crate) async fn settle(&self) -> bool {
        self.writer_settles().await && self.store.operator_key().await.is_ok()
    }

    /// The writer and the one reader serve their callers in order: when a call has been answered, so have those before it.
    /// This one changes nothing, so it costs no write.
    async fn writer_settles(&self) -> bool {
        tokio::task::yield_now().await;
        self.store.forget_answers(Timestamp::from_ms(0), 0).await.is_ok()
    }

    pub(crate) async fn endpoint(
        &self,
        host: &str,
        change: impl FnOnce(&mut EndpointSettings),
    ) -> EndpointView {
        let draft = EndpointDraft {
            account: self.account,
            livemode: false,
            settings: settings(host, change),
            secret: None,
        };
        self.engine.by(postrider_core::audit::Who::SERVICE).create_endpoint(draft).await.unwrap()
    }

    /// An event type as it stands.
    pub(crate) fn event_type(&self, name: &str) -> Arc<EventType> {
        self.engine.catalogue().get(name).cloned().unwrap()
    }

    /// Hands in one test event.
    pub(crate) async fn send(&self, event_type: &'static str) -> Accepted {
        self.send_payload(event_type, br#"{"livemode":false}"#).await
    }

    pub(crate) async fn send_payload(&self, event_type: &'static str, payload: &[u8]) -> Accepted {
        let submission = Submission {
            account: self.account,
            event_type: self.event_type(event_type),
            livemode: false,
            payload: Bytes::copy_from_slice(payload),
        };
        self.engine.ingest(vec![submission]).await.unwrap().pop().unwrap()
    }

    /// Waits (letting paused time pass) until the delivery is as wanted.
    pub(crate) async fn until(&self, id: DeliveryId, wanted: impl Fn(&Delivery) -> bool) -> Delivery {
        for _ in 0..200_000 {
            // The read settles the reader.
            self.writer_settles().await;
            let delivery = self.engine.delivery(id).await.unwrap();
            if wanted(&delivery) {
                return delivery;
            }
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        panic!("the delivery never came there: {:?}", self.engine.delivery(id).await);
    }

    pub(crate) async fn until_status(&self, id: DeliveryId, status: Status) -> Delivery {
        self.until(id, |delivery| delivery.status == status).await
    }

    /// Waits until the receivers saw so many requests, without letting any time pass.
    pub(crate) async fn until_seen(&self, requests: usize) {
        while self.receivers.seen().len() < requests {
            tokio::task::yield_now().await;
        }
    }

    /// Lets so much time pass, in steps, so that everything on the way happens.
    pub(crate) async fn pass(&self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::time::advance(Duration::from_millis(100)).await;
            self.settle().await;
        }
    }
}

fn open(path: &Path) -> Arc<HeldStore> {
    let key = MasterKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    // One reader serves reads in order, which `House::settle` needs.
    let options = SqliteOptions { readers: 1, ..SqliteOptions::default() };
    Arc::new(HeldStore::new(SqliteStore::open(path, key, options).unwrap()))
}

fn chance(began: tokio::time::Instant) -> Arc<Seeded> {
    let seed = 42 + u64::try_from(began.elapsed().as_millis()).unwrap();
    println!("seed {seed}");
    Arc::new(Seeded { state: AtomicU64::new(seed), breaks: AtomicU64::new(0) })
}

async fn start(
    store: &Arc<HeldStore>,
    chance: &Arc<Seeded>,
    config: &EngineConfig,
    receivers: Arc<Scripted>,
    (began, offset_ms): (tokio::time::Instant, &Arc<AtomicI64>),
) -> Engine {
    let parts = Parts {
        store: store.clone(),
        transport: receivers,
        clock: Arc::new(TestClock { began, offset_ms: offset_ms.clone() }),
        chance: chance.clone(),
    };
    Engine::start(config.clone(), parts).await.unwrap()
}

pub(crate) fn settings(host: &str, change: impl FnOnce(&mut EndpointSettings)) -> EndpointSettings {
    let mut settings = EndpointSettings::new(
        format!("https://{host}/hook").parse().unwrap(),
        Subscription::parse(&["*"]).unwrap(),
    );
    change(&mut settings);
    settings
}
