//! Somebody changes an endpoint's URL in the database, to have its headers sent elsewhere.

use std::path::Path;
use std::time::Duration;

use postrider_core::audit::Who;
use postrider_core::delivery::Status;
use postrider_core::endpoint::CustomHeader;
use postrider_engine::EngineError;
use postrider_engine::model::EndpointPatch;

use crate::defaults;
use crate::harness::{House, Reply};

/// Puts a text of the same length in the place of another, wherever it stands in a file.
fn replace(file: &Path, old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let mut bytes = std::fs::read(file).unwrap();
    let found: Vec<usize> =
        bytes.windows(old.len()).enumerate().filter(|(_, window)| *window == old).map(|(at, _)| at).collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    std::fs::write(file, bytes).unwrap();
    // Closing has copied the log into the file. Left behind, it would bring back what stood there.
    let log = file.with_extension("db-wal");
    if log.exists() {
        std::fs::remove_file(log).unwrap();
    }
}

fn header() -> Vec<CustomHeader> {
    vec![CustomHeader::parse("Authorization", "Bearer a-token", "X-KASKO-").unwrap()]
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_to_a_url_that_was_changed_in_the_database_until_new_values_are_set() {
    let mut house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let tampered = house.endpoint("right.example", |settings| settings.headers = header()).await.endpoint.id;
    let other = house.endpoint("other.example", |_| {}).await.endpoint.id;
    house.restart_after(|file| replace(file, b"https://right.example/", b"https://wrong.example/")).await;

    let view = house.engine.endpoint(tampered).unwrap();
    assert!(view.endpoint.unreadable.secret && view.endpoint.unreadable.headers);
    assert!(house.engine.endpoint(other).unwrap().endpoint.is_readable());
    let sent = house.send("policy.created").await;
    let engine = house.engine.clone();
    let delivery_to = async |id| {
        for (delivery, _) in &sent.deliveries {
            if engine.delivery(*delivery).await.unwrap().endpoint == id {
                return *delivery;
            }
        }
        panic!("every endpoint gets it");
    };
    let (held, going) = (delivery_to(tampered).await, delivery_to(other).await);
    house.until_status(going, Status::Delivered).await;
    house.pass(Duration::from_secs(600)).await;
    let delivery = house.engine.delivery(held).await.unwrap();
    assert_eq!((delivery.status, delivery.attempt_count), (Status::Pending, 0));
    assert!(house.receivers.seen().iter().all(|seen| seen.host == "other.example"));
    let metrics = house.engine.metrics().await;
    assert!(metrics.iter().any(|metric| metric.name == "postrider_unreadable_endpoints"));

    // The secret is not shown, and a new one takes its place at once, whatever overlap is asked for.
    let acting = house.engine.by(Who::SERVICE);
    assert!(matches!(acting.secrets(tampered).await, Err(EngineError::Conflict(_))));
    let (view, secret) = acting.rotate_secret(tampered, None, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(
        (view.endpoint.secrets.signing(house.engine.now()), &view.endpoint.secrets.next),
        (&secret, &None)
    );
    // A change of something else leaves the headers unreadable, and the endpoint without requests.
    let renamed = EndpointPatch { description: Some("renamed".to_owned()), ..EndpointPatch::default() };
    let view = acting.update_endpoint(tampered, renamed).await.unwrap();
    assert!(!view.endpoint.unreadable.secret && view.endpoint.unreadable.headers);
    house.pass(Duration::from_secs(60)).await;
    assert_eq!(house.engine.delivery(held).await.unwrap().status, Status::Pending);
    let patch = EndpointPatch {
        url: Some("https://right.example/hook".parse().unwrap()),
        headers: Some(header()),
        ..EndpointPatch::default()
    };
    let view = acting.update_endpoint(tampered, patch).await.unwrap();
    assert!(view.endpoint.is_readable());
    house.until_status(held, Status::Delivered).await;
    let seen = house.receivers.seen().pop().unwrap();
    assert_eq!(seen.host, "right.example");
    assert!(seen.headers.contains(&("Authorization".to_owned(), "Bearer a-token".to_owned())));
    assert_eq!(seen.signature, postrider_signature::kasko::sign(secret.expose(), &seen.body));
}

#[tokio::test(start_paused = true)]
async fn with_its_own_url_everything_opens_again() {
    let mut house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let view = house.endpoint("right.example", |settings| settings.headers = header()).await;
    let (id, secrets) = (view.endpoint.id, view.endpoint.secrets.clone());
    house.restart_after(|file| replace(file, b"https://right.example/", b"https://wrong.example/")).await;
    let sent = house.send("policy.created").await;
    let patch = EndpointPatch {
        url: Some("https://right.example/hook".parse().unwrap()),
        ..EndpointPatch::default()
    };
    let view = house.engine.by(Who::SERVICE).update_endpoint(id, patch).await.unwrap();
    assert!(view.endpoint.is_readable());
    assert_eq!((&view.endpoint.secrets, &view.endpoint.settings.headers), (&secrets, &header()));
    house.until_status(sent.deliveries[0].0, Status::Delivered).await;
}
