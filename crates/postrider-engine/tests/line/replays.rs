//! Replays: a range sent again at a bounded pace, beside live traffic, over pauses and restarts, each delivery once.

use std::collections::HashMap;
use std::time::Duration;

use postrider_core::delivery::Status;
use postrider_core::id::{DeliveryId, EndpointId, ReplayId};
use postrider_core::replay::{CancelReason, Counts, Limits, Replay, Selection, State};
use postrider_engine::model::{EndpointDraft, ReplayDraft, StateChange};
use postrider_engine::{DeliveryFilter, EngineConfig, EngineError, ReplayFilter};

use crate::defaults;
use crate::harness::{House, PAGE, Reply, settings};

/// What replays may do where a test is not about that.
const GENEROUS: Limits = Limits { per_second: 10_000, in_turn: 50, backlog: 1_000 };

fn limited(replays: Limits) -> EngineConfig {
    EngineConfig { replays, ..defaults() }
}

fn all_of(endpoint: EndpointId) -> ReplayDraft {
    ReplayDraft { endpoint, selection: Selection::default() }
}

/// Hands in so many events, one after the other, and waits until each is delivered.
async fn deliver(house: &House, count: usize) -> Vec<DeliveryId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(house.send("policy.created").await.deliveries[0].0);
    }
    for id in &ids {
        house.until_status(*id, Status::Delivered).await;
    }
    ids
}

