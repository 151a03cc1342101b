//! Puts the parts together: store, sender, engine and API, running on a listener. `serve` and `demo` share it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use postrider_engine::environment::{Chance, SystemChance, SystemClock};
use postrider_engine::{Engine, EngineConfig, Parts, generate_operator_key, key_sha256};
use postrider_sender::{Sender, SenderConfig};
use postrider_store::Store;
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{SqliteOptions, SqliteStore};

/// The running service.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    /// The operator key, where this start made it.
    pub(crate) new_operator_key: Option<String>,
}

/// Opens the store at `path` and starts the service on it.
pub(crate) async fn start(path: &Path, key: MasterKey, config: EngineConfig) -> anyhow::Result<Running> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path, key, SqliteOptions::default())?);
    let chance: Arc<dyn Chance> = Arc::new(SystemChance);
    let new_operator_key = make_operator_key(&*store, &*chance, &config).await?;
    let sender = SenderConfig {
        guard: config.guard.clone(),
        // Connections that wait for reuse need files as well: as many as there may be requests, and no more.
        max_idle: config.max_in_flight.min(1_024),
        ..SenderConfig::default()
    };
    let transport = Arc::new(Sender::new(sender)?);
    let parts = Parts { store, transport, clock: Arc::new(SystemClock), chance };
    let engine = Engine::start(config, parts).await.context("the service can't start")?;
    Ok(Running { engine, new_operator_key })
}

/// Makes the operator key at the first start, where the configuration names none.
async fn make_operator_key(
    store: &dyn Store,
    chance: &dyn Chance,
    config: &EngineConfig,
) -> anyhow::Result<Option<String>> {
    if config.operator_key_sha256.is_some() || store.operator_key().await?.is_some() {
        return Ok(None);
    }
    let key = generate_operator_key(chance);
    store.set_operator_key(key_sha256(&key)).await?;
    Ok(Some(key))
}
