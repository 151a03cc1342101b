//! Pages of lists: a source gives numbers in falling order out of one index, a chunk at a time, and each is looked at. What
//! no index covers is judged by the database by as few tables as it takes, [`MAX_SCANNED`] rows per page at most.

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::rows::{Failed, to_i64};
use super::span::Span;
use crate::model::Page;

/// How many rows one page looks at, where one lookup tells of each whether it is wanted; with two of them half as many.
pub(super) const MAX_SCANNED: usize = 10_000;
/// How many rows are looked at first …
const FIRST_CHUNK: usize = 500;
/// … and how many times as many each time that was not enough, …
const CHUNKS_GROW: usize = 4;
/// … up to so many.
const LARGEST_CHUNK: usize = 2_500;
/// How many bytes of payload one page holds before it ends early.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Where a list gets its numbers from: a query for those above `$1` and below `$2`, the highest `$3` first, whose
/// further parameters are `keys`.
pub(super) struct Source {
    pub(super) sql: String,
    pub(super) keys: Vec<Key>,
}

/// A parameter of a source or a condition.
pub(super) enum Key {
    Number(i64),
    Flag(bool),
    Text(String),
}

impl Key {
    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Number(number) => number,
            Self::Flag(flag) => flag,
            Self::Text(text) => text,
        }
    }
}

impl Source {
    pub(super) fn new(table: &str, number: &str, filter: &str, keys: Vec<Key>) -> Self {
        let sql = format!(
            "(SELECT {number} AS seq FROM {table} WHERE {filter} AND {number} > $1 AND {number} < $2
              ORDER BY {number} DESC LIMIT $3)"
        );
        Self { sql, keys }
    }

    /// The numbers of several indexes as one. No number may stand in two of them.
    pub(super) fn merged(parts: &[Self], keys: Vec<Key>) -> Self {
        let parts: Vec<&str> = parts.iter().map(|part| part.sql.as_str()).collect();
        let sql =
            format!("(SELECT seq FROM ({}) parts ORDER BY seq DESC LIMIT $3)", parts.join(" UNION ALL "));
        Self { sql, keys }
    }

    /// Of an account's modes, by an index over account, mode and number.
    pub(super) fn of_account(table: &str, number: &str, account: i64, livemode: Option<bool>) -> Self {
        let of_mode = |filter: &str| Self::new(table, number, filter, Vec::new());
        match livemode {
            Some(mode) => Self {
                keys: vec![Key::Number(account), Key::Flag(mode)],
                ..of_mode("account_no = $4 AND livemode = $5")
            },
            None => Self::merged(
                &[
                    of_mode("account_no = $4 AND livemode = false"),
                    of_mode("account_no = $4 AND livemode = true"),
                ],
                vec![Key::Number(account)],
            ),
        }
    }
}

/// What is read of each row that a source `s` gives, and which of them are worth it.
pub(super) struct Listing {
    /// The columns that a row is read from.
    pub(super) columns: &'static str,
    /// Where they are looked up, one after the other, the one that `s.seq` numbers first.
    pub(super) lookups: Vec<Lookup>,
    /// What is joined to these: few rows, which cost nothing to find.
    pub(super) joined: &'static str,
}

/// A table of the log, in which there is one row at most for what was found before.
pub(super) struct Lookup {
    /// The table and its name in the query.
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    /// Which row it is.
    pub(super) on: &'static str,
    /// What the row must meet: where it does not, nothing behind this one is looked up.
    pub(super) only: Vec<Only>,
}

