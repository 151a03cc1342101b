//! Replays, and resends by hand: new deliveries of old ones, made in the transaction that says how far a replay has come.

use deadpool_postgres::GenericClient;
use deadpool_postgres::Object;
use postrider_core::audit::Deed;
use postrider_core::delivery::{DeliverySeq, Progress, Status};
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId, ReplayId};
use postrider_core::limits::{MAX_RUNNING_REPLAYS, MAX_RUNNING_REPLAYS_PER_ACCOUNT};
use postrider_core::replay::{CancelReason, Counts, Replay, Selection, State};
use postrider_core::time::Timestamp;
use tokio_postgres::Row;

use super::listing::{Key, Listing, Lookup, Source, page};
use super::lists::number_of;
use super::rows::{Failed, id_bytes, optional_time, time, to_i64, to_u32, uuid};
use super::span::Span;
use super::{audit, kept};
use crate::columns::{self, ACCOUNT_IS_FULL, ALL_IS_FULL, REPLAY_RUNS, Unreadable, status_number};
use crate::error::StoreError;
use crate::model::{
    NewReplay, NewResend, Page, PageRequest, PendingDelivery, ReplayFilter, ReplayStep, ReplayStepped,
};
use crate::seal::Sealer;

const COLUMNS: &str = "r.id, a.id, ep.id, r.livemode, r.status, r.type, r.since, r.until, r.state,
        r.cancel_reason, r.matched, r.resent, r.skipped, r.reached_seq, r.through_seq, r.created_at,
        r.finished_at, r.endpoint_no";
const JOINS: &str = "JOIN endpoints ep ON ep.no = r.endpoint_no JOIN accounts a ON a.no = r.account_no";

fn replay_of(row: &Row) -> Result<Replay, Unreadable> {
    let known = |text: &str| CancelReason::from_text(text).ok_or(Unreadable("replays.cancel_reason"));
    let reason = row.get::<_, Option<&str>>(9).map(known).transpose()?;
    let state = State::from_text(row.get(8), reason).ok_or(Unreadable("replays.state"))?;
    let count = |index: usize| row.get::<_, i64>(index).unsigned_abs();
    Ok(Replay {
        id: ReplayId::from_bytes(id_bytes(row, 0)),
        account: AccountId::from_bytes(id_bytes(row, 1)),
        endpoint: EndpointId::from_bytes(id_bytes(row, 2)),
        livemode: row.get(3),
        selection: Selection {
            status: row.get::<_, Option<i16>>(4).map(columns::status).transpose()?,
            event_type: row.get(5),
            since: optional_time(row, 6),
            until: optional_time(row, 7),
        },
        state,
        counts: Counts { matched: count(10), resent: count(11), skipped: count(12) },
        reached: DeliverySeq(row.get(13)),
        through: DeliverySeq(row.get(14)),
        created_at: time(row, 15),
        finished_at: optional_time(row, 16),
    })
}

/// A replay by its id.
pub(super) async fn replay(client: &impl GenericClient, id: ReplayId) -> Result<Replay, Failed> {
    let sql = format!("SELECT {COLUMNS} FROM replays r {JOINS} WHERE r.id = $1");
    let row = client.query_opt(&sql, &[&uuid(id.to_bytes())]).await?.ok_or(StoreError::NotFound)?;
    Ok(replay_of(&row)?)
}

/// Those that run and are this node's to take further, the oldest first: of each endpoint the node that holds its lease,
/// else the one to whose rank its number falls.
pub(super) async fn running(
    client: &mut Object,
    me: i64,
    rank: i64,
    alive: i64,
) -> Result<Vec<(EndpointNo, Replay)>, Failed> {
    let sql = format!(
        "SELECT {COLUMNS} FROM replays r {JOINS} LEFT JOIN leases l ON l.endpoint_no = r.endpoint_no
         WHERE r.state = 'running' AND coalesce(l.node_no = $1, r.endpoint_no % $3 = $2) ORDER BY r.no"
    );
    let rows = client.query(&sql, &[&me, &rank, &alive]).await?;
    rows.iter().map(|row| Ok((EndpointNo(row.get(17)), replay_of(row)?))).collect()
}

