//! The configuration, and the schema, over several nodes.

use std::time::{Duration, Instant};

use postrider_core::catalogue::Definition;
use postrider_core::endpoint::{Endpoint, State};
use postrider_core::health::{Failing, FailureRun, Health, RecentAttempts, TRACKED_DELIVERIES};
use postrider_core::service_clock::ServiceTime;
use postrider_core::time::Timestamp;
use postrider_pgtemp::Proxy;

use super::{Database, NEVER, hear, world};
use crate::conformance::world::deed_at;
use crate::model::event_types::EventTypeChange;
use crate::model::{AuditFilter, EndpointUpdate, HealthUpdate, PageRequest, RecordBatch};
use crate::postgres::{ConnectError, PostgresOptions, PostgresStore};
use crate::{AcceptError, Store as _};

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap()
}

/// Whichever node made the change.
#[tokio::test]
async fn an_event_matched_before_a_change_elsewhere_is_matched_again() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let here = world(&database, &first);
    let mut lane = here.lane().await;
    let version = second
        .update_endpoint(
            &lane.endpoint,
            &lane.endpoint,
            EndpointUpdate::State { fresh_health: false },
            deed_at(here.now()),
        )
        .await
        .unwrap();
    let new = here.event(&lane, "{}");
    assert!(matches!(here.try_accept(new).await, Err(AcceptError::ConfigChanged)));
    lane.version = version;
    here.accept(&lane).await;
}

/// Accounts, endpoints, keys; and what their health says, where others must know of it.
#[tokio::test]
async fn a_change_is_heard_of_at_the_other_nodes() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let here = world(&database, &first);
    let lane = here.lane().await;
    let no = lane.account.no;
    hear(&second, |news| news.changed.contains(&no)).await;
    let loaded = second.load_accounts(vec![no]).await.unwrap();
    assert_eq!((loaded.accounts.len(), loaded.keys.len(), loaded.endpoints.len()), (1, 2, 1));
    first.delete_account(no, deed_at(here.now())).await.unwrap();
    hear(&second, |news| news.changed.contains(&no)).await;
    assert!(second.load_accounts(vec![no]).await.unwrap().accounts.is_empty());
}

/// In the middle of an upgrade.
#[tokio::test]
async fn what_only_a_newer_node_can_do_is_in_the_log_for_all() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let here = world(&database, &node);
    here.lane().await;
    database.sql("UPDATE audit SET action = 'endpoint.teleported' WHERE no = (SELECT max(no) FROM audit)");
    let page = PageRequest { limit: 10, before: None };
    let entries = node.audit(AuditFilter::default(), page).await.unwrap().rows;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions[0], "endpoint.teleported");
    assert_eq!(entries.len(), 2);
}

/// Accounts have nothing to do with it.
#[tokio::test]
async fn an_event_type_is_heard_of_at_the_other_nodes() {
    let database = Database::new();
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let here = world(&database, &first);
    let new = crate::conformance::event_types::new(&here, "claim.opened");
    let before = new.definition.clone();
    first.create_event_type(new).await.unwrap();
    hear(&second, |news| news.event_types).await;
    assert_eq!(second.event_types().await.unwrap(), std::slice::from_ref(&before));
    let after = Definition { archived: true, ..before.clone() };
    let change = EventTypeChange { before: Some(before), after: after.clone(), deed: deed_at(here.now()) };
    first.change_event_type(change).await.unwrap();
    hear(&second, |news| news.event_types).await;
    assert_eq!(second.event_types().await.unwrap(), [after]);
}

/// A failed attempt more is nobody else's business, that the endpoint is failing is.
#[tokio::test]
async fn health_is_told_where_it_matters_to_others() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let here = world(&database, &node);
    let lane = here.lane().await;
    let version = || database.sql("SELECT version FROM configuration").parse::<i64>().unwrap();
    let record = async |health| {
        let health = vec![HealthUpdate {
            endpoint_no: lane.endpoint.no,
            health,
            attempts: health.recent,
            state: None,
        }];
        node.record(RecordBatch { records: Vec::new(), health }.into()).await.unwrap();
    };
    let before = version();
    let at = here.now();
    let mut health = postrider_core::health::Health { last_success_at: Some(at), ..Default::default() };
    record(health).await;
    assert_eq!(version(), before);
    health.failing = Some(postrider_core::health::Failing { since: at, probes: 1, next_probe_at: at });
    record(health).await;
    assert_eq!(version(), before + 1);
    health.failing = health.failing.map(|failing| postrider_core::health::Failing { probes: 2, ..failing });
    record(health).await;
    assert_eq!(version(), before + 1);
    health.failing = None;
    health.closed_until = Some(at);
    record(health).await;
    assert_eq!(version(), before + 2);
}

