//! Windows, caps, fairness and rates.

use super::*;

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
        prove(&mut lanes, no, at(0));
    }
    for no in 1..=9 {
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
    assert_eq!(per_account[&AccountNo(2)], 3, "one lane of another account gets its window of three");
}

#[test]
fn slow_lanes_leave_a_quarter_of_the_slots_to_quick_ones_and_an_eighth_to_new_ones() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 40, ..ROOMY });
    for no in 1..=51 {
        lanes.configure(endpoint(no, no, |_| {}), at(0));
    }
    prove(&mut lanes, 50, at(0));
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
    assert_eq!(drain(&mut lanes, at(0)).len(), 25, "three quarters of 40, less an eighth");
    push(&mut lanes, 51, 2);
    assert_eq!(drain(&mut lanes, at(0)).len(), 1, "a new lane is tried at once");
    push(&mut lanes, 50, 3);
    assert_eq!(drain(&mut lanes, at(0)).len(), 3, "a quick one is served at once");
}

#[test]
fn a_crowd_of_new_endpoints_that_never_answer_blocks_neither_a_known_one_nor_another_new_one() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 4_096, ..ROOMY });
    let mut seq = 0;
    let mut push = |lanes: &mut Lanes, no: i64, times: i64, now: i64| {
        for _ in 0..times {
            seq += 1;
            lanes.push(EndpointNo(no), item(seq), at(now));
        }
    };
    lanes.configure(endpoint(9_001, 2, |settings| settings.max_in_flight = 100), at(0));
    for _ in 0..10 {
        push(&mut lanes, 9_001, 10, 0);
        for dispatch in drain(&mut lanes, at(0)) {
            end(&mut lanes, dispatch, &ok(), at(0));
        }
    }
    for no in 1..=5_000 {
        lanes.configure(endpoint(no, 1, |_| {}), at(0));
        push(&mut lanes, no, 20, 0);
    }
    lanes.configure(endpoint(9_002, 1, |_| {}), at(0));
    push(&mut lanes, 9_002, 1, 0);
    let (mut hanging, mut waited_known, mut newcomer_at, mut same_account_at) =
        (VecDeque::new(), 0, None, None);
    for ms in (0..30_000).step_by(50) {
        let now = at(ms);
        lanes.advance(now);
        let mut ended: Vec<Dispatch> = Vec::new();
        while hanging.front().is_some_and(|(since, _)| ms - since >= 15_000) {
            ended.extend(hanging.pop_front().map(|(_, dispatch)| dispatch));
        }
        let timeout = Outcome::Failed { code: FailureCode::Timeout, detail: "15 s".into() };
        for dispatch in ended {
            let took = Duration::from_secs(15);
            let (no, seq) = (dispatch.endpoint.no, dispatch.item.seq);
            let finished = lanes.finish(dispatch, &attempted(&timeout, took, now));
            lanes.recorded(no, seq, finished.next, now);
            lanes.recording_done(1, at(0));
        }
        if ms == 10_000 {
            lanes.configure(endpoint(9_003, 3, |_| {}), now);
            push(&mut lanes, 9_003, 1, ms);
        }
        push(&mut lanes, 9_001, 1, ms);
        let batch = drain(&mut lanes, now);
        waited_known += i64::from(!batch.iter().any(|dispatch| dispatch.endpoint.no.0 == 9_001));
        for dispatch in batch {
            match dispatch.endpoint.no.0 {
                9_001 => drop(end(&mut lanes, dispatch, &ok(), now)),
                9_002 => {
                    same_account_at = Some(ms);
                    end(&mut lanes, dispatch, &ok(), now);
                }
                9_003 => {
                    newcomer_at = Some(ms);
                    end(&mut lanes, dispatch, &ok(), now);
                }
                _ => hanging.push_back((ms, dispatch)),
            }
        }
        assert!(hanging.len() <= 3_072, "{} hang at {ms} ms", hanging.len());
    }
    assert_eq!(waited_known, 0, "a known endpoint is served at once, always");
    assert!(newcomer_at.is_some_and(|ms| ms <= 11_000), "another account's newcomer: {newcomer_at:?}");
    assert!(same_account_at.is_some_and(|ms| ms <= 25_000), "behind all 5,000: {same_account_at:?}");
}

/// Fills the lanes of account 1 with hanging requests: `lanes` of them, proven or not. Gives how many are in flight.
fn hog(lanes: &mut Lanes, endpoints: i64, proven: bool) -> usize {
    for no in 1..=endpoints {
        lanes.configure(endpoint(no, 1, |settings| settings.max_in_flight = 1_000), at(0));
        for climbing in 0..if proven { 10 } else { 0 } {
            lanes.push(EndpointNo(no), item(no * 100 + climbing), at(0));
            let dispatch = lanes.next(at(0)).unwrap();
            end(lanes, dispatch, &ok(), at(0));
        }
        for n in 0..50 {
            lanes.push(EndpointNo(no), item(100_000 + no * 100 + n), at(0));
        }
    }
    let mut hanging = 0;
    // Found to hang after half a second, and the next ones are tried.
    for ms in (0..20_000).step_by(100) {
        lanes.advance(at(ms));
        hanging += drain(lanes, at(ms)).len();
    }
    hanging
}

