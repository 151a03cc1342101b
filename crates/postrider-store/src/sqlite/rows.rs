//! Rows to core's types and back: times and attempts.
//!
//! A row that does not read as what we write is an error that names its column, never a guess.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::attempt::{Attempt, FailureCode, HeaderLog, Outcome, RequestLog, ResponseLog, Timings};
use postrider_core::delivery::DeliverySeq;
use postrider_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Row, Statement, params};

use crate::columns::{LAST_ATTEMPT, Unreadable, storable};

/// The error of a value that is not one of ours.
pub(super) fn unreadable(column: &'static str) -> rusqlite::Error {
    Unreadable(column).into()
}

impl From<Unreadable> for rusqlite::Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::FromSqlConversionFailure(0, Type::Null, Box::new(unreadable))
    }
}

/// A time from a column.
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    row.get(index).map(Timestamp::from_ms)
}

/// A time from a column that may be empty.
pub(super) fn optional_time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(index)?.map(Timestamp::from_ms))
}

/// How many numbers an attempt's key has room for.
const ATTEMPT_BITS: u32 = (LAST_ATTEMPT + 1).ilog2();

/// The key of an attempt's row.
pub(super) fn attempt_key(seq: DeliverySeq, number: u32) -> i64 {
    (seq.0 << ATTEMPT_BITS) | i64::from(number.min(LAST_ATTEMPT))
}

/// Writes an attempt; again, it overwrites itself.
pub(super) const PUT_ATTEMPT: &str = "INSERT OR REPLACE INTO attempts (id, probe, started_at, dns_us,
        connect_us, tls_us, first_byte_us, total_us, status, retry_after_ms, failure_code, failure_detail,
        request_url, request_headers, response_headers, response_truncated, response_body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";

/// Reads a delivery's last attempts, newest first, in the order of `attempt`'s columns.
pub(super) const ATTEMPTS_OF: &str = "SELECT number, probe, started_at, dns_us, connect_us, tls_us,
        first_byte_us, total_us, status, retry_after_ms, failure_code, failure_detail, request_url,
        request_headers, response_headers, response_truncated, response_body
    FROM attempts WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3";

/// Runs [`PUT_ATTEMPT`].
pub(super) fn put_attempt(
    statement: &mut Statement<'_>,
    key: i64,
    attempt: &Attempt,
) -> rusqlite::Result<()> {
    let (status, retry_after, failure) = match &attempt.outcome {
        Outcome::Answered { status, retry_after } => (Some(*status), retry_after.as_ref(), None),
        Outcome::Failed { code, detail } => (None, None, Some((code.as_str(), detail))),
    };
    let retry_after_ms = retry_after.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    let timings = &attempt.timings;
    let response = attempt.response.as_ref();
    statement.execute(params![
        key,
        attempt.probe,
        attempt.started_at.as_ms(),
        timings.dns_us.map(to_integer),
        timings.connect_us.map(to_integer),
        timings.tls_us.map(to_integer),
        timings.first_byte_us.map(to_integer),
        to_integer(timings.total_us),
        status,
        retry_after_ms,
        failure.map(|(code, _)| code),
        failure.map(|(_, detail)| storable(detail)),
        storable(&attempt.request.url),
        storable(attempt.request.headers.as_text()),
        response.map(|response| storable(response.headers.as_text())),
        response.map(|response| response.body_truncated),
        response.map(|response| &response.body[..]),
    ])?;
    Ok(())
}

/// Reads a row of [`ATTEMPTS_OF`].
pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let us = |index: usize| row.get::<_, Option<i64>>(index).map(|us| us.map(from_integer));
    let response = match row.get::<_, Option<String>>(14)? {
        None => None,
        Some(headers) => Some(ResponseLog {
            headers: headers_of(headers, "attempts.response_headers")?,
            body: Bytes::from(row.get::<_, Option<Vec<u8>>>(16)?.unwrap_or_default()),
            body_truncated: row.get::<_, Option<bool>>(15)?.unwrap_or(false),
        }),
    };
    Ok(Attempt {
        number: row.get(0)?,
        probe: row.get(1)?,
        started_at: time(row, 2)?,
        timings: Timings {
            dns_us: us(3)?,
            connect_us: us(4)?,
            tls_us: us(5)?,
            first_byte_us: us(6)?,
            total_us: from_integer(row.get(7)?),
        },
        request: RequestLog {
            url: row.get(12)?,
            headers: headers_of(row.get(13)?, "attempts.request_headers")?,
        },
        response,
        outcome: outcome(row)?,
    })
}

fn outcome(row: &Row<'_>) -> rusqlite::Result<Outcome> {
    let retry_after = row.get::<_, Option<i64>>(9)?.map(from_integer).map(Duration::from_millis);
    match (row.get::<_, Option<u16>>(8)?, row.get::<_, Option<String>>(10)?) {
        (Some(status), None) => Ok(Outcome::Answered { status, retry_after }),
        (None, Some(code)) => {
            let code = FailureCode::from_text(&code).ok_or_else(|| unreadable("attempts.failure_code"))?;
            Ok(Outcome::Failed { code, detail: row.get::<_, Option<String>>(11)?.unwrap_or_default() })
        }
        _ => Err(unreadable("attempts.status")),
    }
}

/// A count in a column; what is beyond SQLite's integers stays at the largest.
fn to_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_integer(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Headers as their column holds them: lines, or the JSON of `[[name, value], …]` in rows of before.
fn headers_of(text: String, column: &'static str) -> rusqlite::Result<HeaderLog> {
    if text.starts_with('[') {
        let pairs: Vec<(String, String)> = serde_json::from_str(&text).or(Err(unreadable(column)))?;
        return Ok(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect());
    }
    HeaderLog::from_text(text).ok_or_else(|| unreadable(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_deliverys_attempts_stay_in_their_order_and_apart_from_the_next_ones() {
        let keys = [(7, 0), (7, 1), (7, 65_534), (7, 65_535), (8, 0), (1 << 46, 1)]
            .map(|(seq, number)| attempt_key(DeliverySeq(seq), number));
        assert!(keys.is_sorted_by(|earlier, later| earlier < later), "{keys:?}");
        assert_eq!(attempt_key(DeliverySeq(7), u32::MAX), attempt_key(DeliverySeq(7), 65_535));
    }
}