/// Each node writes down what it sees. A success that another one had stays, and so does it that the endpoint fails, until
/// something was received since.
#[tokio::test]
async fn what_one_node_writes_of_health_undoes_nothing_that_another_knows() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    let here = world(&database, &node);
    let lane = here.lane().await;
    let no = lane.endpoint.no;
    let at = |ms: i64| Timestamp::from_ms(here.now().as_ms() + ms);
    let write = async |health| {
        let health = vec![HealthUpdate { endpoint_no: no, health, attempts: health.recent, state: None }];
        node.record(RecordBatch { records: Vec::new(), health }.into()).await.unwrap();
        let loaded = node.load().await.unwrap().endpoints.remove(0).health;
        assert_eq!(node.health(vec![no]).await.unwrap(), [(no, loaded)]);
        let failing = database.sql("SELECT failing FROM endpoints");
        assert_eq!(failing == "t", loaded.is_failing());
        loaded
    };
    let received = |at: Timestamp| Health { last_success_at: Some(at), ..Health::default() };
    let run = Some(FailureRun {
        since: at(1_000),
        failures: 3,
        deliveries: [None; TRACKED_DELIVERIES],
        attempts: 3,
        began: ServiceTime::default(),
        latest: ServiceTime::default(),
    });
    let (early, late) = (received(at(100)), received(at(2_000)));
    assert_eq!(write(late).await, late);
    assert_eq!(
        write(Health { run, ..early }).await,
        Health { run, ..late },
        "the later success is another's"
    );

    let failing = Some(Failing { since: at(5_000), probes: 1, next_probe_at: at(6_000) });
    let fails = Health { run, failing, ..late };
    assert_eq!(write(fails).await, fails);
    let version = || database.sql("SELECT version FROM configuration");
    let before = version();
    let not_heard = Health { run, ..early };
    assert_eq!(write(not_heard).await, fails, "this one has not heard of it");
    assert_eq!(version(), before);
    let recovered = received(at(7_000));
    assert_eq!(write(recovered).await, recovered);
    assert_ne!(version(), before, "that is told");

    // Its receiver asked for nothing to be sent; another node has not heard of that, and had sent its request before.
    let closed = Health { closed_until: Some(at(90_000)), closed_at: Some(at(8_000)), ..recovered };
    assert_eq!(write(closed).await, closed);
    let of_before = received(at(9_000));
    let closing = (closed.closed_until, closed.closed_at);
    let stored = write(of_before).await;
    assert_eq!((stored.closed_until, stored.closed_at), closing);
    let sent_after = received(at(80_000));
    assert_eq!(write(sent_after).await, sent_after, "sent after that");

    // What each node has seen of attempts stands in one row.
    let recent = |text| RecentAttempts::from_text(text).unwrap();
    let seen = |text| Health { recent: recent(text), ..sent_after };
    assert_eq!(write(seen("110")).await.recent, recent("110"));
    assert_eq!(write(seen("01")).await.recent, recent("11001"));
    let (many, last) = ("1".repeat(98), "1".repeat(97) + "001");
    let before = "01".to_owned() + &many;
    assert_eq!(write(seen(&many)).await.recent, recent(&before));
    assert_eq!(write(seen("001")).await.recent, recent(&last));
    let late = Health { recent: recent(&last), ..late };

    let change = Endpoint { state: State::Enabled, ..lane.endpoint.clone() };
    let anew = EndpointUpdate::State { fresh_health: true };
    write(Health { recent: RecentAttempts::default(), ..fails }).await;
    let fails = Health { recent: late.recent, ..fails };
    node.update_endpoint(&change, &change, anew, deed_at(here.now())).await.unwrap();
    assert_eq!(node.health(vec![no]).await.unwrap(), [(no, fails.knowing(&sent_after).begin_anew())]);
    node.delete_endpoint(no, deed_at(here.now())).await.unwrap();
    assert_eq!(node.health(vec![no]).await.unwrap(), []);
}

/// Its connection is cut, and comes back by itself; what was missed meanwhile is found without it.
#[tokio::test]
async fn a_lost_listening_connection_is_noticed_and_made_again() {
    let database = Database::new();
    let proxy = Proxy::start(port_of(&database.url)).unwrap();
    let (far, near) = (database.node_at(&proxy.url(&database.url), NEVER).await, database.node(NEVER).await);
    let here = world(&database, &near);
    let first = here.account("First").await;
    hear(&far, |news| news.changed.contains(&first.no)).await;
    for _ in 0..3 {
        proxy.cut();
        // The heartbeat of this node is far away: only a new connection that listens can tell of this.
        let account = here.account("Another").await;
        hear(&far, |news| news.changed.contains(&account.no)).await;
    }
}

/// Without any notification the next heartbeat finds it.
#[tokio::test]
async fn what_no_notification_tells_of_is_found_by_the_heartbeat() {
    let database = Database::new();
    let lapse = Duration::from_secs(3);
    let (node, other) = (database.node(lapse).await, database.node(NEVER).await);
    node.tasks[1].abort();
    let here = world(&database, &other);
    let began = Instant::now();
    let account = here.account("Account").await;
    hear(&node, |news| news.changed.contains(&account.no)).await;
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn nodes_may_start_together_on_an_empty_database() {
    let database = Database::new();
    let nodes =
        tokio::join!(database.node(NEVER), database.node(NEVER), database.node(NEVER), database.node(NEVER));
    assert_eq!(nodes.0.nodes().await.unwrap().len(), 4);
}

/// A rolling upgrade: the old program goes on with a schema that only grew, and not with one that it can't serve.
#[tokio::test]
async fn a_newer_schema_is_served_where_it_is_marked_as_compatible() {
    let database = Database::new();
    drop(database.node(NEVER).await);
    database.sql("INSERT INTO postrider_schema (version, works_from) VALUES (1000, 1)");
    drop(database.node(NEVER).await);
    database.sql("INSERT INTO postrider_schema (version, works_from) VALUES (1001, 1001)");
    let options = PostgresOptions::default;
    let refused = PostgresStore::connect(&database.url, &database.key, options()).await;
    assert!(matches!(refused.err(), Some(ConnectError::TooNew { found: 1001, .. })));
    let key = crate::seal::MasterKey::generate();
    database.sql("DELETE FROM postrider_schema WHERE version >= 1000");
    let refused = PostgresStore::connect(&database.url, &key, options()).await;
    assert!(matches!(refused.err(), Some(ConnectError::WrongKey)));
}
