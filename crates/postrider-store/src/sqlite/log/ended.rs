//! Attempts in the order in which they ended, for those who follow them and were away for a while.

use postrider_core::delivery::DeliverySeq;
use rusqlite::{Connection, Row, params};

use super::MAX_SCANNED;
use super::deliveries::read_from;
use crate::model::{AttemptPlace, DeliveryFilter, EndedAttempt, EndedPart};
use crate::sqlite::rows::{self, time};

/// An attempt's columns as [`rows::attempt`] reads them, its delivery's, and when it ended. SQLite walks the index
/// from the first parameter on; the second one leaves out what of that same millisecond was seen.
pub(in crate::sqlite) const ENDED: &str =
    "SELECT t.number, t.probe, t.started_at, t.dns_us, t.connect_us, t.tls_us, t.first_byte_us, t.total_us,
        t.status, t.retry_after_ms, t.failure_code, t.failure_detail, t.request_url, t.request_headers,
        t.response_headers, t.response_truncated, t.response_body,
        d.seq, d.id, ev.id, ev.type, a.id, ep.id, ep.livemode, d.status, d.cancel_reason,
        d.attempts, d.created_at, d.next_attempt_at, d.updated_at, d.resend_of, t.ended_at
    FROM attempts t
    JOIN deliveries d ON d.seq = t.delivery_seq
    JOIN events ev ON ev.seq = d.event_seq
    JOIN endpoints ep ON ep.no = d.endpoint_no
    JOIN accounts a ON a.no = ep.account_no
    WHERE t.ended_at >= ?1 AND NOT (t.ended_at = ?1 AND t.id <= ?2)
    ORDER BY t.ended_at, t.id LIMIT ?3";

const FIRST_OF_DELIVERY: usize = 17;
const ENDED_AT: usize = FIRST_OF_DELIVERY + 14;

pub(in crate::sqlite) fn ended(
    connection: &Connection,
    after: AttemptPlace,
    filter: &DeliveryFilter,
    limit: usize,
) -> rusqlite::Result<EndedPart> {
    let mut select = connection.prepare_cached(ENDED)?;
    let seen = rows::attempt_key(after.seq, after.number);
    let at_most = crate::sqlite::pending::to_limit(MAX_SCANNED);
    let mut rows = select.query(params![after.ended_at.as_ms(), seen, at_most])?;
    let (mut attempts, mut looked_at) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        let place = place(row)?;
        let delivery = read_from(row, FIRST_OF_DELIVERY)?;
        // Headers and bodies of what nobody wants are not read.
        if filter.wants(&delivery) {
            attempts.push(EndedAttempt { place, delivery, attempt: rows::attempt(row)? });
        }
        looked_at += 1;
        if attempts.len() >= limit || looked_at >= MAX_SCANNED {
            return Ok(EndedPart { attempts, reached: Some(place) });
        }
    }
    Ok(EndedPart { attempts, reached: None })
}

fn place(row: &Row<'_>) -> rusqlite::Result<AttemptPlace> {
    let seq = DeliverySeq(row.get(FIRST_OF_DELIVERY)?);
    Ok(AttemptPlace { ended_at: time(row, ENDED_AT)?, seq, number: row.get(0)? })
}
