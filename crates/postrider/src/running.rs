//! Puts the parts together: store, sender, engine and API, running on a listener. `serve` and `demo` share it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use postrider_api::ApiOptions;
use postrider_dashboard::DashboardOptions;
use postrider_engine::environment::{Chance, SystemChance, SystemClock};
use postrider_engine::{Engine, EngineConfig, Parts};
use postrider_sender::limits::MAX_CONCURRENT_LOOKUPS;
use postrider_sender::{
    DEFAULT_USER_AGENT, Proxy, ResolverFiles, Sender, SenderConfig, SystemResolver, TrustStore,
};
use postrider_store::Store;
use postrider_store::postgres::{PostgresOptions, PostgresStore};
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{SqliteOptions, SqliteStore};

use crate::operator_key::{self, ConfiguredKey, Destination, GeneratedKey};
use crate::store_url::StoreUrl;
use crate::terminal::say;

/// How long requests to the API may run on, once nothing is in flight to receivers any more.
const API_GRACE: Duration = Duration::from_secs(2);

/// The running service.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    /// The operator key, if this start generated it.
    pub(crate) generated_key: Option<GeneratedKey>,
}

/// What deliveries have on their way out.
pub(crate) struct WayOut {
    /// How many files the process may have open.
    pub(crate) files: usize,
    /// What they leave through, if anything.
    pub(crate) proxy: Option<Proxy>,
    /// Their `User-Agent`.
    pub(crate) user_agent: String,
    /// The authorities that receivers are checked against.
    pub(crate) trust: TrustStore,
}

impl WayOut {
    /// The way out of a demonstration, whose receivers are on this machine.
    pub(crate) fn of_demo(files: usize) -> Self {
        Self { files, proxy: None, user_agent: DEFAULT_USER_AGENT.to_owned(), trust: TrustStore::built_in() }
    }
}

/// Which operator key is in force.
pub(crate) struct KeyPlan {
    /// The key from the settings, if they give one.
    pub(crate) configured: Option<ConfiguredKey>,
    /// Where a generated key goes.
    pub(crate) destination: Destination,
}

/// Opens the store (with these options where it is a database) and starts the service on it.
///
/// A start that fails after it has generated a key to be shown shows it: the store has its hash then.
pub(crate) async fn start(
    store: &StoreUrl,
    master_key: MasterKey,
    database: PostgresOptions,
    key_plan: KeyPlan,
    mut config: EngineConfig,
    way_out: WayOut,
) -> anyhow::Result<Running> {
    let store = open(store, master_key, database).await?;
    let chance: Arc<dyn Chance> = Arc::new(SystemChance);
    let KeyPlan { configured, destination } = key_plan;
    let key = operator_key::establish(&*store, &*chance, configured.as_ref(), &destination).await?;
    tracing::info!(source = key.source, "operator key in force");
    config.operator_key_sha256 = Some(key.sha256);
    let sender = SenderConfig {
        guard: config.guard.clone(),
        // Connections that wait for reuse come on top of the requests in flight.
        max_idle: (way_out.files / 8).clamp(8, 1_024),
        proxy: way_out.proxy,
        user_agent: way_out.user_agent,
        trust: way_out.trust,
        // A lookup takes up to six files.
        resolver: Arc::new(SystemResolver::with(ResolverFiles::default(), concurrent_lookups(way_out.files))),
    };
    let transport = Arc::new(Sender::new(sender)?);
    let parts = Parts { store, transport, clock: Arc::new(SystemClock), chance };
    let started = Engine::start(config, parts).await.context("the service can't start");
    if let (Err(_), Some(GeneratedKey::Shown(key))) = (&started, &key.generated) {
        say(format!("operator key   {key}"));
    }
    Ok(Running { engine: started?, generated_key: key.generated })
}

/// How many names are looked up at one time within `files` open files.
fn concurrent_lookups(files: usize) -> usize {
    (files / 16).clamp(8, MAX_CONCURRENT_LOOKUPS)
}

async fn open(url: &StoreUrl, key: MasterKey, database: PostgresOptions) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match url {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path, key, SqliteOptions::default())?),
        StoreUrl::Postgres(text) => {
            let connected = PostgresStore::connect(text, &key, database).await;
            Arc::new(connected.with_context(|| url.to_string())?)
        }
    })
}

/// The API's options within `files` open files: connections to it get a quarter of them. The dashboard stands beside it.
pub(crate) fn api_options(files: usize, engine: &Engine, dashboard: DashboardOptions) -> ApiOptions {
    ApiOptions {
        max_connections: (files / 4).clamp(16, 4_096),
        grace: API_GRACE,
        behind_proxy: dashboard.behind_proxy,
        beside: Some(postrider_dashboard::router(engine.clone(), dashboard)),
        ..ApiOptions::default()
    }
}
