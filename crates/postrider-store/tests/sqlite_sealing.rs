//! What whoever can write the file, but has no master key, comes to: values that were changed, moved or put beside another
//! URL do not open, and nobody else's are affected. And a file of the previous release, whose values no URL is bound to.

#![expect(clippy::unwrap_used, reason = "these are tests: a panic is how they fail")]

#[path = "support/place.rs"]
#[expect(dead_code, reason = "these tests accept no events")]
mod place;

use std::time::Duration;

use place::{HEADER_VALUE, Lane, Place};
use postrider_core::endpoint::{Endpoint, UnreadableValues};
use postrider_core::secret::{NextSecret, Secret, Secrets};
use postrider_store::error::OpenError;
use postrider_store::model::{EndpointUpdate, SecretsChange};
use postrider_store::seal::{self, Scheme};
use postrider_store::sqlite::{SqliteOptions, SqliteStore};
use postrider_store::{Store as _, StoreError};
use rusqlite::{Connection, params};

const SECRET: UnreadableValues = UnreadableValues { secret: true, headers: false };
const HEADERS: UnreadableValues = UnreadableValues { secret: false, headers: true };
const BOTH: UnreadableValues = UnreadableValues { secret: true, headers: true };

async fn endpoints(store: &SqliteStore) -> Vec<Endpoint> {
    store.load().await.unwrap().endpoints
}

/// Gives an endpoint a second secret, which takes over later.
async fn rotate(place: &Place, store: &SqliteStore, endpoint: &Endpoint) -> Secrets {
    let next = NextSecret { secret: Secret::generate(&[9; 32]), takes_over_at: place.now() };
    let after = Secrets { next: Some(next), ..endpoint.secrets.clone() };
    set_secrets(place, store, endpoint, after.clone()).await.unwrap();
    after
}

async fn set_secrets(
    place: &Place,
    store: &SqliteStore,
    endpoint: &Endpoint,
    after: Secrets,
) -> Result<i64, StoreError> {
    let change = SecretsChange {
        endpoint_no: endpoint.no,
        endpoint: endpoint.id,
        account_no: endpoint.account_no,
        before: endpoint.secrets.clone(),
        after,
        at: place.now(),
        deed: place.deed(),
    };
    store.set_secrets(change).await
}

#[tokio::test]
async fn changed_values_and_urls_make_their_own_endpoint_unreadable_and_no_other() {
    let copied = |column| {
        format!("UPDATE endpoints SET {column} = (SELECT {column} FROM endpoints WHERE no = 1) WHERE no = 2")
    };
    for (tampering, unreadable) in [
        ("UPDATE endpoints SET url = 'https://evil.example/hook' WHERE no = 2".to_owned(), BOTH),
        ("UPDATE endpoints SET url = 'https://receiver.example/hook#' WHERE no = 2".to_owned(), BOTH),
        ("UPDATE endpoints SET url = 'no URL at all' WHERE no = 2".to_owned(), BOTH),
        ("UPDATE endpoints SET url = '' WHERE no = 2".to_owned(), BOTH),
        (copied("secret"), SECRET),
        (copied("next_secret"), SECRET),
        (copied("headers"), HEADERS),
        ("UPDATE endpoints SET next_secret = secret WHERE no = 2".to_owned(), SECRET),
        ("UPDATE endpoints SET headers = secret WHERE no = 2".to_owned(), HEADERS),
        ("UPDATE endpoints SET secret = substr(secret, 1, 30) WHERE no = 2".to_owned(), SECRET),
        ("UPDATE endpoints SET secret = x'' WHERE no = 2".to_owned(), SECRET),
        ("UPDATE endpoints SET headers = x'02' WHERE no = 2".to_owned(), HEADERS),
        (
            "UPDATE endpoints SET headers = CAST(x'01' || substr(headers, 2) AS BLOB) WHERE no = 2"
                .to_owned(),
            HEADERS,
        ),
        (
            "UPDATE endpoints SET headers = CAST(x'03' || substr(headers, 2) AS BLOB) WHERE no = 2"
                .to_owned(),
            HEADERS,
        ),
    ] {
        let place = Place::new();
        let store = place.open();
        let (first, second) = (place.lane(&store).await, place.lane(&store).await);
        assert_eq!((first.endpoint.no.0, second.endpoint.no.0), (1, 2));
        rotate(&place, &store, &first.endpoint).await;
        rotate(&place, &store, &second.endpoint).await;
        let before = endpoints(&store).await;
        let other = Connection::open(&place.path).unwrap();
        assert_eq!(other.execute(&tampering, []).unwrap(), 1, "{tampering}");
        let found = endpoints(&store).await;
        assert_eq!(found[0], before[0], "{tampering}");
        assert_eq!(found[1].unreadable, unreadable, "{tampering}");
        assert_eq!(found[1].secrets == before[1].secrets, !unreadable.secret, "{tampering}");
        assert_eq!(found[1].settings.headers.is_empty(), unreadable.headers, "{tampering}");
        drop(store);
        assert_eq!(endpoints(&place.open()).await, found, "{tampering}");
        let examined = SqliteStore::examine(&place.path, Some(&place.key)).unwrap();
        assert_eq!(examined.unreadable_endpoints, 1, "{tampering}");
    }
}

