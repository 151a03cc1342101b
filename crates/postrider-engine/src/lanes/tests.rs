//! The lanes as a pure structure: fairness, caps, spilling, probing, order. No clock, no store, no socket.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::account::AccountNo;
use postrider_core::attempt::{FailureCode, Outcome};
use postrider_core::delivery::{DeliverySeq, Next, Progress};
use postrider_core::endpoint::{EndpointSettings, RateLimit};
use postrider_core::event_type::Subscription;
use postrider_core::id::{AccountId, DeliveryId, EndpointId, EventId};
use postrider_core::schedule::Jitter;
use postrider_core::secret::Secret;
use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn endpoint(no: i64, account: i64, change: impl FnOnce(&mut EndpointSettings)) -> Arc<Endpoint> {
    let mut settings = EndpointSettings {
        url: "https://example.com/".parse().unwrap(),
        subscription: Subscription::parse(&["*"]).unwrap(),
        description: String::new(),
        headers: Vec::new(),
        timeout: Duration::from_secs(15),
        retry_schedule: None,
        rate_limit: None,
        max_in_flight: 10,
        ordered: false,
        standard_webhooks: false,
    };
    change(&mut settings);
    Arc::new(Endpoint {
        no: EndpointNo(no),
        id: EndpointId::new(at(0), u128::try_from(no).unwrap()),
        account_no: AccountNo(account),
        account: AccountId::new(at(0), u128::try_from(account).unwrap()),
        livemode: true,
        settings,
        secret: Secret::generate(&[1; 32]),
        state: State::Enabled,
        health: Health::default(),
        created_at: at(0),
        updated_at: at(0),
    })
}

fn item(seq: i64) -> Item {
    let bits = u128::try_from(seq).unwrap();
    Item {
        seq: DeliverySeq(seq),
        id: DeliveryId::new(at(0), bits),
        event: EventId::new(at(0), bits),
        event_type: "policy.created".into(),
        payload: Some(Bytes::from_static(b"{}")),
        progress: Progress::default(),
        not_before: None,
    }
}

fn lanes(limits: LaneLimits) -> Lanes {
    Lanes::new(limits, "10s,100s".parse().unwrap(), HealthRules::default())
}

const ROOMY: LaneLimits = LaneLimits {
    max_in_flight: 100,
    lane_queue: 1_000,
    loaded: 100_000,
    payload_bytes: 1 << 20,
    retries: 1_000,
};

fn ok() -> Outcome {
    Outcome::Answered { status: 200, retry_after: None }
}

fn down() -> Outcome {
    Outcome::Failed { code: FailureCode::ConnectRefused, detail: "refused".into() }
}

fn end(lanes: &mut Lanes, dispatch: Dispatch, outcome: &Outcome, now: Timestamp) -> Finished {
    let took = Duration::from_millis(5);
    let (no, seq) = (dispatch.endpoint.no, dispatch.item.seq);
    let finished = lanes.finish(dispatch, &Attempted { outcome, took, now, jitter: Jitter(u32::MAX / 2) });
    if finished.released {
        lanes.recorded(no, seq);
    }
    finished
}

/// Everything that may be sent at `now`.
fn drain(lanes: &mut Lanes, now: Timestamp) -> Vec<Dispatch> {
    std::iter::from_fn(|| lanes.next(now)).collect()
}

fn seqs(dispatches: &[Dispatch]) -> Vec<i64> {
    dispatches.iter().map(|dispatch| dispatch.item.seq.0).collect()
}

#[test]
fn a_new_lane_begins_with_two_and_climbs_to_its_cap_while_it_is_answered() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.max_in_flight = 5), at(0));
    for seq in 1..=100 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let mut widths = Vec::new();
    for _round in 0..4 {
        let batch = drain(&mut lanes, at(0));
        widths.push(batch.len());
        for dispatch in batch {
            assert_eq!(end(&mut lanes, dispatch, &ok(), at(1)).next, Next::Delivered);
        }
    }
    assert_eq!(widths, [2, 4, 5, 5]);
}

