//! Replays: made, taken a step further, ended. A step's deliveries and how far the replay has come are one commit.

use postrider_core::account::AccountNo;
use postrider_core::audit::Deed;
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::ReplayId;
use postrider_core::limits::{MAX_RUNNING_REPLAYS, MAX_RUNNING_REPLAYS_PER_ACCOUNT};
use postrider_core::replay::{CancelReason, Replay, State};
use postrider_core::time::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::deliveries::{Again, make_again};
use super::{Context, NotMade};
use crate::columns::{ACCOUNT_IS_FULL, ALL_IS_FULL, REPLAY_RUNS, status_number};
use crate::error::StoreError;
use crate::model::{NewReplay, ReplayStep, ReplayStepped};
use crate::sqlite::log::replays::replay;
use crate::sqlite::{audit, kept};

const INSERT: &str = "INSERT INTO replays (id, account_no, livemode, endpoint_no, status, type, since, until,
        reached_seq, through_seq, matched, resent, skipped, state, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0, 'running', ?12)";

/// How many replays run over all and of one account. They are few, whatever the log holds.
pub(in crate::sqlite) const COUNT_RUNNING: &str = "SELECT count(*), count(*) FILTER (WHERE account_no = ?1)
    FROM replays INDEXED BY replays_running WHERE state = 'running'";

pub(in crate::sqlite) fn create(context: &mut Context<'_>, new: &NewReplay) -> Result<Replay, NotMade> {
    kept::keep(context, new.keep.as_deref())?;
    audit::write(context, &new.deed)?;
    let connection = context.connection;
    let endpoint_no = new.range.endpoint_no;
    let mut find = connection
        .prepare_cached("SELECT account_no, livemode FROM endpoints WHERE no = ?1 AND deleted_at IS NULL")?;
    let found = find.query_row([endpoint_no.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (account_no, livemode): (i64, bool) = found.ok_or(StoreError::NotFound)?;
    refuse_too_many(context, endpoint_no, account_no)?;
    let selection = &new.selection;
    connection.prepare_cached(INSERT)?.execute(params![
        new.id.to_bytes(),
        account_no,
        livemode,
        endpoint_no.0,
        selection.status.map(status_number),
        selection.event_type,
        selection.since.map(Timestamp::as_ms),
        selection.until.map(Timestamp::as_ms),
        new.range.above.0,
        new.range.through.0,
        i64::try_from(new.matched).unwrap_or(i64::MAX),
        new.created_at.as_ms(),
    ])?;
    found_again(context, new.id)
}

fn refuse_too_many(context: &Context<'_>, endpoint: EndpointNo, account_no: i64) -> Result<(), NotMade> {
    let connection = context.connection;
    let mut of_endpoint =
        connection.prepare_cached("SELECT 1 FROM replays WHERE endpoint_no = ?1 AND state = 'running'")?;
    if of_endpoint.query_row([endpoint.0], |_| Ok(())).optional()?.is_some() {
        return Err(StoreError::Conflict(REPLAY_RUNS).into());
    }
    let mut running = connection.prepare_cached(COUNT_RUNNING)?;
    let (in_all, of_account): (i64, i64) =
        running.query_row([account_no], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let is_full = |count: i64, limit: usize| usize::try_from(count).unwrap_or(usize::MAX) >= limit;
    if is_full(of_account, MAX_RUNNING_REPLAYS_PER_ACCOUNT) {
        return Err(StoreError::Conflict(ACCOUNT_IS_FULL).into());
    }
    if is_full(in_all, MAX_RUNNING_REPLAYS) {
        return Err(StoreError::Conflict(ALL_IS_FULL).into());
    }
    Ok(())
}

pub(in crate::sqlite) fn step(
    context: &mut Context<'_>,
    step: &ReplayStep,
) -> Result<ReplayStepped, NotMade> {
    let before = found_again(context, step.id)?;
    if before.state != State::Running || before.reached != step.from {
        return Err(StoreError::Conflict("the replay has ended or stands elsewhere").into());
    }
    let mut made = Vec::with_capacity(step.chosen.len());
    for (old, id) in &step.chosen {
        if let Again::Made(delivery, _) = make_again(context, *old, *id, step.at)? {
            made.push(delivery);
        }
    }
    let resent = i64::try_from(made.len()).unwrap_or(i64::MAX);
    let not_made = i64::try_from(step.chosen.len() - made.len()).unwrap_or(i64::MAX);
    let skipped = i64::try_from(step.skipped).unwrap_or(i64::MAX).saturating_add(not_made);
    let (state, finished_at) = match step.reached {
        Some(_) => (State::Running, None),
        None => (State::Done, Some(step.at.as_ms())),
    };
    context
        .connection
        .prepare_cached(
            "UPDATE replays SET reached_seq = ?2, resent = resent + ?3, skipped = skipped + ?4, state = ?5,
                 finished_at = ?6 WHERE id = ?1",
        )?
        .execute(params![
            step.id.to_bytes(),
            step.reached.unwrap_or(before.through).0,
            resent,
            skipped,
            state.as_str(),
            finished_at,
        ])?;
    Ok(ReplayStepped { replay: found_again(context, step.id)?, made })
}

pub(in crate::sqlite) fn cancel(
    context: &mut Context<'_>,
    id: ReplayId,
    reason: CancelReason,
    deed: &Deed,
) -> Result<Replay, NotMade> {
    let sql = "UPDATE replays SET state = 'cancelled', cancel_reason = ?2, finished_at = ?3
        WHERE id = ?1 AND state = 'running'";
    let changed = context.connection.prepare_cached(sql)?.execute(params![
        id.to_bytes(),
        reason.as_str(),
        deed.at.as_ms()
    ])?;
    let replay = found_again(context, id)?;
    if changed == 0 {
        return Err(StoreError::Conflict("the replay has ended already").into());
    }
    audit::write(context, deed)?;
    Ok(replay)
}

pub(super) fn cancel_of_endpoint(
    context: &Context<'_>,
    endpoint: EndpointNo,
    reason: CancelReason,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE replays SET state = 'cancelled', cancel_reason = ?2, finished_at = ?3
        WHERE endpoint_no = ?1 AND state = 'running'";
    let mut cancel = context.connection.prepare_cached(sql)?;
    cancel.execute(params![endpoint.0, reason.as_str(), now.as_ms()]).map(drop)
}

/// Cancels the running replays of an account's endpoints.
pub(super) fn cancel_of_account(
    context: &Context<'_>,
    account: AccountNo,
    reason: CancelReason,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE replays INDEXED BY replays_running SET state = 'cancelled', cancel_reason = ?2, finished_at = ?3
        WHERE account_no = ?1 AND state = 'running'";
    let mut cancel = context.connection.prepare_cached(sql)?;
    cancel.execute(params![account.0, reason.as_str(), now.as_ms()]).map(drop)
}

fn found_again(context: &Context<'_>, id: ReplayId) -> Result<Replay, NotMade> {
    Ok(replay(context.connection, id)?.ok_or(StoreError::NotFound)?)
}
