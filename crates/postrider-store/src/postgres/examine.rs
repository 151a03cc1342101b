//! A look at a database and its server, for a diagnosis: it changes nothing, joins nothing, and needs no table.

use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use postrider_core::catalogue::Definition;
use postrider_core::service_clock::ClockRecord;
use tokio_postgres::Client;

use super::connect::{self, ConnectError};
use super::{PostgresOptions, PostgresStore, endpoints, event_types, migrations};
use crate::columns::{self, CLOCK};
use crate::seal::meta_values;
use crate::seal::{MasterKey, Scheme, Sealer};

/// What a database and its server are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The server's version, such as `15.13`.
    pub version: String,
    /// The version of the schema; 0 where there is none yet.
    pub schema: i64,
    /// The version that this build brings it to.
    pub newest_schema: i64,
    /// Whether the key that was given fits; `None` where there is nothing yet that it could fit.
    pub key_fits: Option<bool>,
    /// How many endpoints have a secret or headers that do not open; nothing is sent to those. 0 where the key does not fit or
    /// was not given, and in an older schema.
    pub unreadable_endpoints: u64,
    /// Whether nodes of the previous release may still join: sealed values are not bound to URLs yet.
    pub waits_for_old_nodes: bool,
    /// Whether the user may make the tables.
    pub may_create: bool,
    /// Whether nothing can be written: the server follows another, or was set to read-only.
    pub is_read_only: bool,
    /// The database's encoding; another than `UTF8` is refused by `serve`.
    pub encoding: String,
    /// Our tables on which the user lacks a right that `serve` needs.
    pub without_rights: Vec<String>,
    /// Our tables that another session has locked so that nothing can be written to them, and which session that is.
    pub locked: Vec<(String, String)>,
    /// The server's own default; this store's connections set theirs to `on`.
    pub synchronous_commit: String,
    /// Whether what is committed is brought to the disk at all.
    pub fsync: bool,
    /// Whether a page that a crash tore can be mended.
    pub full_page_writes: bool,
    /// Which standbys a commit waits for; empty where for none.
    pub synchronous_standby_names: String,
    /// Connections that the server, the database and the user allow, without those reserved for administrators.
    pub max_connections: i64,
    /// Connections that there are just now, from whomever.
    pub used_connections: i64,
    /// Nodes that live.
    pub alive_nodes: i64,
    /// How far the server's clock is ahead of ours, in milliseconds, as far as the way there lets it be known.
    pub clock_ahead_ms: i64,
    /// How long that way took there and back, in milliseconds.
    pub round_trip_ms: i64,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// What the database keeps of the service's time; nothing before the first start of this release.
    pub clock: Option<ClockRecord>,
}

/// Everything that one row can tell.
const SERVER: &str = "SELECT current_setting('server_version'), current_setting('transaction_read_only')::bool, \
    current_setting('synchronous_commit'), \
    current_setting('fsync')::bool, current_setting('full_page_writes')::bool, \
    current_setting('synchronous_standby_names'), \
    least(current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint, \
        nullif((SELECT datconnlimit FROM pg_database WHERE datname = current_database()), -1), \
        nullif((SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), -1)), \
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), \
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), \
    to_regclass('postrider_schema') IS NOT NULL, current_setting('server_encoding')";

/// Tables of ours on which a right is missing.
const WITHOUT_RIGHTS: &str = "SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY($1)
        AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
            AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
    ORDER BY c.relname";
/// Tables of ours that a session holds in a mode that keeps writers out.
const LOCKED: &str = "SELECT c.relname::text, 'process ' || l.pid
        || coalesce(' (' || coalesce(nullif(a.application_name, ''), a.usename) || ')', '')
        || coalesce(', for ' || extract(epoch FROM clock_timestamp() - a.xact_start)::bigint || ' s', '')
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.locktype = 'relation' AND c.relnamespace = current_schema()::regnamespace
        AND c.relname = ANY($1) AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    ORDER BY c.relname, l.pid";
/// The tables that accepting, sending and recording need.
const TABLES: &[&str] = &[
    "accounts",
    "account_keys",
    "attempts",
    "cancelled_elsewhere",
    "configuration",
    "deliveries",
    "endpoints",
    "events",
    "kept_answers",
    "leases",
    "meta",
    "nodes",
    "pages",
    "queue",
    "replays",
    "seal_schemes",
];

