//! The straight line, end to end below the API: what is accepted is matched, signed, sent, retried and recorded.

#[cfg(test)]
mod clock;
#[cfg(test)]
mod commits;
#[cfg(test)]
mod crowds;
mod event_types;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod following;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod held_store;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod operational;
mod recording;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod unreadable;
mod waiting;

use std::time::Duration;

use harness::{House, PAGE, Reply, settings};
use postrider_core::delivery::{CancelReason, Status};
use postrider_core::endpoint::{CustomHeader, DisabledReason, State};
use postrider_core::event_type::Subscription;
use postrider_engine::model::{EndpointDraft, EndpointPatch, StateChange};
use postrider_engine::{DeliveryFilter, EngineConfig, EngineError};

fn defaults() -> EngineConfig {
    let retry_schedule = "10s,20s".parse().expect("a schedule of two delays");
    EngineConfig { retry_schedule, ..EngineConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn an_event_reaches_every_endpoint_that_wants_it_byte_for_byte_and_signed() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let all = house.endpoint("all.example", |_| {}).await;
    house.endpoint("offers.example", |s| s.subscription = Subscription::parse(&["offer.*"]).unwrap()).await;
    let live = EndpointDraft {
        account: house.account,
        livemode: true,
        settings: settings("live.example", |_| {}),
        secret: None,
    };
    house.engine.by(postrider_core::audit::Who::SERVICE).create_endpoint(live).await.unwrap();
    let payload = br#"{ "livemode" : false, "n":1.10,"a":1,"a":2, "big":12345678901234567890123 }"#;
    let accepted = house.send_payload("policy.created", payload).await;
    assert_eq!(accepted.deliveries.len(), 1);
    assert_eq!(accepted.deliveries[0].1, all.endpoint.id);
    let delivery = house.until_status(accepted.deliveries[0].0, Status::Delivered).await;
    let seen = house.receivers.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0].body[..], seen[0].event_type.as_str()), (&payload[..], "policy.created"));
    assert_eq!(seen[0].guid, accepted.id.to_string());
    let secret = all.endpoint.secrets.current.expose();
    assert_eq!(postrider_signature::kasko::verify(secret, payload, &seen[0].signature), Ok(()));
    let attempts = house.engine.attempts(&delivery).await.unwrap();
    assert_eq!((attempts.len(), attempts[0].number, attempts[0].outcome.status()), (1, 1, Some(200)));
    assert_eq!(attempts[0].request.url, "https://all.example/hook");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_by_the_schedule_with_the_same_guid_and_then_exhausted() {
    let house = House::build(defaults(), |_, _| Reply::Status(500)).await;
    house.endpoint("down.example", |_| {}).await;
    let accepted = house.send("policy.created").await;
    let delivery = house.until_status(accepted.deliveries[0].0, Status::Exhausted).await;
    assert_eq!(delivery.attempt_count, 3);
    let seen = house.receivers.seen();
    assert!(seen.iter().all(|seen| seen.guid == accepted.id.to_string()));
    let waits: Vec<f64> = seen.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
    assert!((9.0..11.2).contains(&waits[0]) && (18.0..22.2).contains(&waits[1]), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_asks_for_a_fresh_connection_only_after_a_failure_on_a_reused_one() {
    let house = House::build(defaults(), |seen, before| match seen.host.as_str() {
        "resets.example" => Reply::BreakReused,
        _ if before == 0 => Reply::Status(500),
        _ => Reply::Status(200),
    })
    .await;
    for (host, asks) in [("resets.example", [false, true]), ("errs.example", [false, false])] {
        let endpoint = house.endpoint(host, |_| {}).await.endpoint.id;
        let id = house.send("policy.created").await.deliveries[0].0;
        let delivery = house.until_status(id, Status::Delivered).await;
        assert_eq!(delivery.attempt_count, 2, "{host}");
        let seen = house.receivers.seen();
        let asked: Vec<bool> =
            seen.iter().filter(|seen| seen.host == host).map(|seen| seen.fresh_connection).collect();
        assert_eq!(asked, asks, "{host}");
        house.engine.by(postrider_core::audit::Who::SERVICE).delete_endpoint(endpoint).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_which_the_process_does_not_know_the_failure_asks_for_a_fresh_connection() {
    let mut house = House::build(defaults(), |_, _| Reply::BreakReused).await;
    house.endpoint("resets.example", |_| {}).await;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until(id, |delivery| delivery.attempt_count == 1).await;
    house.restart().await;
    let delivery = house.until_status(id, Status::Delivered).await;
    assert_eq!(delivery.attempt_count, 2);
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_s_failure_does_not_touch_another_s_delivery() {
    let house = House::build(defaults(), |seen, _| match seen.host.as_str() {
        "hangs.example" => Reply::After(Duration::from_secs(60)),
        "refuses.example" => Reply::Refuse,
        _ => Reply::Status(204),
    })
    .await;
    for host in ["hangs.example", "refuses.example", "fine.example"] {
        house.endpoint(host, |_| {}).await;
    }
    let accepted = house.send("policy.updated").await;
    let before = tokio::time::Instant::now();
    house.until_status(accepted.deliveries[2].0, Status::Delivered).await;
    let arrived = house.receivers.seen().into_iter().find(|seen| seen.host == "fine.example").unwrap();
    assert!(arrived.at.saturating_duration_since(before) < Duration::from_secs(1));
    house.until_status(accepted.deliveries[0].0, Status::Exhausted).await;
    house.until_status(accepted.deliveries[1].0, Status::Exhausted).await;
    let fine = house.receivers.seen().into_iter().filter(|seen| seen.host == "fine.example").count();
    assert_eq!(fine, 1, "after a recorded 2xx no attempt is made again");
}

#[tokio::test(start_paused = true)]
async fn a_far_retry_waits_in_the_store_and_survives_a_restart() {
    let config = EngineConfig { retry_schedule: "2h".parse().unwrap(), ..EngineConfig::default() };
    let mut house =
        House::build(config, |_, before| Reply::Status(if before == 0 { 503 } else { 200 })).await;
    house.endpoint("late.example", |_| {}).await;
    let accepted = house.send("policy.created").await;
    let id = accepted.deliveries[0].0;
    house.until(id, |delivery| delivery.next_attempt_at.is_some()).await;
    house.restart().await;
    house.until_status(id, Status::Delivered).await;
    let seen = house.receivers.seen();
    let wait = (seen[1].at - seen[0].at).as_secs();
    assert!((6_480..=7_950).contains(&wait), "two hours and ten percent, not {wait} s");
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_goes_on_after_a_restart() {
    let mut house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("paused.example", |_| {}).await.endpoint.id;
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Pause)
        .await
        .unwrap();
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(house.send("policy.created").await.deliveries[0].0);
    }
    house.restart().await;
    assert_eq!(house.engine.endpoint(endpoint).unwrap().backlog, 50);
    assert!(house.receivers.seen().is_empty(), "a paused endpoint holds its deliveries");
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Resume)
        .await
        .unwrap();
    for id in ids {
        house.until_status(id, Status::Delivered).await;
    }
    assert_eq!(house.engine.endpoint(endpoint).unwrap().backlog, 0);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_beyond_memory_is_delivered_whole_and_once() {
    let config = EngineConfig { lane_queue: 8, loaded_deliveries: 8, payload_bytes: 64, ..defaults() };
    let house = House::build(config, |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("slow.example", |_| {}).await.endpoint.id;
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Pause)
        .await
        .unwrap();
    let mut expected = Vec::new();
    for _ in 0..300 {
        expected.push(house.send("policy.created").await.id.to_string());
    }
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Resume)
        .await
        .unwrap();
    for _ in 0..100 {
        expected.push(house.send("policy.updated").await.id.to_string());
    }
    for _ in 0..20_000 {
        if house.engine.endpoint(endpoint).unwrap().backlog == 0 {
            break;
        }
        house.pass(Duration::from_millis(100)).await;
    }
    let mut arrived = house.receivers.guids();
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_endpoint_gets_its_events_in_the_order_of_acceptance_even_over_failures_and_a_restart() {
    let mut house =
        House::build(defaults(), |_, before| Reply::Status(if before == 0 { 500 } else { 200 })).await;
    house.endpoint("ordered.example", |settings| settings.ordered = true).await;
    let mut expected = Vec::new();
    let mut last = None;
    for _ in 0..5 {
        let accepted = house.send("policy.created").await;
        expected.push(accepted.id.to_string());
        last = Some(accepted.deliveries[0].0);
    }
    house.pass(Duration::from_secs(3)).await;
    house.restart().await;
    house.until_status(last.unwrap(), Status::Delivered).await;
    let mut order = house.receivers.guids();
    order.dedup();
    assert_eq!(order, expected, "each is tried until it is received before the next is tried at all");
}

#[tokio::test(start_paused = true)]
async fn a_changed_url_or_header_goes_with_the_next_attempt() {
    let config = EngineConfig {
        retry_schedule: vec!["10s"; 30].join(",").parse().unwrap(),
        ..EngineConfig::default()
    };
    let house =
        House::build(config, |seen, _| Reply::Status(if seen.host == "new.example" { 200 } else { 500 }))
            .await;
    let endpoint = house.endpoint("old.example", |_| {}).await.endpoint.id;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until(id, |delivery| delivery.attempt_count >= 1).await;
    let headers = vec![CustomHeader::parse("X-TEAMName", "claims", "X-KASKO-").unwrap()];
    let url = "https://new.example/hook".parse().unwrap();
    let patch = EndpointPatch { url: Some(url), headers: Some(headers), ..EndpointPatch::default() };
    house.engine.by(postrider_core::audit::Who::SERVICE).update_endpoint(endpoint, patch).await.unwrap();
    house.until_status(id, Status::Delivered).await;
    let last = house.receivers.seen().pop().unwrap();
    assert_eq!(last.host, "new.example");
    assert!(last.headers.contains(&("X-TEAMName".to_owned(), "claims".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_endpoint_s_pending_deliveries_are_cancelled_and_the_log_stays() {
    let house = House::build(defaults(), |_, _| Reply::Status(500)).await;
    let endpoint = house.endpoint("gone.example", |_| {}).await.endpoint.id;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until(id, |delivery| delivery.attempt_count == 1).await;
    house.engine.by(postrider_core::audit::Who::SERVICE).delete_endpoint(endpoint).await.unwrap();
    let delivery = house.until_status(id, Status::Cancelled).await;
    assert_eq!(delivery.cancel_reason, Some(CancelReason::EndpointDeleted));
    assert!(matches!(house.engine.endpoint(endpoint), Err(EngineError::NotFound)));
    assert!(house.send("policy.created").await.deliveries.is_empty());
    let filter = DeliveryFilter { endpoint: Some(endpoint), ..DeliveryFilter::default() };
    assert_eq!(house.engine.deliveries(filter, PAGE).await.unwrap().rows.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_account_s_keys_stop_working_and_its_deliveries_are_cancelled() {
    let house = House::build(defaults(), |_, _| Reply::Refuse).await;
    let made = house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_account("Short-lived".to_owned())
        .await
        .unwrap();
    assert!(house.engine.authenticate(&made.live_key).is_some());
    let draft = EndpointDraft {
        account: made.account.id,
        livemode: false,
        settings: settings("x.example", |_| {}),
        secret: None,
    };
    house.engine.by(postrider_core::audit::Who::SERVICE).create_endpoint(draft).await.unwrap();
    house.engine.by(postrider_core::audit::Who::SERVICE).delete_account(made.account.id).await.unwrap();
    assert!(house.engine.authenticate(&made.live_key).is_none());
    assert!(matches!(house.engine.account(made.account.id), Err(EngineError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn gone_disables_the_endpoint_at_once_and_enabling_goes_on() {
    let house =
        House::build(defaults(), |_, before| Reply::Status(if before == 0 { 410 } else { 200 })).await;
    let endpoint = house.endpoint("gone.example", |_| {}).await.endpoint.id;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until(id, |delivery| delivery.attempt_count == 1).await;
    let state = house.engine.endpoint(endpoint).unwrap().state;
    assert_eq!(state, State::Disabled(DisabledReason::Gone));
    let held = house.send("policy.updated").await.deliveries[0].0;
    house.pass(Duration::from_secs(60)).await;
    assert_eq!(house.engine.delivery(held).await.unwrap().status, Status::Pending);
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Enable)
        .await
        .unwrap();
    house.until_status(id, Status::Delivered).await;
    house.until(held, |delivery| delivery.attempt_count >= 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_resend_is_a_new_delivery_with_the_same_guid() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("again.example", |_| {}).await.endpoint.id;
    let accepted = house.send("policy.created").await;
    let first = accepted.deliveries[0].0;
    house.until_status(first, Status::Delivered).await;
    let again = house.engine.by(postrider_core::audit::Who::SERVICE).resend(first, None).await.unwrap();
    assert_eq!((again.resend_of, again.event), (Some(first), accepted.id));
    house.until_status(again.id, Status::Delivered).await;
    assert_eq!(house.receivers.guids(), vec![accepted.id.to_string(); 2]);
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Disable)
        .await
        .unwrap();
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).resend(first, None).await,
        Err(EngineError::Conflict(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_resend_of_a_pending_delivery_is_a_conflict() {
    let house = House::build(defaults(), |_, _| Reply::Refuse).await;
    house.endpoint("down.example", |_| {}).await;
    let id = house.send("policy.created").await.deliveries[0].0;
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).resend(id, None).await,
        Err(EngineError::Conflict(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_is_probed_and_recovers_and_nothing_is_exhausted_meanwhile() {
    let up_from = tokio::time::Instant::now() + Duration::from_secs(600);
    let script = move |_: &harness::Seen, _| {
        if tokio::time::Instant::now() < up_from { Reply::Status(500) } else { Reply::Status(200) }
    };
    let config = EngineConfig {
        retry_schedule: "5s,10s,20s,40s,60s,60s,60s,60s".parse().unwrap(),
        ..EngineConfig::default()
    };
    let mut house = House::build(config, script).await;
    let endpoint = house.endpoint("outage.example", |_| {}).await.endpoint.id;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(house.send("policy.created").await.deliveries[0].0);
        house.pass(Duration::from_secs(8)).await;
    }
    assert!(house.engine.endpoint(endpoint).unwrap().health.is_failing());
    house.restart().await;
    assert!(house.engine.endpoint(endpoint).unwrap().health.is_failing(), "health survives a restart");
    for id in ids {
        house.until_status(id, Status::Delivered).await;
    }
    assert!(!house.engine.endpoint(endpoint).unwrap().health.is_failing());
    let second_half = house
        .receivers
        .seen()
        .into_iter()
        .filter(|seen| seen.at + Duration::from_secs(300) > up_from && seen.at < up_from);
    assert!(
        second_half.count() <= 3,
        "a failing endpoint is tried now and then, not by every delivery's schedule"
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_respected() {
    let house = House::build(defaults(), |_, before| {
        if before == 0 { Reply::StatusWithRetryAfter(429, 120) } else { Reply::Status(200) }
    })
    .await;
    house.endpoint("busy.example", |_| {}).await;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until_status(id, Status::Delivered).await;
    let seen = house.receivers.seen();
    assert!((seen[1].at - seen[0].at) >= Duration::from_secs(120));
}

#[tokio::test(start_paused = true)]
async fn an_event_accepted_after_an_endpoint_was_made_meets_it_however_busy_the_configuration_is() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    for n in 0..40 {
        let (made, accepted) =
            tokio::join!(house.endpoint("new.example", |_| {}), house.send("policy.created"));
        assert!(accepted.deliveries.len() >= n, "what was there before is met");
        let next = house.send("policy.created").await;
        assert!(next.deliveries.iter().any(|(_, endpoint)| *endpoint == made.endpoint.id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    house.endpoint("all.example", |_| {}).await;
    let good = postrider_engine::model::Submission {
        account: house.account,
        event_type: house.event_type("policy.created"),
        livemode: false,
        payload: bytes::Bytes::from_static(b"{}"),
    };
    let stranger = postrider_core::id::AccountId::new(house.engine.now(), 7);
    let bad = postrider_engine::model::Submission { account: stranger, ..good.clone() };
    assert!(matches!(house.engine.ingest(vec![good.clone(), bad]).await, Err(EngineError::NotFound)));
    assert!(house.engine.events(Default::default(), PAGE).await.unwrap().rows.is_empty());
    assert_eq!(house.engine.ingest(vec![good.clone(), good]).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stops_takes_nothing_and_lets_what_is_in_flight_end() {
    let house = House::build(defaults(), |_, _| Reply::After(Duration::from_secs(2))).await;
    house.endpoint("slow.example", |_| {}).await;
    let id = house.send("policy.created").await.deliveries[0].0;
    house.until_seen(1).await;
    assert_eq!(house.engine.delivery(id).await.unwrap().status, Status::Pending);
    house.engine.begin_shutdown();
    let submission = postrider_engine::model::Submission {
        account: house.account,
        event_type: house.event_type("policy.created"),
        livemode: false,
        payload: bytes::Bytes::from_static(b"{}"),
    };
    assert!(matches!(house.engine.ingest(vec![submission]).await, Err(EngineError::ShuttingDown)));
    house.until_status(id, Status::Delivered).await;
    assert_eq!(house.stop(Duration::from_secs(20)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn standard_webhooks_headers_come_beside_the_contract_s_and_verify() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("std.example", |settings| settings.standard_webhooks = true).await.endpoint;
    let accepted = house.send("policy.created").await;
    house.until_status(accepted.deliveries[0].0, Status::Delivered).await;
    let seen = house.receivers.seen().remove(0);
    let header =
        |wanted: &str| seen.headers.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.clone()).unwrap();
    assert_eq!(header("webhook-id"), accepted.id.to_string());
    let key = postrider_signature::standard::key_from_secret(endpoint.secrets.current.expose()).unwrap();
    let seconds: i64 = header("webhook-timestamp").parse().unwrap();
    let expected = postrider_signature::standard::sign(&key, &header("webhook-id"), seconds, &seen.body);
    assert_eq!(header("webhook-signature"), expected);
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_the_retention_goes_and_what_was_held_so_long_is_cancelled() {
    let config = EngineConfig { retention: Duration::from_secs(3600), ..defaults() };
    let house = House::build(config, |_, _| Reply::Status(200)).await;
    house.endpoint("fine.example", |_| {}).await;
    let paused = house.endpoint("paused.example", |_| {}).await.endpoint.id;
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(paused, StateChange::Pause)
        .await
        .unwrap();
    let old = house.send("policy.created").await;
    let newest = house.send("policy.created").await;
    house.until_status(old.deliveries[0].0, Status::Delivered).await;
    let held = house.until_status(old.deliveries[1].0, Status::Cancelled).await;
    assert_eq!(held.cancel_reason, Some(CancelReason::HeldTooLong));
    house.pass(Duration::from_secs(2)).await;
    assert_eq!(house.engine.endpoint(paused).unwrap().backlog, 0);
    let storage = house.engine.storage().await.unwrap();
    let last = storage.prunings.last.expect("it has been pruned");
    assert_eq!((last.gone.cancelled, last.gone.events, last.is_whole), (2, 0, true));
    assert!(storage.prunings.next_at >= Some(last.ended_at.plus(Duration::from_secs(600))));
    assert_eq!(storage.retention, Duration::from_secs(3600));
    house.pass(Duration::from_secs(2 * 3600)).await;
    assert!(matches!(house.engine.event(old.id).await, Err(EngineError::NotFound)));
    assert!(matches!(house.engine.delivery(old.deliveries[0].0).await, Err(EngineError::NotFound)));
    assert!(house.engine.event(newest.id).await.is_ok(), "numbering goes on from the newest");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_holds_and_nothing_is_lost_by_it() {
    let house = House::build(defaults(), |_, _| Reply::Status(200)).await;
    let limit = postrider_core::endpoint::RateLimit { per_second: 2, burst: 1 };
    house.endpoint("calm.example", |settings| settings.rate_limit = Some(limit)).await;
    let began = tokio::time::Instant::now();
    let mut last = None;
    for _ in 0..10 {
        last = Some(house.send("policy.created").await.deliveries[0].0);
    }
    house.until_status(last.unwrap(), Status::Delivered).await;
    assert!(began.elapsed() >= Duration::from_millis(4_400), "ten at two a second: {:?}", began.elapsed());
    assert_eq!(house.receivers.seen().len(), 10);
}
