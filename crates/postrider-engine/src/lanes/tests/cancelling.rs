//! Cancelling one delivery, wherever it stands: nothing of it is sent afterwards, and the counts stay right.

use super::*;

const NO: EndpointNo = EndpointNo(1);

fn lanes_of_one() -> Lanes {
    let mut lanes = lanes(ROOMY);
    lanes.configure(endpoint(1, 1, |settings| settings.max_in_flight = 1), at(0));
    lanes
}

fn backlog(lanes: &Lanes) -> u64 {
    lanes.view(NO).unwrap().backlog
}

#[test]
fn one_that_is_queued_is_not_sent() {
    let mut lanes = lanes_of_one();
    for seq in 1..=3 {
        lanes.push(NO, item(seq), at(0));
    }
    let first = lanes.next(at(0)).unwrap();
    lanes.cancelled(NO, DeliverySeq(2), at(1));
    assert_eq!(backlog(&lanes), 2);
    end(&mut lanes, first, &ok(), at(2));
    let third = lanes.next(at(2)).unwrap();
    assert_eq!(third.item.seq, DeliverySeq(3));
    end(&mut lanes, third, &ok(), at(3));
    assert_eq!((backlog(&lanes), lanes.loaded, lanes.payload_bytes), (0, 0, 0));
}

#[test]
fn one_that_waits_for_its_retry_is_not_tried_again() {
    let mut lanes = lanes_of_one();
    lanes.push(NO, item(1), at(0));
    let first = lanes.next(at(0)).unwrap();
    end(&mut lanes, first, &down(), at(1));
    lanes.cancelled(NO, DeliverySeq(1), at(2));
    let much_later = at(1_000_000);
    lanes.advance(much_later);
    assert!(drain(&mut lanes, much_later).is_empty());
    assert_eq!((backlog(&lanes), lanes.loaded, lanes.payload_bytes), (0, 0, 0));
}

#[test]
fn one_that_is_in_flight_ends_by_itself_and_no_attempt_follows() {
    for outcome in [down(), ok()] {
        let mut lanes = lanes_of_one();
        lanes.push(NO, item(1), at(0));
        let first = lanes.next(at(0)).unwrap();
        lanes.cancelled(NO, DeliverySeq(1), at(1));
        assert_eq!(backlog(&lanes), 0);
        let finished = end(&mut lanes, first, &outcome, at(2));
        assert_eq!(finished.next, if outcome.is_received() { Next::Delivered } else { Next::Waits });
        let much_later = at(1_000_000);
        lanes.advance(much_later);
        assert!(drain(&mut lanes, much_later).is_empty());
        assert_eq!((backlog(&lanes), lanes.loaded, lanes.payload_bytes), (0, 0, 0));
        assert_eq!(lanes.in_flight(), 0);
    }
}

#[test]
fn one_in_flight_whose_attempt_is_not_made_leaves_all_the_same() {
    let not_made: [fn(&mut Lanes, Dispatch, Timestamp); 3] = [
        |lanes, dispatch, now| lanes.give_back(dispatch, now),
        |lanes, dispatch, now| lanes.vanish(dispatch, now),
        |lanes, dispatch, now| lanes.break_off(NO, dispatch.item, dispatch.probe, now),
    ];
    for end_it in not_made {
        let mut lanes = lanes_of_one();
        lanes.push(NO, item(1), at(0));
        lanes.push(NO, item(2), at(0));
        let first = lanes.next(at(0)).unwrap();
        lanes.cancelled(NO, DeliverySeq(1), at(1));
        end_it(&mut lanes, first, at(2));
        assert_eq!((backlog(&lanes), lanes.loaded), (1, 1));
        let next = lanes.next(at(200_000)).unwrap();
        assert_eq!(next.item.seq, DeliverySeq(2));
        end(&mut lanes, next, &ok(), at(200_001));
        assert_eq!((backlog(&lanes), lanes.loaded, lanes.payload_bytes), (0, 0, 0));
    }
}

#[test]
fn one_that_was_received_a_moment_ago_is_counted_once() {
    let mut lanes = lanes_of_one();
    lanes.push(NO, item(1), at(0));
    let first = lanes.next(at(0)).unwrap();
    let received = ok();
    let attempted = attempted(&received, Duration::from_millis(5), at(1));
    let finished = lanes.finish(first, &attempted);
    // The store cancels it before it hears of the 2xx.
    lanes.cancelled(NO, DeliverySeq(1), at(2));
    lanes.recorded(NO, DeliverySeq(1), finished.next, at(0));
    assert_eq!((backlog(&lanes), lanes.loaded, lanes.payload_bytes), (0, 0, 0));
}

#[test]
fn a_refill_that_is_on_its_way_does_not_bring_it_back() {
    let mut lanes = lanes(LaneLimits { lane_queue: 10, loaded: 10, ..ROOMY });
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    let mut store: Vec<i64> = (1..=100).collect();
    for seq in &store {
        lanes.push(NO, item(*seq), at(0));
    }
    let (mut sent, mut cancelled) = (Vec::new(), Vec::new());
    while !store.is_empty() {
        for dispatch in drain(&mut lanes, at(0)) {
            sent.push(dispatch.item.seq.0);
            store.retain(|seq| *seq != dispatch.item.seq.0);
            end(&mut lanes, dispatch, &ok(), at(0));
        }
        if let Some(refill) = lanes.take_refill() {
            let rows = store.iter().take(refill.limit).map(|seq| item(*seq)).collect();
            // One of those that were read is cancelled before they arrive.
            if let Some(seq) = store.first().copied() {
                store.remove(0);
                lanes.cancelled(NO, DeliverySeq(seq), at(0));
                cancelled.push(seq);
            }
            lanes.refilled(refill, Vec::new(), rows, at(0));
        }
    }
    assert!(!cancelled.is_empty() && cancelled.iter().all(|seq| !sent.contains(seq)), "{cancelled:?}");
    assert_eq!(sent.len() + cancelled.len(), 100);
    assert_eq!((lanes.loaded, lanes.payload_bytes, backlog(&lanes)), (0, 0, 0));
}

/// Sends and ends all there is.
fn one_by_one(lanes: &mut Lanes) -> Vec<i64> {
    let mut sent = Vec::new();
    while let Some(dispatch) = lanes.next(at(0)) {
        sent.push(dispatch.item.seq.0);
        end(lanes, dispatch, &ok(), at(0));
    }
    sent
}

/// It is committed, and the word that another node has cancelled it comes before the one who accepted it does.
#[test]
fn one_that_is_on_its_way_to_its_lane_is_not_sent_once_another_node_has_cancelled_it() {
    let mut lanes = lanes_of_one();
    lanes.share();
    lanes.push(NO, item(1), at(0));
    for _ in 0..2 {
        lanes.cancelled_elsewhere(NO, DeliverySeq(2), at(0));
    }
    lanes.push(NO, item(2), at(0));
    lanes.push(NO, item(3), at(0));
    assert_eq!(backlog(&lanes), 2);
    assert_eq!(one_by_one(&mut lanes), [1, 3]);
}

/// However often it is said.
#[test]
fn one_that_another_node_has_cancelled_leaves_the_lane_once() {
    let mut lanes = lanes_of_one();
    lanes.share();
    (1..=3).for_each(|seq| lanes.push(NO, item(seq), at(0)));
    for _ in 0..2 {
        lanes.cancelled_elsewhere(NO, DeliverySeq(2), at(0));
    }
    assert_eq!((backlog(&lanes), lanes.loaded), (2, 2));
    assert_eq!(one_by_one(&mut lanes), [1, 3]);
}
