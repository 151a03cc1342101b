//! Which index each query uses, asked of SQLite itself, so that a change of the schema or of a query cannot make
//! one walk a whole table unseen.

use rusqlite::Connection;

use super::changes::deliveries::RESENDABLE;
use super::changes::deliveries::{PENDING_LISTED_OF, PENDING_OF};
use super::changes::replays::COUNT_RUNNING;
use super::changes::retention::{DELETE_REPLAYS, UNLIST_DELIVERIES, UNLIST_EVENT};
use super::log::{deliveries, ended, events, replays};
use super::rows::ATTEMPTS_OF;
use super::{audit, kept, pending, ready_list, replaying, size};

/// A database with the newest schema, in memory.
fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    super::migrations::run(&connection, 0, 1).unwrap();
    connection
}

/// What SQLite says of a query, a line for each step. Whether it calls an index covering is left out: of a partial
/// one it does not say so even where it reads nothing else.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // The parameters stay empty: a plan does not depend on them.
    let steps = explain.raw_query().mapped(|row| row.get(3)).collect::<Result<Vec<String>, _>>();
    steps.unwrap().into_iter().map(|step| step.replace("COVERING INDEX", "INDEX")).collect()
}

#[test]
fn every_query_finds_its_rows_through_the_index_made_for_it() {
    let connection = database();
    for (sql, expected) in [
        (pending::READY, &["SEARCH r USING PRIMARY KEY (endpoint_no=? AND seq<?)", DELIVERY, EVENT][..]),
        (pending::READY_UNLISTED, &["SEARCH d USING INTEGER PRIMARY KEY (rowid>?)", EVENT]),
        (pending::WAITING, &["SEARCH d USING INDEX deliveries_waiting (endpoint_no=?)", EVENT]),
        (
            pending::DUE,
            &["SEARCH d USING INDEX deliveries_due (next_attempt_at>? AND next_attempt_at<?)", EVENT],
        ),
        (
            pending::HAS_READY,
            &[
                "SCAN CONSTANT ROW",
                "SCALAR SUBQUERY 1",
                "SEARCH ready_listed USING PRIMARY KEY (endpoint_no=? AND seq<?)",
            ],
        ),
        (size::OLDEST_AUDIT, &["SCAN audit"]),
        (size::OLDEST_IDEMPOTENCY, &["SCAN kept_answers USING INDEX kept_answers_age"]),
        (pending::COUNT_READY, &["SCAN ready_listed"]),
        (pending::UNLISTED_READY, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid>?)"]),
        (pending::COUNT_WAITING, &["SCAN deliveries USING INDEX deliveries_waiting"]),
        (
            deliveries::OF_ENDPOINT,
            &["SEARCH deliveries_listed USING PRIMARY KEY (endpoint_no=? AND seq>? AND seq<?)"],
        ),
        (
            deliveries::READY_OF,
            &["SEARCH ready_listed USING PRIMARY KEY (endpoint_no=? AND seq>? AND seq<?)"],
        ),
        (deliveries::UNLISTED_READY, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (ready_list::COLLECT, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (ready_list::PUT, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"]),
        (
            ready_list::TAKE,
            &[
                "SEARCH ready_listed USING PRIMARY KEY (endpoint_no=? AND seq=?)",
                "SCALAR SUBQUERY 1",
                "SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            deliveries::WAITING_OF,
            &["SEARCH deliveries USING INDEX deliveries_waiting (endpoint_no=? AND seq>? AND seq<?)"],
        ),
        (
            deliveries::EXHAUSTED_OF,
            &["SEARCH deliveries USING INDEX deliveries_exhausted (endpoint_no=? AND seq>? AND seq<?)"],
        ),
        (
            deliveries::RESENT_OF,
            &["SEARCH deliveries USING INDEX deliveries_resent (event_seq=? AND seq>? AND seq<?)"],
        ),
        (deliveries::OF_ALL, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (
            events::OF_ACCOUNT,
            &["SEARCH events_listed USING PRIMARY KEY (account_no=? AND livemode=? AND seq>? AND seq<?)"],
        ),
        (events::OF_ACCOUNT_UNLISTED, &["SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (deliveries::UNLISTED, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (deliveries::STATUS_OF, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"]),
        (deliveries::TYPE_OF, &["SEARCH d USING INTEGER PRIMARY KEY (rowid=?)", EVENT]),
        (events::OF_ALL, &["SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (ATTEMPTS_OF, &["SEARCH attempts USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
    ] {
        assert_eq!(plan(&connection, sql), expected, "{sql}");
    }
}

#[test]
fn replays_find_what_they_read_through_its_index_and_walk_only_those_that_run() {
    let connection = database();
    for (sql, expected) in [
        (
            replaying::LISTED_FROM,
            &["SEARCH deliveries_listed USING PRIMARY KEY (endpoint_no=? AND seq>? AND seq<?)"][..],
        ),
        (replaying::UNLISTED_FROM, &["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (
            replaying::CANDIDATE,
            &["SEARCH d USING INTEGER PRIMARY KEY (rowid=?)", &format!("{EVENT} LEFT-JOIN")],
        ),
        (
            replaying::NEWER,
            &["SEARCH deliveries USING INDEX deliveries_resent (event_seq=? AND seq>? AND seq<?)"],
        ),
        (RESENDABLE, &["SEARCH d USING INTEGER PRIMARY KEY (rowid=?)", EVENT, ENDPOINT]),
        (replays::OF_ALL, &["SEARCH replays USING INTEGER PRIMARY KEY (rowid<?)"]),
        (replays::OF_ENDPOINT, &["SEARCH replays USING INDEX replays_endpoint (endpoint_no=? AND no<?)"]),
        (
            replays::OF_ACCOUNT,
            &["SEARCH replays USING INDEX replays_account (account_no=? AND livemode=? AND no<?)"],
        ),
        (replays::RUNNING, &["SCAN replays USING INDEX replays_running"]),
        (COUNT_RUNNING, &["SCAN replays USING INDEX replays_running"]),
    ] {
        assert_eq!(plan(&connection, sql), expected, "{sql}");
    }
}

const DELIVERY: &str = "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)";
const ENDPOINT: &str = "SEARCH ep USING INTEGER PRIMARY KEY (rowid=?)";
const EVENT: &str = "SEARCH ev USING INTEGER PRIMARY KEY (rowid=?)";

#[test]
fn attempts_are_followed_along_their_index() {
    let expected = [
        "SEARCH t USING INDEX attempts_ended (ended_at>?)",
        "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)",
        EVENT,
        ENDPOINT,
        "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)",
    ];
    assert_eq!(plan(&database(), ended::ENDED), expected);
}

#[test]
fn no_query_sorts_or_walks_the_log() {
    let connection = database();
    for sql in [
        PENDING_OF,
        PENDING_LISTED_OF,
        pending::OLDEST_READY,
        pending::OLDEST_WAITING,
        pending::OLDEST_UNLISTED,
        pending::DELETED_WITH_BACKLOG,
        UNLIST_EVENT,
        UNLIST_DELIVERIES,
        DELETE_REPLAYS,
    ] {
        for step in plan(&connection, sql) {
            let walks_the_log =
                ["SCAN d", "SCAN events", "SCAN replays"].iter().any(|scan| step.starts_with(scan));
            assert!(!walks_the_log && !step.contains("TEMP B-TREE"), "{sql}: {step}");
        }
    }
}

#[test]
fn the_size_is_told_by_a_look_at_either_end_of_the_log() {
    let connection = database();
    assert_eq!(plan(&connection, size::OLDEST_EVENT), ["SCAN events"], "along its number, and one row of it");
    for ends in [size::ENDS_OF_EVENTS, size::ENDS_OF_DELIVERIES] {
        let steps = plan(&connection, ends);
        let looks = steps.iter().filter(|step| step.starts_with("SEARCH")).count();
        assert_eq!((looks, steps.iter().any(|step| step.contains("SCAN d"))), (2, false), "{steps:?}");
    }
}

#[test]
fn kept_answers_and_the_audit_log_are_read_through_their_indexes() {
    let connection = database();
    let first = |sql: &str| plan(&connection, sql).remove(0);
    assert!(
        first(kept::FIND).contains("INDEX sqlite_autoindex_kept_answers_1 (scope=?)"),
        "{}",
        first(kept::FIND)
    );
    let forget = plan(&connection, kept::FORGET).join("; ");
    assert!(forget.contains("INDEX kept_answers_age (kept_at<?)"), "{forget}");
    let (of_account, of_all) =
        (plan(&connection, &audit::looked_at(true)), plan(&connection, &audit::looked_at(false)));
    assert_eq!(of_account, ["SEARCH audit USING INDEX audit_account (account=? AND no<?)"]);
    assert_eq!(of_all, ["SEARCH audit USING INTEGER PRIMARY KEY (rowid<?)"]);
}
