//! What makes the server's tables grow although rows are deleted: transactions that stay open, and dead rows that vacuum
//! has not removed. Reads the server's own statistics; nothing is counted.

use std::time::Duration;

use deadpool_postgres::Object;

use crate::model::{OldTransaction, ServerState};
use crate::postgres::connect::{self, ConnectError};
use crate::postgres::{PostgresOptions, PostgresStore};

/// The oldest transaction of this database, from whatever program. Of other users' sessions the server tells the times only
/// to members of `pg_read_all_stats`; of prepared transactions to everyone.
const OLDEST_TRANSACTION: &str = "SELECT age, holder FROM (
        SELECT (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint AS age,
            format('pid %s (%s, user %s, %s)', pid, coalesce(nullif(application_name, ''), 'no application name'),
                usename, state) AS holder
        FROM pg_stat_activity
        WHERE datname = current_database() AND xact_start IS NOT NULL AND pid != pg_backend_pid()
            AND backend_type != 'autovacuum worker'
        UNION ALL
        SELECT (extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint,
            format('prepared transaction %s (user %s)', gid, owner)
        FROM pg_prepared_xacts WHERE database = current_database()
    ) open ORDER BY age DESC LIMIT 1";
const DEAD_ROWS: &str = "SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables
    WHERE schemaname = current_schema()";

pub(super) async fn read(client: &Object) -> Result<ServerState, tokio_postgres::Error> {
    let oldest = client.query_opt(OLDEST_TRANSACTION, &[]).await?;
    let dead: i64 = client.query_one(DEAD_ROWS, &[]).await?.get(0);
    let oldest_transaction = oldest.map(|row| OldTransaction {
        age: Duration::from_millis(row.get::<_, i64>(0).try_into().unwrap_or(0)),
        holder: row.get(1),
    });
    Ok(ServerState { oldest_transaction, dead_rows: dead.unsigned_abs() })
}

impl PostgresStore {
    /// Returns what makes the tables of the database that `url` names grow, for a diagnosis. Needs no table of ours.
    pub async fn server_state(url: &str) -> Result<ServerState, ConnectError> {
        let options = PostgresOptions::default();
        let (config, tls) = connect::config(url, &options)?;
        let client = connect::pool(config, tls, &options)?.get().await?;
        Ok(read(&client).await?)
    }
}
