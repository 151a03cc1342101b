//! Sessions: what every connection to the server is told and checked for, when it is made and whenever it is taken from
//! the pool.
//!
//! The settings are made by statements and read back, never passed as start-up options: a pooler between node and server
//! may refuse or swallow those. A server that can't be written is left: `transaction_read_only` decides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, PoolError};
use deadpool_postgres::{QueueMode, RecyclingMethod, Runtime, StatementCache, Timeouts};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};

use super::PostgresOptions;
use super::connect::{ConnectError, chain};
use super::connector::Connector;

/// How long a server has to say whether it can be written.
const CHECK_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection is trusted to lead to a server that can be written. Asking costs a round trip.
const RECHECK_AFTER: Duration = Duration::from_secs(1);
/// The encoding that a database must have: names and answers of receivers hold any character.
const ENCODING: &str = "UTF8";

/// What every session is told. A commit has reached the disk when it returns, whatever the server's default is; and every
/// query here is led by an index, which a plan made while the tables were still empty might not see.
const SETTINGS: &[(&str, &str)] = &[
    ("synchronous_commit", "on"),
    ("statement_timeout", "60s"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    // Notices (of a relation that exists already) say nothing that an operator can act on.
    ("client_min_messages", "warning"),
];

/// Why a session can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// A standby, or a primary that was set to read-only.
    #[error(
        "the server is read-only (a standby, or default_transaction_read_only is on); name the primary, or several hosts"
    )]
    ReadOnly,
    /// The database can't hold every character.
    #[error(
        "the database has the encoding {0}; create it with ENCODING 'UTF8' TEMPLATE template0 and restore into it"
    )]
    Encoding(String),
    /// A pooler gives a server connection to others between transactions.
    #[error(
        "a connection pooler in transaction or statement mode is between this node and the server; set pool_mode = session for \
         this database, or connect to the server directly"
    )]
    Pooled,
    /// A setting did not arrive.
    #[error("the server or a pooler before it ignores the setting {0}; connect to the server directly")]
    Setting(&'static str),
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    TooSlow,
}

/// The server's process behind a connection. Two processes may have the same id, one after the other, but never the same
/// start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BackendId {
    pub(super) pid: i32,
    /// When it started, in microseconds since 1970 by the server's clock.
    pub(super) started_us: i64,
}

/// What is known of a connection in the pool.
#[derive(Debug)]
struct Session {
    /// Names the connection, which has no other identity here.
    cache: Weak<StatementCache>,
    backend: BackendId,
    checked_at: Instant,
    generation: u64,
}

/// What is known of every connection in the pools.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    known: Mutex<Vec<Session>>,
    /// Raised when a server turned out to be read-only: every connection is checked again before it is used.
    generation: AtomicU64,
    /// Connections of an earlier generation are not used any more.
    oldest: AtomicU64,
}

impl Sessions {
    /// From now on no connection is used before its server was asked again whether it can be written.
    pub(super) fn recheck_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// From now on no connection is used that was made, or last checked, before this.
    fn discard_all(&self) {
        let next = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.oldest.fetch_max(next, Ordering::AcqRel);
    }

    /// Whether a connection may be used at all.
    fn is_discarded(&self, client: &ClientWrapper) -> bool {
        let (cache, oldest) = (Arc::downgrade(&client.statement_cache), self.oldest.load(Ordering::Acquire));
        self.lock().iter().any(|session| session.cache.ptr_eq(&cache) && session.generation < oldest)
    }

