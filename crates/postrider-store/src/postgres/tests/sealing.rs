//! Sealed values over several nodes: bound to their URLs once no node of the previous release is left, and unreadable for
//! themselves where somebody changed them.

use std::sync::Arc;

use postrider_core::endpoint::{Endpoint, UnreadableValues};
use postrider_core::secret::{Secret, Secrets};

use super::{Database, NEVER, until, world};
use crate::conformance::world::{World, deed_at};
use crate::model::{EndpointUpdate, SecretsChange};
use crate::postgres::{ConnectError, PostgresOptions, PostgresStore, binding, migrations};
use crate::seal::Scheme;
use crate::{Store as _, StoreError};

/// A node as the previous release joins.
const OLD_NODE: &str = "INSERT INTO nodes (name, version, state) VALUES ('old', '0.0.1', 'alive')";
/// The schemes of all sealed values of endpoints.
const SCHEMES: &str =
    "SELECT string_agg(DISTINCT get_byte(value, 0)::text, ',' ORDER BY get_byte(value, 0)::text) FROM (
    SELECT secret AS value FROM endpoints UNION ALL SELECT next_secret FROM endpoints
    UNION ALL SELECT headers FROM endpoints) v WHERE value IS NOT NULL";

/// A database in which a node of the previous release lives.
async fn with_old_node() -> Database {
    let database = Database::new();
    PostgresStore::migrate(&database.url).await.unwrap();
    database.sql(OLD_NODE);
    database
}

async fn endpoint(node: &PostgresStore, no: i64) -> Endpoint {
    let endpoints = node.load().await.unwrap().endpoints;
    endpoints.into_iter().find(|endpoint| endpoint.no.0 == no).unwrap()
}

async fn set_secret(world: &World<'_>, endpoint: &Endpoint, byte: u8) -> Result<Secrets, StoreError> {
    let after = Secrets::only(Secret::generate(&[byte; 32]));
    let change = SecretsChange {
        endpoint_no: endpoint.no,
        endpoint: endpoint.id,
        account_no: endpoint.account_no,
        before: endpoint.secrets.clone(),
        after: after.clone(),
        at: world.now(),
        deed: deed_at(world.now()),
    };
    world.store.set_secrets(change).await.map(|_version| after)
}

/// Whether a program of the previous release may start: it reads this first.
fn may_start(database: &Database) -> bool {
    let newest = "SELECT works_from FROM postrider_schema ORDER BY version DESC LIMIT 1";
    database.sql(newest).parse::<i64>().unwrap() < migrations::SEAL_SCHEMES
}

#[tokio::test]
async fn nothing_is_bound_while_a_node_of_the_previous_release_lives_and_then_everything() {
    let database = with_old_node().await;
    let (first, second) = (database.node(NEVER).await, database.node(NEVER).await);
    let here = world(&database, &first);
    let mut known = Vec::new();
    for byte in 1..=5 {
        let mut lane = here.lane().await;
        lane.endpoint.secrets = set_secret(&here, &lane.endpoint, byte).await.unwrap();
        known.push(lane.endpoint);
    }
    first.init_operator_key([7; 32]).await.unwrap();
    for node in [&first, &second] {
        binding::step(&node.shared).await.unwrap();
        assert!(!node.shared.sealer.refuses_unbound());
    }
    assert_eq!(database.sql(SCHEMES), "1", "it must be able to read all of them");
    assert!(may_start(&database));
    database.sql(OLD_NODE);

    // One leaves, the other falls silent and is taken over.
    database.sql("UPDATE nodes SET state = 'left' WHERE no = 1");
    crate::postgres::nodes::beat(&first.shared, NEVER).await.unwrap();
    binding::step(&first.shared).await.unwrap();
    assert_eq!(database.sql(SCHEMES), "1");
    database.sql("UPDATE nodes SET state = 'dead' WHERE name = 'old' AND state = 'alive'");
    binding::step(&first.shared).await.unwrap();
    assert_eq!(database.sql(SCHEMES), "2");
    assert!(first.shared.sealer.refuses_unbound());
    assert!(!may_start(&database));
    let joining = format!(
        "DO $$ BEGIN {OLD_NODE}; RAISE 'joined'; EXCEPTION WHEN foreign_key_violation THEN NULL; END $$"
    );
    database.sql(&joining);

    // Whoever reads afterwards refuses the old scheme, too.
    for node in [&first, &second] {
        let found = node.load().await.unwrap().endpoints;
        assert!(found.iter().all(Endpoint::is_readable));
        let secrets = |endpoints: &[Endpoint]| -> Vec<Secrets> {
            endpoints.iter().map(|endpoint| endpoint.secrets.clone()).collect()
        };
        assert_eq!(secrets(&found), secrets(&known));
        assert!(node.shared.sealer.refuses_unbound());
        assert_eq!(node.operator_key().await.unwrap(), Some([7; 32]));
    }
    let there = world(&database, &second);
    set_secret(&there, &endpoint(&second, known[0].no.0).await, 9).await.unwrap();
    there.lane().await;
    assert_eq!(database.sql(SCHEMES), "2");
    let third = database.node(NEVER).await;
    assert!(third.shared.sealer.refuses_unbound());
    assert!(third.load().await.unwrap().endpoints.iter().all(Endpoint::is_readable));
}