/// A condition: text with `$` for its parameter.
pub(super) struct Only(pub(super) &'static str, pub(super) Key);

impl Listing {
    /// The conditions, in the order of their parameters.
    pub(super) fn only(&self) -> impl Iterator<Item = &Only> {
        self.lookups.iter().flat_map(|lookup| &lookup.only)
    }

    /// How many rows one page looks at.
    fn most_scanned(&self) -> usize {
        let judging = self.lookups.iter().rposition(|lookup| !lookup.only.is_empty());
        MAX_SCANNED / judging.map_or(1, |last| last + 1)
    }

    /// The query for the next rows: `$1` to `$3` and the source's keys are the source's, then come those of the conditions,
    /// and last how many rows there may be. Every row says how many numbers the source gave and which was the last; where
    /// no row is wanted there is one that says that alone.
    ///
    /// The server takes no statistics of a table that consists of partitions, and believes that joins with it have millions of
    /// rows, of which the first are found soonest along the log. So nothing is left to its choice: the numbers are gone
    /// through in falling order, and `OFFSET 0` keeps each lookup one of its own.
    pub(super) fn sql(&self, source: &Source) -> String {
        let mut at = source.keys.len() + 4;
        let mut lookups = String::new();
        for Lookup { table, name, on, only } in &self.lookups {
            lookups += &format!(" CROSS JOIN LATERAL (SELECT * FROM {table} {name} WHERE {on}");
            for Only(sql, _) in only {
                lookups += &format!(" AND {}", sql.replace('$', &format!("${at}")));
                at += 1;
            }
            lookups += &format!(" OFFSET 0) {name}");
        }
        let Self { columns, joined, .. } = self;
        format!(
            "WITH s AS MATERIALIZED {}, looked AS (SELECT count(*) AS looked_at, min(seq) AS last FROM s)
             SELECT x.*, looked.looked_at, looked.last FROM looked LEFT JOIN (
                SELECT {columns}, s.seq AS place FROM (SELECT seq FROM s ORDER BY seq DESC) s{lookups} {joined}
                ORDER BY s.seq DESC LIMIT ${at}
             ) x ON true ORDER BY x.place DESC",
            source.sql
        )
    }
}

/// Makes a page of the rows that `read` wants; it gives each with its size in bytes.
pub(super) async fn page<T>(
    client: &Object,
    source: &Source,
    listing: &Listing,
    span: Span,
    limit: usize,
    read: impl Fn(&Row) -> Result<Option<(T, usize)>, Failed>,
) -> Result<Page<T>, Failed> {
    let statement = client.prepare_cached(&listing.sql(source)).await?;
    let (mut rows, mut below, mut bytes) = (Vec::new(), span.below, 0);
    let (mut scanned, mut chunk) = (0, limit.saturating_add(1).clamp(20, FIRST_CHUNK));
    let most_scanned = listing.most_scanned();
    while scanned < most_scanned {
        let (chunk_rows, most) = (to_i64(chunk), limit.saturating_sub(rows.len()).saturating_add(1));
        let most_rows = to_i64(most);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&span.above, &below, &chunk_rows];
        parameters.extend(source.keys.iter().chain(listing.only().map(|only| &only.1)).map(Key::parameter));
        parameters.push(&most_rows);
        let found = client.query(&statement, &parameters).await?;
        let Some(looked) = found.first() else { break };
        let (looked_at, last): (i64, Option<i64>) = (looked.get("looked_at"), looked.get("last"));
        let place = |row: &Row| row.get::<_, Option<i64>>("place");
        let count = found.iter().filter(|row| place(row).is_some()).count();
        // More of what was looked at may be wanted than there was room for.
        let is_cut = count >= most;
        let is_last = !is_cut && looked_at < chunk_rows;
        for (index, (row, seq)) in found.iter().filter_map(|row| Some((row, place(row)?))).enumerate() {
            if let Some((row, size)) = read(row)? {
                rows.push(row);
                bytes += size;
            }
            if (rows.len() >= limit || bytes >= MAX_PAGE_BYTES) && !(is_last && index + 1 == count) {
                return Ok(Page { rows, next: Some(seq) });
            }
            below = seq;
        }
        if is_last {
            return Ok(Page { rows, next: None });
        }
        if let Some(last) = last.filter(|_| !is_cut) {
            below = last;
        }
        scanned += if is_cut { count } else { usize::try_from(looked_at).unwrap_or(usize::MAX) };
        // Where little is wanted, more is looked at in one go.
        chunk = chunk
            .saturating_mul(CHUNKS_GROW)
            .min(LARGEST_CHUNK)
            .min(most_scanned.saturating_sub(scanned).max(1));
    }
    Ok(Page { rows, next: Some(below) })
}