#[test]
fn timeouts_narrow_a_lane_to_one_and_no_further() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    for seq in 1..=50 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let timeout = Outcome::Failed { code: FailureCode::Timeout, detail: "15 s".into() };
    for _round in 0..3 {
        for dispatch in drain(&mut lanes, at(0)) {
            end(&mut lanes, dispatch, &timeout, at(0));
        }
    }
    assert_eq!(drain(&mut lanes, at(0)).len(), 1);
}

#[test]
fn the_global_cap_holds_and_accounts_share_it_by_turns() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 10, ..ROOMY });
    for no in 1..=9 {
        lanes.configure(endpoint(no, if no <= 8 { 1 } else { 2 }, |_| {}), at(0));
        for n in 0..20 {
            lanes.push(EndpointNo(no), item(no * 100 + n), at(0));
        }
    }
    let batch = drain(&mut lanes, at(0));
    assert_eq!((batch.len(), lanes.in_flight()), (10, 10));
    let mut per_account = BTreeMap::new();
    for dispatch in &batch {
        *per_account.entry(dispatch.endpoint.account_no).or_insert(0) += 1;
    }
    assert_eq!(per_account[&AccountNo(2)], 2, "one lane of another account gets its window of two");
}

#[test]
fn hanging_lanes_never_take_the_last_quarter_of_the_slots() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 40, ..ROOMY });
    for no in 1..=50 {
        lanes.configure(endpoint(no, no, |_| {}), at(0));
    }
    let mut seq = 0;
    let mut push = |lanes: &mut Lanes, no: i64, times: i64| {
        for _ in 0..times {
            seq += 1;
            lanes.push(EndpointNo(no), item(seq), at(0));
        }
    };
    for no in 1..=49 {
        push(&mut lanes, no, 2);
    }
    // Each of the 49 is found to be slow.
    let mut slow_found = 0;
    while slow_found < 98 {
        for dispatch in drain(&mut lanes, at(0)) {
            slow_found += 1;
            end(&mut lanes, dispatch, &down(), at(0));
        }
    }
    for no in 1..=49 {
        push(&mut lanes, no, 5);
    }
    let hanging = drain(&mut lanes, at(0));
    assert_eq!(hanging.len(), 30, "three quarters of 40");
    push(&mut lanes, 50, 2);
    assert_eq!(drain(&mut lanes, at(0)).len(), 2, "a healthy lane is served at once");
}

#[test]
fn a_failed_delivery_comes_back_at_its_time_and_not_before() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    let first = lanes.next(at(0)).unwrap();
    let Next::RetryAt(due) = end(&mut lanes, first, &down(), at(0)).next else {
        panic!("it must be retried")
    };
    assert_eq!(lanes.next_wakeup(), Some(due));
    assert!(lanes.advance(at(due.as_ms() - 1)).is_empty() && lanes.next(at(due.as_ms() - 1)).is_none());
    assert!(lanes.advance(due).is_empty());
    let second = lanes.next(due).unwrap();
    assert_eq!(second.item.progress, Progress { attempts: 1, used: 1 });
}

#[test]
fn a_full_lane_spills_and_comes_back_to_fresh_deliveries_without_losing_or_doubling_any() {
    let mut lanes = lanes(LaneLimits { lane_queue: 10, loaded: 10, ..ROOMY });
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    let mut store: Vec<i64> = (1..=100).collect();
    for seq in &store {
        lanes.push(EndpointNo(1), item(*seq), at(0));
    }
    assert_eq!(lanes.view(EndpointNo(1)).unwrap().backlog, 100);
    let mut sent = Vec::new();
    let mut late = 101;
    while !store.is_empty() {
        for dispatch in drain(&mut lanes, at(0)) {
            sent.push(dispatch.item.seq.0);
            store.retain(|seq| *seq != dispatch.item.seq.0);
            end(&mut lanes, dispatch, &ok(), at(0));
        }
        if let Some(refill) = lanes.take_refill() {
            let rows = store.iter().take(refill.limit).map(|seq| item(*seq)).collect();
            // Deliveries committed between the read and its arrival must be found by the next one.
            if late <= 120 {
                store.push(late);
                lanes.push(EndpointNo(1), item(late), at(0));
                late += 1;
            }
            lanes.refilled(refill, Vec::new(), rows, at(0));
        }
    }
    sent.sort_unstable();
    assert_eq!(sent, (1..late).collect::<Vec<_>>());
    assert_eq!((lanes.loaded, lanes.payload_bytes, lanes.view(EndpointNo(1)).unwrap().backlog), (0, 0, 0));
}

