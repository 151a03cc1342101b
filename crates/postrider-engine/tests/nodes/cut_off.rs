//! What a node that can't reach the database says, and what other nodes are told to look at again.

use std::time::Duration;

use postrider_engine::EngineError;

use crate::harness::{Database, Reply, SOON};

#[tokio::test]
async fn a_link_revoked_at_one_node_makes_the_others_look_again() {
    let database = Database::new();
    let (first, second) =
        (database.node(|_, _| Reply::Status(200)).await, database.node(|_, _| Reply::Status(200)).await);
    let account = first.account().await;
    second.until_known(account).await;
    let made = first.hand().create_portal_link(account, None, None, None).await.unwrap();
    assert!(second.engine.portal_link(&made.token).await.is_ok());
    let mut changes = second.engine.configuration_changes();
    changes.mark_unchanged();
    first.hand().revoke_portal_link(account, made.link.id).await.unwrap();
    tokio::time::timeout(Duration::from_secs(120), changes.changed()).await.unwrap().unwrap();
    assert!(matches!(second.engine.portal_link(&made.token).await, Err(EngineError::NotFound)));
}

#[tokio::test]
async fn a_node_that_is_cut_off_knows_it_and_says_at_once_that_it_is_not_ready() {
    let database = Database::new();
    let cut_off = database.node_through_proxy(SOON, |_, _| Reply::Status(200)).await;
    let other = database.node_with(SOON, |_, _| Reply::Status(200)).await;
    assert!(!cut_off.engine.is_cut_off() && cut_off.engine.check_ready().await.is_ok());
    cut_off.proxy().freeze(postrider_pgtemp::Way::ToDatabase);
    cut_off.until(|engine| engine.is_cut_off()).await;
    assert!(!other.engine.is_cut_off());
    // Whoever asks is told by a probe that hangs, without waiting for an answer of their own.
    let asked = async {
        for _ in 0..20 {
            assert!(matches!(cut_off.engine.check_ready().await, Err(EngineError::Unavailable(_))));
            let metrics = cut_off.engine.metrics().await;
            let up = metrics.iter().find(|metric| metric.name == "postrider_store_up").unwrap();
            assert!(matches!(up.points[0].value, postrider_engine::metrics::Value::Whole(0)));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked)
        .await
        .expect("it takes less than twenty times its patience");
    cut_off.proxy().thaw();
    cut_off.until(|engine| !engine.is_cut_off()).await;
}
