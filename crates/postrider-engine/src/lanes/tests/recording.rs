//! While outcomes can't be recorded little is sent, and nothing in order: a crash would send it again.

use super::super::recording::MAX_UNRECORDED;
use super::*;

/// Ends an attempt whose outcome is not committed yet.
fn end_unrecorded(lanes: &mut Lanes, dispatch: Dispatch, now: Timestamp) -> (EndpointNo, DeliverySeq, Next) {
    let (no, seq) = (dispatch.endpoint.no, dispatch.item.seq);
    let finished = lanes.finish(dispatch, &attempted(&ok(), Duration::from_millis(1), now));
    (no, seq, finished.next)
}

#[test]
fn an_ordered_lane_sends_nothing_from_a_failed_commit_to_the_next_that_succeeds() {
    for ordered in [false, true] {
        let mut lanes = lanes(ROOMY);
        lanes.configure(endpoint(1, 1, |settings| settings.ordered = ordered), at(0));
        let refill = |lanes: &mut Lanes| {
            while let Some(refill) = lanes.take_refill() {
                lanes.refilled(refill, Vec::new(), (1..=3).map(item).collect(), at(0));
            }
        };
        for seq in 1..=3 {
            lanes.push(EndpointNo(1), item(seq), at(0));
        }
        refill(&mut lanes);
        let first = lanes.next(at(0)).unwrap();
        let (no, seq, next) = end_unrecorded(&mut lanes, first, at(0));
        lanes.recording_failed();
        let meanwhile = lanes.next(at(1));
        assert_eq!(meanwhile.is_none(), ordered);
        if let Some(mut dispatch) = meanwhile {
            assert!(lanes.may_still_go(&mut dispatch, at(1)));
        }
        lanes.recorded(no, seq, next, at(2));
        lanes.recording_done(1, at(0));
        assert!(lanes.next(at(2)).is_some(), "ordered: {ordered}");
    }
}

#[test]
fn an_ordered_lane_is_never_far_ahead_of_what_is_recorded() {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.ordered = true), at(0));
    lanes.push(EndpointNo(1), item(1), at(0));
    while let Some(refill) = lanes.take_refill() {
        lanes.refilled(refill, Vec::new(), (1..=100).map(item).collect(), at(0));
    }
    let mut unrecorded = VecDeque::new();
    while let Some(dispatch) = lanes.next(at(0)) {
        unrecorded.push_back(end_unrecorded(&mut lanes, dispatch, at(0)));
        assert!(unrecorded.len() <= 8);
    }
    assert_eq!(unrecorded.len(), 8);
    // It goes on with each that is committed, and in order.
    for expected in 9..=20 {
        let (no, seq, next) = unrecorded.pop_front().unwrap();
        lanes.recorded(no, seq, next, at(0));
        lanes.recording_done(1, at(0));
        let dispatch = lanes.next(at(0)).expect("one more is sent");
        assert_eq!(dispatch.item.seq, DeliverySeq(expected));
        unrecorded.push_back(end_unrecorded(&mut lanes, dispatch, at(0)));
    }
}

#[test]
fn a_commit_that_takes_for_ever_stops_all_lanes_soon() {
    let mut lanes = lanes(ROOMY);
    for no in 1..=10 {
        lanes.configure(endpoint(no, no, |_| {}), at(0));
    }
    let mut sent = Vec::new();
    for seq in 1..=5_000 {
        lanes.push(EndpointNo(seq % 10 + 1), item(seq), at(0));
        if let Some(dispatch) = lanes.next(at(0)) {
            sent.push(end_unrecorded(&mut lanes, dispatch, at(0)));
        }
    }
    assert_eq!(sent.len(), MAX_UNRECORDED);
    let (no, seq, next) = sent.remove(0);
    lanes.recorded(no, seq, next, at(0));
    lanes.recording_done(1, at(0));
    assert!(lanes.next(at(0)).is_some() && lanes.in_flight() == 1);
}
