//! What makes the server's tables grow although rows are deleted: transactions that stay open, and dead rows that vacuum
//! has not removed. Reads the server's own statistics; nothing is counted.

use std::time::Duration;

use tokio_postgres::Client;

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

pub(super) async fn read(client: &Client) -> Result<ServerState, tokio_postgres::Error> {
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
        let client = connect::plain(&connect::connector(url, &options)?).await?;
        Ok(read(&client).await?)
    }
}

#[cfg(test)]
mod tests {
    use postrider_pgtemp::Cluster;

    use super::*;

    #[tokio::test]
    async fn the_oldest_transaction_of_the_database_is_named_with_its_process_and_application() {
        let url = Cluster::shared().database().unwrap();
        assert_eq!(PostgresStore::server_state(&url).await.unwrap().oldest_transaction, None);
        let options = PostgresOptions::default();
        let named = format!("{url}?application_name=a%20forgotten%20shell");
        let other = connect::plain(&connect::connector(&named, &options).unwrap()).await.unwrap();
        other.batch_execute("BEGIN; SELECT txid_current()").await.unwrap();
        let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let oldest = PostgresStore::server_state(&url).await.unwrap().oldest_transaction.unwrap();
        assert!(oldest.holder.starts_with(&format!("pid {pid} (a forgotten shell, user ")), "{oldest:?}");
        assert!(oldest.age < Duration::from_secs(60), "{oldest:?}");
        other.batch_execute("COMMIT").await.unwrap();
        assert_eq!(PostgresStore::server_state(&url).await.unwrap().oldest_transaction, None);
    }

    #[tokio::test]
    async fn rows_that_were_deleted_are_counted_until_they_are_vacuumed() {
        let url = Cluster::shared().database().unwrap();
        let options = PostgresOptions::default();
        let client = connect::plain(&connect::connector(&url, &options).unwrap()).await.unwrap();
        let made = "CREATE TABLE made AS SELECT generate_series(1, 1000) AS n; DELETE FROM made";
        client.batch_execute(made).await.unwrap();
        // The server gathers its statistics behind the commits.
        loop {
            client.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
            if read(&client).await.unwrap().dead_rows == 1_000 {
                break;
            }
        }
    }
}
