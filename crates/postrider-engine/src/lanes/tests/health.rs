//! Failing, probing, recovering, closing and holding.

use super::*;

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

/// Because the way out was missing, for instance: the receiver was not asked.
#[test]
fn a_probe_by_hand_that_was_not_made_is_the_next_one_again() {
    let mut lanes = failing_lane();
    lanes.push_resend(EndpointNo(1), item(99), 0, at(37_000));
    for now in [37_000, 37_100, 46_000] {
        lanes.advance(at(now));
        let probe = lanes.next(at(now)).unwrap();
        assert!(probe.probe && probe.item.seq == DeliverySeq(99), "{now}: {}", probe.item.seq.0);
        lanes.give_back(probe, at(now));
    }
    let probe = lanes.next(at(46_000)).unwrap();
    end(&mut lanes, probe, &down(), at(46_000));
    assert!(lanes.next(at(46_001)).is_none(), "the next one waits for its time");
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
    lanes.push_resend(EndpointNo(1), item(500), 0, at(37_000));
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

/// Of a receiver that takes what it can and asks for patience of the rest.
#[test]
fn late_successes_neither_open_what_retry_after_closed_nor_widen_its_window() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.max_in_flight = 10), at(0));
    for seq in 1..=100 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    for _climbing in 0..4 {
        for dispatch in drain(&mut lanes, at(0)) {
            end(&mut lanes, dispatch, &ok(), at(1));
        }
    }
    let mut batch = drain(&mut lanes, at(1_000));
    assert_eq!(batch.len(), 10);
    let busy = Outcome::Answered { status: 429, retry_after: Some(Duration::from_secs(6)) };
    end(&mut lanes, batch.pop().unwrap(), &busy, at(1_010));
    for dispatch in batch {
        let (no, seq) = (dispatch.endpoint.no, dispatch.item.seq);
        let took = Duration::from_millis(300);
        let finished = lanes.finish(dispatch, &attempted(&ok(), took, at(1_300)));
        lanes.recorded(no, seq, finished.next, at(1_300));
        lanes.recording_done(1, at(0));
        assert!(lanes.next(at(1_300)).is_none(), "the lane is closed");
    }
    lanes.advance(at(7_009));
    assert!(lanes.next(at(7_009)).is_none());
    lanes.advance(at(7_010));
    assert_eq!(drain(&mut lanes, at(7_010)).len(), 1, "it opens with one in flight");
}

/// On several nodes: what others have seen, and then what this one has not written yet.
#[test]
fn the_success_rate_covers_what_all_nodes_have_seen() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    let recent = |text| postrider_core::health::RecentAttempts::from_text(text).unwrap();
    let rate = |lanes: &Lanes| lanes.view(EndpointNo(1)).unwrap().health.recent;
    for seq in 1..=2 {
        lanes.push(EndpointNo(1), item(seq), at(0));
    }
    let mut batch = drain(&mut lanes, at(0));
    let written = end(&mut lanes, batch.remove(0), &ok(), at(1)).health.unwrap();
    assert_eq!(written.attempts, recent("1"));
    assert!(
        end(&mut lanes, batch.remove(0), &ok(), at(2)).health.is_none(),
        "a success soon after is not written"
    );
    let stored = Health { recent: recent("0001"), ..Health::default() };
    lanes.learn(EndpointNo(1), &stored);
    assert_eq!(rate(&lanes), recent("00011"));
    lanes.learn(EndpointNo(1), &Health::default());
    assert_eq!(rate(&lanes), recent("00011"), "the release before this one writes none");
}
