//! The operations page: how much room is used, how far back the log goes, what pruning did.

use std::time::Duration;

use crate::client::Visitor;
use crate::harness::{PATIENCE, Service};

#[tokio::test]
async fn operations_tell_the_room_that_the_store_takes_and_how_its_log_is_kept_short() {
    let service = Service::start().await;
    let (account, _) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let page = operator.get("/operations").await.body;
    assert!(page.contains("no event in the log"), "{page}");
    service.send(account, r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#).await;
    service.clock.go_ahead(Duration::from_secs(3 * 24 * 3600));
    let pruned = async { while service.engine.storage().await.unwrap().prunings.last.is_none() {} };
    tokio::time::timeout(PATIENCE, pruned).await.expect("the first pruning ends soon");
    let operator = Visitor::operator(&service).await;
    let page = operator.get("/operations").await.body;
    for told in
        ["KiB", "write-ahead log", "free, used again", "30 days", "nothing was old enough", "about 1 events"]
    {
        assert!(page.contains(told), "{told} is missing: {page}");
    }
    assert!(
        page.contains(r#"<div class="figure">3 days</div><div class="label">back goes the log"#),
        "{page}"
    );
}