/// A change that began under the old scheme, and one that holds a row, are not missed.
#[tokio::test]
async fn a_change_that_is_under_way_is_waited_for() {
    let database = with_old_node().await;
    let node = database.node(NEVER).await;
    let here = world(&database, &node);
    let lane = here.lane().await;
    let mut client = node.shared.pool.get().await.unwrap();
    let change = client.transaction().await.unwrap();
    assert_eq!(binding::scheme(&change).await.unwrap(), Scheme::Unbound);
    database.sql("UPDATE nodes SET state = 'dead' WHERE name = 'old'");
    crate::postgres::nodes::beat(&node.shared, NEVER).await.unwrap();
    let shared = Arc::clone(&node.shared);
    let step = tokio::spawn(async move { binding::step(&shared).await });
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(async || database.sql(waits) != "0").await;
    assert_eq!(database.sql(SCHEMES), "1");
    change
        .execute("UPDATE endpoints SET description = 'changed' WHERE no = $1", &[&lane.endpoint.no.0])
        .await
        .unwrap();
    change.commit().await.unwrap();
    step.await.unwrap().unwrap();
    assert_eq!(database.sql(SCHEMES), "2");
    let found = endpoint(&node, lane.endpoint.no.0).await;
    assert_eq!((found.settings.description.as_str(), &found.secrets), ("changed", &lane.endpoint.secrets));
}

/// The node does it by itself.
#[tokio::test]
async fn a_node_alone_on_a_database_of_the_previous_release_binds_everything() {
    let database = with_old_node().await;
    let node = database.node(NEVER).await;
    let here = world(&database, &node);
    here.lane().await;
    node.close().await;
    assert_eq!(database.sql(SCHEMES), "1");
    database.sql("UPDATE nodes SET state = 'left'");
    let node = database.node(NEVER).await;
    until(async || database.sql(SCHEMES) == "2").await;
    until(async || node.shared.sealer.refuses_unbound()).await;
    assert!(endpoint(&node, 1).await.is_readable());
}

