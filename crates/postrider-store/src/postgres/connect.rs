//! Connecting: the pool, the schema, and whether the master key fits.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{HookError, Pool, PoolError};
use tokio_postgres::{Client, Config};

use super::PostgresOptions;
use super::connector::Connector;
use super::migrations::{self, Migrated};
use super::session;
use super::shared::Pools;
use super::tls::{self, Tls};
use crate::seal::meta_values;
use crate::seal::{MasterKey, Scheme, Sealer};

/// The oldest server that is known to work.
const OLDEST_SERVER: i32 = 140_000;
/// How long the checks at the start wait for a server: whoever starts is in less of a hurry than an event.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// Why a database can't be used. Each is shown to the operator as one line.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The text is no connection string.
    #[error("--store is not a connection string ({0}); it looks like postgres://user@host:5432/database")]
    Url(String),
    /// The server can't be reached, or does not let us in.
    #[error("the database can't be reached ({0})")]
    Unreachable(String),
    /// An old server.
    #[error("the database server has version {found}; postrider needs 14 or newer")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// Written by a newer Postrider.
    #[error(
        "the database has schema version {found}, this postrider knows up to {known}; use the newer postrider"
    )]
    TooNew {
        /// The version found.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// The master key is not the one that the secrets in the database were encrypted with.
    #[error(
        "the master key does not fit this database; give the key file that it was made with (--master-key-file)"
    )]
    WrongKey,
    /// The server, the database or a pooler before them can't be used as it is; the text says why and what would be right.
    #[error("{0}")]
    Unfit(String),
    /// Anything else.
    #[error("the database can't be used ({0})")]
    Other(String),
}

impl From<tokio_postgres::Error> for ConnectError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Other(chain(&error))
    }
}

impl From<PoolError> for ConnectError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::PostCreateHook(HookError::Message(why)) => Self::Unfit(why.into_owned()),
            other => Self::Unreachable(session::pool_error(&other)),
        }
    }
}

/// An error and what it came from, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

/// How the server is reached. What the connection string says of the session goes along; our own settings are made once
/// the connection is there, see [`super::session`].
pub(super) fn connector(url: &str, options: &PostgresOptions) -> Result<Connector, ConnectError> {
    let wanted = tls::wanted(url).map_err(ConnectError::Url)?;
    let mut config: Config = wanted.url.parse().map_err(|error| ConnectError::Url(chain(&error)))?;
    if config.get_application_name().is_none() {
        config.application_name("postrider");
    }
    config.connect_timeout(options.patience);
    config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(20));
    let tls = Tls::new(&wanted).map_err(ConnectError::Url)?;
    Ok(Connector::new(&config, tls, options.patience))
}

/// Makes one connection as the server gives it: without our settings and outside the pool. It ends when the client is
/// dropped.
pub(super) async fn plain(connector: &Connector) -> Result<Client, ConnectError> {
    let connected = connector.connect_driven().await;
    connected.map(|(client, _)| client).map_err(|error| ConnectError::Unreachable(chain(&error)))
}

/// Refuses a pooler that does not keep a session together.
pub(super) async fn check_pooling(connector: &Connector) -> Result<(), ConnectError> {
    let connector = connector.with_patience(START_PATIENCE);
    let (first, second) = (plain(&connector).await?, plain(&connector).await?);
    match tokio::time::timeout(START_PATIENCE, session::refuse_transaction_pooling(&first, &second)).await {
        Ok(checked) => Ok(checked?),
        Err(_elapsed) => Err(ConnectError::Unreachable("it did not answer in time".to_owned())),
    }
}

/// The pools of a node; they connect when something is asked of them.
pub(super) fn pools(connector: &Connector, options: &PostgresOptions) -> Result<Pools, ConnectError> {
    let sessions = Arc::default();
    let pool = |size| session::pool(connector, options, size, &sessions);
    let (work, control) = (pool(options.connections.max(3))?, pool(1)?);
    Ok(Pools { work, control, sessions })
}

/// Looks at the server and brings the schema up to date.
pub(super) async fn migrate(pool: &Pool) -> Result<Migrated, ConnectError> {
    let mut client = pool.get().await?;
    check_version(&client).await?;
    migrations::run(&mut client).await
}

/// Refuses a server that is too old.
pub(super) async fn check_version(client: &tokio_postgres::Client) -> Result<(), ConnectError> {
    let asked = "SELECT current_setting('server_version_num')::int, current_setting('server_version')";
    let version = client.query_one(asked, &[]).await?;
    if version.get::<_, i32>(0) < OLDEST_SERVER {
        return Err(ConnectError::TooOld { found: version.get(1) });
    }
    Ok(())
}

/// Checks the key.
pub(super) async fn check_key(pool: &Pool, key: &MasterKey) -> Result<Sealer, ConnectError> {
    let client = pool.get().await?;
    let sealer = Sealer::new(key);
    let value = meta_values::key_check(&sealer, Scheme::Unbound);
    // Of several nodes that start together one writes it, and all read what that one wrote. It is written before anything
    // else: a database that has lost it is not to be trusted with another.
    let insert = "INSERT INTO meta (name, value) SELECT 'key_check', $1::bytea
        WHERE NOT EXISTS (SELECT FROM accounts) ON CONFLICT (name) DO NOTHING";
    client.execute(insert, &[&value]).await?;
    let row = client.query_opt("SELECT value FROM meta WHERE name = 'key_check'", &[]).await?;
    match row.and_then(|row| meta_values::scheme_of_store(&sealer, row.get::<_, &[u8]>(0))) {
        Some(Scheme::Bound) => sealer.refuse_unbound(),
        Some(Scheme::Unbound) => {}
        None => return Err(ConnectError::WrongKey),
    }
    Ok(sealer)
}
