//! Which index each list of deliveries is led by, and how little of the database a page of it touches, asked of PostgreSQL
//! itself about a log that is long beside a page: a change of the schema or of a query cannot make one walk it unseen.

use std::collections::BTreeSet;
use std::sync::Arc;

use deadpool_postgres::Object;
use postrider_core::delivery::Status;

use super::{Database, NEVER, world};
use crate::Store as _;
use crate::conformance::world::Lane;
use crate::model::{DeliveryFilter, EventFilter, PageRequest};
use crate::postgres::PostgresStore;
use crate::postgres::cancelling::DELETED_WITH_BACKLOG;
use crate::postgres::listing::{Key, Listing, Source};
use crate::postgres::lists::{delivery_source, event_listing, event_source};
use crate::postgres::pending::WITH_READY;
use crate::postgres::retention::SLICE;
use crate::postgres::span::Span;

/// Rows of the log: most are delivered; every hundredth is exhausted, and as many are pending, half of them nobody's.
const ROWS: i64 = 40_000;
/// The pages of the database that the numbers of a page of a list may touch: a few for each. Walking the log takes thousands.
const MOST_TOUCHED: u64 = 300;
/// The same with the rows of that page, and all that is told of them.
const MOST_TOUCHED_IN_ALL: u64 = 1_500;

/// How many lanes, of as many accounts, share the log.
const LANES: usize = 60;

/// What the server does by itself: it takes the statistics of each table that holds rows, and none of those that hold only
/// partitions, of which it knows next to nothing therefore.
const ANALYZE: &str = "DO $$ DECLARE name regclass; BEGIN
        FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
            EXECUTE 'ANALYZE ' || name;
        END LOOP;
    END $$";

/// A long log, with three of its lanes: one like most, one that half of what is pending is for, and one with next to
/// nothing.
async fn filled(database: &Database, node: &Arc<PostgresStore>) -> [Lane; 3] {
    let world = world(database, node);
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        lanes.push(world.lane().await);
    }
    let numbers: Vec<_> = lanes.iter().map(|lane| lane.endpoint.no.0.to_string()).collect();
    let accounts: Vec<_> = lanes.iter().map(|lane| lane.account.no.0.to_string()).collect();
    let (first, me) = (1_i64 << 32, node.shared.me());
    database.sql(&format!(
        "INSERT INTO events (seq, id, account_no, livemode, created_at, first_delivery_seq, last_delivery_seq, type,
            payload)
         SELECT {first} + n, gen_random_uuid(), (ARRAY[{accounts}])[n % {LANES} + 1], false, n, {first} + n, {first} + n, 'policy.created', '{{}}'
         FROM generate_series(1, {ROWS}) n;
         INSERT INTO deliveries (seq, id, event_seq, endpoint_no, account_no, created_at, updated_at, attempts, status,
            livemode)
         SELECT {first} + n, gen_random_uuid(), {first} + n, ep.no, ep.account_no, n, n, 1,
            CASE n % 100 WHEN 7 THEN 2 WHEN 8 THEN 0 ELSE 1 END, ep.livemode
         FROM generate_series(1, {ROWS}) n
         JOIN endpoints ep ON ep.no = (ARRAY[{numbers}])[
            CASE WHEN n % 10000 = 8 THEN {LANES} WHEN n % 200 = 108 THEN 2 ELSE n % ({LANES} - 1) + 1 END];
         INSERT INTO queue (seq, event_seq, endpoint_no, owner, next_attempt_at)
         SELECT seq, event_seq, endpoint_no, CASE WHEN created_at % 200 = 8 THEN {me} END,
            CASE WHEN created_at % 300 = 8 THEN 1 END
         FROM deliveries WHERE status = 0;
         UPDATE deliveries SET status = 2 WHERE status = 2;
         {ANALYZE}",
        numbers = numbers.join(", "),
        accounts = accounts.join(", ")
    ));
    let quiet = lanes.swap_remove(LANES - 1);
    let fair = lanes.swap_remove(1);
    [lanes.swap_remove(0), fair, quiet]
}

