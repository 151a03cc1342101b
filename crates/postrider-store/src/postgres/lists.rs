//! The log as people see it: events and deliveries, newest first.
//!
//! What is said here is which index a list is led by, and what its rows are read from; `listing.rs` makes pages of that.

use bytes::Bytes;
use deadpool_postgres::Object;
use postrider_core::account::AccountNo;
use postrider_core::delivery::{Delivery, DeliverySeq, Status};
use postrider_core::event::Event;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use tokio_postgres::Row;

use super::listing::{Key, Listing, Lookup, Only, Source, page};
use super::rows::{Failed, id_bytes, optional_time, time, to_u32, uuid};
use super::span::{Span, Table};
use crate::columns::{self, Unreadable, status_number};
use crate::error::StoreError;
use crate::model::{DeliveryFilter, EventFilter, Page, PageRequest};

pub(super) const DELIVERY_COLUMNS: &str = "d.seq, d.id, ev.id, ev.type, a.id, ep.id, d.livemode, d.status,
    d.cancel_reason, d.attempts, d.created_at, q.next_attempt_at, d.updated_at, d.resend_of";
/// What is joined to a delivery `d` and its event `ev`.
pub(super) const DELIVERY_JOINED: &str = "JOIN endpoints ep ON ep.no = d.endpoint_no
    JOIN accounts a ON a.no = d.account_no
    LEFT JOIN queue q ON q.seq = d.seq";

fn delivery_of(row: &Row) -> Result<Delivery, Unreadable> {
    delivery_from(row, 0)
}

/// Reads a delivery whose columns begin with the one at `first`.
pub(super) fn delivery_from(row: &Row, first: usize) -> Result<Delivery, Unreadable> {
    let status = columns::status(row.get(first + 7))?;
    Ok(Delivery {
        seq: DeliverySeq(row.get(first)),
        id: DeliveryId::from_bytes(id_bytes(row, first + 1)),
        event: EventId::from_bytes(id_bytes(row, first + 2)),
        event_type: row.get(first + 3),
        account: AccountId::from_bytes(id_bytes(row, first + 4)),
        endpoint: EndpointId::from_bytes(id_bytes(row, first + 5)),
        livemode: row.get(first + 6),
        status,
        cancel_reason: columns::cancel_reason(row.get(first + 8))?,
        attempt_count: to_u32(row.get(first + 9)),
        created_at: time(row, first + 10),
        next_attempt_at: optional_time(row, first + 11),
        finished_at: if status == Status::Pending { None } else { Some(time(row, first + 12)) },
        resend_of: row
            .get::<_, Option<uuid::Uuid>>(first + 13)
            .map(|id| DeliveryId::from_bytes(id.into_bytes())),
    })
}

pub(super) async fn delivery(client: &mut Object, id: DeliveryId) -> Result<Delivery, Failed> {
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events ev ON ev.seq = d.event_seq {DELIVERY_JOINED}
         WHERE d.id = $1"
    );
    let select = client.prepare_cached(&sql).await?;
    let row = client.query_opt(&select, &[&uuid(id.to_bytes())]).await?;
    Ok(delivery_of(&row.ok_or(StoreError::NotFound)?)?)
}

pub(super) async fn deliveries(
    client: &mut Object,
    filter: DeliveryFilter,
    request: PageRequest,
) -> Result<Page<Delivery>, Failed> {
    let nothing = Page { rows: Vec::new(), next: None };
    let mut span = Span::find(client, Table::Deliveries, filter.since, filter.until, request.before).await?;
    let Some((source, listing)) = delivery_source(client, &filter, &mut span).await? else {
        return Ok(nothing);
    };
    page(client, &source, &listing, span, request.limit, |row| {
        let delivery = delivery_of(row)?;
        Ok(filter.wants(&delivery).then_some((delivery, 0)))
    })
    .await
}

/// Deliveries that meet what no source is led by.
fn delivery_listing(filter: &DeliveryFilter) -> Listing {
    let mut only = Vec::new();
    if let Some(status) = filter.status {
        only.push(Only("d.status = $::bigint", Key::Number(status_number(status).into())));
    }
    only.extend(filter.livemode.map(|livemode| Only("d.livemode = $", Key::Flag(livemode))));
    only.extend(filter.since.map(|since| Only("d.created_at >= $", Key::Number(since.as_ms()))));
    only.extend(filter.until.map(|until| Only("d.created_at < $", Key::Number(until.as_ms()))));
    let of_type = filter.event_type.clone().map(|name| Only("ev.type = $", Key::Text(name)));
    let delivery = Lookup { table: "deliveries", name: "d", on: "d.seq = s.seq", only };
    let of_event = of_type.into_iter().collect();
    let event = Lookup { table: "events", name: "ev", on: "ev.seq = d.event_seq", only: of_event };
    Listing { columns: DELIVERY_COLUMNS, lookups: vec![delivery, event], joined: DELIVERY_JOINED }
}