#[test]
fn past_the_byte_budget_payloads_are_left_in_the_store() {
    let mut lanes = lanes(LaneLimits { payload_bytes: 5, ..ROOMY });
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    for seq in 1..=3 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let batch = drain(&mut lanes, at(0));
    let kept: Vec<bool> = batch.iter().map(|dispatch| dispatch.item.payload.is_some()).collect();
    assert_eq!(kept, [true, true]);
    for dispatch in batch {
        end(&mut lanes, dispatch, &ok(), at(0));
    }
    assert!(lanes.next(at(0)).unwrap().item.payload.is_none(), "two payloads of two bytes fill five");
    assert_eq!(lanes.payload_bytes, 0);
}

/// Brings lane 1 to failing at 36 s with deliveries 1..=12 of which none was received.
fn failing_lane() -> Lanes {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.max_in_flight = 1), at(0));
    for seq in 1..=12 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    for n in 0..10 {
        let dispatch = lanes.next(at(n * 4_000)).unwrap();
        let change = end(&mut lanes, dispatch, &down(), at(n * 4_000)).change;
        assert_eq!(change.is_some(), n == 9);
    }
    lanes
}

#[test]
fn a_failing_lane_probes_successive_deliveries_one_at_a_time_and_uses_up_no_attempt() {
    let mut lanes = failing_lane();
    assert!(lanes.next(at(36_000)).is_none());
    let mut probed = Vec::new();
    for now in [46_000, 76_000, 136_000] {
        lanes.advance(at(now));
        let probe = lanes.next(at(now)).unwrap();
        assert!(probe.probe && lanes.next(at(now)).is_none(), "one at a time");
        probed.push(probe.item.seq.0);
        let used = probe.item.progress.used;
        let finished = end(&mut lanes, probe, &down(), at(now));
        assert_eq!((finished.next, finished.progress.used), (Next::Waits, used));
    }
    assert!(
        probed.windows(2).all(|pair| pair[0] != pair[1]),
        "a poisonous payload does not hold it: {probed:?}"
    );
}

#[test]
fn a_success_heals_a_failing_lane_and_it_climbs_again_from_one() {
    let mut lanes = failing_lane();
    lanes.configure(endpoint(1, 1, |settings| settings.max_in_flight = 8), at(40_000));
    for seq in 101..=150 {
        lanes.push(EndpointNo(1), item(seq), at(40_000));
    }
    lanes.advance(at(46_000));
    let probe = lanes.next(at(46_000)).unwrap();
    end(&mut lanes, probe, &ok(), at(46_000));
    let mut widths = Vec::new();
    for _round in 0..5 {
        let batch = drain(&mut lanes, at(46_000));
        widths.push(batch.len());
        for dispatch in batch {
            end(&mut lanes, dispatch, &ok(), at(46_001));
        }
    }
    assert_eq!(widths, [1, 2, 4, 8, 8]);
}

#[test]
fn a_resend_by_hand_is_the_next_probe_at_once() {
    let mut lanes = failing_lane();
    lanes.push_resend(EndpointNo(1), item(500), at(37_000));
    let probe = lanes.next(at(37_000)).unwrap();
    assert!(probe.probe && probe.item.seq == DeliverySeq(500));
}

