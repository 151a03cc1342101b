//! The statements that every event pays for: its row, its deliveries' rows, their attempts and outcomes.
//!
//! Prepared once and held by the writer. What is read or changed rarely does not belong here.

use postrider_core::attempt::Attempt;
use postrider_core::delivery::{DeliverySeq, Next};
use postrider_core::endpoint::State;
use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use super::audit;
use super::late_lists::Listed;
use super::ready_list::{self, ReadyList};
use super::rows::{self, attempt_key};
use crate::columns::{self, status_number};
use crate::model::{HealthUpdate, NewDelivery, NewEvent, OwnChange, Record, RecordBatch};
use postrider_core::delivery::Status;

/// The next free numbers. They live in memory and only grow: what a failed commit took is never given again
/// by this process, and after a restart they go on behind the newest rows (which whoever prunes must leave).
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) event: i64,
    pub(super) delivery: i64,
}

impl Numbers {
    /// The numbers behind the newest rows, and behind everything that was ever listed.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let newest = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let listed = Listed::load(connection)?;
        let deliveries = listed.deliveries.max(ready_list::listed(connection)?);
        Ok(Self {
            event: newest("SELECT coalesce(max(seq), 0) FROM events")?.max(listed.events) + 1,
            delivery: newest("SELECT coalesce(max(seq), 0) FROM deliveries")?.max(deliveries) + 1,
        })
    }

    /// Takes the next delivery's number.
    pub(super) fn take_delivery(&mut self) -> i64 {
        let seq = self.delivery;
        self.delivery += 1;
        seq
    }
}

/// How many deliveries one statement writes where an event has as many: a statement for each row costs a quarter more,
/// and whoever comes next waits for all of them.
const ROWS_AT_ONCE: usize = 25;
/// Where the parameters of the first row begin, behind the two that all rows share …
const FIRST_OF_ROW: usize = 3;
/// … and how many each row has of its own.
const OWN_PARAMETERS: usize = 3;

fn insert_deliveries() -> String {
    let row = |first: usize| format!("(?{first}, ?{}, ?1, ?{}, 0, 0, 0, ?2, ?2)", first + 1, first + 2);
    let rows: Vec<_> = (FIRST_OF_ROW..).step_by(OWN_PARAMETERS).take(ROWS_AT_ONCE).map(row).collect();
    format!(
        "INSERT INTO deliveries (seq, id, event_seq, endpoint_no, status, attempts, used, created_at, updated_at)
         VALUES {}",
        rows.join(", ")
    )
}

/// The prepared statements.
pub(super) struct Hot<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    insert_event: Statement<'c>,
    insert_delivery: Statement<'c>,
    /// [`ROWS_AT_ONCE`] of them, of one event.
    insert_deliveries: Statement<'c>,
    update_delivery: Statement<'c>,
    find_delivery: Statement<'c>,
    put_attempt: Statement<'c>,
    update_health: Statement<'c>,
    update_state: Statement<'c>,
    write_audit: Statement<'c>,
}