    /// The server's process behind a connection.
    pub(super) fn backend(&self, client: &ClientWrapper) -> Option<BackendId> {
        let cache = Arc::downgrade(&client.statement_cache);
        self.lock().iter().find(|session| session.cache.ptr_eq(&cache)).map(|session| session.backend)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn add(&self, client: &ClientWrapper, backend: BackendId, generation: u64) {
        let cache = Arc::downgrade(&client.statement_cache);
        let mut known = self.lock();
        known.retain(|session| session.cache.strong_count() > 0);
        known.push(Session { cache, backend, checked_at: Instant::now(), generation });
    }

    fn is_recently_checked(&self, client: &ClientWrapper) -> bool {
        let (cache, generation) = (Arc::downgrade(&client.statement_cache), self.generation());
        self.lock().iter().any(|session| {
            session.cache.ptr_eq(&cache)
                && session.generation == generation
                && session.checked_at.elapsed() < RECHECK_AFTER
        })
    }

    fn has_been_checked(&self, client: &ClientWrapper, generation: u64) {
        let cache = Arc::downgrade(&client.statement_cache);
        let mut known = self.lock();
        for session in known.iter_mut().filter(|session| session.cache.ptr_eq(&cache)) {
            (session.checked_at, session.generation) = (Instant::now(), generation);
        }
    }

    /// Prepares a new connection.
    async fn set_up(
        &self,
        client: &ClientWrapper,
        settings: &[(&'static str, String)],
    ) -> Result<(), SetupError> {
        let generation = self.generation();
        let backend = set_up(client, settings).await?;
        self.add(client, backend, generation);
        Ok(())
    }

    /// Looks again whether the server can be written, unless that was done a moment ago.
    async fn check(&self, client: &ClientWrapper) -> Result<(), SetupError> {
        if self.is_recently_checked(client) {
            return Ok(());
        }
        if self.is_discarded(client) {
            return Err(Unfit::TooSlow.into());
        }
        let generation = self.generation();
        if is_read_only(client).await? {
            return Err(Unfit::ReadOnly.into());
        }
        self.has_been_checked(client, generation);
        Ok(())
    }
}

/// Why a session was not set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("{}", chain(.0))]
    Database(#[from] tokio_postgres::Error),
}

impl From<SetupError> for HookError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Unfit(unfit) => Self::message(unfit.to_string()),
            SetupError::Database(error) => Self::Backend(error),
        }
    }
}

impl From<SetupError> for ConnectError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Unfit(unfit) => Self::Unfit(unfit.to_string()),
            SetupError::Database(error) => Self::Unreachable(chain(&error)),
        }
    }
}

/// The settings of a session for these options.
pub(super) fn settings(options: &PostgresOptions) -> Vec<(&'static str, String)> {
    // A node that freezes within a transaction must not hold its locks until it is taken over, nor for as long as others
    // wait for them.
    let idle = (options.lapse / 2).min(options.patience / 2);
    let idle_ms = idle.clamp(Duration::from_millis(500), Duration::from_secs(60)).as_millis();
    let mut all: Vec<_> = SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    all.push(("idle_in_transaction_session_timeout", format!("{idle_ms}ms")));
    all
}

