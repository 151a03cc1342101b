//! A server that can't be written any more is left for the one that can.

use std::time::{Duration, Instant};

use postrider_core::delivery::Status;
use postrider_pgtemp::{Cluster, Proxy, Settings, Way};

use super::{Database, SOON, hear, until, world};
use crate::postgres::{ConnectError, PostgresOptions, PostgresStore};
use crate::seal::MasterKey;
use crate::{AcceptError, Store as _};

/// How soon events are accepted again once the new primary can be reached.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// A primary and its standby.
fn pair() -> (Cluster, Cluster) {
    let others = [("wal_level", "replica"), ("max_wal_senders", "5"), ("hot_standby", "on")];
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let primary = Cluster::start(Settings { others, ..Settings::default() }).unwrap();
    let standby = primary.standby().unwrap();
    (primary, standby)
}

fn make_read_only(primary: &Cluster) {
    primary.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on").unwrap();
    primary.sql("postgres", "SELECT pg_reload_conf()").unwrap();
}

/// Waits until an event is accepted, and says how long that took.
async fn until_accepted(
    database: &Database,
    node: &std::sync::Arc<PostgresStore>,
    lane: &super::Lane,
) -> Duration {
    let began = Instant::now();
    let world = world(database, node);
    until(async || world.try_accept(world.event(lane, "{}")).await.is_ok()).await;
    began.elapsed()
}

/// Case 48a: the primary becomes read-only, and new connections go to the promoted one.
#[tokio::test]
async fn behind_one_address_a_read_only_server_is_left_for_the_new_primary() {
    let (primary, standby) = pair();
    let database = Database { url: primary.database().unwrap(), key: MasterKey::generate() };
    let proxy = Proxy::start(primary.port()).unwrap();
    let node = database.node_at(&proxy.url(&database.url), SOON).await;
    let lane = world(&database, &node).lane().await;
    until_accepted(&database, &node, &lane).await;
    make_read_only(&primary);
    primary.await_standby().unwrap();
    standby.promote().unwrap();
    proxy.lead_to(standby.port());
    let took = until_accepted(&database, &node, &lane).await;
    assert!(took < BACK_WITHIN, "{took:?}");
}

/// Case 48e: both are named, and the old one is read-only and up.
#[tokio::test]
async fn of_two_hosts_the_one_that_became_read_only_is_left() {
    let (primary, standby) = pair();
    let database = Database { url: primary.database().unwrap(), key: MasterKey::generate() };
    let both = database.url.replace(
        &format!("127.0.0.1:{}", primary.port()),
        &format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port()),
    );
    let node = database.node_at(&both, SOON).await;
    let lane = world(&database, &node).lane().await;
    until_accepted(&database, &node, &lane).await;
    make_read_only(&primary);
    primary.await_standby().unwrap();
    standby.promote().unwrap();
    let took = until_accepted(&database, &node, &lane).await;
    assert!(took < BACK_WITHIN, "{took:?}");
}