/// The source that holds everything the filter wants, and as little else as can be told beforehand, with what its rows must
/// meet; none where nothing can be wanted.
pub(super) async fn delivery_source(
    client: &Object,
    filter: &DeliveryFilter,
    span: &mut Span,
) -> Result<Option<(Source, Listing)>, Failed> {
    let mut listing = delivery_listing(filter);
    if let Some(event) = filter.event {
        return Ok(of_event(client, event, span).await?.map(|source| (source, listing)));
    }
    let endpoint = match filter.endpoint {
        None => None,
        Some(id) => match number_of(client, "endpoints", id.to_bytes()).await? {
            None => return Ok(None),
            found => found,
        },
    };
    let account = match filter.account {
        None => None,
        Some(id) => match number_of(client, "accounts", id.to_bytes()).await? {
            None => return Ok(None),
            found => found,
        },
    };
    let table = match filter.status {
        Some(Status::Pending) => {
            let (source, only) = of_queue(client, endpoint, account, span.below).await?;
            listing.lookups[0].only.extend(only);
            return Ok(Some((source, listing)));
        }
        Some(Status::Exhausted) => "exhausted",
        Some(Status::Delivered | Status::Cancelled) | None => "deliveries",
    };
    let source = match (endpoint, account) {
        (Some(no), _) => Source::new(table, "seq", "endpoint_no = $4", vec![Key::Number(no)]),
        (None, Some(no)) => Source::of_account(table, "seq", no, filter.livemode),
        (None, None) => Source::new(table, "seq", "true", Vec::new()),
    };
    Ok(Some((source, listing)))
}

/// How many of the newest that are pending are looked at, to see whether an account has a fair part of them.
const SAMPLE: i64 = 2_000;
/// What a fair part is.
const FAIR_PART: i64 = 100;

/// Pending deliveries, and what they must meet besides: from the newest on where most of those looked at are wanted, else lane by lane. The queue's indexes
/// begin with the owner, so that a lane is looked for among those of every node and among what is nobody's.
async fn of_queue(
    client: &Object,
    endpoint: Option<i64>,
    account: Option<i64>,
    below: i64,
) -> Result<(Source, Option<Only>), Failed> {
    let whole_queue = || Source::new("queue q", "seq", "true", Vec::new());
    let (endpoints, key) = match (endpoint, account) {
        (Some(no), _) => ("(SELECT $4::bigint AS no)", no),
        (None, Some(no)) => {
            if is_fair_part(client, no, below).await? {
                return Ok((whole_queue(), Some(Only("d.account_no = $", Key::Number(no)))));
            }
            ("(SELECT no FROM endpoints WHERE account_no = $4)", no)
        }
        (None, None) => return Ok((whole_queue(), None)),
    };
    // In the order of the whole index, since what a null leads is not known to be in order behind it.
    let part = |owner: &str, next: &str| {
        format!(
            "(SELECT seq FROM queue WHERE {owner} AND endpoint_no = e.no AND next_attempt_at {next}
                AND seq > $1 AND seq < $2 ORDER BY owner DESC, endpoint_no DESC, seq DESC LIMIT $3)"
        )
    };
    let (owned, free) = ("owner = n.no", "n.no IS NULL AND owner IS NULL");
    let parts = [(owned, "IS NULL"), (owned, "IS NOT NULL"), (free, "IS NULL"), (free, "IS NOT NULL")];
    let parts = parts.map(|(owner, next)| part(owner, next)).join(" UNION ALL ");
    let sql = format!(
        "(SELECT q.seq FROM {endpoints} e CROSS JOIN (SELECT no FROM nodes UNION ALL SELECT NULL) n
            CROSS JOIN LATERAL ({parts}) q ORDER BY q.seq DESC LIMIT $3)"
    );
    Ok((Source { sql, keys: vec![Key::Number(key)] }, None))
}

/// Whether an account has a fair part of the newest that are pending below a number.
async fn is_fair_part(client: &Object, account: i64, below: i64) -> Result<bool, Failed> {
    let sql = "SELECT count(*) >= $4 FROM (
            SELECT endpoint_no FROM queue WHERE seq < $2 ORDER BY seq DESC LIMIT $3
        ) q JOIN endpoints e ON e.no = q.endpoint_no WHERE e.account_no = $1";
    let row = client
        .query_one(&client.prepare_cached(sql).await?, &[&account, &below, &SAMPLE, &FAIR_PART])
        .await?;
    Ok(row.get(0))
}