impl<'c> Hot<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            insert_event: connection.prepare(
                "INSERT INTO events (seq, id, account_no, livemode, created_at, first_delivery_seq,
                     delivery_count, type, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            insert_delivery: connection.prepare(
                "INSERT INTO deliveries (seq, id, event_seq, endpoint_no, status, attempts, used, created_at,
                     updated_at)
                 VALUES (?1, ?2, ?3, ?4, 0, 0, 0, ?5, ?5)",
            )?,
            insert_deliveries: connection.prepare(&insert_deliveries())?,
            // `attempts` only grows, so that an outcome recorded again cannot undo a later one.
            update_delivery: connection.prepare(
                "UPDATE deliveries
                 SET status = ?2, attempts = ?3, used = ?4, updated_at = ?5, next_attempt_at = ?6
                 WHERE seq = ?1 AND status = 0 AND attempts <= ?3",
            )?,
            find_delivery: connection.prepare("SELECT 1 FROM deliveries WHERE seq = ?1")?,
            put_attempt: connection.prepare(rows::PUT_ATTEMPT)?,
            update_health: connection
                .prepare("UPDATE endpoints SET health = ?2 WHERE no = ?1 AND deleted_at IS NULL")?,
            update_state: connection.prepare(
                "UPDATE endpoints SET state = ?2, disabled_reason = ?3, updated_at = coalesce(?4, updated_at)
                 WHERE no = ?1 AND deleted_at IS NULL AND (state, disabled_reason) IS NOT (?2, ?3)",
            )?,
            write_audit: connection.prepare(audit::WRITE)?,
        })
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(drop)
    }

    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute([]).map(drop)
    }

    /// Writes events with their deliveries and gives the deliveries' numbers.
    pub(super) fn accept(
        &mut self,
        events: &[NewEvent],
        numbers: &mut Numbers,
    ) -> rusqlite::Result<Vec<DeliverySeq>> {
        let mut given = Vec::with_capacity(events.iter().map(|new| new.deliveries.len()).sum());
        for NewEvent { event, deliveries, .. } in events {
            let event_seq = numbers.event;
            numbers.event += 1;
            let created_at = event.created_at.as_ms();
            self.insert_event.execute(params![
                event_seq,
                event.id.to_bytes(),
                event.account_no.0,
                event.livemode,
                created_at,
                numbers.delivery,
                i64::try_from(deliveries.len()).unwrap_or(i64::MAX),
                event.event_type,
                &event.payload[..],
            ])?;
            let mut parts = deliveries.chunks_exact(ROWS_AT_ONCE);
            for part in parts.by_ref() {
                self.insert_part(part, event_seq, created_at, numbers, &mut given)?;
            }
            for delivery in parts.remainder() {
                let seq = numbers.take_delivery();
                let (id, endpoint_no) = (delivery.id.to_bytes(), delivery.endpoint_no.0);
                self.insert_delivery.execute(params![seq, id, event_seq, endpoint_no, created_at])?;
                given.push(DeliverySeq(seq));
            }
        }
        Ok(given)
    }

    /// Writes [`ROWS_AT_ONCE`] deliveries of one event.
    fn insert_part(
        &mut self,
        part: &[NewDelivery],
        event_seq: i64,
        created_at: i64,
        numbers: &mut Numbers,
        given: &mut Vec<DeliverySeq>,
    ) -> rusqlite::Result<()> {
        let statement = &mut self.insert_deliveries;
        statement.raw_bind_parameter(1, event_seq)?;
        statement.raw_bind_parameter(2, created_at)?;
        for (delivery, place) in part.iter().zip((FIRST_OF_ROW..).step_by(OWN_PARAMETERS)) {
            let seq = numbers.take_delivery();
            statement.raw_bind_parameter(place, seq)?;
            statement.raw_bind_parameter(place + 1, &delivery.id.to_bytes()[..])?;
            statement.raw_bind_parameter(place + 2, delivery.endpoint_no.0)?;
            given.push(DeliverySeq(seq));
        }
        statement.raw_execute().map(drop)
    }

    /// Writes outcomes and health changes.
    pub(super) fn record(&mut self, batch: &RecordBatch, ready: &mut ReadyList<'_>) -> rusqlite::Result<()> {
        for record in &batch.records {
            self.record_one(record, ready)?;
        }
        for update in &batch.health {
            self.record_health(update, batch)?;
        }
        Ok(())
    }

    fn record_one(&mut self, record: &Record, ready: &mut ReadyList<'_>) -> rusqlite::Result<()> {
        let (status, next_attempt_at) = match record.next {
            Next::Delivered => (Status::Delivered, None),
            Next::Exhausted => (Status::Exhausted, None),
            Next::Waits => (Status::Pending, None),
            Next::RetryAt(at) => (Status::Pending, Some(at.as_ms())),
        };
        let changed = self.update_delivery.execute(params![
            record.seq.0,
            status_number(status),
            record.progress.attempts,
            record.progress.used,
            record.at.as_ms(),
            next_attempt_at,
        ])?;
        if changed == 1 {
            ready.follow(record.seq.0, record.next)?;
        }
        match &record.attempt {
            Some(attempt) if changed == 1 || self.is_there(record.seq)? => self.log(record.seq, attempt),
            _ => Ok(()),
        }
    }

    /// Whether the delivery's row is there at all, for outcomes that changed nothing.
    fn is_there(&mut self, seq: DeliverySeq) -> rusqlite::Result<bool> {
        Ok(self.find_delivery.query_row([seq.0], |_| Ok(())).optional()?.is_some())
    }

    fn log(&mut self, seq: DeliverySeq, attempt: &Attempt) -> rusqlite::Result<()> {
        rows::put_attempt(&mut self.put_attempt, attempt_key(seq, attempt.number), attempt)
    }

    fn record_health(&mut self, update: &HealthUpdate, batch: &RecordBatch) -> rusqlite::Result<()> {
        let no = update.endpoint_no.0;
        self.update_health.execute(params![no, columns::health_text(&update.health)])?;
        if let Some(OwnChange { state, deed }) = &update.state {
            let at = batch.records.iter().map(|record| record.at.as_ms()).max();
            let reason = state.disabled_reason().map(|reason| reason.as_str());
            if self.update_state.execute(params![no, State::as_str(*state), reason, at])? == 1 {
                audit::put(&mut self.write_audit, deed)?;
            }
        }
        Ok(())
    }
}
