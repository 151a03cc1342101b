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