/// An event's own deliveries, whose numbers lie close together, and those resent by hand.
async fn of_event(client: &Object, event: EventId, span: &mut Span) -> Result<Option<Source>, Failed> {
    let sql = "SELECT seq, first_delivery_seq, last_delivery_seq FROM events WHERE id = $1";
    let select = client.prepare_cached(sql).await?;
    let Some(row) = client.query_opt(&select, &[&uuid(event.to_bytes())]).await? else { return Ok(None) };
    let (seq, first, last): (i64, Option<i64>, Option<i64>) = (row.get(0), row.get(1), row.get(2));
    let (first, last) = (first.unwrap_or(0), last.unwrap_or(-1));
    span.above = span.above.max(seq);
    let own = "resend_of IS NULL AND event_seq = $4 AND seq >= $5 AND seq <= $6";
    let parts = [
        Source::new("deliveries", "seq", own, Vec::new()),
        Source::new("deliveries", "seq", "resend_of IS NOT NULL AND event_seq = $4", Vec::new()),
    ];
    let keys = vec![Key::Number(seq), Key::Number(first), Key::Number(last)];
    Ok(Some(Source::merged(&parts, keys)))
}

/// The number of an account or endpoint, deleted ones included.
pub(super) async fn number_of(
    client: &Object,
    table: &'static str,
    id: [u8; 16],
) -> Result<Option<i64>, Failed> {
    let select = client.prepare_cached(&format!("SELECT no FROM {table} WHERE id = $1")).await?;
    Ok(client.query_opt(&select, &[&uuid(id)]).await?.map(|row| row.get(0)))
}

/// Everything but the payload, which is read only for rows that are shown.
const EVENT_COLUMNS: &str = "ev.seq, ev.id, ev.account_no, a.id, ev.type, ev.livemode, ev.created_at,
    octet_length(ev.payload)";

fn event_of(row: &Row) -> Event {
    Event {
        id: EventId::from_bytes(id_bytes(row, 1)),
        account_no: AccountNo(row.get(2)),
        account: AccountId::from_bytes(id_bytes(row, 3)),
        event_type: row.get(4),
        livemode: row.get(5),
        payload: Bytes::new(),
        created_at: time(row, 6),
    }
}

pub(super) async fn event(client: &mut Object, id: EventId) -> Result<Event, Failed> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, ev.payload FROM events ev JOIN accounts a ON a.no = ev.account_no WHERE ev.id = $1"
    );
    let select = client.prepare_cached(&sql).await?;
    let row = client.query_opt(&select, &[&uuid(id.to_bytes())]).await?.ok_or(StoreError::NotFound)?;
    Ok(Event { payload: Bytes::from(row.get::<_, Vec<u8>>(8)), ..event_of(&row) })
}

/// The same of events.
pub(super) async fn event_source(client: &Object, filter: &EventFilter) -> Result<Option<Source>, Failed> {
    let Some(account) = filter.account else {
        return Ok(Some(Source::new("events", "seq", "true", Vec::new())));
    };
    let no = number_of(client, "accounts", account.to_bytes()).await?;
    Ok(no.map(|no| Source::of_account("events", "seq", no, filter.livemode)))
}

/// Events that meet what no source is led by.
pub(super) fn event_listing(filter: &EventFilter) -> Listing {
    let mut only = Vec::new();
    only.extend(filter.livemode.map(|livemode| Only("ev.livemode = $", Key::Flag(livemode))));
    only.extend(filter.since.map(|since| Only("ev.created_at >= $", Key::Number(since.as_ms()))));
    only.extend(filter.until.map(|until| Only("ev.created_at < $", Key::Number(until.as_ms()))));
    only.extend(filter.event_type.clone().map(|name| Only("ev.type = $", Key::Text(name))));
    let event = Lookup { table: "events", name: "ev", on: "ev.seq = s.seq", only };
    let joined = "JOIN accounts a ON a.no = ev.account_no";
    Listing { columns: EVENT_COLUMNS, lookups: vec![event], joined }
}

pub(super) async fn events(
    client: &mut Object,
    filter: EventFilter,
    request: PageRequest,
) -> Result<Page<Event>, Failed> {
    let span = Span::find(client, Table::Events, filter.since, filter.until, request.before).await?;
    let Some(source) = event_source(client, &filter).await? else {
        return Ok(Page { rows: Vec::new(), next: None });
    };
    let found = page(client, &source, &event_listing(&filter), span, request.limit, |row| {
        let (seq, event) = (row.get(0), event_of(row));
        let size = usize::try_from(row.get::<_, i32>(7)).unwrap_or(0);
        Ok(filter.wants(&event).then_some(((seq, event), size)))
    })
    .await?;
    let seqs: Vec<i64> = found.rows.iter().map(|(seq, _)| *seq).collect();
    let sql = "SELECT ev.payload FROM unnest($1::bigint[]) WITH ORDINALITY AS a(seq, place)
        LEFT JOIN events ev ON ev.seq = a.seq ORDER BY a.place";
    let select = client.prepare_cached(sql).await?;
    let payloads = client.query(&select, &[&seqs]).await?;
    let with_payload = |((_, event), row): ((i64, Event), &Row)| Event {
        payload: row.get::<_, Option<Vec<u8>>>(0).unwrap_or_default().into(),
        ..event
    };
    Ok(Page { rows: found.rows.into_iter().zip(&payloads).map(with_payload).collect(), next: found.next })
}
