//! The server is reached through its Unix socket.

use postrider_pgtemp::{Cluster, Settings};

use super::{Database, NEVER, until, world};
use crate::Store as _;
use crate::postgres::PostgresStore;
use crate::seal::MasterKey;

/// Every way to name a socket leads there, whatever it says of TLS, for the pool and for the connection that listens.
#[tokio::test]
async fn a_database_is_reached_through_a_unix_socket_whatever_sslmode_says() {
    let in_data_folder = ("unix_socket_directories".to_owned(), ".".to_owned());
    let cluster = Cluster::start(Settings { others: vec![in_data_folder], ..Settings::default() }).unwrap();
    let folder = cluster.folder().join("data").display().to_string();
    let (escaped, port) = (folder.replace('/', "%2F"), cluster.port());
    for form in [
        "postgres://postrider@ESCAPED:PORT/NAME",
        "postgres:///NAME?host=FOLDER&port=PORT&user=postrider",
        "postgresql://postrider@/NAME?host=ESCAPED&port=PORT&sslmode=disable",
        "postgres://postrider@ESCAPED:PORT/NAME?sslmode=prefer",
        "postgres://postrider@ESCAPED:PORT/NAME?sslmode=require",
        "postgres://postrider@ESCAPED:PORT/NAME?sslmode=verify-full&sslrootcert=/absent.pem",
    ] {
        let database = Database { url: cluster.database().unwrap(), key: MasterKey::generate() };
        let name = database.url.rsplit('/').next().unwrap();
        let port = port.to_string();
        let url = [("NAME", name), ("ESCAPED", &escaped), ("FOLDER", &folder), ("PORT", &port)]
            .into_iter()
            .fold(form.to_owned(), |url, (place, value)| url.replace(place, value));
        let node = database.node_at(&url, NEVER).await;
        let world = world(&database, &node);
        let lane = world.lane().await;
        world.accept(&lane).await;
        let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND client_addr IS NULL \
            AND datname = current_database()";
        until(async || cluster.sql(name, listening).unwrap().trim() == "1").await;
        let found = PostgresStore::examine(&url, Some(&database.key)).await.unwrap();
        assert_eq!((found.key_fits, found.is_encrypted), (Some(true), false), "{url}");
        node.close().await;
    }
}
