//! What the operator is told: operational events, without loops and without floods.

use std::time::Duration;

use postrider_core::id::AccountId;
use postrider_engine::model::EndpointDraft;
use postrider_engine::{EngineConfig, EngineError, EventFilter};

use crate::harness::{House, PAGE, Reply, Seen, settings};

/// An endpoint of the operator's account.
async fn operator_endpoint(house: &House, host: &str) {
    let account = AccountId::OPERATOR;
    let draft = EndpointDraft { account, livemode: false, settings: settings(host, |_| {}), secret: None };
    house.engine.by(postrider_core::audit::Who::SERVICE).create_endpoint(draft).await.unwrap();
}

/// What arrived at the operator's endpoint: event types with their payloads as text.
fn told(house: &House) -> Vec<(String, String)> {
    let seen = house.receivers.seen().into_iter().filter(|seen| seen.host == "operator.example");
    seen.map(|seen| (seen.event_type, String::from_utf8(seen.body.to_vec()).unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_operator_is_told_when_an_endpoint_fails_recovers_and_is_disabled() {
    let began = tokio::time::Instant::now();
    let script = move |seen: &Seen, _: usize| match seen.host.as_str() {
        "outage.example" if began.elapsed() < Duration::from_secs(300) => Reply::Status(500),
        "outage.example" if began.elapsed() > Duration::from_secs(2_500) => Reply::Status(410),
        _ => Reply::Status(200),
    };
    let retry_schedule = "5s,10s,20s,40s,60s,60s,60s,60s".parse().unwrap();
    let house = House::build(EngineConfig { retry_schedule, ..EngineConfig::default() }, script).await;
    operator_endpoint(&house, "operator.example").await;
    let endpoint = house.endpoint("outage.example", |_| {}).await.endpoint.id;
    for _ in 0..6 {
        house.send("policy.created").await;
        house.pass(Duration::from_secs(8)).await;
    }
    house.pass(Duration::from_secs(3_000)).await;
    house.send("policy.created").await;
    house.pass(Duration::from_secs(10)).await;
    let told = told(&house);
    let types: Vec<&str> = told.iter().map(|(event_type, _)| event_type.as_str()).collect();
    assert_eq!(types, ["endpoint.failing", "endpoint.recovered", "endpoint.disabled"]);
    assert!(told.iter().all(|(_, payload)| payload.contains(&endpoint.to_string())));
    assert!(told[2].1.contains("\"gone\""));
    let to_customer = house.receivers.seen().into_iter().filter(|seen| seen.host == "outage.example");
    assert!(to_customer.map(|seen| seen.event_type).all(|event_type| event_type == "policy.created"));
}

#[tokio::test(start_paused = true)]
async fn exhausted_deliveries_are_told_at_most_once_a_minute_with_a_count() {
    let config = EngineConfig { retry_schedule: "1s".parse().unwrap(), ..EngineConfig::default() };
    let script =
        |seen: &Seen, _: usize| Reply::Status(if seen.host == "operator.example" { 200 } else { 500 });
    let house = House::build(config, script).await;
    operator_endpoint(&house, "operator.example").await;
    house.endpoint("down.example", |_| {}).await;
    for _ in 0..4 {
        house.send("policy.created").await;
    }
    house.pass(Duration::from_secs(50)).await;
    let exhausted = || -> Vec<String> {
        let told = told(&house).into_iter().filter(|(event_type, _)| event_type == "delivery.exhausted");
        told.map(|(_, payload)| payload).collect()
    };
    assert_eq!(exhausted().len(), 1);
    assert!(exhausted()[0].contains("\"count\":1"));
    house.pass(Duration::from_secs(30)).await;
    assert_eq!(exhausted().len(), 2);
    assert!(exhausted()[1].contains("\"count\":3"), "{:?}", exhausted());
    house.pass(Duration::from_secs(200)).await;
    assert_eq!(exhausted().len(), 2, "nothing more happened");
}

#[tokio::test(start_paused = true)]
async fn the_operator_s_own_endpoints_raise_nothing() {
    let config = EngineConfig { retry_schedule: "1s".parse().unwrap(), ..EngineConfig::default() };
    let script =
        |seen: &Seen, _: usize| Reply::Status(if seen.host == "operator.example" { 410 } else { 500 });
    let house = House::build(config, script).await;
    operator_endpoint(&house, "operator.example").await;
    house.endpoint("down.example", |_| {}).await;
    house.send("policy.created").await;
    house.pass(Duration::from_secs(100)).await;
    let filter = EventFilter { account: Some(AccountId::OPERATOR), ..EventFilter::default() };
    let raised = house.engine.events(filter, PAGE).await.unwrap().rows;
    let types: Vec<&str> = raised.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["delivery.exhausted"]);
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).delete_account(AccountId::OPERATOR).await,
        Err(EngineError::Conflict(_))
    ));
}