#[tokio::test]
async fn a_change_of_the_url_binds_everything_to_the_new_one() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let secrets = rotate(&place, &store, &lane.endpoint).await;
    let before = endpoints(&store).await.remove(0);
    let mut after = before.clone();
    after.settings.url = "https://moved.example/".parse().unwrap();
    store.update_endpoint(&before, &after, EndpointUpdate::Settings, place.deed()).await.unwrap();
    drop(store);
    let store = place.open();
    let found = endpoints(&store).await.remove(0);
    assert_eq!((&found.settings, &found.secrets, found.is_readable()), (&after.settings, &secrets, true));

    let other = Connection::open(&place.path).unwrap();
    other.execute("UPDATE endpoints SET url = ?1", [before.settings.url.as_str()]).unwrap();
    assert_eq!(endpoints(&store).await[0].unreadable, BOTH, "the old URL is another one now");
}

/// As a person does it who has seen that the URL was changed.
#[tokio::test]
async fn what_does_not_open_stays_until_new_values_or_the_right_url_are_set() {
    let place = Place::new();
    let store = place.open();
    let lane = place.lane(&store).await;
    let good = endpoints(&store).await.remove(0);
    let other = Connection::open(&place.path).unwrap();
    other.execute("UPDATE endpoints SET url = 'https://evil.example/'", []).unwrap();
    let update = async |before: &Endpoint, after: &Endpoint| {
        store.update_endpoint(before, after, EndpointUpdate::Settings, place.deed()).await.unwrap();
        endpoints(&store).await.remove(0)
    };

    // Whoever still knows it as it was is told that it was changed.
    let mut renamed = good.clone();
    "another".clone_into(&mut renamed.settings.description);
    let refused = store.update_endpoint(&good, &renamed, EndpointUpdate::Settings, place.deed()).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));

    // Another change keeps what does not open.
    let found = endpoints(&store).await.remove(0);
    let mut after = found.clone();
    "another".clone_into(&mut after.settings.description);
    let found = update(&found, &after).await;
    assert_eq!(found.unreadable, BOTH);

    // With the URL that it is bound to everything opens again.
    let mut after = found.clone();
    after.settings.url = good.settings.url.clone();
    let found = update(&found, &after).await;
    assert_eq!((&found.secrets, &found.settings.headers), (&good.secrets, &good.settings.headers));
    assert!(found.is_readable());

    // New values are bound to the URL that is there.
    other.execute("UPDATE endpoints SET url = 'https://right.example/'", []).unwrap();
    let found = endpoints(&store).await.remove(0);
    assert_eq!(found.unreadable, BOTH);
    let new = Secrets::only(Secret::generate(&[3; 32]));
    set_secrets(&place, &store, &found, new.clone()).await.unwrap();
    let found = endpoints(&store).await.remove(0);
    assert_eq!((&found.secrets, found.unreadable), (&new, HEADERS));
    let mut after = found.clone();
    after.settings.headers = good.settings.headers.clone();
    after.unreadable.headers = false;
    let found = update(&found, &after).await;
    assert_eq!((&found.secrets, &found.settings.headers), (&new, &good.settings.headers));
    assert!(found.is_readable());
    assert_eq!(found.id, lane.endpoint.id);
}

