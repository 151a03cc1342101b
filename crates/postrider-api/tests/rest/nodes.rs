//! `/v1/nodes`: the one node that SQLite has, told to the operator alone.

use crate::harness::{OPERATOR_KEY, Service};

#[tokio::test]
async fn the_operator_sees_the_node_that_answers() {
    let service = Service::start().await;
    let answer = service.get("/v1/nodes").await;
    let nodes = answer["data"].as_array().unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!((&nodes[0]["id"], &nodes[0]["this"]), (&"node_1".into(), &true.into()));
    assert_eq!((&nodes[0]["pending"], &nodes[0]["leases"]), (&0.into(), &0.into()));
    assert!(answer["next_cursor"].is_null());
    let refused = service.call(OPERATOR_KEY, "GET", "/v1/nodes?limit=5", "").await;
    assert_eq!(refused.status, 400);
    service.stop().await;
}
