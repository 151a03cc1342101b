//! Deliveries made and ended by hand: resends and cancelling in slices.

use postrider_core::audit::Deed;
use postrider_core::delivery::{CancelReason, DeliverySeq, Progress, Status};
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::{DeliveryId, EventId};
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Context, NotMade};
use crate::columns::{self, HAS_ENDED};
use crate::error::StoreError;
use crate::model::{NewResend, PendingDelivery};
use crate::sqlite::pending::payload;
use crate::sqlite::{audit, kept, ready_list};

pub(in crate::sqlite) fn resend(
    context: &mut Context<'_>,
    new: &NewResend,
) -> Result<PendingDelivery, NotMade> {
    kept::keep(context, new.keep.as_deref())?;
    audit::write(context, &new.deed)?;
    let mut find = context.connection.prepare_cached("SELECT seq FROM deliveries WHERE id = ?1")?;
    let old = find.query_row([new.of.to_bytes()], |row| row.get(0)).optional()?;
    let old = DeliverySeq(old.ok_or(StoreError::NotFound)?);
    let (mut made, event_seq) = match make_again(context, old, new.id, new.created_at)? {
        Again::Made(made, event_seq) => (made, event_seq),
        Again::Pending => return Err(StoreError::Conflict("the delivery is still pending").into()),
        Again::Gone => return Err(StoreError::NotFound.into()),
    };
    made.payload = payload(context.connection, event_seq)?;
    Ok(made)
}

/// What came of making a delivery once more.
pub(super) enum Again {
    /// The new one, without its payload, and its event.
    Made(PendingDelivery, i64),
    /// The old one is still pending.
    Pending,
    /// The old one, its event or its endpoint is gone.
    Gone,
}

/// Makes a new delivery of a finished one: of the same event to the same endpoint, from the beginning. Resends by hand
/// and replays both come here.
pub(super) fn make_again(
    context: &mut Context<'_>,
    old: DeliverySeq,
    id: DeliveryId,
    created_at: Timestamp,
) -> rusqlite::Result<Again> {
    let connection = context.connection;
    let mut find = connection.prepare_cached(RESENDABLE)?;
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<_> {
        let old_status = columns::status(row.get(0)?)?;
        let old_id: [u8; 16] = row.get(1)?;
        let (event_seq, endpoint_no): (i64, i64) = (row.get(2)?, row.get(3)?);
        let event = EventId::from_bytes(row.get(4)?);
        let made = PendingDelivery {
            seq: DeliverySeq(0),
            id,
            endpoint_no: EndpointNo(endpoint_no),
            event,
            event_type: row.get(5)?,
            payload: None,
            payload_bytes: row.get(6)?,
            progress: Progress::default(),
            next_attempt_at: None,
        };
        Ok((old_status, old_id, event_seq, made))
    };
    let Some((old_status, old_id, event_seq, made)) = find.query_row([old.0], read).optional()? else {
        return Ok(Again::Gone);
    };
    if old_status == Status::Pending {
        return Ok(Again::Pending);
    }
    let seq = context.numbers.take_delivery();
    connection
        .prepare_cached(
            "INSERT INTO deliveries (seq, id, event_seq, endpoint_no, status, attempts, used, created_at,
                 updated_at, resend_of)
             VALUES (?1, ?2, ?3, ?4, 0, 0, 0, ?5, ?5, ?6)",
        )?
        .execute(params![seq, id.to_bytes(), event_seq, made.endpoint_no.0, created_at.as_ms(), old_id])?;
    Ok(Again::Made(PendingDelivery { seq: DeliverySeq(seq), ..made }, event_seq))
}

pub(in crate::sqlite) const RESENDABLE: &str =
    "SELECT d.status, d.id, d.event_seq, d.endpoint_no, ev.id, ev.type, length(ev.payload)
    FROM deliveries d
    CROSS JOIN events ev ON ev.seq = d.event_seq
    CROSS JOIN endpoints ep ON ep.no = d.endpoint_no AND ep.deleted_at IS NULL
    WHERE d.seq = ?1";

