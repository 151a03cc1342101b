//! Deliveries made and ended by hand: resends and cancelling in slices.

use bytes::Bytes;
use postrider_core::delivery::{CancelReason, DeliverySeq, Progress, Status};
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::EventId;
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Context, NotMade};
use crate::error::StoreError;
use crate::model::{NewResend, PendingDelivery};
use crate::sqlite::rows;

pub(in crate::sqlite) fn resend(
    context: &mut Context<'_>,
    new: NewResend,
) -> Result<PendingDelivery, NotMade> {
    let connection = context.connection;
    let mut find = connection.prepare_cached(
        "SELECT d.status, d.event_seq, d.endpoint_no, ev.id, ev.type, ev.payload
         FROM deliveries d
         JOIN events ev ON ev.seq = d.event_seq
         JOIN endpoints ep ON ep.no = d.endpoint_no AND ep.deleted_at IS NULL
         WHERE d.id = ?1",
    )?;
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<_> {
        let old_status = rows::status(row.get(0)?)?;
        let (event_seq, endpoint_no): (i64, i64) = (row.get(1)?, row.get(2)?);
        let (event, event_type) = (EventId::from_bytes(row.get(3)?), row.get::<_, String>(4)?);
        Ok((old_status, event_seq, endpoint_no, event, event_type, Bytes::from(row.get::<_, Vec<u8>>(5)?)))
    };
    let found = find.query_row([new.of.to_bytes()], read).optional()?.ok_or(StoreError::NotFound)?;
    let (old_status, event_seq, endpoint_no, event, event_type, payload) = found;
    if old_status == Status::Pending {
        return Err(StoreError::Conflict("the delivery is still pending").into());
    }
    let seq = context.numbers.take_delivery();
    connection
        .prepare_cached(
            "INSERT INTO deliveries (seq, id, event_seq, endpoint_no, status, attempts, used, created_at,
                 updated_at, resend_of)
             VALUES (?1, ?2, ?3, ?4, 0, 0, 0, ?5, ?5, ?6)",
        )?
        .execute(params![
            seq,
            new.id.to_bytes(),
            event_seq,
            endpoint_no,
            new.created_at.as_ms(),
            new.of.to_bytes(),
        ])?;
    Ok(PendingDelivery {
        seq: DeliverySeq(seq),
        id: new.id,
        endpoint_no: EndpointNo(endpoint_no),
        event,
        event_type,
        payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        payload: Some(payload),
        progress: Progress::default(),
        next_attempt_at: None,
    })
}

/// Cancels the oldest `limit` pending deliveries of an endpoint and gives how many it were.
pub(in crate::sqlite) fn cancel_pending(
    context: &mut Context<'_>,
    endpoint: EndpointNo,
    reason: CancelReason,
    now: Timestamp,
    limit: usize,
) -> Result<usize, NotMade> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(cancel_oldest(context.connection, endpoint.0, None, reason, now, limit)?)
}

/// Looks at the oldest `limit` pending deliveries of an endpoint and cancels those made before `before` (all of them
/// where none is given); gives how many it were.
pub(super) fn cancel_oldest(
    connection: &Connection,
    endpoint_no: i64,
    before: Option<Timestamp>,
    reason: CancelReason,
    now: Timestamp,
    limit: i64,
) -> rusqlite::Result<usize> {
    let mut find = connection.prepare_cached(PENDING_OF)?;
    let found = find.query_map(params![endpoint_no, limit], |row| row.get(0))?;
    let found = found.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut cancel = connection.prepare_cached(
        "UPDATE deliveries SET status = 3, cancel_reason = ?2, updated_at = ?3, next_attempt_at = NULL
         WHERE seq = ?1 AND status = 0 AND created_at < ?4",
    )?;
    let before = before.map_or(i64::MAX, Timestamp::as_ms);
    let mut cancelled = 0;
    for seq in found {
        cancelled += cancel.execute(params![seq, reason.as_str(), now.as_ms(), before])?;
    }
    Ok(cancelled)
}

/// The oldest pending deliveries of an endpoint: those ready and those waiting, merged by their numbers.
pub(in crate::sqlite) const PENDING_OF: &str = "SELECT seq FROM deliveries INDEXED BY deliveries_ready
        WHERE status = 0 AND next_attempt_at IS NULL AND endpoint_no = ?1
    UNION ALL
    SELECT seq FROM deliveries INDEXED BY deliveries_waiting
        WHERE status = 0 AND next_attempt_at IS NOT NULL AND endpoint_no = ?1
    ORDER BY seq LIMIT ?2";
