//! Nodes on one database, and receivers that note who sent what to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use postrider_core::attempt::{Outcome, RequestLog, Timings};
use postrider_core::audit::Who;
use postrider_core::delivery::{Delivery, Status};
use postrider_core::endpoint::EndpointSettings;
use postrider_core::event_type::Subscription;
use postrider_core::health::HealthRules;
use postrider_core::id::{AccountId, EndpointId};
use postrider_engine::environment::{SystemChance, SystemClock};
use postrider_engine::model::{Accepted, EndpointDraft, Submission};
use postrider_engine::{
    Acting, Before, Claim, Engine, EngineConfig, EngineError, KeptAnswer, Once, Parts, key_sha256,
};
use postrider_pgtemp::{Cluster, Proxy};
use postrider_sender::{AttemptReport, AttemptRequest, Transport};
use postrider_store::postgres::{PostgresOptions, PostgresStore};
use postrider_store::seal::MasterKey;
use tokio::sync::watch;

/// A lapse that tests wait for, and that a busy machine does not miss.
pub(crate) const SOON: Duration = Duration::from_secs(3);
/// One that none waits for.
const NEVER: Duration = Duration::from_secs(600);
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a receiver does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    Status(u16),
    /// It does not answer at all.
    Never,
    /// It answers once [`Database::release`] lets it.
    Held(u16),
}

/// One request as a receiver saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) node: usize,
    pub(crate) host: String,
    pub(crate) guid: String,
}

/// The guids that a host has got, by the first time.
pub(crate) fn in_order_of_first(seen: &[Seen], host: &str) -> Vec<String> {
    let mut guids = Vec::new();
    for seen in seen.iter().filter(|seen| seen.host == host) {
        if !guids.contains(&seen.guid) {
            guids.push(seen.guid.clone());
        }
    }
    guids
}

#[derive(Default)]
struct Receivers {
    seen: Mutex<Vec<Seen>>,
    has_recovered: AtomicBool,
    released: watch::Sender<bool>,
}

/// An empty database, the key that its nodes share, and the receivers.
pub(crate) struct Database {
    url: String,
    key: MasterKey,
    receivers: Arc<Receivers>,
    nodes: Mutex<usize>,
}

type Script = Box<dyn Fn(&Seen, usize) -> Reply + Send + Sync>;

struct Scripted {
    node: usize,
    script: Script,
    receivers: Arc<Receivers>,
}

#[async_trait]
impl Transport for Scripted {
    async fn attempt(&self, request: AttemptRequest) -> AttemptReport {
        tokio::task::yield_now().await;
        let guid = request.headers.iter().find(|(name, _)| name.as_str() == "X-KASKO-Delivery");
        let seen = Seen {
            node: self.node,
            host: request.url.host_str().unwrap().to_owned(),
            guid: guid.unwrap().1.to_str().unwrap().to_owned(),
        };
        let before = {
            let mut all = self.receivers.seen.lock().unwrap();
            let before =
                all.iter().filter(|other| other.guid == seen.guid && other.host == seen.host).count();
            all.push(seen.clone());
            before
        };
        let status = match (self.script)(&seen, before) {
            Reply::Status(status) => status,
            Reply::Never => std::future::pending().await,
            Reply::Held(status) => {
                self.receivers.released.subscribe().wait_for(|released| *released).await.unwrap();
                status
            }
        };
        AttemptReport {
            outcome: Outcome::Answered { status, retry_after: None },
            timings: Timings { total_us: 1_000, ..Timings::default() },
            request: RequestLog {
                url: request.url.to_string(),
                headers: std::iter::empty::<(&str, &str)>().collect(),
            },
            response: None,
            not_made: false,
            on_reused_connection: false,
        }
    }
}

impl Database {
    pub(crate) fn new() -> Self {
        let url = Cluster::shared().database().unwrap();
        Self { url, key: MasterKey::generate(), receivers: Arc::default(), nodes: Mutex::new(0) }
    }

