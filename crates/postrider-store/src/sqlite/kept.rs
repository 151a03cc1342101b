//! Answers that are kept with what a call created, so that the call happens once.

use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::changes::{Context, NotMade};
use crate::error::StoreError;
use crate::kept_answers::{self, Row, forgotten_until};
use crate::model::once::{Before, Claim, Keep};
use crate::seal::Sealer;

const PUT: &str = "INSERT INTO kept_answers (scope, body_sha256, status, answer, kept_at)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (scope) DO UPDATE SET body_sha256 = ?2, status = ?3, answer = ?4, kept_at = ?5
        WHERE kept_at <= ?6";
pub(super) const FIND: &str =
    "SELECT body_sha256, status, answer FROM kept_answers WHERE scope = ?1 AND kept_at > ?2";
pub(super) const FORGET: &str = "DELETE FROM kept_answers WHERE no IN
    (SELECT no FROM kept_answers INDEXED BY kept_answers_age WHERE kept_at < ?1 ORDER BY kept_at LIMIT ?2)";

/// Keeps an answer; false where there is one already, and then nothing is to be created.
pub(super) fn put(connection: &Connection, row: &Row) -> rusqlite::Result<bool> {
    let written = connection.prepare_cached(PUT)?.execute(params![
        row.claim.scope,
        row.claim.body_sha256,
        row.status,
        row.answer,
        row.kept_at,
        row.forgotten_until(),
    ])?;
    Ok(written > 0)
}

/// The same within a change, before anything else of it.
pub(super) fn keep(context: &Context<'_>, keep: Option<&Keep>) -> Result<(), NotMade> {
    match keep {
        Some(keep) if !put(context.connection, &Row::of(context.sealer, keep))? => {
            Err(StoreError::AnsweredBefore.into())
        }
        _ => Ok(()),
    }
}

pub(super) fn before(
    connection: &Connection,
    sealer: &Sealer,
    claim: Claim,
    now: Timestamp,
) -> rusqlite::Result<Option<Before>> {
    let mut find = connection.prepare_cached(FIND)?;
    let read = |row: &rusqlite::Row<'_>| {
        let (body_sha256, answer): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(2)?);
        Ok(kept_answers::before(sealer, claim, &body_sha256, row.get(1)?, &answer)?)
    };
    find.query_row(params![claim.scope, forgotten_until(now)], read).optional()
}

pub(super) fn forget(context: &Context<'_>, before: Timestamp, limit: usize) -> Result<usize, NotMade> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(context.connection.prepare_cached(FORGET)?.execute(params![before.as_ms(), limit])?)
}