/// What PostgreSQL says of a query, with these for its parameters.
async fn plan(client: &Object, sql: &str, parameters: &[String]) -> Vec<String> {
    let mut sql = sql.to_owned();
    for (index, value) in parameters.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", index + 1), value);
    }
    let rows = client.query(&format!("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {sql}"), &[]).await;
    rows.expect("it is explained").iter().map(|row| row.get(0)).collect()
}

fn number(number: i64) -> String {
    format!("({number})::bigint")
}

fn shown(key: &Key) -> String {
    match key {
        Key::Number(value) => number(*value),
        Key::Flag(flag) => flag.to_string(),
        Key::Text(text) => format!("'{text}'"),
    }
}

/// The parameters of a source that gives so many numbers.
fn parameters_of(source: &Source, numbers: i64) -> Vec<String> {
    let given = [i64::MIN, i64::MAX, numbers].map(number);
    given.into_iter().chain(source.keys.iter().map(shown)).collect()
}

/// How many pages a query touched, by its plan.
fn touched(plan: &[String]) -> u64 {
    let touched = plan.iter().find_map(|line| line.trim().strip_prefix("Buffers: shared hit="));
    let touched = touched.and_then(|rest| rest.split(' ').next()?.parse().ok());
    touched.expect("all of it is in memory")
}

/// The indexes that a source's query is led by, and how many pages it touches.
async fn explained(client: &Object, source: &Source) -> (BTreeSet<String>, u64, String) {
    let lines = plan(client, &source.sql, &parameters_of(source, 51)).await;
    let index = |line: &String| Some(line.split_once(" using ")?.1.split(' ').next()?.to_owned());
    (lines.iter().filter_map(index).collect(), touched(&lines), lines.join("\n"))
}

/// What PostgreSQL says of a listing of 51 rows, of as many numbers as are looked at in one go.
async fn of_rows(client: &Object, source: &Source, listing: &Listing, numbers: i64) -> Vec<String> {
    let mut parameters = parameters_of(source, numbers);
    parameters.extend(listing.only().map(|only| shown(&only.1)));
    parameters.push(number(51));
    plan(client, &listing.sql(source), &parameters).await
}

#[tokio::test]
async fn a_page_of_any_list_of_deliveries_is_led_by_an_index_and_touches_little() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let [busy, fair, quiet] = filled(&database, &node).await;
    let client = node.shared.pool.get().await.unwrap();
    let of = |lane: &Lane| DeliveryFilter { endpoint: Some(lane.endpoint.id), ..DeliveryFilter::default() };
    let whose = |lane: &Lane| DeliveryFilter { account: Some(lane.account.id), ..DeliveryFilter::default() };
    let with = |status, filter: DeliveryFilter| DeliveryFilter { status: Some(status), ..filter };
    let all = DeliveryFilter::default();
    let in_mode = DeliveryFilter { livemode: Some(busy.endpoint.livemode), ..whose(&busy) };
    let by_lane = &["queue_ready", "queue_waiting", "nodes_pkey"][..];
    let of_accounts_lanes = &["queue_ready", "queue_waiting", "nodes_pkey", "endpoints_account"][..];
    for (filter, expected) in [
        (all.clone(), &["deliveries_1_pkey"][..]),
        (of(&busy), &["deliveries_1_endpoint_no_seq_idx"]),
        (whose(&busy), &["deliveries_1_account_no_livemode_seq_idx"]),
        (in_mode, &["deliveries_1_account_no_livemode_seq_idx"]),
        (with(Status::Pending, all.clone()), &["queue_pkey"]),
        (with(Status::Pending, of(&busy)), by_lane),
        (with(Status::Pending, of(&quiet)), by_lane),
        (with(Status::Pending, whose(&fair)), &["queue_pkey"]),
        (with(Status::Pending, whose(&quiet)), of_accounts_lanes),
        (with(Status::Exhausted, all), &["exhausted_pkey"]),
        (with(Status::Exhausted, of(&busy)), &["exhausted_endpoint"]),
        (with(Status::Exhausted, whose(&busy)), &["exhausted_account"]),
        (with(Status::Delivered, of(&busy)), &["deliveries_1_endpoint_no_seq_idx"]),
    ] {
        let mut span = Span { above: i64::MIN, below: i64::MAX };
        let found = delivery_source(&client, &filter, &mut span).await.unwrap();
        let (source, listing) = found.expect("something can be wanted");
        let (indexes, of_numbers, plan) = explained(&client, &source).await;
        let expected: BTreeSet<String> = expected.iter().map(|&index| index.to_owned()).collect();
        assert_eq!(indexes, expected, "{filter:?}\n{plan}");
        assert!(of_numbers <= MOST_TOUCHED, "{filter:?} touches {of_numbers} pages\n{plan}");
        let lines = of_rows(&client, &source, &listing, 500).await;
        let in_all = touched(&lines);
        assert!(in_all <= MOST_TOUCHED_IN_ALL, "{filter:?} touches {in_all} pages\n{}", lines.join("\n"));
    }
}

