//! When a key was last used: known at once, written down now and then, and still known after a restart.

use std::time::Duration;

use postrider_engine::model::Principal;
use postrider_store::Store as _;

use crate::defaults;
use crate::harness::{House, OPERATOR_KEY, Reply};

#[tokio::test(start_paused = true)]
async fn a_use_is_seen_at_once_and_written_within_a_minute() {
    let mut house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let (made, text) = house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_key(house.account, true, None)
        .await
        .unwrap();
    let noted = async |house: &House| {
        let keys = house.store.load().await.unwrap().keys;
        keys.into_iter().find(|key| key.id == made.id).unwrap().last_used_at
    };
    assert_eq!(house.engine.key(made.id).unwrap().last_used_at, None);
    assert!(house.engine.authenticate(&text).is_some());
    let used = house.engine.key(made.id).unwrap().last_used_at.unwrap();
    assert_eq!((used, noted(&house).await), (house.engine.now(), None), "no write for a request");
    house.pass(Duration::from_secs(61)).await;
    assert_eq!(noted(&house).await, Some(used));

    // What is not written yet when the service stops is written then.
    house.pass(Duration::from_secs(5)).await;
    assert!(house.engine.authenticate(&text).is_some());
    let used = house.engine.key(made.id).unwrap().last_used_at.unwrap();
    house.restart().await;
    assert_eq!(house.engine.key(made.id).unwrap().last_used_at, Some(used));
    assert!(house.engine.keys(house.account).unwrap().iter().any(|key| key.last_used_at == Some(used)));
    assert_eq!(house.engine.authenticate(OPERATOR_KEY), Some(Principal::Operator));
}