#[tokio::test]
async fn changed_values_and_urls_make_their_own_endpoint_unreadable_and_no_other() {
    const BOTH: UnreadableValues = UnreadableValues { secret: true, headers: true };
    const SECRET: UnreadableValues = UnreadableValues { secret: true, headers: false };
    let database = Database::new();
    let node = database.node(NEVER).await;
    until(async || node.shared.sealer.refuses_unbound()).await;
    let here = world(&database, &node);
    let (first, second) = (here.lane().await, here.lane().await);
    let (one, two) = (first.endpoint.no.0, second.endpoint.no.0);
    database.sql("CREATE TABLE kept AS SELECT no, url, secret, headers FROM endpoints");
    let is_without_headers = second.endpoint.settings.headers.is_empty();
    for (tampering, unreadable) in [
        ("url = 'https://evil.example/'".to_owned(), BOTH),
        ("url = 'no URL'".to_owned(), BOTH),
        (format!("secret = (SELECT secret FROM kept WHERE no = {one})"), SECRET),
        ("secret = substring(secret FROM 1 FOR 40)".to_owned(), SECRET),
        ("secret = ''".to_owned(), SECRET),
        ("secret = set_byte(secret, 0, 1)".to_owned(), SECRET),
        ("secret = set_byte(secret, 0, 3)".to_owned(), SECRET),
        ("secret = set_byte(secret, 30, get_byte(secret, 30) # 1)".to_owned(), SECRET),
    ] {
        database.sql(&format!("UPDATE endpoints SET {tampering} WHERE no = {two}"));
        let (other, found) = (endpoint(&node, one).await, endpoint(&node, two).await);
        assert!(other.is_readable() && other.secrets == first.endpoint.secrets, "{tampering}");
        let headers = unreadable.headers && (!is_without_headers || tampering == "url = 'no URL'");
        assert_eq!(found.unreadable, UnreadableValues { headers, ..unreadable }, "{tampering}");
        let examined = PostgresStore::examine(&database.url, Some(&database.key)).await.unwrap();
        assert_eq!((examined.unreadable_endpoints, examined.waits_for_old_nodes), (1, false), "{tampering}");
        let back = "UPDATE endpoints e SET url = k.url, secret = k.secret FROM kept k WHERE k.no = e.no";
        database.sql(back);
        assert!(endpoint(&node, two).await.is_readable());
    }

    // A new secret is bound to the URL that is there; other changes leave what does not open as it is.
    database.sql(&format!("UPDATE endpoints SET url = 'https://evil.example/' WHERE no = {two}"));
    let found = endpoint(&node, two).await;
    let mut renamed = found.clone();
    "another".clone_into(&mut renamed.settings.description);
    node.update_endpoint(&found, &renamed, EndpointUpdate::Settings, deed_at(here.now())).await.unwrap();
    let found = endpoint(&node, two).await;
    assert_eq!((found.unreadable.secret, found.settings.description.as_str()), (true, "another"));
    let new = set_secret(&here, &found, 8).await.unwrap();
    let found = endpoint(&node, two).await;
    assert_eq!((found.secrets, found.unreadable.secret), (new, false));
}

#[tokio::test]
async fn an_operator_key_that_somebody_else_wrote_is_refused() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    until(async || node.shared.sealer.refuses_unbound()).await;
    assert_eq!(node.init_operator_key([7; 32]).await.unwrap(), [7; 32]);
    assert_eq!(node.operator_key().await.unwrap(), Some([7; 32]));
    database.sql("UPDATE meta SET value = sha256('attacker') WHERE name = 'operator_key_sha256'");
    assert!(matches!(node.operator_key().await, Err(StoreError::Conflict(_))));
    database.sql("DELETE FROM meta WHERE name = 'operator_key_seal'");
    assert!(matches!(node.operator_key().await, Err(StoreError::Conflict(_))));
    assert!(matches!(node.init_operator_key([9; 32]).await, Err(StoreError::Conflict(_))));
    database.sql("DELETE FROM meta WHERE name = 'operator_key_sha256'");
    assert_eq!(node.init_operator_key([9; 32]).await.unwrap(), [9; 32]);
}

#[tokio::test]
async fn a_database_in_use_that_has_lost_its_check_value_is_refused() {
    let database = Database::new();
    let node = database.node(NEVER).await;
    world(&database, &node).lane().await;
    database.sql("DELETE FROM meta WHERE name = 'key_check'");
    let refused = PostgresStore::connect(&database.url, &database.key, PostgresOptions::default()).await;
    assert!(matches!(refused.err(), Some(ConnectError::WrongKey)));
}