/// An endpoint's number, id and URL, and its secret, next secret and headers as they are sealed.
type Row = (i64, [u8; 16], String, [Option<Vec<u8>>; 3]);

/// Writes everything in the file as the previous release did: bound to no URL.
fn as_the_previous_release(place: &Place) {
    let sealer = place.sealer();
    let connection = Connection::open(&place.path).unwrap();
    let mut rows =
        connection.prepare("SELECT no, id, url, secret, next_secret, headers FROM endpoints").unwrap();
    let rows: Vec<Row> = rows
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, [row.get(3)?, row.get(4)?, row.get(5)?]))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (no, id, url, values) in rows {
        for (column, value) in ["secret", "next_secret", "headers"].into_iter().zip(values) {
            let at = seal::Place { table: "endpoints", column, row: &id };
            let Some(value) = value else { continue };
            let old = sealer.seal(at, &sealer.open_bound(at, &url, &value).unwrap());
            let sql = format!("UPDATE endpoints SET {column} = ?2 WHERE no = ?1");
            connection.execute(&sql, params![no, old]).unwrap();
        }
    }
    let at = seal::Place { table: "meta", column: "value", row: b"key_check" };
    let check = sealer.seal(at, b"postrider");
    connection.execute("UPDATE meta SET value = ?1 WHERE name = 'key_check'", [check]).unwrap();
    connection.execute("DELETE FROM meta WHERE name = 'operator_key_seal'", []).unwrap();
}

