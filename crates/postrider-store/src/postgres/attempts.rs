//! Attempts: those of a delivery, and all in the order in which they ended.

use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Object;
use postrider_core::attempt::{Attempt, FailureCode, HeaderLog, Outcome, RequestLog, ResponseLog, Timings};
use postrider_core::delivery::DeliverySeq;
use tokio_postgres::Row;

use super::listing::MAX_SCANNED;
use super::lists::{DELIVERY_COLUMNS, DELIVERY_JOINED, delivery_from};
use super::rows::{Failed, time, to_i32, to_i64, to_u32};
use crate::columns::Unreadable;
use crate::model::{AttemptPlace, DeliveryFilter, EndedAttempt, EndedPart};

/// The columns that [`attempt_of`] reads.
const COLUMNS: &str =
    "t.number, t.probe, t.started_at, t.dns_us, t.connect_us, t.tls_us, t.first_byte_us, t.total_us,
    t.status, t.retry_after_ms, t.failure_code, t.failure_detail, t.request_url, t.request_headers,
    t.response_headers, t.response_truncated, t.response_body";
/// When an attempt ended; there is an index over it.
const ENDED_AT: &str = "(t.started_at + t.total_us / 1000)";
/// How many attempts are read at a time.
const CHUNK: usize = 500;

/// The last of a delivery's attempts below a number, oldest first.
pub(super) async fn last(
    client: &mut Object,
    seq: DeliverySeq,
    before: Option<u32>,
    limit: usize,
) -> Result<Vec<Attempt>, Failed> {
    let sql = format!(
        "SELECT {COLUMNS} FROM attempts t WHERE t.delivery_seq = $1 AND t.number <= $2
        ORDER BY t.number DESC LIMIT $3"
    );
    let select = client.prepare_cached(&sql).await?;
    let up_to = to_i32(before.map_or(u32::MAX, |before| before.saturating_sub(1)));
    let rows = client.query(&select, &[&seq.0, &up_to, &to_i64(limit)]).await?;
    Ok(rows.iter().rev().map(attempt_of).collect::<Result<_, _>>()?)
}

/// Attempts in the order in which they ended, of the deliveries that `filter` wants.
pub(super) async fn ended(
    client: &mut Object,
    after: AttemptPlace,
    filter: DeliveryFilter,
    limit: usize,
) -> Result<EndedPart, Failed> {
    // Headers and bodies of what nobody wants are not read: they are large.
    let sql = format!(
        "SELECT {ENDED_AT}, t.number, {DELIVERY_COLUMNS} FROM (
            SELECT delivery_seq, number, started_at, total_us FROM attempts t
            WHERE {ENDED_AT} >= $1 AND ({ENDED_AT}, t.delivery_seq, t.number) > ($1, $2, $3)
            ORDER BY {ENDED_AT}, t.delivery_seq, t.number LIMIT $4
        ) t JOIN deliveries d ON d.seq = t.delivery_seq JOIN events ev ON ev.seq = d.event_seq {DELIVERY_JOINED}
        ORDER BY 1, t.delivery_seq, t.number"
    );
    let select = client.prepare_cached(&sql).await?;
    let whole = format!("SELECT {COLUMNS} FROM attempts t WHERE t.delivery_seq = $1 AND t.number = $2");
    let whole = client.prepare_cached(&whole).await?;
    let (mut place, mut attempts, mut looked_at) = (after, Vec::new(), 0);
    loop {
        let at = (place.ended_at.as_ms(), place.seq.0, to_i32(place.number));
        let rows = client.query(&select, &[&at.0, &at.1, &at.2, &to_i64(CHUNK)]).await?;
        for row in &rows {
            let delivery = delivery_from(row, 2)?;
            place = AttemptPlace { ended_at: time(row, 0), seq: delivery.seq, number: to_u32(row.get(1)) };
            if filter.wants(&delivery) {
                let attempt = client.query_opt(&whole, &[&place.seq.0, &row.get::<_, i32>(1)]).await?;
                if let Some(attempt) = attempt {
                    attempts.push(EndedAttempt { place, delivery, attempt: attempt_of(&attempt)? });
                }
            }
            looked_at += 1;
            if attempts.len() >= limit || looked_at >= MAX_SCANNED {
                return Ok(EndedPart { attempts, reached: Some(place) });
            }
        }
        if rows.len() < CHUNK {
            return Ok(EndedPart { attempts, reached: None });
        }
    }
}

fn attempt_of(row: &Row) -> Result<Attempt, Unreadable> {
    let us = |index: usize| row.get::<_, Option<i64>>(index).map(i64::unsigned_abs);
    let headers = |index: usize, column: &'static str| -> Result<Option<HeaderLog>, Unreadable> {
        let read = |text: String| HeaderLog::from_text(text).ok_or(Unreadable(column));
        row.get::<_, Option<String>>(index).map(read).transpose()
    };
    let response = headers(14, "attempts.response_headers")?.map(|headers| ResponseLog {
        headers,
        body: Bytes::from(row.get::<_, Option<Vec<u8>>>(16).unwrap_or_default()),
        body_truncated: row.get::<_, Option<bool>>(15).unwrap_or(false),
    });
    Ok(Attempt {
        number: to_u32(row.get(0)),
        probe: row.get(1),
        started_at: time(row, 2),
        timings: Timings {
            dns_us: us(3),
            connect_us: us(4),
            tls_us: us(5),
            first_byte_us: us(6),
            total_us: us(7).unwrap_or(0),
        },
        request: RequestLog {
            url: row.get(12),
            headers: headers(13, "attempts.request_headers")?.unwrap_or_default(),
        },
        response,
        outcome: outcome_of(row)?,
    })
}

fn outcome_of(row: &Row) -> Result<Outcome, Unreadable> {
    let retry_after = row.get::<_, Option<i64>>(9).map(|ms| Duration::from_millis(ms.unsigned_abs()));
    match (row.get::<_, Option<i32>>(8), row.get::<_, Option<&str>>(10)) {
        (Some(status), None) => {
            let status = u16::try_from(status).or(Err(Unreadable("attempts.status")))?;
            Ok(Outcome::Answered { status, retry_after })
        }
        (None, Some(code)) => {
            let code = FailureCode::from_text(code).ok_or(Unreadable("attempts.failure_code"))?;
            Ok(Outcome::Failed { code, detail: row.get::<_, Option<String>>(11).unwrap_or_default() })
        }
        _ => Err(Unreadable("attempts.status")),
    }
}
