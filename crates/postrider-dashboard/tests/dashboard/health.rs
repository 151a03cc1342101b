//! An endpoint's health in words: the badge, how far it is from failing, and the rule that holds.

use crate::client::Visitor;
use crate::harness::Service;

const PAYLOAD: &str = r#"{"id":"x","livemode":false,"policy_id":"P","product_id":"I"}"#;

#[tokio::test]
async fn an_endpoints_page_tells_its_health_and_the_rule_that_holds() {
    let service = Service::start().await;
    let (account, endpoint) = service.account("Acme").await;
    let operator = Visitor::operator(&service).await;
    let page = async || operator.get(&format!("/endpoints/{endpoint}")).await.body;
    assert!(page().await.contains("No traffic yet") && !page().await.contains("counts as failing"));

    let received = service.send(account, PAYLOAD).await;
    service.until_attempted(received, 1).await;
    let shown = page().await;
    assert!(shown.contains("Healthy") && shown.contains("100 %"), "{shown}");

    service.receiver.answer(500, "no");
    for _ in 0..3 {
        let failed = service.send(account, PAYLOAD).await;
        service.until_attempted(failed, 1).await;
    }
    let shown = page().await;
    assert!(shown.contains("Degraded") && shown.contains("failed attempts in a row"), "{shown}");
    assert!(
        shown.contains("It counts as failing after") && shown.contains("failures over 30 seconds"),
        "{shown}"
    );
    assert!(
        shown.contains("after 10 failures in a row, of at least 3 deliveries and over at least 30 seconds")
    );
    assert!(shown.contains("failed for 5 days without a success, and at least 10 of them"), "{shown}");
    assert!(!shown.contains("After ten in a row") && !shown.contains("Unsteady"));
    let list = operator.get("/endpoints").await.body;
    assert!(list.contains("Degraded"), "{list}");
}