pub(super) async fn replays(
    client: &mut Object,
    filter: ReplayFilter,
    request: PageRequest,
) -> Result<Page<Replay>, Failed> {
    let nothing = Page { rows: Vec::new(), next: None };
    let source = if let Some(id) = filter.endpoint {
        let Some(no) = number_of(client, "endpoints", id.to_bytes()).await? else { return Ok(nothing) };
        Source::new("replays", "no", "endpoint_no = $4", vec![Key::Number(no)])
    } else if let Some(id) = filter.account {
        let Some(no) = number_of(client, "accounts", id.to_bytes()).await? else { return Ok(nothing) };
        Source::of_account("replays", "no", no, filter.livemode)
    } else {
        Source::new("replays", "no", "true", Vec::new())
    };
    let span = Span { above: i64::MIN, below: request.before.unwrap_or(i64::MAX) };
    let replay = Lookup { table: "replays", name: "r", on: "r.no = s.seq", only: Vec::new() };
    let listing = Listing { columns: COLUMNS, lookups: vec![replay], joined: JOINS };
    page(client, &source, &listing, span, request.limit, |row| {
        let replay = replay_of(row)?;
        let is_wanted = filter.account.is_none_or(|wanted| wanted == replay.account)
            && filter.endpoint.is_none_or(|wanted| wanted == replay.endpoint)
            && filter.livemode.is_none_or(|wanted| wanted == replay.livemode);
        Ok(is_wanted.then_some((replay, 0)))
    })
    .await
}

const INSERT: &str = "INSERT INTO replays (id, account_no, livemode, endpoint_no, status, type, since, until,
        reached_seq, through_seq, matched, resent, skipped, state, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, 'running', $12)";

pub(super) async fn create(client: &mut Object, sealer: &Sealer, new: NewReplay) -> Result<Replay, Failed> {
    let transaction = client.transaction().await?;
    kept::keep(&transaction, sealer, new.keep.as_deref()).await?;
    audit::write(&transaction, &new.deed).await?;
    // Nobody else makes one between the counts and the commit, and the endpoint is not deleted meanwhile.
    transaction.batch_execute("LOCK TABLE replays IN SHARE ROW EXCLUSIVE MODE").await?;
    let endpoint_no = new.range.endpoint_no;
    let find = "SELECT account_no, livemode FROM endpoints WHERE no = $1 AND deleted_at IS NULL FOR SHARE";
    let row = transaction.query_opt(find, &[&endpoint_no.0]).await?.ok_or(StoreError::NotFound)?;
    let (account_no, livemode): (i64, bool) = (row.get(0), row.get(1));
    refuse_too_many(&transaction, endpoint_no, account_no).await?;
    let selection = &new.selection;
    transaction
        .execute(
            INSERT,
            &[
                &uuid(new.id.to_bytes()),
                &account_no,
                &livemode,
                &endpoint_no.0,
                &selection.status.map(status_number),
                &selection.event_type,
                &selection.since.map(Timestamp::as_ms),
                &selection.until.map(Timestamp::as_ms),
                &new.range.above.0,
                &new.range.through.0,
                &to_i64(new.matched),
                &new.created_at.as_ms(),
            ],
        )
        .await?;
    let made = replay(&transaction, new.id).await?;
    transaction.commit().await?;
    Ok(made)
}

async fn refuse_too_many(
    client: &impl GenericClient,
    endpoint: EndpointNo,
    account_no: i64,
) -> Result<(), Failed> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE account_no = $1),
            count(*) FILTER (WHERE endpoint_no = $2) FROM replays WHERE state = 'running'";
    let row = client.query_one(sql, &[&account_no, &endpoint.0]).await?;
    let (in_all, of_account, of_endpoint): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    if of_endpoint > 0 {
        return Err(StoreError::Conflict(REPLAY_RUNS).into());
    }
    if of_account >= to_i64(MAX_RUNNING_REPLAYS_PER_ACCOUNT) {
        return Err(StoreError::Conflict(ACCOUNT_IS_FULL).into());
    }
    if in_all >= to_i64(MAX_RUNNING_REPLAYS) {
        return Err(StoreError::Conflict(ALL_IS_FULL).into());
    }
    Ok(())
}

