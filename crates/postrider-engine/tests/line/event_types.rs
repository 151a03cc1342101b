//! Event types that the operator makes and changes: seen by the next event, by examples that are sent, and after a restart.

use bytes::Bytes;
use postrider_core::audit::{Actor, Who};
use postrider_core::catalogue::TypePatch;
use postrider_core::delivery::Status;
use postrider_core::payload;
use postrider_engine::model::{EventTypeDraft, Submission};
use postrider_engine::{Acting, AuditFilter, EngineError};

use crate::defaults;
use crate::harness::{House, PAGE, Reply};

const SCHEMA: &str = r#"{"required": ["claim"], "properties": {"claim": {"type": "string"}}}"#;
const EXAMPLE: &str = r#"{ "claim": "C-1",  "livemode": true }"#;

fn operator(house: &House) -> Acting {
    house.engine.by(Who { actor: Actor::Operator, address: None })
}

fn draft(name: &str) -> EventTypeDraft {
    EventTypeDraft {
        name: name.to_owned(),
        description: Some("A claim was opened.".to_owned()),
        schema: Some(SCHEMA.to_owned()),
        example: Some(EXAMPLE.to_owned()),
        validation: true,
    }
}

fn archive(archived: bool) -> TypePatch {
    TypePatch { archived: Some(archived), ..TypePatch::default() }
}

/// As whoever hands events in does it: judged by the catalogue of this moment.
fn judged(house: &House, name: &str, text: &str) -> Submission {
    let event_type = house.event_type(name);
    payload::check(&event_type, text, Some(false)).expect("it fits its type");
    let payload = Bytes::copy_from_slice(text.as_bytes());
    Submission { account: house.account, event_type, livemode: false, payload }
}

#[tokio::test(start_paused = true)]
async fn a_custom_type_goes_the_same_way_and_is_there_after_a_restart() {
    let mut house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    house.endpoint("all.example", |_| {}).await;
    operator(&house).create_event_type(draft("claim.opened"), None).await.unwrap();
    assert!(payload::check(&house.event_type("claim.opened"), r#"{"claim":1}"#, Some(false)).is_err());
    let again = operator(&house).create_event_type(draft("claim.opened"), None).await;
    assert!(matches!(again, Err(EngineError::Conflict(_))), "{again:?}");
    house.restart().await;
    let known = house.event_type("claim.opened");
    assert_eq!((known.schema(), known.example(), known.is_built_in()), (Some(SCHEMA), Some(EXAMPLE), false));
    let sent = house.send_payload("claim.opened", br#"{"claim":"C-2"}"#).await;
    house.until_status(sent.deliveries[0].0, Status::Delivered).await;
    assert_eq!(house.receivers.seen()[0].event_type, "claim.opened");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_judged_again_where_its_type_was_changed_meanwhile() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    operator(&house)
        .create_event_type(EventTypeDraft { schema: None, ..draft("claim.opened") }, None)
        .await
        .unwrap();
    let good = judged(&house, "claim.opened", r#"{"claim":"C"}"#);
    let bad = judged(&house, "claim.opened", r#"{"claim":7}"#);
    let patch = TypePatch { schema: Some(Some(SCHEMA.to_owned())), ..TypePatch::default() };
    operator(&house).update_event_type("claim.opened", patch).await.unwrap();
    let refused = house.engine.ingest(vec![good.clone(), bad.clone()]).await;
    match refused {
        Err(EngineError::EventRefused { index: 1, faults }) => {
            assert_eq!(faults[0].pointer, "/payload/claim")
        }
        other => panic!("{other:?}"),
    }
    house.engine.ingest(vec![good.clone()]).await.unwrap();
    operator(&house).update_event_type("claim.opened", archive(true)).await.unwrap();
    match house.engine.ingest(vec![good.clone()]).await {
        Err(EngineError::EventRefused { index: 0, faults }) => {
            assert_eq!(faults[0].pointer, "/type");
            assert!(faults[0].detail.contains("archived"), "{}", faults[0].detail);
        }
        other => panic!("{other:?}"),
    }
    operator(&house).update_event_type("claim.opened", archive(false)).await.unwrap();
    house.engine.ingest(vec![good]).await.unwrap();
    assert_eq!(house.engine.events(Default::default(), PAGE).await.unwrap().rows.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_before_its_type_was_archived_is_sent_and_resent() {
    let house =
        House::build(defaults(), |_, before| Reply::Status(if before == 0 { 500 } else { 200 })).await;
    house.endpoint("all.example", |_| {}).await;
    operator(&house).create_event_type(draft("claim.opened"), None).await.unwrap();
    let sent = house.send_payload("claim.opened", br#"{"claim":"C"}"#).await;
    operator(&house).update_event_type("claim.opened", archive(true)).await.unwrap();
    house.until_status(sent.deliveries[0].0, Status::Delivered).await;
    let again = operator(&house).resend(sent.deliveries[0].0, None).await.unwrap();
    house.until_status(again.id, Status::Delivered).await;
    assert_eq!(house.engine.event(sent.id).await.unwrap().event_type, "claim.opened");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_sent_the_example_of_a_custom_type() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("all.example", |_| {}).await.endpoint.id;
    operator(&house).create_event_type(draft("claim.opened"), None).await.unwrap();
    operator(&house)
        .create_event_type(EventTypeDraft { example: None, ..draft("claim.closed") }, None)
        .await
        .unwrap();
    let (submission, accepted) =
        operator(&house).send_test(endpoint, Some("claim.opened"), |_| None).await.unwrap();
    assert_eq!(submission.payload, r#"{"claim":"C-1","livemode":false}"#, "in the endpoint's mode");
    house.until_status(accepted.deliveries[0].0, Status::Delivered).await;
    operator(&house).update_event_type("claim.opened", archive(true)).await.unwrap();
    for (name, words) in
        [("claim.opened", "archived"), ("claim.closed", "no example"), ("no.such", "no event type")]
    {
        let refused = operator(&house).send_test(endpoint, Some(name), |_| None).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains(words), "{name}: {refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_in_the_audit_log_and_what_changes_nothing_is_not() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let hand = operator(&house);
    hand.create_event_type(draft("claim.opened"), None).await.unwrap();
    let off =
        TypePatch { validation: Some(false), description: Some(Some("New.".to_owned())), ..archive(true) };
    for _ in 0..2 {
        hand.update_event_type("policy.created", off.clone()).await.unwrap();
    }
    for (name, patch) in [
        ("endpoint.failing", TypePatch::default()),
        ("no.such", TypePatch::default()),
        ("claim.opened", TypePatch { schema: Some(Some("7".to_owned())), ..TypePatch::default() }),
    ] {
        let refused = hand.update_event_type(name, patch).await;
        match name {
            "endpoint.failing" => assert!(matches!(refused, Err(EngineError::Conflict(_))), "{refused:?}"),
            "no.such" => assert!(matches!(refused, Err(EngineError::NotFound)), "{refused:?}"),
            _ => assert!(matches!(refused, Err(EngineError::Invalid(_))), "{refused:?}"),
        }
    }
    let entries = house.engine.audit(AuditFilter::default(), PAGE).await.unwrap().rows;
    let of_types: Vec<_> = entries
        .iter()
        .filter(|entry| entry.action.starts_with("event_type."))
        .map(|entry| (&*entry.action, entry.target.as_str(), entry.fields.join(",")))
        .collect();
    assert_eq!(
        of_types,
        [
            ("event_type.updated", "policy.created", "description,validation,archived".to_owned()),
            ("event_type.created", "claim.opened", String::new()),
        ]
    );
    assert_eq!(entries[0].who.actor, Actor::Operator);
}