#[test]
fn retry_after_closes_the_lane_and_it_reopens_with_one_in_flight() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    for seq in 1..=20 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    for dispatch in drain(&mut lanes, at(0)) {
        let busy = Outcome::Answered { status: 503, retry_after: Some(Duration::from_secs(30)) };
        end(&mut lanes, dispatch, &busy, at(0));
    }
    lanes.advance(at(29_999));
    assert!(lanes.next(at(29_999)).is_none());
    assert!(lanes.next_wakeup().is_some_and(|wakeup| wakeup <= at(30_000)));
    lanes.advance(at(30_000));
    assert_eq!(drain(&mut lanes, at(30_000)).len(), 1);
}

#[test]
fn gone_disables_and_what_is_queued_is_held_by_the_store() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.max_in_flight = 1), at(0));
    for seq in 1..=5 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let first = lanes.next(at(0)).unwrap();
    let gone = Outcome::Answered { status: 410, retry_after: None };
    let finished = end(&mut lanes, first, &gone, at(0));
    assert!(finished.health.is_some_and(|update| update.state.is_some()), "the state is written down");
    assert!(lanes.next(at(0)).is_none() && lanes.take_refill().is_none());
    assert_eq!((lanes.loaded, lanes.view(EndpointNo(1)).unwrap().backlog), (0, 5));
    lanes.set_state(EndpointNo(1), State::Enabled, true, at(5));
    assert!(lanes.take_refill().is_some(), "enabling reads the backlog again");
}

#[test]
fn a_paused_lane_holds_and_a_resumed_one_goes_on() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    lanes.set_state(EndpointNo(1), State::Paused, false, at(0));
    lanes.push(EndpointNo(1), item(2), at(0));
    assert!(lanes.next(at(0)).is_none());
    lanes.set_state(EndpointNo(1), State::Enabled, false, at(1));
    let refill = lanes.take_refill().unwrap();
    lanes.refilled(refill, Vec::new(), vec![item(1), item(2)], at(1));
    assert_eq!(seqs(&drain(&mut lanes, at(1))), [1, 2]);
}

#[test]
fn an_ordered_lane_sends_one_at_a_time_and_a_retrying_head_holds_it() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.ordered = true), at(0));
    for seq in 1..=3 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let refill = lanes.take_refill().unwrap();
    assert!(refill.with_waiting, "a lane that knows nothing asks for its head");
    lanes.refilled(refill, Vec::new(), (1..=3).map(item).collect(), at(0));
    let head = lanes.next(at(0)).unwrap();
    assert!(head.item.seq == DeliverySeq(1) && lanes.next(at(0)).is_none());
    let Next::RetryAt(due) = end(&mut lanes, head, &down(), at(0)).next else { panic!("it must be retried") };
    assert!(lanes.next(at(due.as_ms() - 1)).is_none());
    lanes.advance(due);
    for expected in 1..=3 {
        let dispatch = lanes.next(due).unwrap();
        assert_eq!(dispatch.item.seq, DeliverySeq(expected));
        end(&mut lanes, dispatch, &ok(), due);
    }
}

#[test]
fn a_rate_limit_spreads_requests_over_time() {
    let mut lanes = lanes(ROOMY);
    let limit = RateLimit { per_second: 10, burst: 1 };
    lanes.configure(endpoint(1, 1, |settings| settings.rate_limit = Some(limit)), at(0));
    for seq in 1..=100 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let mut sent = 0;
    for ms in 0..1_000 {
        lanes.advance(at(ms));
        for dispatch in drain(&mut lanes, at(ms)) {
            sent += 1;
            end(&mut lanes, dispatch, &ok(), at(ms));
        }
    }
    assert!((9..=11).contains(&sent), "{sent} in one second");
}

#[test]
fn a_deleted_endpoint_leaves_nothing_behind() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    for seq in 1..=5 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let in_flight = lanes.next(at(0)).unwrap();
    lanes.remove(EndpointNo(1));
    let finished = end(&mut lanes, in_flight, &ok(), at(0));
    assert_eq!(finished.next, Next::Delivered, "a 2xx that came in meanwhile is still a 2xx");
    assert_eq!((lanes.loaded, lanes.payload_bytes, lanes.in_flight(), lanes.next_wakeup()), (0, 0, 0, None));
}

