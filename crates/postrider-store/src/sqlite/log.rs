//! The log as people see it: events, deliveries, attempts, newest first.
//!
//! A list is a merge of sources that each give sequence numbers in falling order out of one index. What no index
//! covers is looked at row by row, [`MAX_SCANNED`] rows per page at most.

pub(super) mod deliveries;
pub(super) mod ended;
pub(super) mod events;
pub(super) mod replays;
pub(super) mod span;

use std::collections::{BinaryHeap, VecDeque};

use postrider_core::attempt::Attempt;
use postrider_core::delivery::DeliverySeq;
use rusqlite::{Connection, params};

use super::pending::to_limit;
use super::rows;
use crate::model::Page;

/// How many rows one page looks at.
pub(super) const MAX_SCANNED: usize = 10_000;
/// How many bytes of payload one page holds before it ends early.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Numbers in falling order, read in chunks.
trait Source {
    /// The next numbers below `before`, at most `limit`, the highest first.
    fn below(&self, connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<Vec<i64>>;
}

/// Several sources as one. No number may stand in two of them.
struct Merge<'a, S> {
    connection: &'a Connection,
    sources: Vec<(S, VecDeque<i64>)>,
    /// The highest number of each source that is not at its end, with the source's index.
    heads: BinaryHeap<(i64, usize)>,
    chunk: usize,
}

impl<'a, S: Source> Merge<'a, S> {
    fn new(connection: &'a Connection, sources: Vec<S>, before: i64) -> rusqlite::Result<Self> {
        // One source is read ahead; of many, most give at most one row to a page.
        let chunk = if sources.len() <= 4 { 128 } else { 4 };
        let sources: Vec<_> = sources.into_iter().map(|source| (source, VecDeque::new())).collect();
        let mut merge = Self { connection, heads: BinaryHeap::with_capacity(sources.len()), sources, chunk };
        for index in 0..merge.sources.len() {
            merge.refill(index, before)?;
        }
        Ok(merge)
    }

    /// Puts the source's next number among the heads.
    fn refill(&mut self, index: usize, before: i64) -> rusqlite::Result<()> {
        let (source, ahead) = &mut self.sources[index];
        if ahead.is_empty() {
            *ahead = source.below(self.connection, before, self.chunk)?.into();
        }
        if let Some(seq) = ahead.pop_front() {
            self.heads.push((seq, index));
        }
        Ok(())
    }

    fn next(&mut self) -> rusqlite::Result<Option<i64>> {
        let Some((seq, index)) = self.heads.pop() else { return Ok(None) };
        self.refill(index, seq)?;
        Ok(Some(seq))
    }

    fn is_at_end(&self) -> bool {
        self.heads.is_empty()
    }
}

/// Makes a page of the rows that `read` wants; it gives each row with its size in bytes.
fn page<S: Source, T>(
    mut merge: Merge<'_, S>,
    limit: usize,
    mut read: impl FnMut(i64) -> rusqlite::Result<Option<(T, usize)>>,
) -> rusqlite::Result<Page<T>> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    for _ in 0..MAX_SCANNED {
        let Some(seq) = merge.next()? else { break };
        if let Some((row, size)) = read(seq)? {
            rows.push(row);
            bytes += size;
        }
        let is_full = rows.len() >= limit || bytes >= MAX_PAGE_BYTES;
        if merge.is_at_end() {
            break;
        }
        if is_full {
            return Ok(Page { rows, next: Some(seq) });
        }
    }
    Ok(Page { rows, next: merge.heads.peek().map(|(seq, _)| seq.saturating_add(1)) })
}

/// The last of a delivery's attempts below a number, oldest first.
pub(super) fn last_attempts(
    connection: &Connection,
    seq: DeliverySeq,
    before: Option<u32>,
    limit: usize,
) -> rusqlite::Result<Vec<Attempt>> {
    let first = rows::attempt_key(seq, 0);
    let last = rows::attempt_key(seq, before.map_or(u32::MAX, |before| before.saturating_sub(1)));
    let mut select = connection.prepare_cached(rows::ATTEMPTS_OF)?;
    let newest_first = select.query_map(params![first, last, to_limit(limit)], rows::attempt)?;
    let mut attempts = newest_first.collect::<rusqlite::Result<Vec<_>>>()?;
    attempts.reverse();
    Ok(attempts)
}
