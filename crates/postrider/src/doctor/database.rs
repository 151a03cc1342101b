//! A PostgreSQL store: whether the server can be reached, keeps what it commits, and has room for the nodes.

use std::time::Duration;

use postrider_store::postgres::{Examined, PostgresStore};
use postrider_store::seal::MasterKey;

use super::event_types;
use super::findings::Findings;
use super::here;
use super::sealed_values::unreadable_endpoints;
use crate::config::Config;
use crate::store_url::StoreUrl;

/// Longest wait for the server.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// A server whose clock differs by more than this makes retries early or late.
const CLOCK_TOLERANCE_MS: i64 = 1_000;
/// A transaction that is open for longer than this makes tables grow.
const OLD_TRANSACTION: Duration = Duration::from_secs(900);
/// A round trip that takes longer than this is on the way of every event.
const SLOW_ROUND_TRIP_MS: i64 = 10;

/// Looks at the database without a change.
pub(super) async fn examine(config: &Config, url: &str, key: Option<&MasterKey>, findings: &mut Findings) {
    let store = &config.store;
    match tokio::time::timeout(ANSWER_WITHIN, PostgresStore::examine(url, key)).await {
        Err(_late) => findings.problem(
            "store",
            format!("{store}: no answer within {} s", ANSWER_WITHIN.as_secs()),
            "see whether the server runs and the network lets it be reached",
        ),
        Ok(Err(error)) => {
            findings.problem("store", format!("{store}: {error}"), "the line above says what would be right");
        }
        Ok(Ok(found)) => {
            schema(store, &found, key.is_some(), findings);
            durability(&found, findings);
            standby(&found, findings);
            connections(&found, config.database.connections, findings);
            clock(&found, findings);
            here::clock_of_store(found.clock, findings);
            transactions(url, findings).await;
            types(url, findings).await;
        }
    }
}

fn schema(store: &StoreUrl, found: &Examined, has_key: bool, findings: &mut Findings) {
    let shown = format!("{store}: PostgreSQL {}", found.version);
    if found.is_read_only {
        let advice = "name the primary, or several hosts: then the one that can be written is taken";
        let what = "which is read-only (a standby, or default_transaction_read_only is on)";
        return findings.problem("store", format!("{shown}, {what}"), advice);
    }
    if found.encoding != "UTF8" {
        let advice = "create a database with ENCODING 'UTF8' TEMPLATE template0, and restore into it";
        let text = format!("{shown}: the database has the encoding {}", found.encoding);
        return findings.problem("store", text, advice);
    }
    if !found.without_rights.is_empty() {
        let text = format!("{shown}: the user lacks rights on {}", found.without_rights.join(", "));
        let advice = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO …, or make the user their owner";
        return findings.problem("store", text, advice);
    }
    if let Some((table, by)) = found.locked.first() {
        let text =
            format!("{shown}: the table {table} is locked by {by}; events are refused until the lock goes");
        return findings.problem(
            "store",
            text,
            "end that transaction, or its session with pg_terminate_backend",
        );
    }
    if found.key_fits == Some(false) {
        let advice = "name the key file that the other nodes have, with --master-key-file";
        return findings.problem("store", format!("{shown}: the master key does not fit"), advice);
    }
    if found.schema > 0 && !has_key {
        let advice = "copy the key file from another node";
        return findings.problem(
            "store",
            format!("{shown}: there are secrets in it, but no key here"),
            advice,
        );
    }
    if found.schema < found.newest_schema && !found.may_create {
        let found = format!("{shown}: the user may not make tables");
        return findings.problem(
            "store",
            found,
            "make the user the database's owner: ALTER DATABASE … OWNER TO …",
        );
    }
    let schema = match found.schema {
        0 => "empty; the first start makes its tables".to_owned(),
        now if now >= found.newest_schema => format!("schema version {now}"),
        now => format!("schema version {now}, the next start makes it {}", found.newest_schema),
    };
    findings.good("store", format!("{shown}, {schema}, {} nodes alive", found.alive_nodes));
    unreadable_endpoints(found.unreadable_endpoints, findings);
    if found.waits_for_old_nodes && found.alive_nodes > 0 {
        findings.warning(
            "secrets",
            "encrypted secrets are not bound to their endpoints' URLs yet",
            "the nodes do that by themselves within seconds, once none of the previous release is alive",
        );
    }
}