proptest! {
    /// Any mix of pushes, outcomes, pauses and time: nothing is sent twice at once, no cap is broken, and the
    /// books (loaded, bytes, in flight) come out even when all is done.
    #[test]
    fn any_history_keeps_the_books(steps in proptest::collection::vec((0u8..8, 1i64..4, 0i64..20_000), 1..200)) {
        let mut lanes = lanes(LaneLimits { max_in_flight: 7, lane_queue: 8, loaded: 16, payload_bytes: 20, retries: 5 });
        for no in 1..=3 {
            lanes.configure(endpoint(no, no % 2, |settings| settings.ordered = no == 3), at(0));
        }
        let mut pending: BTreeMap<i64, (i64, Item)> = BTreeMap::new();
        let mut running: Vec<Dispatch> = Vec::new();
        let (mut seq, mut now) = (0, 0);
        for (kind, no, n) in steps {
            now += n / 4;
            match kind {
                0..=2 => {
                    seq += 1;
                    pending.insert(seq, (no, item(seq)));
                    lanes.push(EndpointNo(no), item(seq), at(now));
                }
                3 | 4 => {
                    while let Some(dispatch) = lanes.next(at(now)) {
                        let again = running.iter().any(|other| other.item.seq == dispatch.item.seq);
                        prop_assert!(!again, "{:?} is in flight twice", dispatch.item.seq);
                        prop_assert!(pending.contains_key(&dispatch.item.seq.0), "sent although it had ended");
                        running.push(dispatch);
                    }
                    prop_assert!(running.len() <= 7);
                    prop_assert_eq!(running.len(), lanes.in_flight());
                }
                5 => {
                    if !running.is_empty() {
                        let dispatch = running.swap_remove(usize::try_from(n).unwrap() % running.len());
                        let done = dispatch.item.seq.0;
                        let outcome = if n % 3 == 0 { down() } else { ok() };
                        let finished = end(&mut lanes, dispatch, &outcome, at(now));
                        if matches!(finished.next, Next::Delivered | Next::Exhausted) {
                            pending.remove(&done);
                        } else if let Some((_, item)) = pending.get_mut(&done) {
                            item.progress = finished.progress;
                            item.not_before = match finished.next { Next::RetryAt(due) => Some(due), _ => None };
                        }
                    }
                }
                6 => {
                    let state = if n % 2 == 0 { State::Paused } else { State::Enabled };
                    lanes.set_state(EndpointNo(no), state, false, at(now));
                }
                _ => {
                    for ready in lanes.advance(at(now)) {
                        if let Some((_, item)) = pending.get_mut(&ready.seq.0) { item.not_before = None; }
                    }
                    while let Some(refill) = lanes.take_refill() {
                        let of_lane = || pending.values().filter(|(no, _)| *no == refill.endpoint_no.0).map(|(_, item)| item);
                        let ready = of_lane().filter(|item| item.not_before.is_none()).take(refill.limit).cloned().collect();
                        let waiting = of_lane().filter(|item| refill.with_waiting && item.not_before.is_some()).take(refill.limit).cloned().collect();
                        lanes.refilled(refill, waiting, ready, at(now));
                    }
                    let due = pending.values().filter(|(_, item)| item.not_before.is_some_and(|due| due <= at(now + 1000)));
                    let rows = due.map(|(no, item)| (EndpointNo(*no), item.clone())).collect();
                    for ready in lanes.load_retries(rows, at(now)) {
                        if let Some((_, item)) = pending.get_mut(&ready.seq.0) { item.not_before = None; }
                    }
                }
            }
        }
        for dispatch in running {
            end(&mut lanes, dispatch, &ok(), at(now));
        }
        let backlog: u64 = (1..=3).filter_map(|no| lanes.view(EndpointNo(no))).map(|view| view.backlog).sum();
        for no in 1..=3 {
            lanes.remove(EndpointNo(no));
        }
        prop_assert!(backlog <= u64::try_from(seq).unwrap());
        prop_assert_eq!((lanes.loaded, lanes.payload_bytes, lanes.in_flight()), (0, 0, 0));
    }
}