/// Cancels one pending delivery by hand.
pub(in crate::sqlite) fn cancel(
    context: &mut Context<'_>,
    id: DeliveryId,
    deed: &Deed,
) -> Result<(EndpointNo, DeliverySeq), NotMade> {
    let mut find =
        context.connection.prepare_cached("SELECT endpoint_no, seq FROM deliveries WHERE id = ?1")?;
    let read = |row: &rusqlite::Row<'_>| Ok((EndpointNo(row.get(0)?), DeliverySeq(row.get(1)?)));
    let (endpoint_no, seq) = find.query_row([id.to_bytes()], read).optional()?.ok_or(StoreError::NotFound)?;
    let mut cancel = context.connection.prepare_cached(
        "UPDATE deliveries SET status = 3, cancel_reason = ?2, updated_at = ?3, next_attempt_at = NULL
         WHERE seq = ?1 AND status = 0",
    )?;
    if cancel.execute(params![seq.0, CancelReason::Operator.as_str(), deed.at.as_ms()])? == 0 {
        return Err(StoreError::Conflict(HAS_ENDED).into());
    }
    ready_list::take(context.connection)?.execute([seq.0])?;
    audit::write(context, deed)?;
    Ok((endpoint_no, seq))
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
    Ok(cancel_oldest(context.connection, PENDING_OF, endpoint.0, None, reason, now, limit)?)
}

/// Looks at the oldest `limit` pending deliveries of an endpoint, as `pending` finds them, and cancels those made before `before` (all of them
/// where none is given); gives how many it were.
pub(super) fn cancel_oldest(
    connection: &Connection,
    pending: &str,
    endpoint_no: i64,
    before: Option<Timestamp>,
    reason: CancelReason,
    now: Timestamp,
    limit: i64,
) -> rusqlite::Result<usize> {
    let mut find = connection.prepare_cached(pending)?;
    let found = find.query_map(params![endpoint_no, limit], |row| row.get(0))?;
    let found = found.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut cancel = connection.prepare_cached(
        "UPDATE deliveries SET status = 3, cancel_reason = ?2, updated_at = ?3, next_attempt_at = NULL
         WHERE seq = ?1 AND status = 0 AND created_at < ?4",
    )?;
    let before = before.map_or(i64::MAX, Timestamp::as_ms);
    let mut take = ready_list::take(connection)?;
    let mut cancelled = 0;
    for seq in found {
        if cancel.execute(params![seq, reason.as_str(), now.as_ms(), before])? == 1 {
            take.execute([seq])?;
            cancelled += 1;
        }
    }
    Ok(cancelled)
}

/// The oldest pending deliveries of an endpoint: those ready, listed or not yet, and those waiting, merged by their
/// numbers.
pub(in crate::sqlite) const PENDING_OF: &str = "SELECT seq FROM ready_listed
        WHERE endpoint_no = ?1 AND seq <= (SELECT ready FROM listed)
    UNION ALL
    SELECT seq FROM deliveries
        WHERE seq > (SELECT ready FROM listed) AND endpoint_no = ?1 AND status = 0 AND next_attempt_at IS NULL
    UNION ALL
    SELECT seq FROM deliveries INDEXED BY deliveries_waiting
        WHERE status = 0 AND next_attempt_at IS NOT NULL AND endpoint_no = ?1
    ORDER BY seq LIMIT ?2";
/// The same where nothing of the endpoint is ready behind the list: that end of the log is not walked for it.
pub(in crate::sqlite) const PENDING_LISTED_OF: &str = "SELECT seq FROM ready_listed
        WHERE endpoint_no = ?1 AND seq <= (SELECT ready FROM listed)
    UNION ALL
    SELECT seq FROM deliveries INDEXED BY deliveries_waiting
        WHERE status = 0 AND next_attempt_at IS NOT NULL AND endpoint_no = ?1
    ORDER BY seq LIMIT ?2";