/// Lets time pass until the replay is as wanted.
async fn until(house: &House, id: ReplayId, wanted: impl Fn(&Replay) -> bool) -> Replay {
    for _ in 0..20_000 {
        house.settle().await;
        let replay = house.engine.replay(id).await.unwrap();
        if wanted(&replay) {
            return replay;
        }
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    panic!("the replay never came there: {:?}", house.engine.replay(id).await);
}

async fn until_done(house: &House, id: ReplayId) -> Replay {
    until(house, id, |replay| replay.state == State::Done).await
}

/// Waits until nothing is pending for the endpoint. The log is asked: a lane hears of a commit a moment after it.
async fn until_empty(house: &House, endpoint: EndpointId) {
    let status = Some(Status::Pending);
    let pending = DeliveryFilter { endpoint: Some(endpoint), status, ..DeliveryFilter::default() };
    for _ in 0..20_000 {
        if house.engine.deliveries(pending.clone(), PAGE).await.unwrap().rows.is_empty() {
            return;
        }
        house.pass(Duration::from_millis(100)).await;
    }
    panic!("something stays pending");
}

/// How often each guid arrived.
fn arrivals(house: &House) -> HashMap<String, usize> {
    let mut arrivals = HashMap::new();
    for guid in house.receivers.guids() {
        *arrivals.entry(guid).or_default() += 1;
    }
    arrivals
}

#[tokio::test(start_paused = true)]
async fn a_replay_sends_what_was_finished_again_as_new_deliveries_with_the_same_guids() {
    let house = House::build(limited(GENEROUS), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("again.example", |_| {}).await.endpoint.id;
    let ids = deliver(&house, 7).await;
    let counted = house.engine.count_replay(all_of(endpoint)).await.unwrap();
    assert_eq!(counted, Counts { matched: 7, resent: 0, skipped: 0 });
    house.pass(Duration::from_secs(2)).await;
    assert_eq!(house.receivers.seen().len(), 7, "counting sends nothing");
    assert!(house.engine.replays(ReplayFilter::default(), PAGE).await.unwrap().rows.is_empty());

    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    assert_eq!((made.state, made.counts.matched), (State::Running, 7));
    let done = until_done(&house, made.id).await;
    assert_eq!(done.counts, Counts { matched: 7, resent: 7, skipped: 0 });
    assert!(done.finished_at >= Some(made.created_at));
    until_empty(&house, endpoint).await;
    assert!(arrivals(&house).values().all(|times| *times == 2), "{:?}", arrivals(&house));
    let filter = DeliveryFilter { endpoint: Some(endpoint), ..DeliveryFilter::default() };
    let mut log = house.engine.deliveries(filter, PAGE).await.unwrap().rows;
    log.reverse();
    for delivery in &log {
        // An outcome is decided a moment before it is recorded.
        house.until_status(delivery.id, Status::Delivered).await;
    }
    let resent: Vec<DeliveryId> = log[7..].iter().map(|delivery| delivery.resend_of.unwrap()).collect();
    assert_eq!(resent, ids, "the oldest first");
    let listed = house.engine.replays(ReplayFilter::default(), PAGE).await.unwrap().rows;
    assert_eq!(listed, [done]);

    // Once more: each event goes once, not each of its deliveries.
    let again =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    assert_eq!(until_done(&house, again.id).await.counts.resent, 7);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_asked_for_is_sent_again_and_what_is_pending_is_skipped() {
    let script = |seen: &crate::harness::Seen, before| match (seen.event_type.as_str(), before) {
        ("policy.updated", 0..=2) => Reply::Status(500),
        ("policy.cancelled", _) => Reply::After(Duration::from_secs(15)),
        _ => Reply::Status(200),
    };
    let house = House::build(limited(GENEROUS), script).await;
    let endpoint = house.endpoint("mixed.example", |_| {}).await.endpoint.id;
    deliver(&house, 3).await;
    let exhausted = house.send("policy.updated").await;
    house.until_status(exhausted.deliveries[0].0, Status::Exhausted).await;
    let pending = house.send("policy.cancelled").await;
    let selection = Selection { status: Some(Status::Exhausted), ..Selection::default() };
    let draft = ReplayDraft { endpoint, selection };
    let counted = house.engine.count_replay(draft.clone()).await.unwrap();
    assert_eq!(counted, Counts { matched: 1, resent: 0, skipped: 1 });
    let seen = house.receivers.seen().len();
    let made = house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(draft).await.unwrap();
    let done = until_done(&house, made.id).await;
    assert_eq!(done.counts, Counts { matched: 1, resent: 1, skipped: 1 });
    while arrivals(&house)[&exhausted.id.to_string()] < 4 {
        house.pass(Duration::from_millis(100)).await;
    }
    let new: Vec<String> = house.receivers.guids().split_off(seen);
    assert!(new.iter().all(|guid| *guid == exhausted.id.to_string() || *guid == pending.id.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_no_faster_than_the_pace() {
    let limits = Limits { per_second: 10, ..GENEROUS };
    let house = House::build(limited(limits), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("calm.example", |_| {}).await.endpoint.id;
    deliver(&house, 40).await;
    let began = tokio::time::Instant::now();
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    loop {
        let replay = house.engine.replay(made.id).await.unwrap();
        // A fifth of a second's goes at once.
        let allowed = 2.0 + 10.0 * began.elapsed().as_secs_f64();
        let resent = f64::from(u32::try_from(replay.counts.resent).unwrap());
        assert!(resent <= allowed + 0.01, "{resent} after {:?}", began.elapsed());
        if replay.state == State::Done {
            break;
        }
        house.pass(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(3_700), "{:?}", began.elapsed());
    assert!(began.elapsed() <= Duration::from_secs(8), "and not much slower: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lane_is_fed_only_while_it_has_little_to_do() {
    let slow =
        |_: &_, before| if before == 0 { Reply::Status(200) } else { Reply::After(Duration::from_secs(1)) };
    let limits = Limits { in_turn: 5, ..GENEROUS };
    let house = House::build(limited(limits), slow).await;
    let endpoint = house.endpoint("slow.example", |settings| settings.max_in_flight = 1).await.endpoint.id;
    deliver(&house, 30).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    let mut most = 0;
    while house.engine.replay(made.id).await.unwrap().state == State::Running {
        let backlog = house.engine.endpoint(endpoint).unwrap().backlog;
        assert!(backlog <= 5, "{backlog} are pending");
        most = most.max(backlog);
        house.pass(Duration::from_millis(100)).await;
    }
    assert_eq!(most, 5);
    until_empty(&house, endpoint).await;
    assert!(arrivals(&house).values().all(|times| *times == 2), "{:?}", arrivals(&house));
}

#[tokio::test(start_paused = true)]
async fn a_lane_whose_deliveries_wait_for_retries_is_not_filled_with_more() {
    let script = |_: &_, before| Reply::Status(if before == 0 { 200 } else { 500 });
    let limits = Limits { backlog: 6, ..GENEROUS };
    let house =
        House::build(EngineConfig { retry_schedule: "1h".parse().unwrap(), ..limited(limits) }, script).await;
    let endpoint = house.endpoint("down.example", |_| {}).await.endpoint.id;
    deliver(&house, 20).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    until(&house, made.id, |replay| replay.counts.resent == 6).await;
    house.pass(Duration::from_secs(10)).await;
    assert_eq!(house.engine.replay(made.id).await.unwrap().counts.resent, 6);
    assert_eq!(house.engine.endpoint(endpoint).unwrap().backlog, 6);
}

#[tokio::test(start_paused = true)]
async fn live_traffic_waits_behind_a_few_of_a_replay_and_other_endpoints_behind_none() {
    let script = |seen: &crate::harness::Seen, _| match seen.host.as_str() {
        "slow.example" => Reply::After(Duration::from_millis(200)),
        _ => Reply::Status(200),
    };
    let limits = Limits { in_turn: 5, ..GENEROUS };
    let house = House::build(limited(limits), script).await;
    let endpoint = house.endpoint("slow.example", |settings| settings.max_in_flight = 1).await.endpoint.id;
    deliver(&house, 60).await;
    house.endpoint("quick.example", |_| {}).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    until(&house, made.id, |replay| replay.counts.resent >= 10).await;
    for _ in 0..5 {
        let sent_at = tokio::time::Instant::now();
        let live = house.send("policy.created").await;
        house.until_status(live.deliveries[0].0, Status::Delivered).await;
        let guid = live.id.to_string();
        let waited = |host: &str| {
            let arrived =
                house.receivers.seen().into_iter().find(|seen| seen.guid == guid && seen.host == host);
            arrived.unwrap().at.saturating_duration_since(sent_at)
        };
        assert!(waited("slow.example") <= Duration::from_millis(1_500), "{:?}", waited("slow.example"));
        assert!(waited("quick.example") <= Duration::from_millis(100), "{:?}", waited("quick.example"));
    }
    assert_eq!(house.engine.replay(made.id).await.unwrap().state, State::Running, "it was not over before");
    let done = until_done(&house, made.id).await;
    assert_eq!(
        done.counts,
        Counts { matched: 60, resent: 60, skipped: 0 },
        "nothing accepted later is in it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_while_its_endpoint_is_paused_or_disabled_and_goes_on_then() {
    let limits = Limits { per_second: 10, ..GENEROUS };
    let house = House::build(limited(limits), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("paused.example", |_| {}).await.endpoint.id;
    deliver(&house, 20).await;
    let acting = house.engine.by(postrider_core::audit::Who::SERVICE);
    let change = |change| acting.change_state(endpoint, change);
    change(StateChange::Pause).await.unwrap();
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    house.pass(Duration::from_secs(5)).await;
    assert_eq!(house.engine.replay(made.id).await.unwrap().counts.resent, 0);
    change(StateChange::Resume).await.unwrap();
    until(&house, made.id, |replay| replay.counts.resent >= 5).await;
    change(StateChange::Disable).await.unwrap();
    let held = house.engine.replay(made.id).await.unwrap().counts.resent;
    house.pass(Duration::from_secs(5)).await;
    let later = house.engine.replay(made.id).await.unwrap();
    // One turn may have been under way.
    assert!(later.counts.resent <= held + 2 && later.state == State::Running, "{later:?}");
    change(StateChange::Enable).await.unwrap();
    assert_eq!(until_done(&house, made.id).await.counts.resent, 20);
    until_empty(&house, endpoint).await;
    assert!(arrivals(&house).values().all(|times| *times == 2), "{:?}", arrivals(&house));
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_while_its_endpoint_is_failing_and_goes_on_when_it_recovers() {
    let began = tokio::time::Instant::now();
    let script = move |_: &crate::harness::Seen, before| {
        let is_up = before == 0 || began.elapsed() > Duration::from_secs(1_200);
        Reply::Status(if is_up { 200 } else { 500 })
    };
    let config = EngineConfig {
        retry_schedule: "5s,10s,20s,40s,60s,60s,60s,60s".parse().unwrap(),
        ..limited(Limits { in_turn: 5, backlog: 6, ..GENEROUS })
    };
    let house = House::build(config, script).await;
    let endpoint = house.endpoint("outage.example", |_| {}).await.endpoint.id;
    deliver(&house, 30).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    while !house.engine.endpoint(endpoint).unwrap().health.is_failing() {
        house.pass(Duration::from_secs(1)).await;
    }
    let held = house.engine.replay(made.id).await.unwrap().counts.resent;
    assert!(held <= 6, "{held}");
    house.pass(Duration::from_secs(60)).await;
    assert_eq!(house.engine.replay(made.id).await.unwrap().counts.resent, held);
    for _ in 0..4_000 {
        if house.engine.replay(made.id).await.unwrap().state == State::Done {
            break;
        }
        house.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(house.engine.replay(made.id).await.unwrap().counts.resent, 30);
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_neither_repeats_nor_skips_anything() {
    let limits = Limits { per_second: 20, ..GENEROUS };
    let mut house = House::build(limited(limits), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("again.example", |_| {}).await.endpoint.id;
    let ids = deliver(&house, 40).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    for part in [8, 20, 30] {
        let reached = until(&house, made.id, |replay| replay.counts.resent >= part).await;
        assert_eq!(reached.state, State::Running, "the restart comes in the middle");
        house.restart().await;
    }
    let done = until_done(&house, made.id).await;
    assert_eq!(done.counts, Counts { matched: 40, resent: 40, skipped: 0 });
    until_empty(&house, endpoint).await;
    let filter = DeliveryFilter { endpoint: Some(endpoint), ..DeliveryFilter::default() };
    let log = house.engine.deliveries(filter, PAGE).await.unwrap().rows;
    let mut resent: Vec<DeliveryId> = log.iter().filter_map(|delivery| delivery.resend_of).collect();
    resent.reverse();
    assert_eq!(resent, ids);
    for delivery in &log {
        house.until_status(delivery.id, Status::Delivered).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_replay_makes_nothing_more() {
    let limits = Limits { per_second: 10, ..GENEROUS };
    let house = House::build(limited(limits), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("stop.example", |_| {}).await.endpoint.id;
    deliver(&house, 30).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    until(&house, made.id, |replay| replay.counts.resent >= 4).await;
    let cancelled =
        house.engine.by(postrider_core::audit::Who::SERVICE).cancel_replay(made.id).await.unwrap();
    assert_eq!(cancelled.state, State::Cancelled(CancelReason::ByHand));
    assert!(cancelled.counts.resent < 30 && cancelled.finished_at.is_some());
    house.pass(Duration::from_secs(5)).await;
    assert_eq!(house.engine.replay(made.id).await.unwrap(), cancelled);
    assert_eq!(
        house.engine.by(postrider_core::audit::Who::SERVICE).cancel_replay(made.id).await.unwrap(),
        cancelled,
        "it is so already"
    );
    until_empty(&house, endpoint).await;
    let resent = usize::try_from(cancelled.counts.resent).unwrap();
    assert_eq!(house.receivers.seen().len(), 30 + resent, "what it made goes its way");

    let next =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    until_done(&house, next.id).await;
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).cancel_replay(next.id).await,
        Err(EngineError::Conflict(_))
    ));
    let unknown = ReplayId::new(house.engine.now(), 7);
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).cancel_replay(unknown).await,
        Err(EngineError::NotFound)
    ));
    assert!(matches!(house.engine.replay(unknown).await, Err(EngineError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_endpoint_or_account_ends_its_replay_with_the_reason() {
    let limits = Limits { per_second: 5, ..GENEROUS };
    let house = House::build(limited(limits), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("gone.example", |_| {}).await.endpoint.id;
    deliver(&house, 20).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    until(&house, made.id, |replay| replay.counts.resent >= 2).await;
    house.engine.by(postrider_core::audit::Who::SERVICE).delete_endpoint(endpoint).await.unwrap();
    let ended = house.engine.replay(made.id).await.unwrap();
    assert_eq!(ended.state, State::Cancelled(CancelReason::EndpointDeleted));
    house.pass(Duration::from_secs(3)).await;
    assert_eq!(house.engine.replay(made.id).await.unwrap(), ended);
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await,
        Err(EngineError::NotFound)
    ));
    assert!(matches!(house.engine.count_replay(all_of(endpoint)).await, Err(EngineError::NotFound)));

    let account = house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_account("Short-lived".to_owned())
        .await
        .unwrap()
        .account
        .id;
    let settings = settings("paused.example", |_| {});
    let draft = EndpointDraft { account, livemode: false, settings, secret: None };
    let second = house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .create_endpoint(draft)
        .await
        .unwrap()
        .endpoint
        .id;
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(second, StateChange::Pause)
        .await
        .unwrap();
    let waits =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(second)).await.unwrap();
    house.pass(Duration::from_secs(2)).await;
    house.engine.by(postrider_core::audit::Who::SERVICE).delete_account(account).await.unwrap();
    let ended = house.engine.replay(waits.id).await.unwrap();
    assert_eq!(ended.state, State::Cancelled(CancelReason::AccountDeleted));
    house.pass(Duration::from_secs(2)).await;
    assert_eq!(house.engine.replay(waits.id).await.unwrap(), ended);
}

#[tokio::test(start_paused = true)]
async fn one_replay_of_an_endpoint_runs_at_a_time_and_none_of_a_disabled_one() {
    let limits = Limits { per_second: 5, ..GENEROUS };
    let house = House::build(limited(limits), |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("busy.example", |_| {}).await.endpoint.id;
    deliver(&house, 10).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    match house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await {
        Err(EngineError::Conflict(why)) => assert!(why.contains("is running"), "{why}"),
        other => panic!("it should be refused: {other:?}"),
    }
    assert!(house.engine.count_replay(all_of(endpoint)).await.is_ok(), "it may be counted all the same");
    let beside = house.endpoint("other.example", |_| {}).await.endpoint.id;
    let other =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(beside)).await.unwrap();
    assert_eq!(
        until_done(&house, other.id).await.counts,
        Counts::default(),
        "an empty range is done at once"
    );
    until_done(&house, made.id).await;
    house
        .engine
        .by(postrider_core::audit::Who::SERVICE)
        .change_state(endpoint, StateChange::Disable)
        .await
        .unwrap();
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await,
        Err(EngineError::Conflict(_))
    ));
    house.engine.begin_shutdown();
    assert!(matches!(
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(beside)).await,
        Err(EngineError::ShuttingDown)
    ));
    assert_eq!(house.stop(Duration::from_secs(5)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_endpoint_gets_a_replay_in_the_order_of_acceptance() {
    let script = |_: &crate::harness::Seen, before| Reply::Status(if before == 1 { 500 } else { 200 });
    let house = House::build(limited(GENEROUS), script).await;
    let endpoint = house.endpoint("ordered.example", |settings| settings.ordered = true).await.endpoint.id;
    deliver(&house, 6).await;
    let first = house.receivers.guids();
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    until_done(&house, made.id).await;
    until_empty(&house, endpoint).await;
    let mut again = house.receivers.guids().split_off(6);
    again.dedup();
    assert_eq!(again, first, "each is tried until it is received before the next is tried at all");
}

#[tokio::test(start_paused = true)]
async fn a_finished_replay_goes_with_the_retention() {
    let config = EngineConfig { retention: Duration::from_secs(3_600), ..limited(GENEROUS) };
    let house = House::build(config, |_, _| Reply::Status(200)).await;
    let endpoint = house.endpoint("old.example", |_| {}).await.endpoint.id;
    deliver(&house, 3).await;
    let made =
        house.engine.by(postrider_core::audit::Who::SERVICE).create_replay(all_of(endpoint)).await.unwrap();
    until_done(&house, made.id).await;
    house.pass(Duration::from_secs(60)).await;
    assert!(house.engine.replay(made.id).await.is_ok());
    house.pass(Duration::from_secs(2 * 3_600)).await;
    assert!(matches!(house.engine.replay(made.id).await, Err(EngineError::NotFound)));
}
