//! Retries, spilling, byte budget and order.

use super::*;

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

#[test]
fn due_retries_fire_a_part_at_a_time_and_the_rest_is_still_due() {
    let mut lanes = lanes(LaneLimits { retries: 10_000, lane_queue: 10_000, ..ROOMY });
    lanes.configure(endpoint(1, 1, |_| {}), at(0));
    let retry = |seq| (EndpointNo(1), Item { not_before: Some(at(10)), ..item(seq) });
    assert!(lanes.load_retries((1..=2_500).map(retry).collect(), at(0)).is_empty());
    for left in [1_500, 500] {
        assert!(lanes.advance(at(10)).is_empty());
        assert_eq!(lanes.retries.len(), left);
        assert_eq!(lanes.next_wakeup(), Some(at(10)), "there is more to do at once");
    }
    assert!(lanes.advance(at(10)).is_empty());
    assert_eq!(lanes.retries.len(), 0);
}