/// Case 48f: the old primary comes back as a standby, and the address leads there for a while.
#[tokio::test]
async fn a_standby_behind_the_address_is_left_once_the_primary_is_there() {
    let (primary, standby) = pair();
    let database = Database { url: primary.database().unwrap(), key: MasterKey::generate() };
    let proxy = Proxy::start(primary.port()).unwrap();
    let node = database.node_at(&proxy.url(&database.url), SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    until_accepted(&database, &node, &lane).await;
    primary.await_standby().unwrap();
    primary.stop().unwrap();
    standby.promote().unwrap();
    primary.become_standby().unwrap();
    primary.start_again().unwrap();
    assert!(world.try_accept(world.event(&lane, "{}")).await.is_err(), "a standby takes nothing");
    proxy.lead_to(standby.port());
    let took = until_accepted(&database, &node, &lane).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    until(async || node.may_send()).await;
}

#[tokio::test]
async fn a_database_that_is_not_utf8_or_read_only_is_refused_at_the_start() {
    let cluster = Cluster::start(Settings::default()).unwrap();
    let key = MasterKey::generate();
    let refused = async |database: &str| {
        let url = format!("postgres://postrider@127.0.0.1:{}/{database}", cluster.port());
        let connected = PostgresStore::connect(&url, &key, PostgresOptions::default()).await;
        let error = connected.err().unwrap_or_else(|| panic!("{database} is refused"));
        assert!(matches!(error, ConnectError::Unfit(_)), "{error:?}");
        error.to_string()
    };
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        let made = format!("CREATE DATABASE {name} OWNER postrider ENCODING '{encoding}' TEMPLATE template0");
        cluster.sql("postgres", &made).unwrap();
        let said = refused(&name).await;
        assert!(said.contains(encoding) && said.contains("ENCODING 'UTF8'"), "{said}");
    }
    cluster.sql("postgres", "CREATE DATABASE frozen OWNER postrider").unwrap();
    cluster.sql("postgres", "ALTER DATABASE frozen SET default_transaction_read_only = on").unwrap();
    let said = refused("frozen").await;
    assert!(said.contains("read-only"), "{said}");
}

/// Both are named, and the first is gone without a word, or hangs with its port open: it takes no other's time.
#[tokio::test]
async fn of_two_hosts_one_that_is_silent_is_left() {
    for hangs in [false, true] {
        let (primary, standby) = pair();
        let database = Database { url: primary.database().unwrap(), key: MasterKey::generate() };
        let proxy = Proxy::start(primary.port()).unwrap();
        let both = database.url.replace(
            &format!("127.0.0.1:{}", primary.port()),
            &format!("127.0.0.1:{},127.0.0.1:{}", proxy.port(), standby.port()),
        );
        let node = database.node_at(&both, SOON).await;
        let lane = world(&database, &node).lane().await;
        until_accepted(&database, &node, &lane).await;
        primary.await_standby().unwrap();
        if hangs {
            primary.freeze().unwrap();
        } else {
            // Connections come about, and no byte comes back.
            proxy.freeze(Way::ToNode);
        }
        standby.promote().unwrap();
        let took = until_accepted(&database, &node, &lane).await;
        assert!(took < 2 * BACK_WITHIN, "hangs: {hangs}: {took:?}");
        if hangs {
            primary.thaw().unwrap();
        }
    }
}

/// Commits wait for a standby that is not there: nothing is accepted, whatever is read is read, and what had been committed
/// is found once the standby is back.
#[tokio::test]
async fn while_the_synchronous_standby_is_away_nothing_is_accepted_and_afterwards_nothing_is_missing() {
    let (primary, standby) = pair();
    let database = Database { url: primary.database().unwrap(), key: MasterKey::generate() };
    let node = database.node_at(&database.url, SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    let accepted = world.accept(&lane).await;
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'").unwrap();
    standby.stop().unwrap();
    primary.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'postrider'";
    // The server heeds it a moment later.
    until(async || world.try_accept(world.event(&lane, "{}")).await.is_err()).await;
    assert_eq!(node.delivery(accepted.id).await.unwrap().status, Status::Pending, "reads go on");
    assert_ne!(primary.sql("postgres", waits).unwrap(), "0", "it is not passed off as replicated");
    let again = world.try_accept(world.event(&lane, "{}")).await;
    assert!(matches!(again, Err(AcceptError::Unavailable(_))), "{again:?}");
    standby.start_again().unwrap();
    hear(&node, |news| news.may_be_stranded).await;
    until(async || world.try_accept(world.event(&lane, "{}")).await.is_ok()).await;
    let name = database.url.rsplit('/').next().unwrap();
    let stored = primary.sql(name, "SELECT count(*) FROM queue").unwrap();
    let known = node.ready_numbers(vec![(lane.endpoint.no, 100)]).await.unwrap().len();
    assert_eq!(known.to_string(), stored, "each of them is this node's to send");
}