/// Makes the settings, reads them back, and checks that the database can be written and holds every character.
async fn set_up(client: &Client, settings: &[(&'static str, String)]) -> Result<BackendId, SetupError> {
    let list = |each: &dyn Fn(&str, &str) -> String| {
        settings.iter().map(|(name, value)| each(name, value)).collect::<Vec<_>>().join(", ")
    };
    let set = format!("SELECT {}", list(&|name, value| format!("set_config('{name}', '{value}', false)")));
    let get = format!(
        "SELECT {}, current_setting('transaction_read_only'), current_setting('server_encoding'), pid,
            (extract(epoch FROM backend_start) * 1000000)::bigint
         FROM pg_stat_get_activity(pg_backend_pid())",
        list(&|name, _| format!("current_setting('{name}')"))
    );
    let was_set = row(client, &set).await?;
    let holds = row(client, &get).await?;
    for (index, (name, _)) in settings.iter().enumerate() {
        if was_set.get(index) != holds.get(index) {
            return Err(Unfit::Setting(name).into());
        }
    }
    if holds.get(0) != Some("on") {
        return Err(Unfit::Setting("synchronous_commit").into());
    }
    let behind = settings.len();
    if holds.get(behind) != Some("off") {
        return Err(Unfit::ReadOnly.into());
    }
    match holds.get(behind + 1) {
        Some(ENCODING) => {}
        other => return Err(Unfit::Encoding(other.unwrap_or("unknown").to_owned()).into()),
    }
    // Without these nobody could ask what became of its statements.
    let unknown = Unfit::Setting("pg_stat_get_activity");
    let number =
        |index: usize| holds.get(index).and_then(|text| text.parse::<i64>().ok()).ok_or(unknown.clone());
    let pid = i32::try_from(number(behind + 2)?).map_err(|_too_large| unknown.clone())?;
    Ok(BackendId { pid, started_us: number(behind + 3)? })
}

/// Whether nothing can be written through this connection.
pub(super) async fn is_read_only(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(row(client, "SHOW transaction_read_only").await?.get(0) != Some("off"))
}

/// The only row of a query without parameters, through the simple protocol: one round trip, and no prepared statement
/// that a pooler could lose.
async fn row(client: &Client, query: &str) -> Result<OneRow, tokio_postgres::Error> {
    let messages = client.simple_query(query).await?;
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(OneRow(row))
}

/// A row, or none, which has no columns.
struct OneRow(Option<SimpleQueryRow>);

impl OneRow {
    fn get(&self, index: usize) -> Option<&str> {
        let row = self.0.as_ref()?;
        if index < row.len() { row.get(index) } else { None }
    }
}

/// A pool that makes its connections when they are needed, and uses none that is not fit.
pub(super) fn pool(
    connector: &Connector,
    options: &PostgresOptions,
    connections: usize,
    sessions: &Arc<Sessions>,
) -> Result<Pool, ConnectError> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let patience = options.patience;
    let (for_new, for_used) = (Arc::clone(sessions), Arc::clone(sessions));
    let settings: Arc<[_]> = settings(options).into();
    let set_up = Hook::async_fn(move |client: &mut ClientWrapper, _| {
        let (sessions, settings) = (Arc::clone(&for_new), Arc::clone(&settings));
        Box::pin(async move {
            Ok(tokio::time::timeout(patience, sessions.set_up(client, &settings))
                .await
                .map_err(too_slow)??)
        })
    });
    let check = Hook::async_fn(move |client: &mut ClientWrapper, _| {
        let sessions = Arc::clone(&for_used);
        Box::pin(async move {
            if client.is_closed() {
                return Err(HookError::message("the connection has ended"));
            }
            let checked = tokio::time::timeout(CHECK_WITHIN, sessions.check(client)).await;
            if checked.is_err() {
                // Silence: what was connected before is as silent, and is not asked one after the other.
                sessions.discard_all();
            }
            Ok(checked.map_err(too_slow)??)
        })
    });
    Pool::builder(Manager::from_connect(Config::new(), connector.clone(), recycling))
        .max_size(connections)
        .queue_mode(QueueMode::Lifo)
        .timeouts(Timeouts { wait: Some(patience), create: Some(patience), recycle: Some(patience) })
        .runtime(Runtime::Tokio1)
        .post_create(set_up)
        .pre_recycle(check)
        .build()
        .map_err(|error| ConnectError::Other(chain(&error)))
}

fn too_slow(_elapsed: tokio::time::error::Elapsed) -> SetupError {
    Unfit::TooSlow.into()
}

/// What a pool's refusal says, in one line.
pub(super) fn pool_error(error: &PoolError) -> String {
    match error {
        PoolError::PostCreateHook(HookError::Message(message)) => message.to_string(),
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => chain(error),
        other => chain(other),
    }
}

/// How often two connections are compared.
const COMPARISONS: usize = 3;

/// Refuses a pooler that gives a server connection to whichever client has a transaction: sessions have settings,
/// prepared statements and a listener here. Two connections tell: one that holds a transaction must have another server
/// process than one that is idle, and the idle one must keep its own meanwhile.
pub(super) async fn refuse_transaction_pooling(first: &Client, second: &Client) -> Result<(), SetupError> {
    let pid = "SELECT pg_backend_pid()";
    for _ in 0..COMPARISONS {
        let own = row(first, pid).await?;
        if let Err(error) = second.batch_execute("BEGIN").await {
            // In statement mode there are no transactions at all, and PgBouncer says that in these words.
            let is_pooler = error.code() == Some(&SqlState::PROTOCOL_VIOLATION);
            return Err(if is_pooler { Unfit::Pooled.into() } else { error.into() });
        }
        let others = row(second, pid).await?;
        let is_shared = others.get(0) == own.get(0) || row(first, pid).await?.get(0) != own.get(0);
        second.batch_execute("ROLLBACK").await?;
        if is_shared {
            return Err(Unfit::Pooled.into());
        }
    }
    Ok(())
}