/// Takes a replay a step further. The new deliveries are this node's; the caller sees to it that nothing else becomes so
/// meanwhile.
pub(super) async fn step(client: &mut Object, me: i64, step: ReplayStep) -> Result<ReplayStepped, Failed> {
    let transaction = client.transaction().await?;
    let hold = "SELECT FROM replays WHERE id = $1 FOR UPDATE";
    transaction.execute(hold, &[&uuid(step.id.to_bytes())]).await?;
    let before = replay(&transaction, step.id).await?;
    if before.state != State::Running || before.reached != step.from {
        return Err(StoreError::Conflict("the replay has ended or stands elsewhere").into());
    }
    be_alive(&transaction, me).await?;
    let mut made = Vec::with_capacity(step.chosen.len());
    for (old, id) in &step.chosen {
        if let Again::Made(delivery) = make_again(&transaction, me, *old, *id, step.at, false).await? {
            made.push(delivery);
        }
    }
    let resent = to_i64(made.len());
    let skipped = to_i64(step.skipped).saturating_add(to_i64(step.chosen.len() - made.len()));
    let (state, finished_at) = match step.reached {
        Some(_) => (State::Running, None),
        None => (State::Done, Some(step.at.as_ms())),
    };
    let sql = "UPDATE replays SET reached_seq = $2, resent = resent + $3, skipped = skipped + $4, state = $5,
        finished_at = $6 WHERE id = $1";
    let reached = step.reached.unwrap_or(before.through).0;
    let id = uuid(step.id.to_bytes());
    transaction.execute(sql, &[&id, &reached, &resent, &skipped, &state.as_str(), &finished_at]).await?;
    let replay = replay(&transaction, step.id).await?;
    transaction.commit().await?;
    Ok(ReplayStepped { replay, made })
}

/// A resend by hand; the same holds as for [`step`].
pub(super) async fn resend(
    client: &mut Object,
    sealer: &Sealer,
    me: i64,
    new: NewResend,
) -> Result<PendingDelivery, Failed> {
    let transaction = client.transaction().await?;
    kept::keep(&transaction, sealer, new.keep.as_deref()).await?;
    audit::write(&transaction, &new.deed).await?;
    let find = "SELECT seq FROM deliveries WHERE id = $1";
    let old = transaction.query_opt(find, &[&uuid(new.of.to_bytes())]).await?.ok_or(StoreError::NotFound)?;
    be_alive(&transaction, me).await?;
    let old = DeliverySeq(old.get(0));
    match make_again(&transaction, me, old, new.id, new.created_at, true).await? {
        Again::Made(made) => {
            transaction.commit().await?;
            Ok(made)
        }
        Again::Pending => Err(StoreError::Conflict("the delivery is still pending").into()),
        Again::Gone => Err(StoreError::NotFound.into()),
    }
}

/// Locks the node's row, as accepting does; `LeaseLost` where it is not alive any more.
async fn be_alive(client: &impl GenericClient, me: i64) -> Result<(), Failed> {
    let sql = "SELECT FROM nodes WHERE no = $1 AND state = 'alive' FOR KEY SHARE";
    match client.execute(sql, &[&me]).await? {
        0 => Err(StoreError::LeaseLost.into()),
        _ => Ok(()),
    }
}

/// What came of making a delivery once more.
enum Again {
    Made(PendingDelivery),
    /// The old one is still pending.
    Pending,
    /// The old one, its event or its endpoint is gone.
    Gone,
}

const RESENDABLE: &str =
    "SELECT d.status, d.id, d.event_seq, d.endpoint_no, ev.id, ev.type, octet_length(ev.payload),
        d.account_no, d.livemode, CASE WHEN $2 THEN ev.payload END
    FROM deliveries d
    JOIN events ev ON ev.seq = d.event_seq
    JOIN endpoints ep ON ep.no = d.endpoint_no AND ep.deleted_at IS NULL
    WHERE d.seq = $1";