/// Whether a 202 survives a crash of the server's machine.
fn durability(found: &Examined, findings: &mut Findings) {
    if !found.fsync {
        let advice = "set fsync = on: without it a crash of the machine loses events that had a 202";
        return findings.problem("durability", "the server has fsync off", advice);
    }
    if !found.full_page_writes {
        let advice = "right only on a file system that never tears a page, such as ZFS";
        findings.warning("durability", "the server has full_page_writes off", advice);
    }
    match found.synchronous_commit.as_str() {
        "off" | "local" | "remote_write" => findings.good(
            "durability",
            format!(
                "fsync on; synchronous_commit is {}, but on for Postrider's own connections",
                found.synchronous_commit
            ),
        ),
        setting => findings.good("durability", format!("fsync on, synchronous_commit {setting}")),
    }
}

/// Whether a 202 survives the loss of the server.
fn standby(found: &Examined, findings: &mut Findings) {
    match found.synchronous_standby_names.as_str() {
        "" => findings.warning(
            "failover",
            "no synchronous standby: if another server takes over, the last commits may be missing there",
            "set synchronous_standby_names, unless the server's disk itself is replicated (as managed ones often are)",
        ),
        names => findings.good("failover", format!("commits wait for a standby ({names})")),
    }
}

/// Whether the server has room for every node's pool.
fn connections(found: &Examined, pool: usize, findings: &mut Findings) {
    // Two more: one listens, one asks what became of the others' statements.
    let pool = i64::try_from(pool + 2).unwrap_or(i64::MAX);
    let nodes = found.alive_nodes.max(1);
    let room = found.max_connections / pool;
    let text = format!(
        "{} allowed, {} in use; a node takes up to {pool}, so there is room for {room}",
        found.max_connections, found.used_connections
    );
    let advice = "raise max_connections, or the limit of the database or the user";
    match room {
        room if room < nodes => findings.problem("connections", text, advice),
        room if room == nodes => findings.warning("connections", format!("{text}, and no more"), advice),
        _ => findings.good("connections", text),
    }
}

/// Whether a transaction keeps the server from reusing the room of deleted rows.
async fn transactions(url: &str, findings: &mut Findings) {
    let state = match tokio::time::timeout(ANSWER_WITHIN, PostgresStore::server_state(url)).await {
        Ok(Ok(state)) => state,
        Ok(Err(error)) => {
            let advice = "see whether the user may read pg_stat_activity";
            return findings.warning("transactions", format!("they can't be listed: {error}"), advice);
        }
        Err(_late) => return,
    };
    let dead = state.dead_rows;
    match state.oldest_transaction.filter(|oldest| oldest.age > OLD_TRANSACTION) {
        Some(oldest) => findings.warning(
            "transactions",
            format!(
                "one has been open for {} minutes by {}; {dead} dead rows",
                oldest.age.as_secs() / 60,
                oldest.holder
            ),
            "end it: until then no row that is deleted gives its room back (pg_terminate_backend, ROLLBACK PREPARED)",
        ),
        None => findings.good("transactions", format!("none is open for long; {dead} dead rows")),
    }
}

async fn types(url: &str, findings: &mut Findings) {
    match tokio::time::timeout(ANSWER_WITHIN, PostgresStore::examine_event_types(url)).await {
        Ok(Ok(definitions)) => event_types::examine(definitions, findings),
        Ok(Err(error)) => {
            let advice = "see whether the user may read the table event_types";
            findings.warning("event types", format!("they can't be read: {error}"), advice);
        }
        Err(_late) => {}
    }
}

fn clock(found: &Examined, findings: &mut Findings) {
    let ahead = found.clock_ahead_ms;
    let text = format!(
        "the server's clock is {ahead} ms ahead of ours, a round trip takes {} ms",
        found.round_trip_ms
    );
    if ahead.abs() > CLOCK_TOLERANCE_MS.max(found.round_trip_ms) {
        return findings.warning("server clock", text, "let NTP keep both clocks");
    }
    if found.round_trip_ms > SLOW_ROUND_TRIP_MS {
        let advice = "every event waits for some of these: put the nodes near the server";
        return findings.warning("server clock", text, advice);
    }
    findings.good("server clock", text);
}