    pub(crate) async fn node(&self, script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Node {
        self.node_with(NEVER, script).await
    }

    pub(crate) async fn node_with(
        &self,
        lapse: Duration,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Node {
        self.start(&self.url, lapse, Box::new(script), None, HealthRules::default()).await
    }

    /// One that disables an endpoint that has failed for a moment.
    pub(crate) async fn hasty_node(
        &self,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Node {
        let hasty = HealthRules {
            disable_after: Some(Duration::from_millis(1)),
            disable_attempts: 1,
            ..HealthRules::default()
        };
        self.start(&self.url, NEVER, Box::new(script), None, hasty).await
    }

    pub(crate) async fn node_through_proxy(
        &self,
        lapse: Duration,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Node {
        let port = self.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
        let proxy = Proxy::start(port).unwrap();
        let url = proxy.url(&self.url);
        self.start(&url, lapse, Box::new(script), Some(proxy), HealthRules::default()).await
    }

    /// One whose receivers fail until [`Self::recover`].
    pub(crate) async fn node_failing(&self) -> Node {
        let receivers = Arc::clone(&self.receivers);
        self.node(move |_, _| {
            Reply::Status(if receivers.has_recovered.load(Ordering::SeqCst) { 200 } else { 500 })
        })
        .await
    }

    pub(crate) fn recover(&self) {
        self.receivers.has_recovered.store(true, Ordering::SeqCst);
    }

    /// Lets the answers that are held come.
    pub(crate) fn release(&self) {
        self.receivers.released.send_replace(true);
    }

    /// Statements run by the superuser.
    pub(crate) async fn sql(&self, statements: &str) -> String {
        let (name, statements) = (self.url.rsplit('/').next().unwrap().to_owned(), statements.to_owned());
        let run = move || Cluster::shared().sql(&name, &statements).unwrap().trim().to_owned();
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// One behind a proxy that waits so long for its database.
    pub(crate) async fn node_of_patience(
        &self,
        lapse: Duration,
        patience: Duration,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Node {
        let port = self.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
        let proxy = Proxy::start(port).unwrap();
        let url = proxy.url(&self.url);
        let (script, rules) = (Box::new(script), HealthRules::default());
        self.start_with(&url, (lapse, patience), script, Some(proxy), rules).await
    }

    /// The same as [`Self::sql`], where it may fail.
    pub(crate) async fn try_sql(&self, statements: &str) {
        let (name, statements) = (self.url.rsplit('/').next().unwrap().to_owned(), statements.to_owned());
        let run = move || drop(Cluster::shared().sql(&name, &statements));
        tokio::task::spawn_blocking(run).await.unwrap();
    }

    /// Waits until statements say this.
    pub(crate) async fn until_sql(&self, statements: &str, said: &str) {
        looking(async || {
            let is_said = self.sql(statements).await == said;
            if !is_said {
                pause(Duration::from_millis(200)).await;
            }
            is_said
        })
        .await;
    }

    async fn start(
        &self,
        url: &str,
        lapse: Duration,
        script: Script,
        proxy: Option<Proxy>,
        health_rules: HealthRules,
    ) -> Node {
        let patience = if lapse == NEVER { Duration::from_secs(60) } else { lapse };
        self.start_with(url, (lapse, patience), script, proxy, health_rules).await
    }

    async fn start_with(
        &self,
        url: &str,
        (lapse, patience): (Duration, Duration),
        script: Script,
        proxy: Option<Proxy>,
        health_rules: HealthRules,
    ) -> Node {
        let node = {
            let mut nodes = self.nodes.lock().unwrap();
            *nodes += 1;
            *nodes
        };
        let options = PostgresOptions { connections: 6, lapse, patience, ..PostgresOptions::default() };
        let store = Arc::new(PostgresStore::connect(url, &self.key, options).await.unwrap());
        let transport = Scripted { node, script, receivers: Arc::clone(&self.receivers) };
        let config = EngineConfig {
            operator_key_sha256: Some(key_sha256("op_test")),
            retry_schedule: "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s".parse().unwrap(),
            health_rules: HealthRules {
                over: Duration::ZERO,
                probe_delays: vec![Duration::from_secs(1)],
                ..health_rules
            },
            ..EngineConfig::default()
        };
        let parts = Parts {
            store,
            transport: Arc::new(transport),
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
        };
        Node { engine: Engine::start(config, parts).await.unwrap(), proxy }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.receivers.seen.lock().unwrap().clone()
    }

    pub(crate) fn guids(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.guid).collect()
    }

    /// Waits until the receivers have seen so many requests.
    pub(crate) async fn until_seen(&self, count: usize) {
        looking(async || self.receivers.seen.lock().unwrap().len() >= count).await;
    }
}

/// An engine on the database.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    proxy: Option<Proxy>,
}

impl Node {
    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// The engine in the service's hands.
    pub(crate) fn hand(&self) -> Acting {
        self.engine.by(Who::SERVICE)
    }

    pub(crate) async fn account(&self) -> AccountId {
        self.hand().create_account("Account".to_owned()).await.unwrap().account.id
    }

    pub(crate) async fn endpoint(
        &self,
        account: AccountId,
        host: &str,
        change: impl FnOnce(&mut EndpointSettings),
    ) -> EndpointId {
        let url = format!("https://{host}/").parse().unwrap();
        let mut settings = EndpointSettings::new(url, Subscription::parse(&["*"]).unwrap());
        change(&mut settings);
        let draft = EndpointDraft { account, livemode: true, settings, secret: None };
        self.hand().create_endpoint(draft).await.unwrap().endpoint.id
    }

    pub(crate) async fn send(&self, account: AccountId) -> Accepted {
        self.try_send(account).await.unwrap()
    }

    pub(crate) async fn try_send(&self, account: AccountId) -> Result<Accepted, EngineError> {
        let payload = Bytes::from_static(br#"{"livemode": true}"#);
        let event_type = self.engine.catalogue().get("policy.created").cloned().unwrap();
        let submission = Submission { account, event_type, livemode: true, payload };
        Ok(self.engine.ingest(vec![submission]).await?.remove(0))
    }

    /// Hands an event in with an idempotency key, and gives the guid that the call was answered with, now or before.
    pub(crate) async fn send_once(&self, account: AccountId, scope: [u8; 32]) -> Option<String> {
        let payload = Bytes::from_static(br#"{"livemode": true}"#);
        let event_type = self.engine.catalogue().get("policy.created").cloned().unwrap();
        let submission = Submission { account, event_type, livemode: true, payload };
        let claim = Claim { scope, body_sha256: [0; 32] };
        let answer =
            |accepted: &[Accepted]| KeptAnswer { status: 202, body: accepted[0].id.to_string().into() };
        match self.engine.ingest_call(vec![submission], Some(Once::new(claim, answer)), None).await {
            Ok(accepted) => Some(accepted[0].id.to_string()),
            Err(EngineError::AnsweredBefore) => match self.engine.answered_before(claim).await {
                Ok(Some(Before::Answered(answer))) => String::from_utf8(answer.body.to_vec()).ok(),
                _ => None,
            },
            Err(_) => None,
        }
    }

    /// Waits until this node knows an account that was made elsewhere.
    pub(crate) async fn until_known(&self, account: AccountId) {
        self.until(|engine| engine.account(account).is_ok()).await;
    }

    pub(crate) async fn until(&self, what: impl Fn(&Engine) -> bool) {
        looking(async || what(&self.engine)).await;
    }

    pub(crate) async fn until_async(&self, what: impl AsyncFn(&Self) -> bool) {
        looking(async || what(self).await).await;
    }

    /// Waits until all deliveries of an event are delivered.
    pub(crate) async fn until_ended(&self, accepted: &Accepted) {
        self.until_each(accepted, |delivery| delivery.status == Status::Delivered).await;
    }

    /// Waits until something holds of each delivery of an event.
    pub(crate) async fn until_each(&self, accepted: &Accepted, what: impl Fn(&Delivery) -> bool) {
        for (id, _) in &accepted.deliveries {
            looking(async || self.engine.delivery(*id).await.is_ok_and(|delivery| what(&delivery))).await;
        }
    }

    /// How many deliveries of an endpoint this node believes to be pending.
    pub(crate) fn backlog(&self, endpoint: EndpointId) -> u64 {
        self.engine.endpoint(endpoint).unwrap().backlog
    }

    pub(crate) async fn number(&self) -> i64 {
        self.number_if_any().await.unwrap()
    }

    pub(crate) async fn number_if_any(&self) -> Option<i64> {
        self.engine.nodes().await.ok()?.into_iter().find(|node| node.is_self).map(|node| node.no)
    }
}

/// Lets some time pass between two faults, or between two calls of a client; never instead of waiting for something.
pub(crate) async fn pause(time: Duration) {
    let mut later = tokio::time::interval_at(tokio::time::Instant::now() + time, Duration::from_secs(1));
    later.tick().await;
}

/// Looks until it holds.
async fn looking(holds: impl AsyncFn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let until = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, until).await.expect("it comes to hold");
}