/// Adds many endpoints like the first one, as the previous release would have made them.
fn add_endpoints(place: &Place, count: u64) {
    let (sealer, connection) = (place.sealer(), Connection::open(&place.path).unwrap());
    connection.execute_batch("BEGIN").unwrap();
    for number in 0..count {
        let mut id = [0xee; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        let at = seal::Place { table: "endpoints", column: "secret", row: &id };
        let secret = sealer.seal(at, Secret::generate(&[5; 32]).expose().as_bytes());
        let sql = "INSERT INTO endpoints (id, account_no, livemode, url, event_types, description, secret, timeout_ms,
                max_in_flight, ordered, standard_webhooks, state, health, created_at, updated_at)
            SELECT ?1, account_no, livemode, url, event_types, description, ?2, timeout_ms,
                max_in_flight, ordered, standard_webhooks, state, health, created_at, updated_at
            FROM endpoints WHERE no = 1";
        connection.execute(sql, params![id, secret]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

fn schemes(place: &Place) -> Vec<Option<Scheme>> {
    let connection = Connection::open(&place.path).unwrap();
    let sql = "SELECT secret FROM endpoints UNION ALL SELECT next_secret FROM endpoints WHERE next_secret IS NOT NULL
        UNION ALL SELECT headers FROM endpoints WHERE headers IS NOT NULL
        UNION ALL SELECT value FROM meta WHERE name = 'key_check'";
    let mut values = connection.prepare(sql).unwrap();
    let values = values.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    values.map(|value| Scheme::of(&value.unwrap())).collect()
}

/// Waits until the file says that everything is bound.
async fn until_bound(place: &Place) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let bound = async {
        while schemes(place).iter().any(|scheme| *scheme != Some(Scheme::Bound)) {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), bound).await.expect("everything is bound in the end");
}

#[tokio::test]
async fn a_file_of_the_previous_release_is_read_and_bound_in_parts_and_then_refuses_its_values() {
    let place = Place::new();
    let store = place.open();
    let lane: Lane = place.lane(&store).await;
    let secrets = rotate(&place, &store, &lane.endpoint).await;
    assert_eq!(store.init_operator_key([7; 32]).await.unwrap(), [7; 32]);
    drop(store);
    as_the_previous_release(&place);
    add_endpoints(&place, 1_100);
    assert!(schemes(&place).iter().all(|scheme| *scheme == Some(Scheme::Unbound)));
    let old = std::fs::read(&place.path).unwrap();

    let store = place.open();
    let found = endpoints(&store).await;
    assert_eq!(found.len(), 1_101);
    assert!(found.iter().all(Endpoint::is_readable), "before or while everything is bound");
    assert_eq!(store.operator_key().await.unwrap(), Some([7; 32]));
    until_bound(&place).await;
    assert_eq!(endpoints(&store).await, found);
    assert_eq!(found[0].secrets, secrets);
    assert_eq!(found[0].settings.headers[0].value.as_str(), HEADER_VALUE);
    assert_eq!(store.operator_key().await.unwrap(), Some([7; 32]), "it has its seal now");
    drop(store);

    // A value from an old copy, beside whatever URL.
    let copy = place.folder.path().join("old.db");
    std::fs::write(&copy, old).unwrap();
    let connection = Connection::open(&place.path).unwrap();
    connection.execute("ATTACH ?1 AS old", [copy.to_str().unwrap()]).unwrap();
    let replay =
        "UPDATE endpoints SET headers = (SELECT headers FROM old.endpoints o WHERE o.no = endpoints.no),
        url = 'https://evil.example/' WHERE no = 1";
    assert_eq!(connection.execute(replay, []).unwrap(), 1);
    drop(connection);
    let store = place.open();
    let again = endpoints(&store).await;
    assert_eq!(again[0].unreadable, BOTH);
    assert_eq!(again[1..], found[1..]);
}

/// One that fails to open is nobody else's trouble, in the first start of the new release as well.
#[tokio::test]
async fn what_does_not_open_in_a_file_of_the_previous_release_stays_as_it_is() {
    let place = Place::new();
    let store = place.open();
    let (first, second) = (place.lane(&store).await, place.lane(&store).await);
    drop(store);
    as_the_previous_release(&place);
    let connection = Connection::open(&place.path).unwrap();
    let damage = "UPDATE endpoints SET secret = substr(secret, 1, 40) WHERE no = ?1";
    connection.execute(damage, [first.endpoint.no.0]).unwrap();
    let store = place.open();
    let bound = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while schemes(&place).last() != Some(&Some(Scheme::Bound)) {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), bound).await.expect("the rest is bound");
    let found = endpoints(&store).await;
    assert_eq!(found[0].unreadable, SECRET);
    assert_eq!((&found[1].secrets, found[1].is_readable()), (&second.endpoint.secrets, true));
}

#[tokio::test]
async fn an_operator_key_that_somebody_else_wrote_is_refused() {
    for tampering in [
        "UPDATE meta SET value = x'0808080808080808080808080808080808080808080808080808080808080808'
            WHERE name = 'operator_key_sha256'",
        "DELETE FROM meta WHERE name = 'operator_key_seal'",
        "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'key_check') WHERE name = 'operator_key_seal'",
    ] {
        let place = Place::new();
        let store = place.open();
        assert_eq!(store.init_operator_key([7; 32]).await.unwrap(), [7; 32]);
        let other = Connection::open(&place.path).unwrap();
        assert_eq!(other.execute(tampering, []).unwrap(), 1);
        for _ in 0..2 {
            assert!(matches!(store.operator_key().await, Err(StoreError::Conflict(_))), "{tampering}");
            assert!(matches!(store.init_operator_key([9; 32]).await, Err(StoreError::Conflict(_))));
        }
        other.execute("DELETE FROM meta WHERE name = 'operator_key_sha256'", []).unwrap();
        assert_eq!(store.operator_key().await.unwrap(), None);
        assert_eq!(store.init_operator_key([9; 32]).await.unwrap(), [9; 32], "a new one takes its place");
        assert_eq!(store.operator_key().await.unwrap(), Some([9; 32]));
    }
}

/// Otherwise whoever deletes it could have everything sealed by the key that the service is given next.
#[tokio::test]
async fn a_file_in_use_that_has_lost_its_check_value_is_refused() {
    let place = Place::new();
    let store = place.open();
    place.lane(&store).await;
    drop(store);
    let other = Connection::open(&place.path).unwrap();
    other.execute("DELETE FROM meta WHERE name = 'key_check'", []).unwrap();
    drop(other);
    let refused = SqliteStore::open(&place.path, place.key.clone(), SqliteOptions::default());
    assert!(matches!(refused.err(), Some(OpenError::WrongKey { .. })));
}