const MAKE_AGAIN: &str = "WITH made AS (
        INSERT INTO deliveries (seq, id, event_seq, endpoint_no, account_no, livemode, created_at, updated_at, status,
            attempts, resend_of)
        VALUES (nextval('numbers'), $1, $2, $3, $4, $5, $6, $6, 0, 0, $7)
        RETURNING seq, event_seq, endpoint_no
    )
    INSERT INTO queue (seq, event_seq, endpoint_no, owner) SELECT seq, event_seq, endpoint_no, $8 FROM made
    RETURNING seq";

async fn make_again(
    client: &impl GenericClient,
    me: i64,
    old: DeliverySeq,
    id: DeliveryId,
    created_at: Timestamp,
    with_payload: bool,
) -> Result<Again, Failed> {
    let Some(row) = client.query_opt(RESENDABLE, &[&old.0, &with_payload]).await? else {
        return Ok(Again::Gone);
    };
    if columns::status(row.get(0))? == Status::Pending {
        return Ok(Again::Pending);
    }
    let (old_id, event_seq, endpoint_no): (uuid::Uuid, i64, i64) = (row.get(1), row.get(2), row.get(3));
    let (account_no, livemode): (i64, bool) = (row.get(7), row.get(8));
    let new_id = uuid(id.to_bytes());
    let at = created_at.as_ms();
    let made = client
        .query_one(
            MAKE_AGAIN,
            &[&new_id, &event_seq, &endpoint_no, &account_no, &livemode, &at, &old_id, &me],
        )
        .await?;
    Ok(Again::Made(PendingDelivery {
        seq: DeliverySeq(made.get(0)),
        id,
        endpoint_no: EndpointNo(endpoint_no),
        event: EventId::from_bytes(id_bytes(&row, 4)),
        event_type: row.get(5),
        payload: row.get::<_, Option<Vec<u8>>>(9).map(Into::into),
        payload_bytes: to_u32(row.get(6)),
        progress: Progress::default(),
        next_attempt_at: None,
    }))
}

pub(super) async fn cancel(
    client: &mut Object,
    id: ReplayId,
    reason: CancelReason,
    deed: Deed,
) -> Result<Replay, Failed> {
    let sql = "UPDATE replays SET state = 'cancelled', cancel_reason = $2, finished_at = $3
        WHERE id = $1 AND state = 'running'";
    let transaction = client.transaction().await?;
    let changed =
        transaction.execute(sql, &[&uuid(id.to_bytes()), &reason.as_str(), &deed.at.as_ms()]).await?;
    let replay = replay(&transaction, id).await?;
    if changed == 0 {
        return Err(StoreError::Conflict("the replay has ended already").into());
    }
    audit::write(&transaction, &deed).await?;
    transaction.commit().await?;
    Ok(replay)
}

pub(super) async fn cancel_of_endpoint(
    client: &impl GenericClient,
    endpoint: EndpointNo,
    reason: CancelReason,
    now: Timestamp,
) -> Result<(), Failed> {
    let sql = "UPDATE replays SET state = 'cancelled', cancel_reason = $2, finished_at = $3
        WHERE endpoint_no = $1 AND state = 'running'";
    client.execute(sql, &[&endpoint.0, &reason.as_str(), &now.as_ms()]).await?;
    Ok(())
}

/// Cancels the running replays of an account's endpoints.
pub(super) async fn cancel_of_account(
    client: &impl GenericClient,
    account: postrider_core::account::AccountNo,
    reason: CancelReason,
    now: Timestamp,
) -> Result<(), Failed> {
    let sql = "UPDATE replays SET state = 'cancelled', cancel_reason = $2, finished_at = $3
        WHERE account_no = $1 AND state = 'running'";
    client.execute(sql, &[&account.0, &reason.as_str(), &now.as_ms()]).await?;
    Ok(())
}
