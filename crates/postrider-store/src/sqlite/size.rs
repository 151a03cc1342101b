//! How much room the file takes. Read from the file's own header and from both ends of the log: nothing is counted.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::open::with_ending;
use super::rows::time;
use crate::model::{AboutRows, StoreSize};

/// The log's first and last number and the oldest event's time: a look at either end of a tree.
pub(super) const ENDS_OF_EVENTS: &str = "SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)";
pub(super) const ENDS_OF_DELIVERIES: &str =
    "SELECT (SELECT min(seq) FROM deliveries), (SELECT max(seq) FROM deliveries)";
pub(super) const OLDEST_EVENT: &str = "SELECT created_at FROM events ORDER BY seq LIMIT 1";
pub(super) const OLDEST_AUDIT: &str = "SELECT at FROM audit ORDER BY no LIMIT 1";
pub(super) const OLDEST_IDEMPOTENCY: &str = "SELECT kept_at FROM kept_answers ORDER BY kept_at LIMIT 1";

pub(super) fn read(connection: &Connection, path: &Path) -> rusqlite::Result<StoreSize> {
    let number = |name: &str| -> rusqlite::Result<u64> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    };
    let page_bytes = number("page_size")?;
    let oldest = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| time(row, 0)).optional();
    Ok(StoreSize {
        database_bytes: number("page_count")?.saturating_mul(page_bytes),
        // Where it can't be looked at, its length is not known; that is no reason to tell nothing.
        write_ahead_bytes: std::fs::metadata(with_ending(path, "-wal")).ok().map(|file| file.len()),
        free_bytes: Some(number("freelist_count")?.saturating_mul(page_bytes)),
        tables: Vec::new(),
        oldest_event_at: oldest(OLDEST_EVENT)?,
        about: AboutRows {
            events: Some(span(connection, ENDS_OF_EVENTS)?),
            deliveries: Some(span(connection, ENDS_OF_DELIVERIES)?),
            attempts: None,
        },
        oldest_audit_at: oldest(OLDEST_AUDIT)?,
        oldest_idempotency_at: oldest(OLDEST_IDEMPOTENCY)?,
        // The writer knows.
        checkpoint_age: None,
        server: None,
    })
}

/// How many numbers lie between the ends. Few are missing: those of an old event that is kept for one late delivery have
/// neighbours that are gone.
fn span(connection: &Connection, ends: &str) -> rusqlite::Result<u64> {
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(Option<i64>, Option<i64>)> {
        Ok((row.get(0)?, row.get(1)?))
    };
    Ok(match connection.prepare_cached(ends)?.query_row([], read)? {
        (Some(first), Some(last)) => last.abs_diff(first).saturating_add(1),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_pages_and_the_write_ahead_log_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postrider.db");
        let opened = crate::sqlite::open::open(&path, std::time::Duration::ZERO).unwrap();
        let connection = &opened.connection;
        let empty = read(connection, &path).unwrap();
        assert_eq!((empty.oldest_event_at, empty.about.events), (None, Some(0)));
        connection
            .execute_batch(
                "CREATE TABLE large (bytes BLOB); INSERT INTO large VALUES (zeroblob(1000000)); DROP TABLE large;",
            )
            .unwrap();
        let size = read(connection, &path).unwrap();
        let free = size.free_bytes.unwrap();
        assert!((1_000_000..1_100_000).contains(&free), "{size:?}");
        assert!(size.database_bytes > free && size.write_ahead_bytes.unwrap() > 1_000_000, "{size:?}");
    }
}
