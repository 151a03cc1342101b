//! PgBouncer between a node and its server.

use postrider_pgtemp::{Cluster, PoolMode, Pooler};

use super::{Database, SOON, world};
use crate::Store as _;
use crate::postgres::{ConnectError, PostgresOptions, PostgresStore};

#[tokio::test]
async fn a_pooler_in_session_mode_works_and_every_setting_arrives() {
    let database = Database::new();
    let pooler = Pooler::start(Cluster::shared(), PoolMode::Session, 20, "").unwrap();
    let node = database.node_at(&pooler.url(&database.url), SOON).await;
    let world = world(&database, &node);
    let lane = world.lane().await;
    for _ in 0..20 {
        world.accept(&lane).await;
    }
    assert_eq!(node.nodes().await.unwrap().len(), 1);
    let settings = node
        .shared
        .run(|client| {
            Box::pin(async move {
                let asked = "SELECT current_setting('statement_timeout'), current_setting('enable_seqscan'),
                    current_setting('synchronous_commit'), current_setting('idle_in_transaction_session_timeout')";
                let row = client.query_one(asked, &[]).await?;
                Ok([0, 1, 2, 3].map(|index| row.get::<_, String>(index)))
            })
        })
        .await
        .unwrap();
    assert_eq!(settings, ["1min", "off", "on", "750ms"]);
    node.close().await;
}

#[tokio::test]
async fn a_pooler_in_transaction_or_statement_mode_is_refused_at_the_start_and_by_doctor() {
    let database = Database::new();
    for mode in [PoolMode::Transaction, PoolMode::Statement] {
        for others in ["", "server_round_robin = 1"] {
            let pooler = Pooler::start(Cluster::shared(), mode, 20, others).unwrap();
            let url = pooler.url(&database.url);
            let options = PostgresOptions::default();
            let refused = PostgresStore::connect(&url, &database.key, options).await.err();
            let examined = PostgresStore::examine(&url, None).await.err();
            for refused in [refused, examined] {
                let said = refused.map(|error| {
                    assert!(matches!(error, ConnectError::Unfit(_)), "{mode:?}: {error:?}");
                    error.to_string()
                });
                assert!(
                    said.as_ref().is_some_and(|said| said.contains("pool_mode = session")),
                    "{mode:?}: {said:?}"
                );
            }
        }
    }
}
