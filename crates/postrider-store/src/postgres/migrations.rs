//! Versioned migrations: each is one file and runs in one transaction together with its version number, under a lock, so
//! that nodes may start together.
//!
//! A released file is never edited; a change of the schema is a new file at the end of the list. While a new release
//! rolls out, nodes of the old one go on with the new schema: a migration only adds ("expand"), and names the oldest
//! schema whose programs can live with what it made. What is not needed any more goes in a later release ("contract").

use deadpool_postgres::Client;

use super::connect::ConnectError;

/// A migration.
struct Migration {
    sql: &'static str,
    /// Programs made for this version or a later one can work with the schema that it makes.
    works_from: i64,
}

/// Every migration, in order: the first makes version 1.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_initial.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0002_secret_rotation.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0003_key_uses.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0004_portal_links.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0005_kept_answers.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0006_audit.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0007_exhausted.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0008_cancelled_elsewhere.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0009_event_types.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0010_header_names.sql"), works_from: 1 },
    Migration { sql: include_str!("migrations/0011_seal_schemes.sql"), works_from: 1 },
];

/// The version that the newest migration makes.
pub(super) const NEWEST: i64 = 11;

/// The migration since which programs know values that are bound to URLs. Once such values are written, those made for an
/// earlier schema can't work with the database any more.
pub(super) const SEAL_SCHEMES: i64 = 11;

const _: () = assert!(MIGRATIONS.len() == NEWEST.unsigned_abs() as usize, "the list and its number agree");

/// The lock's name among the advisory locks of the database: any number that nobody else uses.
const LOCK: i64 = 0x706f_7374_7269_6465;

/// What migrating did to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version found; 0 for an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

/// Brings the schema to the newest version. What fails leaves the version before it.
pub(super) async fn run(client: &mut Client) -> Result<Migrated, ConnectError> {
    let mut from = None;
    loop {
        let transaction = client.transaction().await?;
        // Another node may be at it, for as long as it takes.
        let unhurried =
            "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '60s'";
        transaction.batch_execute(unhurried).await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        transaction
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS postrider_schema (version bigint PRIMARY KEY, works_from bigint NOT NULL)",
            )
            .await?;
        let newest = "SELECT version, works_from FROM postrider_schema ORDER BY version DESC LIMIT 1";
        let row = transaction.query_opt(newest, &[]).await?;
        let (version, works_from): (i64, i64) = row.map_or((0, 0), |row| (row.get(0), row.get(1)));
        let from = *from.get_or_insert(version);
        if works_from > NEWEST {
            return Err(ConnectError::TooNew { found: version, known: NEWEST });
        }
        let next = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done));
        let Some(Migration { sql, works_from }) = next else {
            transaction.commit().await?;
            return Ok(Migrated { from, to: version });
        };
        transaction.batch_execute(sql).await?;
        // Never less than before: what an earlier schema has made unreadable to older programs stays so.
        let insert = "INSERT INTO postrider_schema (version, works_from)
            SELECT $1, greatest($2::bigint, (SELECT max(works_from) FROM postrider_schema))";
        transaction.execute(insert, &[&(version + 1), works_from]).await?;
        transaction.commit().await?;
        tracing::info!(version = version + 1, "migrated the store");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_values_are_known_since_the_migration_that_says_so() {
        let number = usize::try_from(SEAL_SCHEMES).unwrap();
        assert!(MIGRATIONS[number - 1].sql.contains("CREATE TABLE seal_schemes"));
    }
}