#[tokio::test]
async fn so_is_a_page_of_any_list_of_events() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let [busy, ..] = filled(&database, &node).await;
    let client = node.shared.pool.get().await.unwrap();
    let whose = EventFilter { account: Some(busy.account.id), ..EventFilter::default() };
    for (filter, expected) in [
        (EventFilter::default(), "events_1_pkey"),
        (EventFilter { livemode: Some(false), ..whose.clone() }, "events_1_account_no_livemode_seq_idx"),
        (whose, "events_1_account_no_livemode_seq_idx"),
    ] {
        let source = event_source(&client, &filter).await.unwrap().expect("something can be wanted");
        let (indexes, of_numbers, plan) = explained(&client, &source).await;
        assert_eq!(indexes, BTreeSet::from([expected.to_owned()]), "{filter:?}\n{plan}");
        assert!(of_numbers <= MOST_TOUCHED, "{filter:?} touches {of_numbers} pages\n{plan}");
        let lines = of_rows(&client, &source, &event_listing(&filter), 500).await;
        let in_all = touched(&lines);
        assert!(in_all <= MOST_TOUCHED_IN_ALL, "{filter:?} touches {in_all} pages\n{}", lines.join("\n"));
    }
}

/// A question about each of some rows is answered by a look into an index for each. The server may think better of it, and
/// answer them all by one walk through all that is pending or has been resent.
#[tokio::test]
async fn nothing_is_asked_of_each_row_by_a_walk_through_all() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    filled(&database, &node).await;
    let client = node.shared.pool.get().await.unwrap();
    let me = number(node.shared.me());
    let array = "ARRAY[1, 2, 3]::bigint[]".to_owned();
    let (from, to) = (number(i64::MIN), number(i64::MAX));
    for (sql, parameters) in [
        (WITH_READY, vec![array.clone(), me, array]),
        (DELETED_WITH_BACKLOG, Vec::new()),
        (SLICE, vec![from, to.clone(), number(200), to]),
    ] {
        let lines = plan(&client, sql, &parameters).await;
        assert!(!lines.iter().any(|line| line.contains("hashed SubPlan")), "{}", lines.join("\n"));
    }
}

