//! Rotating a secret while events flow: which header is made with which secret, over the end of the overlap and a restart.

use std::time::Duration;

use postrider_core::delivery::Status;
use postrider_core::id::EndpointId;
use postrider_core::secret::Secret;
use postrider_engine::EngineError;

use crate::defaults;
use crate::harness::{House, Reply, Seen};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Sends one event and gives the request that its endpoint saw.
async fn sent(house: &House) -> Seen {
    let accepted = house.send("policy.created").await;
    house.until_status(accepted.deliveries[0].0, Status::Delivered).await;
    house.receivers.seen().pop().unwrap()
}

fn header<'a>(seen: &'a Seen, wanted: &str) -> Option<&'a str> {
    seen.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

/// What the contract's two headers hold for a body that is signed with these secrets.
fn assert_signed(seen: &Seen, secret: &Secret, next: Option<&Secret>) {
    let signature = |secret: &Secret| postrider_signature::kasko::sign(secret.expose(), &seen.body);
    assert_eq!(header(seen, "X-KASKO-Signature"), Some(signature(secret).as_str()));
    assert_eq!(header(seen, "X-KASKO-Signature-Next"), next.map(signature).as_deref());
    let standard = |secret: &Secret| {
        let key = secret.standard_webhooks_key().unwrap();
        let seconds = header(seen, "webhook-timestamp").unwrap().parse().unwrap();
        postrider_signature::standard::sign(&key, &seen.guid, seconds, &seen.body)
    };
    let both: Vec<String> = [Some(secret), next].into_iter().flatten().map(standard).collect();
    assert_eq!(header(seen, "webhook-signature"), Some(both.join(" ").as_str()));
}

async fn house() -> (House, EndpointId, Secret) {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let view = house.endpoint("std.example", |settings| settings.standard_webhooks = true).await;
    let old = view.endpoint.secrets.current.clone();
    (house, view.endpoint.id, old)
}

#[tokio::test(start_paused = true)]
async fn during_the_overlap_both_secrets_sign_and_then_the_new_one_alone() {
    let (house, endpoint, old) = house().await;
    assert_signed(&sent(&house).await, &old, None);
    let overlap = Duration::from_secs(3600);
    let (_, new) = house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .rotate_secret(endpoint, None, overlap)
        .await
        .unwrap();
    assert_ne!(new, old);
    assert_signed(&sent(&house).await, &old, Some(&new));
    let revealed = house.engine.by(postrider_core::audit::Who::SERVICE).secrets(endpoint).await.unwrap();
    assert_eq!((revealed.secret, revealed.next.unwrap().secret), (old, new.clone()));
    house.pass(overlap).await;
    assert_signed(&sent(&house).await, &new, None);
    let revealed = house.engine.by(postrider_core::audit::Who::SERVICE).secrets(endpoint).await.unwrap();
    assert_eq!((revealed.secret, revealed.next), (new.clone(), None));
    // What is not used any more is not kept either.
    house.pass(Duration::from_secs(90)).await;
    let kept = house.engine.endpoint(endpoint).unwrap().endpoint.secrets.clone();
    assert_eq!((kept.current, kept.next), (new, None));
}

#[tokio::test(start_paused = true)]
async fn an_overlap_goes_on_and_ends_across_restarts() {
    let (mut house, endpoint, old) = house().await;
    let new = Secret::generate(&[9; 32]);
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .rotate_secret(endpoint, Some(new.clone()), DAY)
        .await
        .unwrap();
    house.restart().await;
    assert_signed(&sent(&house).await, &old, Some(&new));
    house.stop(Duration::from_secs(1)).await;
    // A day passes while the service is down.
    house.offset_ms.fetch_add(i64::try_from(DAY.as_millis()).unwrap(), std::sync::atomic::Ordering::Relaxed);
    house.restart().await;
    assert_signed(&sent(&house).await, &new, None);
}

#[tokio::test(start_paused = true)]
async fn without_an_overlap_and_at_its_end_by_hand_the_new_secret_signs_at_once() {
    let (house, endpoint, old) = house().await;
    let engine = &house.engine;
    let (_, second) = engine
        .by(postrider_core::audit::Who::SERVICE)
        .rotate_secret(endpoint, None, Duration::ZERO)
        .await
        .unwrap();
    assert_signed(&sent(&house).await, &second, None);
    assert!(matches!(
        engine.by(postrider_core::audit::Who::SERVICE).end_secret_overlap(endpoint).await,
        Err(EngineError::Conflict(_))
    ));
    let (_, third) =
        engine.by(postrider_core::audit::Who::SERVICE).rotate_secret(endpoint, None, DAY).await.unwrap();
    assert_signed(&sent(&house).await, &second, Some(&third));
    assert!(matches!(
        engine.by(postrider_core::audit::Who::SERVICE).rotate_secret(endpoint, Some(old), DAY).await,
        Err(EngineError::Conflict(_))
    ));
    engine.by(postrider_core::audit::Who::SERVICE).end_secret_overlap(endpoint).await.unwrap();
    assert_signed(&sent(&house).await, &third, None);
}

#[tokio::test(start_paused = true)]
async fn of_two_rotations_at_the_same_moment_one_is_made() {
    let (house, endpoint, old) = house().await;
    let acting = house.engine.by(postrider_core::audit::Who::SERVICE);
    let (first, second) =
        tokio::join!(acting.rotate_secret(endpoint, None, DAY), acting.rotate_secret(endpoint, None, DAY),);
    let made = match (first, second) {
        (Ok((_, made)), Err(EngineError::Conflict(_))) | (Err(EngineError::Conflict(_)), Ok((_, made))) => {
            made
        }
        other => panic!("one is made and one refused: {other:?}"),
    };
    assert_signed(&sent(&house).await, &old, Some(&made));
}