impl PostgresStore {
    /// Looks at the database that `url` names and at its server, and whether `key`, where one is given, fits.
    pub async fn examine(url: &str, key: Option<&MasterKey>) -> Result<Examined, ConnectError> {
        let options = PostgresOptions::default();
        let connector = connect::connector(url, &options)?;
        connect::check_pooling(&connector).await?;
        // As it is for everybody: without what our own connections are told.
        let client = connect::plain(&connector).await?;
        connect::check_version(&client).await?;
        let row = client.query_one(SERVER, &[]).await?;
        let (clock_ahead_ms, round_trip_ms) = clock(&client).await?;
        let mut examined = Examined {
            version: row.get(0),
            schema: 0,
            newest_schema: migrations::NEWEST,
            key_fits: None,
            unreadable_endpoints: 0,
            waits_for_old_nodes: false,
            may_create: row.get(8),
            is_read_only: row.get(1),
            encoding: row.get(11),
            without_rights: Vec::new(),
            locked: Vec::new(),
            synchronous_commit: row.get(2),
            fsync: row.get(3),
            full_page_writes: row.get(4),
            synchronous_standby_names: row.get(5),
            max_connections: row.get(6),
            used_connections: row.get(7),
            alive_nodes: 0,
            clock_ahead_ms,
            round_trip_ms,
            is_encrypted: row.get(9),
            clock: None,
        };
        if row.get(10) {
            let tables: Vec<&str> = TABLES.to_vec();
            let without_rights = client.query(WITHOUT_RIGHTS, &[&tables]).await?;
            examined.without_rights = without_rights.iter().map(|row| row.get(0)).collect();
            let locked = client.query(LOCKED, &[&tables]).await?;
            examined.locked = locked.iter().map(|row| (row.get(0), row.get(1))).collect();
            if !examined.locked.is_empty() || !examined.without_rights.is_empty() {
                // Whoever reads our tables now would wait for the lock, or be refused.
                return Ok(examined);
            }
            of_ours(&client, key, &mut examined).await?;
        }
        Ok(examined)
    }
}

impl PostgresStore {
    /// Reads the event types of the database behind a connection string; none where it has none yet.
    pub async fn examine_event_types(url: &str) -> Result<Vec<Definition>, ConnectError> {
        let connector = connect::connector(url, &PostgresOptions::default())?;
        let client = connect::plain(&connector).await?;
        let is_there = "SELECT to_regclass('event_types') IS NOT NULL";
        match client.query_one(is_there, &[]).await?.get(0) {
            true => Ok(event_types::examined(&client).await?),
            false => Ok(Vec::new()),
        }
    }
}

/// What our own tables tell.
async fn of_ours(client: &Client, key: Option<&MasterKey>, into: &mut Examined) -> Result<(), ConnectError> {
    let schema = "SELECT coalesce(max(version), 0), coalesce(max(works_from), 0) FROM postrider_schema";
    let row = client.query_one(schema, &[]).await?;
    let (version, works_from): (i64, i64) = (row.get(0), row.get(1));
    into.schema = version;
    if works_from > migrations::NEWEST {
        return Err(ConnectError::TooNew { found: version, known: migrations::NEWEST });
    }
    if version == 0 {
        return Ok(());
    }
    into.alive_nodes =
        client.query_one("SELECT count(*) FROM nodes WHERE state = 'alive'", &[]).await?.get(0);
    let sealed = client.query_opt("SELECT value FROM meta WHERE name = 'key_check'", &[]).await?;
    let clock = client.query_opt("SELECT value FROM meta WHERE name = $1", &[&CLOCK]).await?;
    into.clock = clock.and_then(|row| columns::clock(row.get(0)).ok());
    let (Some(key), Some(sealed)) = (key, sealed) else { return Ok(()) };
    let sealer = Sealer::new(key);
    let scheme = meta_values::scheme_of_store(&sealer, sealed.get::<_, &[u8]>(0));
    into.key_fits = Some(scheme.is_some());
    if scheme == Some(Scheme::Bound) {
        sealer.refuse_unbound();
    }
    if scheme.is_some() && version >= migrations::NEWEST {
        into.waits_for_old_nodes = scheme == Some(Scheme::Unbound);
        into.unreadable_endpoints = unreadable(client, &sealer).await?;
    }
    Ok(())
}

/// Counts the endpoints whose sealed values do not open. A row that can't be read for another reason is not counted.
async fn unreadable(client: &Client, sealer: &Sealer) -> Result<u64, ConnectError> {
    let rows = client.query_raw(endpoints::ENDPOINTS, std::iter::empty::<bool>()).await?;
    let mut rows = std::pin::pin!(rows);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        count += u64::from(endpoints::endpoint(sealer, &row).is_ok_and(|endpoint| !endpoint.is_readable()));
    }
    Ok(count)
}

/// The server's clock against ours, taken in the middle of the way there and back.
async fn clock(client: &Client) -> Result<(i64, i64), ConnectError> {
    let ours = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
    };
    let asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let statement = client.prepare(asked).await?;
    let before = ours();
    let theirs: i64 = client.query_one(&statement, &[]).await?.get(0);
    let after = ours();
    Ok((theirs - i64::midpoint(before, after), after - before))
}