/// Thousands of them may be looked at for a page that shows none.
#[tokio::test]
async fn what_is_not_wanted_costs_a_look_at_as_few_tables_as_it_takes() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    filled(&database, &node).await;
    let client = node.shared.pool.get().await.unwrap();
    let unlike = Some("offer.created".to_owned());
    let cancelled = DeliveryFilter { status: Some(Status::Cancelled), ..DeliveryFilter::default() };
    let of_type = DeliveryFilter { event_type: unlike.clone(), ..DeliveryFilter::default() };
    let events = EventFilter { event_type: unlike, ..EventFilter::default() };
    let mut span = Span { above: i64::MIN, below: i64::MAX };
    let of_events = event_source(&client, &events).await.unwrap().expect("it may be there");
    let mut looks = vec![(of_events, event_listing(&events), &["accounts"][..])];
    for (filter, unread) in [
        (cancelled, &["events", "endpoints", "accounts", "queue"][..]),
        (of_type, &["endpoints", "accounts", "queue"]),
    ] {
        let found = delivery_source(&client, &filter, &mut span).await.unwrap();
        let (source, listing) = found.expect("it may be there");
        looks.push((source, listing, unread));
    }
    for (source, listing, unread) in &looks {
        let lines = of_rows(&client, source, listing, 2_000).await;
        for table in *unread {
            let reads: Vec<_> = lines.iter().filter(|line| line.contains(&format!(" on {table}"))).collect();
            let is_read = reads.is_empty() || reads.iter().any(|line| !line.contains("never executed"));
            assert!(!is_read, "{table} is read: {}", lines.join("\n"));
        }
    }
}

/// Wanted ones that lie far apart, and more of them in one look than a page has room for.
#[tokio::test]
async fn a_page_of_few_among_many_is_whole_and_the_next_goes_on_behind_it() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    filled(&database, &node).await;
    database.sql(
        "UPDATE events SET type = 'offer.created' WHERE created_at IN (1, 39999) OR created_at BETWEEN 30000 AND 30300",
    );
    let filter = DeliveryFilter { event_type: Some("offer.created".to_owned()), ..DeliveryFilter::default() };
    let expected = database.sql(
        "SELECT string_agg(d.seq::text, ' ' ORDER BY d.seq DESC) FROM deliveries d JOIN events ev ON ev.seq = d.event_seq
         WHERE ev.type = 'offer.created'",
    );
    for limit in [7, 100, 250] {
        let (mut page, mut found) = (PageRequest { limit, before: None }, Vec::new());
        loop {
            let part = node.deliveries(filter.clone(), page).await.unwrap();
            assert!(part.rows.len() <= limit);
            found.extend(part.rows.iter().map(|row| row.seq.0.to_string()));
            page.before = part.next;
            if part.next.is_none() {
                break;
            }
        }
        assert_eq!(found.join(" "), expected, "{limit} at a time");
    }
}

#[tokio::test]
async fn lists_of_what_is_pending_and_exhausted_are_whole_whosever_the_deliveries_are() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let lanes = filled(&database, &node).await;
    for lane in &lanes {
        for (status, number) in [(Status::Pending, 0), (Status::Exhausted, 2)] {
            let no = lane.endpoint.no.0;
            let expected = database.sql(&format!(
                "SELECT string_agg(seq::text, ' ' ORDER BY seq DESC) FROM deliveries
                 WHERE endpoint_no = {no} AND status = {number}"
            ));
            let of_endpoint = DeliveryFilter {
                endpoint: Some(lane.endpoint.id),
                status: Some(status),
                ..DeliveryFilter::default()
            };
            let of_account =
                DeliveryFilter { endpoint: None, account: Some(lane.account.id), ..of_endpoint.clone() };
            for filter in [of_endpoint, of_account] {
                let mut page = PageRequest { limit: 50, before: None };
                let mut found = Vec::new();
                loop {
                    let part = node.deliveries(filter.clone(), page).await.unwrap();
                    found.extend(part.rows.iter().map(|row| row.seq.0.to_string()));
                    page.before = part.next;
                    if part.next.is_none() {
                        break;
                    }
                }
                assert_eq!(found.join(" "), expected, "{filter:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_pruned_leaves_the_list_of_what_was_exhausted() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    filled(&database, &node).await;
    let listed = || database.sql("SELECT count(*) FROM exhausted");
    assert_eq!(listed(), "400");
    database.sql("DELETE FROM deliveries WHERE status = 2 AND created_at <= 10000");
    assert_eq!(listed(), "300");
}