/// Whatever one account's lanes are: another account's event is sent at once, and as many of further accounts as there are.
#[test]
fn one_account_takes_all_it_can_and_anothers_event_is_sent_at_once() {
    for (proven, slots) in [(false, 4_096), (true, 4_096), (false, 64), (true, 64)] {
        let mut lanes = lanes(LaneLimits { max_in_flight: slots, ..ROOMY });
        let hanging = hog(&mut lanes, 500, proven);
        assert!(hanging * 2 >= slots.min(1_000), "{hanging} of {slots} hang (proven: {proven})");
        for other in 2..=4 {
            let no = 10_000 + other;
            lanes.configure(endpoint(no, other, |_| {}), at(20_000));
            lanes.push(EndpointNo(no), item(9_000_000 + no), at(20_000));
            let sent = drain(&mut lanes, at(20_000));
            assert!(
                sent.iter().any(|dispatch| dispatch.endpoint.account_no == AccountNo(other)),
                "account {other} beside {hanging} of {slots} (proven: {proven})"
            );
            for dispatch in sent {
                end(&mut lanes, dispatch, &ok(), at(20_000));
            }
        }
    }
}

/// Slots in use can't be taken back, but each that comes free goes to whoever has fewer.
#[test]
fn an_account_above_its_part_gets_no_new_slot_while_another_is_below_its_part_and_waits() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 80, ..ROOMY });
    for (no, account) in (1..=40).map(|no| (no, 1)).chain((41..=80).map(|no| (no, 2))) {
        lanes.configure(endpoint(no, account, |_| {}), at(0));
    }
    let mut seq = 0;
    let mut push = |lanes: &mut Lanes, nos: std::ops::RangeInclusive<i64>, times: i64, now: i64| {
        for no in nos {
            for _ in 0..times {
                seq += 1;
                lanes.push(EndpointNo(no), item(seq), at(now));
            }
        }
    };
    let count = |flights: &[Dispatch], account| {
        flights.iter().filter(|flight| flight.endpoint.account_no == AccountNo(account)).count()
    };
    push(&mut lanes, 1..=40, 20, 0);
    let mut flights = Vec::new();
    for ms in (0..20_000).step_by(100) {
        lanes.advance(at(ms));
        flights.extend(drain(&mut lanes, at(ms)));
    }
    let alone = count(&flights, 1);
    push(&mut lanes, 41..=80, 20, 20_000);
    let mut now = 20_000;
    // One request ends at a time, the oldest first; each of account 1 is followed by one of account 2 until both have as many.
    for _ in 0..400 {
        now += 600;
        lanes.advance(at(now));
        flights.extend(drain(&mut lanes, at(now)));
        let (first, second) = (count(&flights, 1), count(&flights, 2));
        assert!(first <= alone.max(second + 1), "{first} and {second} at {now} ms");
        let timeout = Outcome::Failed { code: FailureCode::Timeout, detail: "15 s".into() };
        let dispatch = flights.remove(0);
        let (no, seq) = (dispatch.endpoint.no, dispatch.item.seq);
        let finished = lanes.finish(dispatch, &attempted(&timeout, Duration::from_secs(15), at(now)));
        lanes.recorded(no, seq, finished.next, at(now));
        lanes.recording_done(1, at(0));
    }
    let (first, second) = (count(&flights, 1), count(&flights, 2));
    assert!(first.abs_diff(second) <= 1, "{first} and {second} in the end");
}

#[test]
fn known_endpoints_that_fall_silent_together_are_slow_before_their_requests_end() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 40, ..ROOMY });
    for no in 1..=9 {
        lanes.configure(endpoint(no, no, |_| {}), at(0));
        for _climbing in 0..10 {
            prove(&mut lanes, no, at(0));
        }
    }
    let mut hanging = 0;
    for ms in (0..5_000).step_by(300) {
        for no in 1..=8 {
            lanes.push(EndpointNo(no), item(ms * 10 + no), at(ms));
        }
        lanes.advance(at(ms));
        hanging += drain(&mut lanes, at(ms)).len();
    }
    assert_eq!(hanging, 25, "of 40 slots");
    lanes.push(EndpointNo(9), item(99_999), at(5_000));
    assert_eq!(seqs(&drain(&mut lanes, at(5_000))), [99_999]);
}

#[test]
fn an_endpoint_that_was_not_heard_of_for_a_while_is_tried_as_a_new_one() {
    let mut lanes = lanes(LaneLimits { max_in_flight: 40, ..ROOMY });
    for no in 1..=40 {
        lanes.configure(endpoint(no, no, |_| {}), at(0));
        prove(&mut lanes, no, at(0));
    }
    for no in 1..=40 {
        lanes.push(EndpointNo(no), item(no), at(100_000));
    }
    assert_eq!(drain(&mut lanes, at(100_000)).len(), 7, "a quarter of the share that they have");
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
