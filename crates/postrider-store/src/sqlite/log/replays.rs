//! Replays: one by its id, those that run, and lists.

use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::{AccountId, EndpointId, ReplayId};
use postrider_core::replay::{CancelReason, Counts, Replay, Selection, State};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::deliveries::endpoint_no;
use super::events::account_no;
use super::{Merge, Source, page};
use crate::columns;
use crate::model::{Page, PageRequest, ReplayFilter};
use crate::sqlite::pending::to_limit;
use crate::sqlite::rows::{optional_time, time, unreadable};

const COLUMNS: &str = "SELECT r.id, a.id, ep.id, r.livemode, r.status, r.type, r.since, r.until, r.state,
        r.cancel_reason, r.matched, r.resent, r.skipped, r.reached_seq, r.through_seq, r.created_at,
        r.finished_at, r.endpoint_no
    FROM replays r JOIN endpoints ep ON ep.no = r.endpoint_no JOIN accounts a ON a.no = r.account_no";

pub(in crate::sqlite) fn replay(connection: &Connection, id: ReplayId) -> rusqlite::Result<Option<Replay>> {
    let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE r.id = ?1"))?;
    select.query_row([id.to_bytes()], read).optional()
}

/// The numbers of those that run. They are few, whatever the log holds.
pub(in crate::sqlite) const RUNNING: &str =
    "SELECT no FROM replays INDEXED BY replays_running WHERE state = 'running'";

pub(in crate::sqlite) fn running(connection: &Connection) -> rusqlite::Result<Vec<(EndpointNo, Replay)>> {
    let mut numbers = connection.prepare_cached(RUNNING)?;
    let mut numbers = numbers.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    numbers.sort_unstable();
    let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE r.no = ?1"))?;
    let mut with_endpoint = |no| select.query_row([no], |row| Ok((EndpointNo(row.get(17)?), read(row)?)));
    numbers.into_iter().map(&mut with_endpoint).collect()
}

pub(in crate::sqlite) fn replays(
    connection: &Connection,
    filter: ReplayFilter,
    request: PageRequest,
) -> rusqlite::Result<Page<Replay>> {
    let merge = Merge::new(connection, sources(connection, filter)?, request.before.unwrap_or(i64::MAX))?;
    let mut select = connection.prepare_cached(&format!("{COLUMNS} WHERE r.no = ?1"))?;
    page(merge, request.limit, |no| {
        let found = select.query_row([no], read).optional()?;
        let is_wanted = |replay: &Replay| {
            filter.account.is_none_or(|wanted| wanted == replay.account)
                && filter.endpoint.is_none_or(|wanted| wanted == replay.endpoint)
                && filter.livemode.is_none_or(|wanted| wanted == replay.livemode)
        };
        Ok(found.filter(is_wanted).map(|found| (found, 0)))
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Replay> {
    let reason = row.get::<_, Option<String>>(9)?;
    let known =
        |text: String| CancelReason::from_text(&text).ok_or_else(|| unreadable("replays.cancel_reason"));
    let state = State::from_text(&row.get::<_, String>(8)?, reason.map(known).transpose()?);
    let count = |index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
    Ok(Replay {
        id: ReplayId::from_bytes(row.get(0)?),
        account: AccountId::from_bytes(row.get(1)?),
        endpoint: EndpointId::from_bytes(row.get(2)?),
        livemode: row.get(3)?,
        selection: Selection {
            status: row.get::<_, Option<i16>>(4)?.map(columns::status).transpose()?,
            event_type: row.get(5)?,
            since: optional_time(row, 6)?,
            until: optional_time(row, 7)?,
        },
        state: state.ok_or_else(|| unreadable("replays.state"))?,
        counts: Counts { matched: count(10)?, resent: count(11)?, skipped: count(12)? },
        reached: DeliverySeq(row.get(13)?),
        through: DeliverySeq(row.get(14)?),
        created_at: time(row, 15)?,
        finished_at: optional_time(row, 16)?,
    })
}

pub(in crate::sqlite) const OF_ALL: &str = "SELECT no FROM replays WHERE no < ?1 ORDER BY no DESC LIMIT ?2";
pub(in crate::sqlite) const OF_ENDPOINT: &str =
    "SELECT no FROM replays WHERE endpoint_no = ?3 AND no < ?1 ORDER BY no DESC LIMIT ?2";
pub(in crate::sqlite) const OF_ACCOUNT: &str = "SELECT no FROM replays
    WHERE account_no = ?3 AND livemode = ?4 AND no < ?1 ORDER BY no DESC LIMIT ?2";

/// Where a list of replays gets its numbers from.
enum ReplaySource {
    All,
    Endpoint(i64),
    Account(i64, bool),
}

fn sources(connection: &Connection, filter: ReplayFilter) -> rusqlite::Result<Vec<ReplaySource>> {
    if let Some(endpoint) = filter.endpoint {
        return Ok(endpoint_no(connection, endpoint)?.map(ReplaySource::Endpoint).into_iter().collect());
    }
    let Some(account) = filter.account else { return Ok(vec![ReplaySource::All]) };
    let Some(no) = account_no(connection, account)? else { return Ok(Vec::new()) };
    let modes = [false, true].into_iter().filter(|mode| filter.livemode.is_none_or(|wanted| wanted == *mode));
    Ok(modes.map(|mode| ReplaySource::Account(no, mode)).collect())
}

impl Source for ReplaySource {
    fn below(&self, connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let no = |row: &Row<'_>| row.get(0);
        let limit = to_limit(limit);
        match *self {
            Self::All => connection.prepare_cached(OF_ALL)?.query_map(params![before, limit], no)?.collect(),
            Self::Endpoint(endpoint) => connection
                .prepare_cached(OF_ENDPOINT)?
                .query_map(params![before, limit, endpoint], no)?
                .collect(),
            Self::Account(account, livemode) => connection
                .prepare_cached(OF_ACCOUNT)?
                .query_map(params![before, limit, account, livemode], no)?
                .collect(),
        }
    }
}
